"""What there is to learn from: pictures in memory, or files, with their labels and the names of the classes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from convatlas.data.images import ImageError, read_bytes, writable
from convatlas.errors import ConvAtlasError


def check_labels(labels: Tensor, count: int, classes: Sequence[str], name: str) -> Tensor:
    """Labels as int64 (N,); ConvAtlasError where their number or their range does not fit."""
    labels = torch.as_tensor(labels).to(torch.int64)
    if labels.ndim != 1 or len(labels) != count:
        raise ConvAtlasError(
            f"{name}: {count} images but labels of shape {tuple(labels.shape)}; one of the two files is of another set"
        )
    if count and (int(labels.min()) < 0 or int(labels.max()) >= len(classes)):
        raise ConvAtlasError(
            f"{name}: labels run from {int(labels.min())} to {int(labels.max())}, but there are {len(classes)} classes"
        )
    return labels


@dataclass(frozen=True, eq=False)
class TensorSet:
    """A set that fits in memory: images uint8 (N, C, H, W), labels int64 (N,)."""

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    name: str = "images"

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ConvAtlasError(
                f"{self.name}: images must be uint8 (N, C, H, W), received {self.images.dtype} {tuple(self.images.shape)}"
            )
        if 0 in self.images.shape[1:]:
            raise ConvAtlasError(
                f"{self.name}: images of no pixels, {tuple(self.images.shape)}; fetch the set again"
            )
        object.__setattr__(self, "classes", tuple(map(writable, self.classes)))
        object.__setattr__(
            self, "labels", check_labels(self.labels, len(self.images), self.classes, self.name)
        )

    def __len__(self) -> int:
        return len(self.labels)

    def label_of(self, index: int) -> str:
        """What sample `index` is called in a report."""
        return f"{self.name}[{index}]"

    def subset(self, indices: Sequence[int]) -> TensorSet:
        """The samples at these indices, in this order."""
        chosen = torch.as_tensor(list(indices), dtype=torch.int64)
        return TensorSet(self.images[chosen], self.labels[chosen], self.classes, self.name)

    def fingerprint(self) -> str:
        """Short hash of pixels and labels: tells a changed set at resume."""
        digest = hashlib.sha256(np.ascontiguousarray(self.labels.numpy()).tobytes())
        digest.update(np.ascontiguousarray(self.images.numpy()).tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class FileSet:
    """A set of picture files. A file inside of a tar shard is (shard, offset, length) in `spans`."""

    paths: tuple[Path, ...]
    labels: Tensor
    classes: tuple[str, ...]
    name: str = "files"
    spans: tuple[tuple[int, int], ...] | None = None
    members: tuple[str, ...] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "paths", tuple(Path(p) for p in self.paths))
        object.__setattr__(self, "classes", tuple(map(writable, self.classes)))
        object.__setattr__(
            self, "labels", check_labels(self.labels, len(self.paths), self.classes, self.name)
        )

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> bytes:
        """The bytes of one picture; ImageError where it cannot be read."""
        if self.spans is None:
            return read_bytes(self.paths[index])
        offset, length = self.spans[index]
        try:
            with self.paths[index].open("rb") as shard:
                shard.seek(offset)
                return shard.read(length)
        except OSError as error:
            raise ImageError(self.label_of(index), f"cannot be opened: {error.strerror or error}") from error

    def label_of(self, index: int) -> str:
        """What sample `index` is called in a report."""
        path = str(self.paths[index])
        return writable(path if self.members is None else f"{path}:{self.members[index]}")

    def subset(self, indices: Sequence[int]) -> FileSet:
        """The samples at these indices, in this order."""
        chosen = list(indices)
        return FileSet(
            tuple(self.paths[i] for i in chosen),
            self.labels[torch.as_tensor(chosen, dtype=torch.int64)],
            self.classes,
            self.name,
            None if self.spans is None else tuple(self.spans[i] for i in chosen),
            None if self.members is None else tuple(self.members[i] for i in chosen),
        )

    def fingerprint(self) -> str:
        """Short hash of file names, lengths and labels: tells a changed set at resume without reading it."""
        digest = hashlib.sha256(self.labels.numpy().tobytes())
        for i, path in enumerate(self.paths):
            length = self.spans[i][1] if self.spans is not None else _length(path)
            name = self.members[i] if self.members is not None else f"{path.parent.name}/{path.name}"
            digest.update(f"{name}\0{length}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:16]


Dataset = TensorSet | FileSet


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return -1
