"""ImageNet's ILSVRC 2012 as it is distributed: unpacked, in Kaggle's layout, or the tars themselves.

A tar of tars is not unpacked: the pictures' places in it are found once and read from there.
"""

from __future__ import annotations

import csv
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import torch

from convatlas.data.readers.folders import class_folders, open_folder, pictures_in, read_classes
from convatlas.data.readers.matlab import imagenet_synsets
from convatlas.data.readers.tars import whole_tar
from convatlas.data.sets import FileSet
from convatlas.data.sources import DataSource
from convatlas.errors import ConvAtlasError, MisuseError

TRAIN_TAR, VAL_TAR = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12"
_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
_KAGGLE = "LOC_val_solution.csv"


def open_imagenet(root: Path | None) -> DataSource:
    """Classes are the wnids in sorted order, which is the order of every published checkpoint's outputs."""
    if root is None or not root.is_dir():
        raise MisuseError(
            "imagenet: it cannot be downloaded without an account; give --data-root, the folder with train and val, or "
            f"with {TRAIN_TAR}, {VAL_TAR} and {DEVKIT}.tar.gz"
        )
    folder = next((f for f in (root, root / "ILSVRC" / "Data" / "CLS-LOC") if (f / "train").is_dir()), None)
    if folder is not None:
        train_classes = class_folders(folder / "train")
        train = read_classes(folder / "train", train_classes, "imagenet/train")
        flat = (folder / "val").is_dir() and not any(p.is_dir() for p in (folder / "val").iterdir())
        if not flat:
            return open_folder(folder, 0, 0.0, "imagenet")
        paths = sorted(pictures_in(folder / "val"))
        wnids = _val_wnids(root, [p.name for p in paths])
        test = FileSet(tuple(paths), _numbers(wnids, train_classes, root), train_classes, "imagenet/val")
    elif (root / TRAIN_TAR).is_file() and (root / VAL_TAR).is_file():
        train = _train_tar(root / TRAIN_TAR)
        train_classes = train.classes
        entries = sorted(_members(root / VAL_TAR))
        wnids = _val_wnids(root, [Path(name).name for name, _, _ in entries])
        test = _spans(
            root / VAL_TAR, entries, _numbers(wnids, train_classes, root), train_classes, "imagenet/val"
        )
    else:
        raise MisuseError(f"imagenet: neither train and val nor {TRAIN_TAR} and {VAL_TAR} in {root}")
    return DataSource(
        "imagenet", train, test, train_classes, f"ILSVRC 2012, {root}", {"by": "as distributed"}
    )


def _train_tar(path: Path) -> FileSet:
    """1000 tars in a tar, each called by its wnid."""
    entries: list[tuple[str, int, int]] = []
    labels: list[int] = []
    classes: list[str] = []
    with path.open("rb") as file:
        for name, offset, length in sorted(_members(path)):
            if not name.endswith(".tar"):
                continue
            found = sorted(_members_of(_Part(file, offset, length), path, offset))
            entries += found
            labels += [len(classes)] * len(found)
            classes.append(Path(name).stem)
    if len(classes) < 2:
        raise ConvAtlasError(f"{path}: expected one tar a class in it, found {len(classes)}")
    return _spans(path, entries, torch.tensor(labels, dtype=torch.int64), tuple(classes), "imagenet/train")


def _spans(
    path: Path, entries: list[tuple[str, int, int]], labels: torch.Tensor, classes: tuple[str, ...], name: str
) -> FileSet:
    spans = tuple((offset, length) for _, offset, length in entries)
    return FileSet((path,) * len(entries), labels, classes, name, spans, tuple(n for n, _, _ in entries))


def _members(path: Path) -> Iterator[tuple[str, int, int]]:
    with path.open("rb") as file:
        yield from _members_of(file, path, 0)


def _members_of(file: IO[bytes] | _Part, path: Path, start: int) -> Iterator[tuple[str, int, int]]:
    with whole_tar(path, file) as archive:
        for member in archive:
            if member.isfile():
                yield member.name, start + member.offset_data, member.size


class _Part:
    """A stretch of an open file, as a file of its own: what tarfile needs of it."""

    def __init__(self, file: IO[bytes], offset: int, length: int) -> None:
        self._file, self._offset, self._length, self._at = file, offset, length, 0

    def read(self, size: int = -1) -> bytes:
        left = self._length - self._at
        size = left if size < 0 else min(size, left)
        self._file.seek(self._offset + self._at)
        data = self._file.read(size)
        self._at += len(data)
        return data

    def seek(self, position: int, whence: int = 0) -> int:
        self._at = position + (0, self._at, self._length)[whence]
        return self._at

    def tell(self) -> int:
        return self._at


def _val_wnids(root: Path, names: list[str]) -> list[str]:
    """The class of each validation picture, from Kaggle's table or the development kit."""
    table = next((p for p in (root / _KAGGLE, root.parent / _KAGGLE) if p.is_file()), None)
    if table is not None:
        with table.open(newline="", encoding="utf-8") as file:
            rows = {row["ImageId"]: row["PredictionString"].split()[0] for row in csv.DictReader(file)}
        missing = [n for n in names if Path(n).stem not in rows]
        if missing:
            raise ConvAtlasError(
                f"{table}: {len(missing)} validation pictures are not in it, such as {missing[0]}"
            )
        return [rows[Path(n).stem] for n in names]
    truth, meta = _devkit(root)
    wnid = imagenet_synsets(meta)
    numbers = [int(n) for n in truth.decode().split()]
    result = []
    for name in names:
        found = re.search(r"val_(\d+)", name)
        place = int(found.group(1)) if found else 0
        if not 1 <= place <= len(numbers) or numbers[place - 1] not in wnid:
            raise ConvAtlasError(f"imagenet: no label for the validation picture {name} in {_TRUTH}")
        result.append(wnid[numbers[place - 1]])
    return result


def _devkit(root: Path) -> tuple[bytes, bytes]:
    """The ground truth and meta.mat, from the unpacked kit or its archive."""
    for folder in (root / DEVKIT / "data", root / "devkit" / "data", root / "data"):
        if (folder / _TRUTH).is_file() and (folder / "meta.mat").is_file():
            return (folder / _TRUTH).read_bytes(), (folder / "meta.mat").read_bytes()
    packed = root / f"{DEVKIT}.tar.gz"
    if packed.is_file():
        found: dict[str, bytes] = {}
        with tarfile.open(packed) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() and member.size < 1 << 24 else None
                if file:
                    found[Path(member.name).name] = file.read()
        if _TRUTH in found and "meta.mat" in found:
            return found[_TRUTH], found["meta.mat"]
    raise MisuseError(
        f"imagenet: the validation pictures have no labels of their own; put {DEVKIT}.tar.gz (or Kaggle's {_KAGGLE}) "
        f"into {root}, or sort them into class folders"
    )


def _numbers(wnids: list[str], classes: tuple[str, ...], root: Path) -> torch.Tensor:
    number = {c: i for i, c in enumerate(classes)}
    strange = sorted(set(wnids) - set(number))
    if strange:
        raise MisuseError(f"{root}: {len(strange)} classes of val are not in train, such as {strange[0]}")
    return torch.tensor([number[w] for w in wnids], dtype=torch.int64)
