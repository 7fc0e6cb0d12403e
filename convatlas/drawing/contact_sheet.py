"""A grid of small images with captions, as an SVG or as HTML for a page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import accumulate

from convatlas.drawing import markup
from convatlas.drawing.raster import data_uri
from convatlas.drawing.text import shorten, wrap
from convatlas.drawing.theme import Theme

Picture = tuple[bytes, str]  # a PNG's or JPEG's bytes, its caption (line breaks kept)


def contact_sheet(
    pictures: Sequence[Picture],
    *,
    title: str = "",
    columns: int = 8,
    side: float = 96,
    theme: Theme = "auto",
) -> str:
    """An SVG of `pictures` in rows of `columns`, each as wide as `side` above its caption.

    A picture that is taller than wide is scaled into the square; a row is as tall as the tallest in it. A caption goes on
    below the pictures to its right that have none, and is cut where the next one begins.
    """
    columns = max(1, min(columns, len(pictures) or 1))
    captions = [
        [shorten(row, side + free * (side + 12), markup.SMALL) for row in caption.split("\n")]
        for (_, caption), free in zip(pictures, _free(pictures, columns), strict=True)
    ]
    lines = max((len(caption) for caption in captions), default=0)
    step_x, rows_of = side + 12, [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
    talls = [side * max(_height(data) for data, _ in row) for row in rows_of]
    width = max(12 + columns * step_x, 240)
    heading = wrap(title, width - 24, markup.LARGE, bold=True) if title else []
    parts = [
        markup.text(12, 22 + 18 * i, part, markup.LARGE, "start", bold=True) for i, part in enumerate(heading)
    ]
    tops = list(accumulate((tall + 12 + lines * 13 for tall in talls), initial=14.0 + 18 * len(heading)))
    for index, ((data, caption), rows) in enumerate(zip(pictures, captions, strict=True)):
        tall, x, y = talls[index // columns], 12 + index % columns * step_x, tops[index // columns]
        image = markup.element("image", markup.title(caption), x=x, y=y, width=side, height=tall, href=data_uri(data), style="image-rendering:pixelated")  # fmt: skip
        parts += [markup.rect(x, y, side, tall, "f-band"), image]
        parts += [
            markup.text(x, y + tall + 12 + 13 * i, row, markup.SMALL, "start") for i, row in enumerate(rows)
        ]
    height = tops[-1] + 8
    return markup.document(
        width, height, "\n".join(part for part in parts if part), title or "images", theme=theme
    )


def _free(pictures: Sequence[Picture], columns: int) -> list[int]:
    """How many pictures without a caption follow each in its row."""
    found: list[int] = []
    for index in reversed(range(len(pictures))):
        last = index % columns == columns - 1 or index == len(pictures) - 1
        found.append(0 if last or pictures[index + 1][1] else found[-1] + 1)
    return found[::-1]


def _height(data: bytes) -> float:
    """Height over width of a PNG, by its header, at most 1; 1 of anything else."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 24:
        return 1.0
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    return min(1.0, height / width) if width else 1.0


def contact_sheet_html(pictures: Sequence[Picture]) -> str:
    """The same as HTML for `html_page`: a grid that fits the window."""
    figures = [
        f'<figure><img src="{data_uri(data)}" alt="{escape(caption)}"><figcaption>'
        f"{escape(caption).replace(chr(10), '<br>')}</figcaption></figure>"
        for data, caption in pictures
    ]
    return f'<div class="sheet">\n{chr(10).join(figures)}\n</div>'
