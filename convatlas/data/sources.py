"""`--data`: from what a user types to a training set, a test set and the names of the classes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from convatlas.data.sets import Dataset
from convatlas.errors import MisuseError


@dataclass(frozen=True, eq=False)
class DataSource:
    """What `open_data` found. split: how train and test came apart, for the run's record."""

    name: str
    train: Dataset
    test: Dataset
    classes: tuple[str, ...]
    description: str = ""
    split: dict[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def record(self) -> dict[str, object]:
        """What a run stores: enough to tell a changed set at resume. JSON-able."""
        return {
            "name": self.name,
            "description": self.description,
            "classes": len(self.classes),
            "train": len(self.train),
            "test": len(self.test),
            "split": self.split,
            "fingerprint": f"{self.train.fingerprint()}-{self.test.fingerprint()}",
        }


NAMED: dict[str, str] = {
    "digits": "UCI's 1,797 handwritten digits, 8x8 enlarged to 32x32; bundled",
    "mnist": "60,000 + 10,000 handwritten digits, 28x28",
    "fashion-mnist": "60,000 + 10,000 pieces of clothing, 28x28",
    "cifar10": "50,000 + 10,000 pictures of 10 classes, 32x32",
    "cifar100": "50,000 + 10,000 pictures of 100 classes, 32x32",
    "cifar10-jpeg": "CIFAR-10 after lossy JPEG: not CIFAR-10, and never quoted as it",
    "imagenet": "ImageNet's ILSVRC 2012 as distributed",
}


def open_data(
    spec: str | os.PathLike[str],
    root: str | os.PathLike[str] | None = None,
    seed: int = 0,
    *,
    test_share: float = 0.2,
    download: bool = True,
) -> DataSource:
    """Open a named set, a folder, a list, a CSV or tar shards.

    root: where a named set lies (or a folder above it); without it the cache, filled by a verified download.
    seed: of the split, where the data has none of its own. MisuseError where `spec` is nothing that is known or
    there; ConvAtlasError where files are broken.
    """
    readers = _readers()
    text = os.fspath(spec)
    if text in readers:
        return readers[text](None if root is None else Path(root), seed, test_share, download)
    raise MisuseError(
        f"--data {text}: neither a known set ({', '.join(NAMED)}) nor a folder, list, CSV or tar shard that exists"
    )


Reader = Callable[[Path | None, int, float, bool], DataSource]


def _readers() -> dict[str, Reader]:
    from convatlas.data.readers import digits, mnist

    return {
        "digits": lambda root, seed, share, download: digits.open_digits(seed, share),
        "mnist": lambda root, seed, share, download: mnist.open_mnist("mnist", root, download),
        "fashion-mnist": lambda root, seed, share, download: mnist.open_mnist(
            "fashion-mnist", root, download
        ),
    }
