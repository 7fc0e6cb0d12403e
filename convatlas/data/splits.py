"""A test set of one's own where the data has none: stratified, seeded, recorded."""

from __future__ import annotations

from collections.abc import Sequence

from convatlas.data.randomness import epoch_order, mix


def stratified(labels: Sequence[int], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Indices of train and test, each in ascending order, with `share` of every class in test.

    A class of two or more gives at least one to either side; a class of one stays in train.
    """
    members: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(int(label), []).append(index)
    train: list[int] = []
    test: list[int] = []
    for label, indices in sorted(members.items()):
        shuffled = [indices[i] for i in epoch_order(len(indices), mix(seed, label), 0).tolist()]
        count = min(max(round(share * len(indices)), 1), len(indices) - 1) if share > 0 else 0
        test += shuffled[:count]
        train += shuffled[count:]
    return sorted(train), sorted(test)
