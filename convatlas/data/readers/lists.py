"""A flat folder with a list: lines of 'path label', or a CSV with a column of paths and one of labels."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import torch

from convatlas.data.readers.folders import TEST_NAMES, TRAIN_NAMES
from convatlas.data.sets import FileSet
from convatlas.data.sources import DataSource
from convatlas.data.splits import stratified
from convatlas.errors import ConvAtlasError, MisuseError

PATH_COLUMNS = ("path", "file", "filename", "file_name", "image", "image_path", "img")
LABEL_COLUMNS = ("label", "class", "class_name", "category", "target", "wnid")
SPLIT_COLUMNS = ("split", "set", "subset", "fold")

Row = tuple[str, str, str]  # path, label, split or ""


def open_list(path: Path, root: Path | None, seed: int, test_share: float) -> DataSource:
    """A list or CSV; paths are relative to `root`, else to the folder of the list.

    Labels may be names, or numbers 0, 1, ... . A column `split` keeps its train and its val or test.
    """
    rows = read_rows(path)
    base = root or path.parent
    classes = _classes([label for _, label, _ in rows], path)
    number = {name: i for i, name in enumerate(classes)}
    files = FileSet(
        tuple(base / p for p, _, _ in rows),
        torch.tensor([number[label] for _, label, _ in rows], dtype=torch.int64),
        classes,
        path.stem,
    )
    absent = [p for p in files.paths if not p.is_file()]
    if len(absent) == len(files):
        raise MisuseError(
            f"{path}: none of its {len(files)} pictures is there, such as {absent[0]}; paths are relative to the "
            "list's folder, or to --data-root"
        )
    notes = (
        (f"{len(absent)} of {len(files)} listed pictures are not there, such as {absent[0]}",)
        if absent
        else ()
    )
    splits = [s.lower() for _, _, s in rows]
    if any(splits):
        train = [i for i, s in enumerate(splits) if s in TRAIN_NAMES]
        test = [i for i, s in enumerate(splits) if s in TEST_NAMES]
        if len(train) + len(test) != len(rows) or not train or not test:
            other = sorted(set(splits) - set(TRAIN_NAMES) - set(TEST_NAMES))
            raise MisuseError(
                f"{path}: the column of splits must say train and val (or test) in every row"
                + (
                    f"; it also says {', '.join(map(repr, other[:5]))}"
                    if other
                    else "; one of the two is absent"
                )
            )
        learned = set(files.labels[train].tolist())
        strange = sorted({classes[i] for i in files.labels[test].tolist() if i not in learned})
        if strange:
            raise MisuseError(f"{path}: {', '.join(strange[:5])} in val or test but not in train")
        split: dict[str, object] = {"by": "column"}
    else:
        train, test = stratified(files.labels.tolist(), test_share, seed)
        split = {"by": "stratified", "seed": seed, "test_share": test_share}
    return DataSource(path.stem, files.subset(train), files.subset(test), classes, str(path), split, notes)


def read_rows(path: Path) -> list[Row]:
    """(path, label, split) of every line; MisuseError names the line that is wrong."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConvAtlasError(f"{path}: cannot be opened: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MisuseError(
            f"{path}: not a text file in UTF-8 ({error.reason} at byte {error.start})"
        ) from error
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise MisuseError(
            f"{path}: the list is empty; expected lines of 'path label', or a CSV with a header"
        )
    if path.suffix.lower() in (".csv", ".tsv"):
        return _csv_rows(path, text)
    rows: list[Row] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        # the label is the last word: paths may have spaces
        name, _, label = line.strip().replace("\t", " ").rpartition(" ")
        if not name:
            raise MisuseError(f"{path}:{number}: expected 'path label', received {line.strip()!r}")
        rows.append((name.strip(), label, ""))
    return rows


def _csv_rows(path: Path, text: str) -> list[Row]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ";" if text.splitlines()[0].count(";") else ","
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    header = [h.strip().lower() for h in next(reader)]
    where = {
        kind: next((header.index(c) for c in columns if c in header), -1)
        for kind, columns in (("path", PATH_COLUMNS), ("label", LABEL_COLUMNS), ("split", SPLIT_COLUMNS))
    }
    if where["path"] < 0 or where["label"] < 0:
        raise MisuseError(
            f"{path}: the header says {', '.join(header) or 'nothing'}; expected a column of paths "
            f"({', '.join(PATH_COLUMNS)}) and one of labels ({', '.join(LABEL_COLUMNS)})"
        )
    rows: list[Row] = []
    for cells in reader:
        if not any(c.strip() for c in cells):
            continue
        if len(cells) != len(header):
            raise MisuseError(f"{path}:{reader.line_num}: {len(cells)} cells, the header has {len(header)}")
        split = cells[where["split"]].strip() if where["split"] >= 0 else ""
        rows.append((cells[where["path"]].strip(), cells[where["label"]].strip(), split))
    if not rows:
        raise MisuseError(f"{path}: a header and no rows")
    return rows


def _classes(labels: list[str], path: Path) -> tuple[str, ...]:
    """Class names in order: of numbers by value, of names by name."""
    distinct = set(labels)
    if all(label.isascii() and label.isdigit() for label in distinct):
        highest = max(map(int, distinct))
        if highest >= 100_000:
            raise MisuseError(f"{path}: label {highest} is no class number; they count from 0")
        names = tuple(str(i) for i in range(highest + 1))
        if {str(int(label)) for label in distinct} != distinct:
            raise MisuseError(f"{path}: class numbers with leading zeros; write them plainly, or as names")
    else:
        names = tuple(sorted(distinct))
    if len(distinct) < 2:
        raise MisuseError(
            f"{path}: one class only ({next(iter(distinct))!r}); to tell apart there must be two or more"
        )
    return names
