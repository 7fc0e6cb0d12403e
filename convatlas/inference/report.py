"""What `optimize` tried: every candidate, its speed, its error, and why it was or was not taken."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from convatlas.inference.checking import Verdict
from convatlas.inference.engines import Plan


@dataclass
class Row:
    """One candidate. images_per_second is None where it was not timed."""

    plan: Plan
    outcome: str
    images_per_second: float | None = None
    verdict: Verdict | None = None
    taken: bool = False


@dataclass
class Report:
    """The table and the circumstances."""

    mode: str
    precision: str
    batch: int
    images: str
    bounds: dict[str, str]
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    earlier: str = ""

    def remember(self, table: str) -> None:
        """Say that the choice was made before, in the search that `table` shows."""
        self.earlier = table
        self.notes.append("choice remembered from an earlier run, checked again, not timed")

    @property
    def taken(self) -> Row | None:
        return next((row for row in self.rows if row.taken), None)

    @property
    def refusal(self) -> str:
        """Why none of those asked for was taken, in a line; what is not installed is left to the table."""
        judged = [
            f"{row.plan.engine} {row.plan.precision} {row.outcome}"
            for row in self.rows
            if row.verdict is not None or row.outcome.startswith("failed")
        ]
        return "; ".join(judged or [note for note in self.notes if "int8" in note] or ["no engine can here"])

    def to_dict(self) -> dict[str, object]:
        """What JSON can carry."""
        rows = [
            {**asdict(row.plan), "outcome": row.outcome, "images_per_second": row.images_per_second, "taken": row.taken,
             "agreement": row.verdict and row.verdict.agreement, "difference": row.verdict and _finite(row.verdict.difference),
             "expected_changes": row.verdict and row.verdict.expected}
            for row in self.rows
        ]  # fmt: skip
        return {
            "mode": self.mode, "precision": self.precision, "batch": self.batch, "images": self.images,
            "bounds": self.bounds, "candidates": rows, "notes": self.notes,
        }  # fmt: skip

    def table(self) -> str:
        """The candidates, a line each."""
        head = ("candidate", "images/s", "top-1 equal", "probability moved", "")
        lines = [head] + [
            (
                f"{'*' if row.taken else ' '} {row.plan}",
                "" if row.images_per_second is None else rate(row.images_per_second),
                "" if row.verdict is None else f"{row.verdict.agreement:.1%}",
                "" if row.verdict is None else f"{row.verdict.difference:.1e}",
                _said(row),
            )
            for row in self.rows
        ]
        widths = [max(len(line[i]) for line in lines) for i in range(4)]
        return "\n".join(
            "  ".join(
                [line[0].ljust(widths[0]), *(line[i].rjust(widths[i]) for i in (1, 2, 3)), line[4]]
            ).rstrip()
            for line in lines
        )

    def __str__(self) -> str:
        bounds = [f"{name}: {text}" for name, text in self.bounds.items()]
        title = f"{self.mode}, batch {self.batch}, precision {self.precision}; checked on {self.images}"
        earlier = ["that run's candidates:", self.earlier] if self.earlier else []
        return "\n".join([title, self.table(), *bounds, *self.notes, *earlier])


def rate(images_per_second: float, digits: int = 4) -> str:
    """So many digits or more, never an exponent: 3.125, 146.1, 14,610."""
    return f"{images_per_second:,.0f}" if images_per_second >= 999 else f"{images_per_second:.{digits}g}"


def _said(row: Row) -> str:
    share = row.verdict.expected if row.verdict and row.verdict.problem is None else None
    return (
        row.outcome if share is None else f"{row.outcome}; {share:.1%} of further images to expect otherwise"
    )


def _finite(value: float) -> float | None:
    return value if value < float("inf") else None
