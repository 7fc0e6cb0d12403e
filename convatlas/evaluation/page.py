"""An evaluation as one page: the scores, the protocol, the confusion matrix, every class."""

from __future__ import annotations

from collections.abc import Sequence

from convatlas.drawing.page import html_page, paragraph, table
from convatlas.drawing.plots import heat_map
from convatlas.evaluation.evaluate import Report


def report_page(reports: Sequence[Report]) -> str:
    """HTML of one or more reports, self-contained."""
    title = " and ".join(" + ".join(report.networks) for report in reports)
    return html_page(f"Evaluation of {title}", [(" + ".join(r.networks), _section(r)) for r in reports])


def _section(report: Report) -> str:
    scores = report.scores
    five = f", top-5 {scores.top5:.2%}" if scores.five_say else ""
    found = f"{report.data}: top-1 {scores.top1:.2%}{five} of {scores.images} pictures; {report.protocol}."
    rows = [
        (
            row["class"],
            row["images"],
            f"{row['recall']:.1%}",
            "-" if row["precision"] is None else f"{row['precision']:.1%}",
        )
        for row in scores.per_class()
    ]
    parts = [
        paragraph(found),
        heat_map(scores.confusion.tolist(), list(scores.classes)),
        table(("class", "images", "recall", "precision"), rows),
    ]
    if report.skipped:
        parts += [paragraph("Could not be read:"), table(("path", "reason"), report.skipped)]
    return "\n".join(parts)
