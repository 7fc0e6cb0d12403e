"""A folder of class folders, with a split of its own (train and val or test) or one made here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from convatlas.data.sets import FileSet
from convatlas.data.sources import DataSource
from convatlas.data.splits import stratified
from convatlas.errors import ConvAtlasError, MisuseError

SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".gif",
        ".webp",
        ".bmp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".tga",
        ".jp2",
        ".ico",
        ".avif",
    ]
)
TRAIN_NAMES = ("train", "training")
TEST_NAMES = ("val", "valid", "validation", "test", "testing")


def open_folder(root: Path, seed: int, test_share: float, name: str | None = None) -> DataSource:
    """Class folders in `root`, or in its train and val (or test); classes in the order of their names.

    MisuseError where the layout cannot be learned from: no class folders, one class only, a class without
    pictures, a class in val that is not in train.
    """
    name = name or root.resolve().name
    train_folder, test_folder = (_first(root, TRAIN_NAMES), _first(root, TEST_NAMES))
    if train_folder is None or test_folder is None:
        if train_folder is not None and not _pictures_below(root, besides=train_folder):
            root = train_folder  # a train folder alone: it is what there is to split
        classes = class_folders(root)
        whole = read_classes(root, classes, name)
        _two_classes(classes, root)
        train, test = stratified(whole.labels.tolist(), test_share, seed)
        notes = _small(whole, classes, test_share)
        split: dict[str, object] = {"by": "stratified", "seed": seed, "test_share": test_share}
        return DataSource(
            name, whole.subset(train), whole.subset(test), classes, f"{root}, split here", split, notes
        )
    classes = class_folders(train_folder)
    _two_classes(classes, train_folder)
    test_classes = class_folders(test_folder)
    strange = sorted(set(test_classes) - set(classes))
    if strange:
        raise MisuseError(
            f"{test_folder}: {_names(strange)} {'is' if len(strange) == 1 else 'are'} not among the "
            f"{len(classes)} classes of {train_folder}; a class must be in both: rename, move or remove it"
        )
    missing = sorted(set(classes) - set(test_classes))
    notes = (
        (f"no pictures of {_names(missing)} in {test_folder}: their accuracy is unknown",) if missing else ()
    )
    train_set = read_classes(train_folder, classes, f"{name}/{train_folder.name}")
    test_set = read_classes(test_folder, classes, f"{name}/{test_folder.name}", empty_is_wrong=False)
    learned = _places(train_set.paths)
    both = [folder for place, folder in _places(test_set.paths).items() if place in learned]
    if both:
        notes += (
            f"{both[0]} leads to pictures of {train_folder}, which are trained on: the accuracy will be flattered",
        )
    return DataSource(
        name,
        train_set,
        test_set,
        classes,
        f"{root}, as split there ({train_folder.name}, {test_folder.name})",
        {"by": "folders", "train": train_folder.name, "test": test_folder.name},
        notes,
    )


def class_folders(root: Path) -> tuple[str, ...]:
    """Names of the folders in `root`, sorted; MisuseError where there are none."""
    names = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))
    if not names:
        pictures = sum(1 for _ in pictures_in(root))
        raise MisuseError(
            f"{root}: no class folders in it"
            + (
                f", but {pictures} pictures: put each class into a folder of its name, or give a list of "
                "'path label' lines or a CSV as --data"
                if pictures
                else "; expected one folder of pictures a class, or train and val with these"
            )
        )
    return tuple(names)


def read_classes(root: Path, classes: Sequence[str], name: str, *, empty_is_wrong: bool = True) -> FileSet:
    """All pictures in the class folders of `root`, by class and then by path.

    MisuseError where a class has no pictures, or links lead to the same folder from two.
    """
    paths: list[Path] = []
    labels: list[int] = []
    empty = []
    class_of: dict[str, str] = {}
    for label, class_name in enumerate(classes):
        found = sorted(pictures_in(root / class_name)) if (root / class_name).is_dir() else []
        if not found:
            empty.append(class_name)
        for place, folder in _places(found).items():
            if (other := class_of.setdefault(place, class_name)) != class_name:
                raise MisuseError(
                    f"{folder}: the same folder is in the classes {other!r} and {class_name!r}, and a picture has one "
                    "class: remove the link"
                )
        paths += found
        labels += [label] * len(found)
    if empty and (empty_is_wrong or not paths):
        raise MisuseError(
            f"{root}: no pictures in the class folder{'s' if len(empty) > 1 else ''} {_names(empty)}; a class needs at "
            f"least one ({', '.join(sorted(SUFFIXES)[:6])}, ...): fill the folder or remove it"
        )
    return FileSet(tuple(paths), torch.tensor(labels, dtype=torch.int64), tuple(classes), name)


def pictures_in(folder: Path) -> Iterator[Path]:
    """Files below `folder` that are named as pictures; hidden ones are left out.

    Links are followed, but a folder is entered once, and one that `folder` lies in not at all: links may go in circles.
    """
    entered = {str(above) for above in Path(os.path.realpath(folder)).parents}
    try:
        for parent, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
            place = os.path.realpath(parent)
            if place in entered:
                folders.clear()
                continue
            entered.add(place)
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            for file in files:
                if not file.startswith(".") and Path(file).suffix.lower() in SUFFIXES:
                    yield Path(parent) / file
    except OSError as error:
        raise ConvAtlasError(f"{error.filename or folder}: cannot be listed: {error.strerror}") from error


def _places(paths: Sequence[Path]) -> dict[str, Path]:
    """The folders of these files by where they really lie."""
    return {os.path.realpath(folder): folder for folder in dict.fromkeys(p.parent for p in paths)}


def _raise(error: OSError) -> None:
    raise error


def _first(root: Path, names: Sequence[str]) -> Path | None:
    there = {p.name.lower(): p for p in root.iterdir() if p.is_dir()}
    return next((there[n] for n in names if n in there), None)


def _pictures_below(root: Path, besides: Path) -> bool:
    return any(p.is_dir() and p != besides and any(pictures_in(p)) for p in root.iterdir())


def _two_classes(classes: Sequence[str], root: Path) -> None:
    if len(classes) < 2:
        raise MisuseError(
            f"{root}: one class only ({classes[0]}); to tell apart there must be two or more class folders"
        )


def _small(whole: FileSet, classes: Sequence[str], share: float) -> tuple[str, ...]:
    counts = torch.bincount(whole.labels, minlength=len(classes)).tolist()
    single = [c for c, n in zip(classes, counts, strict=True) if n == 1]
    return (f"one picture only of {_names(single)}: none of them is tested",) if single and share else ()


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(repr(n) for n in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
