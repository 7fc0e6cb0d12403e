"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009): the python and the binary archives, packed or not.

The python archives are pickles. They are read without running anything that they name: see `_Inert`.
"""

from __future__ import annotations

import io
import math
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from convatlas.data.sets import TensorSet
from convatlas.data.sources import DataSource
from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.fetch import cached

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_SITE = "https://www.cs.toronto.edu/~kriz/"
_ARCHIVES = {
    "cifar10": ("cifar-10-python.tar.gz", "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"),
    "cifar100": (
        "cifar-100-python.tar.gz",
        "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    ),
}
# files of train and of test, and whether they are pickles
_LAYOUTS = {
    "cifar10": (
        ([f"data_batch_{i}" for i in range(1, 6)], ["test_batch"], True),
        ([f"data_batch_{i}.bin" for i in range(1, 6)], ["test_batch.bin"], False),
    ),
    "cifar100": ((["train"], ["test"], True), (["train.bin"], ["test.bin"], False)),
}
_FOLDERS = {
    "cifar10": ("", "cifar-10-batches-py", "cifar-10-batches-bin", "cifar10"),
    "cifar100": ("", "cifar-100-python", "cifar-100-binary", "cifar100"),
}
_LABELS = {"cifar10": (b"labels",), "cifar100": (b"fine_labels",)}
_MAX_BYTES = 1 << 28  # a batch has 30 or 150 MB

Files = Callable[[str], bytes | None]


def open_cifar(name: str, root: Path | None, download: bool) -> DataSource:
    """`cifar10` or `cifar100` in `root` (a folder, or one of the four archives), or downloaded."""
    files, place = _files(name, root, download)
    for train, test, pickled in _LAYOUTS[name]:
        if files(train[0]) is None and files(test[0]) is None:
            continue
        classes = CIFAR10_CLASSES if name == "cifar10" else _fine_names(files, place)
        parts = [_part(name, files, place, names, pickled, classes) for names in (train, test)]
        return DataSource(name, parts[0], parts[1], classes, f"{name}, {place}", {"by": "as distributed"})
    first = " or ".join(layout[0][0] for layout in _LAYOUTS[name])
    raise MisuseError(f"{name}: nothing of it in {place}; expected {first} or {_ARCHIVES[name][0]} there")


def _files(name: str, root: Path | None, download: bool) -> tuple[Files, str]:
    archive, sha256 = _ARCHIVES[name]
    if root is None:
        if not download:
            raise MisuseError(f"{name}: give --data-root, the folder or archive that it lies in")
        root = cached(archive, _SITE + archive, sha256)
    if root.is_file():
        return _archive_files(root), str(root)
    folders = [root / f for f in _FOLDERS[name]]
    for folder in folders:
        if any((folder / layout[0][0]).is_file() for layout in _LAYOUTS[name]):
            return lambda file, folder=folder: _bytes_of(folder / file), str(folder)
    for folder in folders:
        for packed in (archive, archive.replace("python", "binary")):
            if (folder / packed).is_file():
                return _archive_files(folder / packed), str(folder / packed)
    return lambda file: None, str(root)


def _bytes_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _archive_files(path: Path) -> Files:
    """All small enough members by the last part of their name; nothing is written to disk."""
    members: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and member.size <= _MAX_BYTES and (file := archive.extractfile(member)):
                    members[Path(member.name).name] = file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ConvAtlasError(
            f"{path}: the archive is damaged or truncated ({error}); fetch it again"
        ) from error
    return members.get


def _part(
    name: str, files: Files, place: str, names: list[str], pickled: bool, classes: tuple[str, ...]
) -> TensorSet:
    images, labels = [], []
    for file in names:
        data = files(file)
        if data is None:
            raise ConvAtlasError(f"{place}: {file} is missing; the other files of {name} are there")
        where = f"{place}/{file}"
        pixels, numbers = _pickled(data, where, _LABELS[name][0]) if pickled else _binary(data, where, name)
        images.append(pixels)
        labels.append(numbers)
    pixels, numbers = np.concatenate(images), np.concatenate(labels)
    return TensorSet(torch.from_numpy(pixels), torch.from_numpy(numbers), classes, name)


def _binary(data: bytes, where: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Records of one label byte (CIFAR-100: coarse, then fine) and 3x32x32 bytes."""
    head = 1 if name == "cifar10" else 2
    if not data or len(data) % (head + 3072):
        raise ConvAtlasError(
            f"{where}: {len(data):,} bytes are not whole records of {head + 3072}; truncated?"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, head + 3072)
    return records[:, head:].reshape(-1, 3, 32, 32).copy(), records[:, head - 1].astype(np.int64)


def _pickled(data: bytes, where: str, key: bytes) -> tuple[np.ndarray, np.ndarray]:
    content = load_inert(data, where)
    images, labels = (content.get(b"data"), content.get(key)) if isinstance(content, dict) else (None, None)
    if not isinstance(images, Inert) or not isinstance(labels, list):
        raise ConvAtlasError(f"{where}: no CIFAR batch: it has no 'data' and '{key.decode()}'")
    pixels = images.array(where)
    if pixels.ndim != 2 or pixels.shape[1] != 3072 or len(pixels) != len(labels):
        raise ConvAtlasError(
            f"{where}: data of shape {pixels.shape} and {len(labels)} labels; expected (N, 3072) and N"
        )
    if not all(isinstance(n, int) and 0 <= n < 100 for n in labels):
        raise ConvAtlasError(
            f"{where}: labels must be whole numbers that count the classes from 0; fetch it again"
        )
    return pixels.reshape(-1, 3, 32, 32), np.array(labels, np.int64)


def _fine_names(files: Files, place: str) -> tuple[str, ...]:
    text, meta = files("fine_label_names.txt"), files("meta")
    names: list[str] = []
    if text is not None:
        names = text.decode("utf-8", "replace").split()
    elif meta is not None:
        content = load_inert(meta, f"{place}/meta")
        found = content.get(b"fine_label_names") if isinstance(content, dict) else None
        names = (
            [n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in found]
            if isinstance(found, list)
            else []
        )
    if len(names) != 100:
        raise ConvAtlasError(
            f"{place}: the names of CIFAR-100's classes are missing (meta or fine_label_names.txt)"
        )
    return tuple(names)


class Inert:
    """Stands for a numpy array in a pickle: it keeps the state that it is handed and does nothing."""

    def __init__(self, *_: object) -> None:
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state

    def array(self, where: str) -> np.ndarray:
        """The bytes that the state carries as uint8 of its shape; ConvAtlasError for any other dtype."""
        state = self.state
        if not (isinstance(state, tuple) and len(state) == 5 and isinstance(state[1], tuple)):
            raise ConvAtlasError(f"{where}: the array in the pickle is not one that numpy wrote")
        _, shape, dtype, fortran, raw = state
        if not (isinstance(dtype, _InertDtype) and dtype.code in (b"u1", "u1") and isinstance(raw, bytes)):
            raise ConvAtlasError(f"{where}: the array in the pickle is not of unsigned bytes")
        flat = np.frombuffer(raw, np.uint8)
        sides = all(isinstance(n, int) and n >= 0 for n in shape) and len(shape) <= 8
        if not sides or flat.size != math.prod(shape):
            raise ConvAtlasError(f"{where}: {flat.size:,} bytes for an array of shape {shape}")
        return flat.reshape(shape, order="F" if fortran else "C").copy()


class _InertDtype:
    """Stands for numpy.dtype: keeps its code, such as u1."""

    def __init__(self, code: object = None, *_: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        """Byte order and alignment, which a single byte has no use for."""


def _reconstruct(*_: object) -> Inert:
    return Inert()


def _encode(text: object, *_: object) -> bytes:
    """How Python 3 writes bytes into an old pickle: as latin-1 text."""
    return text.encode("latin-1") if isinstance(text, str) else b""


_ALLOWED: dict[tuple[str, str], object] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): Inert,
    ("numpy", "dtype"): _InertDtype,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle.Unpickler):
    """Gives a pickle nothing to call but the stand-ins above."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(
                f"it names {module}.{name}, which no CIFAR batch needs: refused, not run"
            )
        return _ALLOWED[module, name]


def load_inert(data: bytes, where: str) -> object:
    """The plain content of a pickle with `Inert` for arrays; ConvAtlasError where it names anything else."""
    try:
        return _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:
        raise ConvAtlasError(f"{where}: not a CIFAR batch: {error}") from error
