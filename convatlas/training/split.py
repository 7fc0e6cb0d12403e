"""Set a part of the training pictures aside, to choose by: the test set is then looked at once."""

from __future__ import annotations

import dataclasses

import torch

from convatlas.data.sources import DataSource
from convatlas.errors import ConvAtlasError


def hold_out(source: DataSource, share: float, seed: int) -> tuple[DataSource, str]:
    """The source with `share` of each class's training pictures in place of the test set; and what that now is.

    Stratified: of each class its share, at least one, and never all, drawn by the seed. Without a share the source as it was.
    """
    if not share:
        return source, "the test set"
    generator = torch.Generator().manual_seed(seed)
    labels = source.train.labels
    aside: list[int] = []
    for label in range(len(source.classes)):
        members = (labels == label).nonzero().flatten()
        if len(members) < 2:
            raise ConvAtlasError(
                f"{source.name}: class {source.classes[label]!r} has {len(members)} training pictures; --holdout needs two"
            )
        count = min(max(1, round(share * len(members))), len(members) - 1)
        aside += members[torch.randperm(len(members), generator=generator)[:count]].tolist()
    held = set(aside)
    kept = [i for i in range(len(labels)) if i not in held]
    changed = dataclasses.replace(
        source, train=source.train.subset(kept), test=source.train.subset(sorted(held))
    )
    return changed, f"{share:g} of the training set"
