"""Confusion matrices, legible from 2 classes to 1000."""

from __future__ import annotations

from collections.abc import Sequence

from convatlas.drawing import markup
from convatlas.drawing.axes import show_value
from convatlas.drawing.raster import data_uri, shade_png
from convatlas.drawing.text import shorten, text_width, wrap
from convatlas.drawing.theme import Theme, color

COUNTS_UP_TO = 20  # beyond it the numbers in the cells are too small to read
LABELS_UP_TO = 60  # beyond it only every nth class is named, and the cells become a picture
PIXELS = 250  # beyond it several classes share a pixel, the largest of them shown
_WORST = 12


def heat_map(
    matrix: Sequence[Sequence[float]],
    classes: Sequence[str],
    *,
    title: str = "",
    x_label: str = "predicted",
    y_label: str = "true",
    width: float = 720,
    theme: Theme = "auto",
) -> str:
    """A confusion matrix of counts (row: true class, column: predicted class) as an SVG.

    Each row is shaded by its own sum, so that rare classes show as much as common ones. Up to 20 classes carry
    their counts, up to 60 their names; a larger matrix is a picture with the worst confusions named beside it.
    Raises ValueError where the matrix is not square or the names do not match it.
    """
    size = len(matrix)
    if not size or any(len(row) != size for row in matrix) or len(classes) != size:
        lengths = sorted({len(row) for row in matrix})
        msg = f"confusion matrix of {size} rows of {lengths} with {len(classes)} class names; expected a square one"
        raise ValueError(msg)
    sums = [sum(row) or 1 for row in matrix]
    shares = [[value / total for value in row] for row, total in zip(matrix, sums, strict=True)]
    heading = wrap(title, width - 24, markup.LARGE, bold=True) if title else []
    parts = [
        markup.text(12, 22 + 18 * i, part, markup.LARGE, "start", bold=True) for i, part in enumerate(heading)
    ]
    top = 16.0 + 18 * len(heading)
    large = size > LABELS_UP_TO
    step = max(1, -(-size // 40)) if large else 1
    font = markup.SMALL if large or size <= 30 else max(6.5, 400 / size)
    names = [shorten(name, 120, font) for name in classes]
    shown = range(0, size, step)
    room = max(text_width(names[index], font) for index in shown) + 10
    cell = min(46.0, (width - room - 60) / size)
    left, side = room + 30, cell * size
    tall = cell if cell > 26 else 0
    across = tall and max(text_width(name, font) for name in names) < cell - 4
    top += 20 + (font + 6 if across else room)
    parts.append(
        markup.text(left + side / 2, top - (font + 14 if across else room + 6), x_label, color="muted")
    )
    parts.append(markup.text(16, top + side / 2, y_label, color="muted", turned=True))
    for index in shown:
        middle = (index + 0.5) * cell
        if step == 1 or index % step == 0:
            parts.append(markup.text(left - 6, top + middle + font * 0.35, names[index], font, "end"))
            if across:
                parts.append(markup.text(left + middle, top - 6, names[index], font))
            else:
                parts.append(
                    markup.text(
                        left + middle + font * 0.35, top - 6, names[index], font, "start", turned=True
                    )
                )
    parts.append(
        _picture(shares, left, top, side) if large else _cells(matrix, shares, classes, left, top, cell)
    )
    parts.append(markup.rect(left, top, side, side, "line s-muted"))
    bottom = top + side + 20
    right = sum(matrix[index][index] for index in range(size))
    total = sum(sum(row) for row in matrix)
    notes = [f"shade: share of the true class; {show_value(right)} of {show_value(total)} on the diagonal"]
    if large:
        notes += ["most confused:", *_worst(matrix, classes)]
    for index, note in enumerate(notes):
        short = shorten(note, min(width, max(left + side + 30, 440)) - 24, markup.SMALL)
        parts.append(
            markup.text(
                12, bottom + index * 15, short, markup.SMALL, "start", "muted" if index < 2 else "ink"
            )
        )
    height = bottom + len(notes) * 15
    width = min(width, max(left + side + 30, 440))
    body = "\n".join(part for part in parts if part)
    about = f"confusion matrix of {size} classes"
    return markup.document(width, height, body, title or about, about, theme)


def _cells(
    matrix: Sequence[Sequence[float]],
    shares: Sequence[Sequence[float]],
    classes: Sequence[str],
    left: float,
    top: float,
    cell: float,
) -> str:
    parts = []
    counts = len(matrix) <= COUNTS_UP_TO
    for row, values in enumerate(matrix):
        for column, value in enumerate(values):
            if not value:
                continue
            x, y, share = left + column * cell, top + row * cell, shares[row][column]
            hue = "series1" if row == column else "series2"
            box = markup.rect(x, y, cell, cell, f"f-{hue}", fill_opacity=f"{0.1 + 0.65 * share**0.6:.2f}")
            about = markup.title(
                f"true {classes[row]}, predicted {classes[column]}: {show_value(value)} ({share:.1%})"
            )
            label = show_value(value)
            size = min(
                markup.NORMAL,
                cell * 0.36,
                markup.NORMAL * (cell - 3) / max(text_width(label, markup.NORMAL), 1),
            )
            number = markup.text(x + cell / 2, y + cell / 2 + size * 0.35, label, size) if counts else ""
            parts.append(markup.element("g", about + box + number))
    return "\n".join(parts)


def _picture(shares: Sequence[Sequence[float]], left: float, top: float, side: float) -> str:
    """Two one-color pictures, the diagonal and the rest; a pixel of several classes shows the largest share."""
    size = len(shares)
    pixels = min(size, PIXELS)
    right = [bytearray(pixels) for _ in range(pixels)]
    wrong = [bytearray(pixels) for _ in range(pixels)]
    for row, values in enumerate(shares):
        y = row * pixels // size
        for column, share in enumerate(values):
            if share:
                x = column * pixels // size
                layer = right if row == column else wrong
                # The square root lifts the few per cent of a single confusion out of the paper's color.
                layer[y][x] = max(layer[y][x], round(255 * min(1.0, share) ** 0.5))
    images = []
    for layer, hue in ((right, "series1"), (wrong, "series2")):
        uri = data_uri(shade_png([bytes(row) for row in layer], color(hue)))
        images.append(markup.element("image", x=left, y=top, width=side, height=side, href=uri, style="image-rendering:pixelated"))  # fmt: skip
    return "\n".join(images)


def _worst(matrix: Sequence[Sequence[float]], classes: Sequence[str]) -> list[str]:
    pairs = [
        (value, classes[row], classes[column])
        for row, values in enumerate(matrix)
        for column, value in enumerate(values)
        if value and row != column
    ]
    pairs.sort(key=lambda pair: -pair[0])
    return [f"{show_value(value)} × {true} taken for {guess}" for value, true, guess in pairs[:_WORST]]
