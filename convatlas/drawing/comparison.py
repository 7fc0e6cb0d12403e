"""A comparison to read: the table for the terminal, Markdown, CSV, and accuracy over mult-adds as a plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import overload

from convatlas.analysis.compare import Row, ordered
from convatlas.drawing import terminal
from convatlas.drawing.plots import Dot, scatter
from convatlas.drawing.theme import Theme

_HEAD = (
    "name",
    "year",
    "input",
    "parameters",
    "MiB",
    "mult-adds",
    "depth",
    "field",
    "act. MiB",
    "top-1",
    "top-5",
    "tested",
)
NOTE = (
    "MiB: float32. field: pixels that one value of the last maps sees. act.: the most activations at once, batch 1. top-1, top-5: "
    "published accuracy in percent, {protocol}; an empty cell: nothing published so"
)


class Comparison(Sequence[Row]):
    """Rows side by side; `repr` and the prompt show the table."""

    def __init__(self, rows: Sequence[Row], protocol: str = "single-crop") -> None:
        self._rows, self.protocol = tuple(rows), protocol

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        return self._rows[index]

    def sorted(self, column: str) -> Comparison:
        """The same rows, in the order of a column (see `analysis.compare.SORTS`)."""
        return Comparison(ordered(self._rows, column), self.protocol)

    def __repr__(self) -> str:
        return self.text()

    def text(self, *, width: int | None = None, color: bool = False) -> str:
        """The table for a terminal of `width` columns."""
        right = tuple(range(1, len(_HEAD) - 1))
        table = terminal.aligned(list(_HEAD), [_cells(row) for row in self._rows], right=right, width=width, color=color, flexible=len(_HEAD) - 1)  # fmt: skip
        return f"{table}\n{NOTE.format(protocol=protocol_words(self.protocol))}"

    def markdown(self) -> str:
        """The table in Markdown."""
        lines = ["| " + " | ".join(_HEAD) + " |", "|---" + "|---:" * (len(_HEAD) - 2) + "|---|"]
        lines += [
            "| " + " | ".join(cell.replace("|", "\\|") for cell in _cells(row)) + " |" for row in self._rows
        ]
        return "\n".join(lines)

    def csv(self) -> str:
        """The table as CSV, plain numbers, a header line first."""
        text = io.StringIO()
        rows = [row.to_dict() for row in self._rows]
        writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def plot(self, *, theme: Theme = "auto") -> str:
        """Top-1 accuracy over mult-adds as SVG, areas as parameters, of the rows that `plotted` names."""
        dataset, rows = self.plotted()
        dots = [
            Dot(row.name, row.mult_adds / 1e6, row.top1, row.parameters / 1e6, row.family)
            for row in rows
            if row.top1 is not None
        ]
        return scatter(
            dots,
            title=f"{dataset}: accuracy and cost",
            x_label="million mult-adds",
            y_label=f"top-1 accuracy, {self.protocol} (%)",
            area_label="million parameters",
            theme=theme,
        )

    def plotted(self) -> tuple[str, list[Row]]:
        """(data set, rows) of the plot: the rows with a top-1 on the data set that most of them have."""
        sets = [_dataset(row) for row in self._rows if row.top1 is not None]
        chosen = max(sets, key=sets.count, default="")
        return chosen, [row for row in self._rows if row.top1 is not None and _dataset(row) == chosen]


def _dataset(row: Row) -> str:
    """The papers' plus sign tells of training images, not of the test: CIFAR-10+ is tested as CIFAR-10 is."""
    return row.result.dataset.replace("+", "") if row.result else ""


def protocol_words(protocol: str) -> str:
    """How a protocol is called in a sentence."""
    words = {
        "single-crop": "one network, one crop of the validation image (CIFAR, MNIST: the test image as it is)",
        "10-crop": "one network, ten crops",
        "dense": "one network, applied densely, some at several scales",
        "144-crop": "one network, 144 crops",
    }
    return words[protocol]


def _cells(row: Row) -> list[str]:
    field = str(row.to_dict()["receptive_field"])
    return [
        row.name,
        str(row.year) if row.year else "",
        "x".join(map(str, row.input)),
        f"{row.parameters:,}",
        f"{row.bytes / 2**20:.1f}",
        f"{row.mult_adds:,}",
        str(row.depth),
        field,
        f"{row.activation_bytes / 2**20:.1f}",
        "" if row.top1 is None else f"{row.top1:.2f}",
        "" if row.top5 is None else f"{row.top5:.2f}",
        "" if row.result is None else f"{row.result.protocol}; {row.result.dataset}; {row.result.source}",
    ]
