"""A flat folder with a list: lines of 'path label', or a CSV with a column of paths and one of labels."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import torch

from convatlas.data.readers.folders import SUFFIXES, TEST_NAMES, TRAIN_NAMES
from convatlas.data.readers.labels import classes_of
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
    classes = classes_of((label for _, label, _ in rows), str(path))
    number = {name: i for i, name in enumerate(classes)}
    if not all(label in number for _, label, _ in rows):
        raise MisuseError(f"{path}: class numbers with leading zeros; write them plainly, or as names")
    files = FileSet(
        tuple(base / p for p, _, _ in rows),
        torch.tensor([number[label] for _, label, _ in rows], dtype=torch.int64),
        classes,
        path.stem,
    )
    absent = [p for p in files.paths if not os.path.isfile(p)]  # noqa: PTH113  Path's fails for a name too long
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
    if not rows:
        raise MisuseError(f"{path}: only comments in it; expected lines of 'path label'")
    return rows


def _csv_rows(path: Path, text: str) -> list[Row]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ";" if text.splitlines()[0].count(";") else ","
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        table = [(reader.line_num, [c.strip() for c in cells]) for cells in reader]
    except csv.Error as error:
        raise MisuseError(
            f"{path}:{reader.line_num}: not a CSV ({error}); is a quotation mark left open?"
        ) from error
    header = [h.lower() for h in table[0][1]]
    where = {
        kind: next((header.index(c) for c in columns if c in header), -1)
        for kind, columns in (("path", PATH_COLUMNS), ("label", LABEL_COLUMNS), ("split", SPLIT_COLUMNS))
    }
    if where["path"] < 0 or where["label"] < 0:
        begins_at_once = any(Path(cell).suffix in SUFFIXES for cell in header)
        raise MisuseError(
            f"{path}: the header says {', '.join(header) or 'nothing'}; expected a column of paths "
            f"({', '.join(PATH_COLUMNS)}) and one of labels ({', '.join(LABEL_COLUMNS)})"
            + (
                "; the first line names a picture: put a line such as path,label above it"
                if begins_at_once
                else ""
            )
        )
    rows: list[Row] = []
    for number, cells in table[1:]:
        if not any(cells):
            continue
        if len(cells) != len(header):
            raise MisuseError(f"{path}:{number}: {len(cells)} cells, the header has {len(header)}")
        for kind in ("path", "label"):
            if not cells[where[kind]]:
                raise MisuseError(
                    f"{path}:{number}: no {kind} in {','.join(cells)!r}; fill it in or remove the row"
                )
        split = cells[where["split"]] if where["split"] >= 0 else ""
        rows.append((cells[where["path"]], cells[where["label"]], split))
    if not rows:
        raise MisuseError(f"{path}: a header and no rows")
    return rows
