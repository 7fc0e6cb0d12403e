"""MNIST and Fashion-MNIST from their idx files, gzipped or not, found or downloaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from convatlas.data.readers.idx import read_idx
from convatlas.data.sets import TensorSet
from convatlas.data.sources import DataSource
from convatlas.errors import ConvAtlasError, MisuseError

_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion-mnist": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
}  # fmt: skip


def open_mnist(name: str, root: Path | None, download: bool) -> DataSource:
    """The canonical 60,000 + 10,000 of `mnist` or `fashion-mnist`."""
    folder = _folder(name, root, download)
    parts = {part: _read(folder, name, *files) for part, files in _FILES.items()}
    return DataSource(
        name, parts["train"], parts["test"], _CLASSES[name], f"{name}, idx files", {"by": "as distributed"}
    )


def _folder(name: str, root: Path | None, download: bool) -> Path:
    wanted = [file for files in _FILES.values() for file in files]
    folders = [] if root is None else [root, root / name, root / name / "raw", root / "raw"]
    for folder in folders:
        if any(_find(folder, file) for file in wanted):
            return folder
    raise MisuseError(f"{name}: no idx files in {root}; expected {wanted[0]} or {wanted[0]}.gz there")


def _find(folder: Path, file: str) -> Path | None:
    for name in (file, file + ".gz", file.replace("-idx", ".idx"), file.replace("-idx", ".idx") + ".gz"):
        if (folder / name).is_file():
            return folder / name
    return None


def _read(folder: Path, name: str, images_file: str, labels_file: str) -> TensorSet:
    arrays: list[np.ndarray] = []
    for file, rank in ((images_file, 3), (labels_file, 1)):
        path = _find(folder, file)
        if path is None:
            raise ConvAtlasError(
                f"{folder}: {file} (or {file}.gz) is missing; the other files of {name} are there"
            )
        array = read_idx(path)
        if array.ndim != rank:
            raise ConvAtlasError(
                f"{path}: {array.ndim} dimensions, expected {rank}; is it another file renamed?"
            )
        arrays.append(array)
    images, labels = arrays
    if len(images) != len(labels):
        raise ConvAtlasError(
            f"{folder}: {images_file} has {len(images):,} images, {labels_file} {len(labels):,} labels; "
            "one of the two is of another set: fetch both again"
        )
    return TensorSet(torch.from_numpy(images)[:, None], torch.from_numpy(labels), _CLASSES[name], name)
