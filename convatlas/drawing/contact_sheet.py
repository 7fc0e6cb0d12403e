"""A grid of small images with captions, as an SVG or as HTML for a page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

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
    """An SVG of `pictures` in rows of `columns`, each scaled into a square of `side` above its caption."""
    columns = max(1, min(columns, len(pictures) or 1))
    captions = [[shorten(row, side, markup.SMALL) for row in caption.split("\n")] for _, caption in pictures]
    lines = max((len(caption) for caption in captions), default=0)
    step_x, step_y = side + 12, side + 12 + lines * 13
    width = max(12 + columns * step_x, 240)
    heading = wrap(title, width - 24, markup.LARGE, bold=True) if title else []
    parts = [
        markup.text(12, 22 + 18 * i, part, markup.LARGE, "start", bold=True) for i, part in enumerate(heading)
    ]
    top = 14.0 + 18 * len(heading)
    for index, ((data, caption), rows) in enumerate(zip(pictures, captions, strict=True)):
        x, y = 12 + index % columns * step_x, top + index // columns * step_y
        image = markup.element("image", markup.title(caption), x=x, y=y, width=side, height=side, href=data_uri(data), style="image-rendering:pixelated")  # fmt: skip
        parts += [markup.rect(x, y, side, side, "f-band"), image]
        parts += [
            markup.text(x, y + side + 12 + 13 * i, row, markup.SMALL, "start") for i, row in enumerate(rows)
        ]
    height = top + -(-len(pictures) // columns) * step_y + 8
    return markup.document(
        width, height, "\n".join(part for part in parts if part), title or "images", theme=theme
    )


def contact_sheet_html(pictures: Sequence[Picture]) -> str:
    """The same as HTML for `html_page`: a grid that fits the window."""
    figures = [
        f'<figure><img src="{data_uri(data)}" alt="{escape(caption)}"><figcaption>'
        f"{escape(caption).replace(chr(10), '<br>')}</figcaption></figure>"
        for data, caption in pictures
    ]
    return f'<div class="sheet">\n{chr(10).join(figures)}\n</div>'
