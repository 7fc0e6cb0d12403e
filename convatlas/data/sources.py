"""`--data`: from what a user types to a training set, a test set and the names of the classes."""

from __future__ import annotations

import dataclasses
import difflib
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch

from convatlas.data.images import writable
from convatlas.data.sets import Dataset, FileSet, TensorSet
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
    opened: dict[str, object] = field(default_factory=dict)  # spec, root and seed: opens the same again

    def __post_init__(self) -> None:
        for name in ("name", "description"):
            object.__setattr__(self, name, writable(getattr(self, name)))
        for name in ("classes", "notes"):
            object.__setattr__(self, name, tuple(map(writable, getattr(self, name))))

    def whole(self) -> Dataset:
        """All pictures, in the order in which they lie: what is scored where a set has no test part of its own."""
        train, test = self.train, self.test
        labels = torch.cat([train.labels, test.labels])
        if isinstance(train, TensorSet) and isinstance(test, TensorSet):
            return TensorSet(torch.cat([train.images, test.images]), labels, self.classes, self.name)
        assert isinstance(train, FileSet)
        assert isinstance(test, FileSet)
        both = FileSet(
            train.paths + test.paths,
            labels,
            self.classes,
            self.name,
            None if train.spans is None else train.spans + (test.spans or ()),
            None if train.members is None else train.members + (test.members or ()),
        )
        return both.subset(
            sorted(range(len(both)), key=lambda i: (both.paths[i], both.spans[i] if both.spans else 0))
        )

    def record(self) -> dict[str, object]:
        """What a run stores: enough to tell a changed set at resume. JSON-able."""
        return {
            "name": self.name,
            "description": self.description,
            "classes": len(self.classes),
            "train": len(self.train),
            "test": len(self.test),
            "split": self.split,
            "opened": self.opened,
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
    text = os.fspath(spec)
    place = None if root is None else Path(root)
    found = _open(text, place, seed, test_share, download)
    known = text in NAMED or text.startswith(("http://", "https://"))
    opened: dict[str, object] = {
        "spec": text if known else str(Path(text).absolute()) if Path(text).exists() else text,
        "root": None if place is None else str(place.absolute()),
        "seed": seed,
        "test_share": test_share,
    }
    return dataclasses.replace(found, opened=opened)


def _open(text: str, place: Path | None, seed: int, test_share: float, download: bool) -> DataSource:
    if text in NAMED:
        return _named(text, place, seed, test_share, download)
    if is_shards_spec(text):
        from convatlas.data.readers.shards import open_shards

        return open_shards(text, seed, test_share, download)
    path = Path(text)
    if not path.exists() and place is not None and (place / text).exists():
        path = place / text
    if path.is_dir():
        return _folder(path, seed, test_share)
    if path.is_file() and path.suffix.lower() in (".csv", ".tsv", ".txt", ".lst", ".list"):
        from convatlas.data.readers.lists import open_list

        return open_list(path, place, seed, test_share)
    if path.is_file():
        raise MisuseError(f"--data {text}: a file, but no list (.txt), CSV (.csv, .tsv) or tar shard (.tar)")
    near = difflib.get_close_matches(text, NAMED, n=1)
    raise MisuseError(
        f"--data {text}: no known set{f' (nearest: {near[0]})' if near else ''} and nothing of that name here; give "
        f"{', '.join(NAMED)}, a folder of class folders, a list or CSV, or tar shards"
    )


def is_shards_spec(text: str) -> bool:
    """Whether it is written as tar shards: an address, or a name that ends in .tar."""
    return text.startswith(("http://", "https://")) or text.endswith(".tar")


def _named(name: str, root: Path | None, seed: int, share: float, download: bool) -> DataSource:
    # a reader is imported when its set is asked for: the others need not be there
    if name == "digits":
        from convatlas.data.readers.digits import open_digits

        return open_digits(seed, share)
    if name in ("mnist", "fashion-mnist"):
        from convatlas.data.readers.mnist import open_mnist

        return open_mnist(name, root, download)
    if name in ("cifar10", "cifar100"):
        from convatlas.data.readers.cifar import open_cifar

        return open_cifar(name, root, download)
    if name == "cifar10-jpeg":
        from convatlas.data.readers.cifar_jpeg import open_cifar_jpeg

        return open_cifar_jpeg(root)
    from convatlas.data.readers.imagenet import open_imagenet

    return open_imagenet(root)


def _folder(path: Path, seed: int, share: float) -> DataSource:
    from convatlas.data.readers.folders import open_folder
    from convatlas.data.readers.lists import open_list
    from convatlas.data.readers.shards import open_shards

    if any(path.glob("*.tar")):
        return open_shards(str(path), seed, share)
    lists = [path / n for n in ("labels.csv", "labels.txt", "index.csv") if (path / n).is_file()]
    if lists and not any(p.is_dir() for p in path.iterdir()):
        return open_list(lists[0], None, seed, share)
    return open_folder(path, seed, share)
