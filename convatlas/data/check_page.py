"""`data check` as a page: balance and sizes as figures, what is broken or double with its pictures."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

from convatlas.data.check import Check
from convatlas.data.images import ImageError, read_image, writable
from convatlas.drawing.contact_sheet import contact_sheet_html
from convatlas.drawing.page import html_page, paragraph, table
from convatlas.drawing.plots import bars

_SHOWN = 12  # groups of duplicates with pictures; all are in --json


def check_page(result: Check) -> str:
    """One HTML file with everything in it."""
    sections = [("", paragraph(summary(result)))]
    sections += [("", paragraph(text)) for text in (*result.problems, *result.warnings)]
    if result.classes:
        names = list(result.classes["train"])
        groups = {name: {part: result.classes[part][name] for part in result.classes} for name in names[:60]}
        sections.append(("Class balance", bars(groups, x_label="pictures")))
    if result.sizes:
        sections.append(("Sizes", bars(_sizes(result), x_label="pictures")))
    if result.broken:
        sections.append(("Broken", table(("picture", "reason"), result.broken)))
    for heading, groups_of in (
        ("Duplicates", result.duplicates),
        ("Near duplicates", result.near_duplicates),
    ):
        if groups_of:
            pictures = [
                (_thumbnail(Path(result.root) / name), f"{number}: {name}")
                for number, group in enumerate(groups_of[:_SHOWN], 1)
                for name in group[:4]
            ]
            sections.append((f"{heading}: {len(groups_of)} groups", contact_sheet_html(pictures)))
    return html_page(f"Data check: {writable(Path(result.root).name)}", sections)


def summary(result: Check) -> str:
    """One line of numbers."""
    counts = [
        f"{result.pictures:,} pictures ({result.bytes / 1e6:,.1f} MB)",
        f"{len(result.broken)} broken",
        f"{len(result.duplicates)} groups of duplicates",
        f"{len(result.near_duplicates)} of near duplicates",
    ]
    if result.classes:
        counts.insert(1, f"{len(result.classes['train'])} classes")
    return ", ".join(counts)


def _sizes(result: Check) -> dict[str, dict[str, float]]:
    steps = (0, 32, 64, 128, 224, 256, 384, 512, 768, 1024, 2048, 1 << 30)
    short = [min(s) for s in result.sizes]
    found: dict[str, dict[str, float]] = {}
    for low, high in itertools.pairwise(steps):
        count = sum(low <= s < high for s in short)
        if count:
            found[
                f"short side {low} and more" if high == steps[-1] else f"short side {low} to {high - 1}"
            ] = {"pictures": count}
    return found


def _thumbnail(path: Path) -> bytes:
    buffer = io.BytesIO()
    try:
        image = read_image(path)
    except ImageError:
        return b""
    image.thumbnail((160, 160))
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
