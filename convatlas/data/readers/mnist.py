"""MNIST and Fashion-MNIST from their idx files, gzipped or not, found or downloaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from convatlas.data.readers.idx import read_idx
from convatlas.data.sets import TensorSet
from convatlas.data.sources import DataSource
from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.fetch import cached

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

# the canonical files, gzipped as they were published
_SHA256 = {
    "mnist": {
        "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
}
_MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion-mnist": (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
}


def open_mnist(name: str, root: Path | None, download: bool) -> DataSource:
    """The canonical 60,000 + 10,000 of `mnist` or `fashion-mnist`."""
    folder = _folder(name, root, download)
    parts = {part: _read(folder, name, *files) for part, files in _FILES.items()}
    return DataSource(
        name, parts["train"], parts["test"], _CLASSES[name], f"{name}, idx files", {"by": "as distributed"}
    )


def _folder(name: str, root: Path | None, download: bool) -> Path:
    wanted = [file for files in _FILES.values() for file in files]
    if root is None:
        if not download:
            raise MisuseError(
                f"{name}: give --data-root, the folder that {wanted[0]} lies in (gzipped or not)"
            )
        paths = [
            cached(
                f"{name}/{file}.gz", [mirror + file + ".gz" for mirror in _MIRRORS[name]], _SHA256[name][file]
            )
            for file in wanted
        ]
        return paths[0].parent
    if not root.is_dir():
        raise MisuseError(f"{name}: --data-root {root} is not a folder")
    # the folder itself, one that holds several sets, and torchvision's layout
    spellings = {name, name.replace("-", "_"), "".join(w.capitalize() for w in name.split("-")), name.upper()}
    folders = [
        root,
        *(root / s for s in sorted(spellings)),
        *(root / s / "raw" for s in sorted(spellings)),
        root / "raw",
    ]
    for folder in folders:
        if any(_find(folder, file) for file in wanted):
            return folder
    raise MisuseError(
        f"{name}: no idx files in {root} or in its {name}; expected {wanted[0]} or {wanted[0]}.gz there"
    )


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
    if len(labels) and labels.max() > 9:
        raise ConvAtlasError(
            f"{folder}: {labels_file} has labels up to {labels.max()}; {name} has 10 classes, 0 to 9"
        )
    return TensorSet(torch.from_numpy(images)[:, None], torch.from_numpy(labels), _CLASSES[name], name)
