"""The pictures that a run could not read: said once each, kept for its summary and its page; and doing without them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from convatlas.data.loader import Batch, Loader
from convatlas.data.sets import Dataset
from convatlas.errors import ConvAtlasError
from convatlas.training.logs import Logs

_WITHOUT = {"training": "the network cannot learn it", "test": "the scores say nothing of it"}
SAID = 5  # of them in full; a set of which half is broken should not bury the run's own lines


class Unreadable:
    """Collects what loaders left out, over epochs and over both splits."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}
        self._gone: set[tuple[str, int]] = set()

    def take_of(self, loader: Loader, part: str, logs: Logs) -> None:
        """Note what a loader left out, and say where it is all that a class has. part: training or test."""
        known = len(self._found)
        self.take(loader.skipped, logs)
        if len(self._found) == known:
            return
        labels = loader.dataset.labels.tolist()
        whole = {label for i, label in enumerate(labels) if loader.dataset.label_of(i) not in self._found}
        for label in sorted(set(labels) - whole):
            if (part, label) not in self._gone:
                self._gone.add((part, label))
                logs.say(
                    f"warning: class {loader.dataset.classes[label]!r}: none of its {labels.count(label)} {part} pictures "
                    f"can be read; {_WITHOUT[part]}"
                )

    def take(self, skipped: Iterable[tuple[str, str]], logs: Logs) -> None:
        """Note (path, reason) pairs and say those that are new: a few in full, the rest as a number."""
        new = [(path, reason) for path, reason in skipped if path not in self._found]
        if not new:
            return
        room = max(SAID - len(self._found), 0)
        self._found.update(new)
        for path, reason in new[:room]:
            logs.say(f"left out: {path}: {reason}")
        if len(new) > room:
            logs.say(
                f"left out: {len(new) - room} more that cannot be read; `skipped` of summary.json lists all"
            )

    def restore(self, listed: Iterable[Mapping[str, str]]) -> None:
        """Take up what was found, and said, before a resume."""
        self._found.update((one["path"], one["reason"]) for one in listed)

    def listed(self) -> list[dict[str, str]]:
        """path and reason of each, sorted by path."""
        return [{"path": path, "reason": reason} for path, reason in sorted(self._found.items())]


def first_readable(loader: Loader) -> Batch:
    """The first batch in which a picture could be read; ConvAtlasError where there is none."""
    for batch in loader.batches(0):
        if len(batch.images):
            return batch
    raise none_readable(loader.dataset, loader.skipped)


def none_readable(dataset: Dataset, skipped: list[tuple[str, str]]) -> ConvAtlasError:
    """The error of a set without a single picture to train on."""
    first = f", the first being {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
    return ConvAtlasError(
        f"{dataset.name}: of {len(dataset):,} training pictures none could be read{first}. convatlas data check tells of all"
    )


def filled(batch: Batch, least: int) -> Batch:
    """The batch, its pictures repeated where there are fewer than `least`: batch norm has no variance of one picture."""
    count = len(batch.images)
    if not 0 < count < least:
        return batch
    again = torch.arange(least, device=batch.images.device) % count
    return Batch(batch.images[again], batch.labels[again], batch.indices[again.to(batch.indices.device)])
