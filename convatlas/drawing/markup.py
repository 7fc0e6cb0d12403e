"""SVG as text: the few elements that every figure is made of, written the same way each time."""

from __future__ import annotations

import math
from html import escape

from convatlas.drawing.text import FONT_STACK
from convatlas.drawing.theme import Theme, stylesheet

SMALL, NORMAL, LARGE, TITLE = 10.0, 11.5, 13.0, 17.0
_HALO = ".ca .halo{paint-order:stroke;stroke-width:2.5px;stroke-linejoin:round}"


def number(value: float) -> str:
    """A coordinate with at most two decimals and none that say nothing: the same bytes for the same value."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def attributes(**values: str | float | None) -> str:
    """` name="value"` of each that is not None; `_` at the end of a name is dropped, others become `-`."""
    parts = []
    for name, value in values.items():
        if value is None:
            continue
        shown = value if isinstance(value, str) else number(value)
        parts.append(f' {name.rstrip("_").replace("_", "-")}="{escape(shown)}"')
    return "".join(parts)


def element(tag: str, content: str = "", **values: str | float | None) -> str:
    """One element; `content` is markup and is not escaped."""
    start = f"<{tag}{attributes(**values)}"
    return f"{start}>{content}</{tag}>" if content else f"{start}/>"


def rect(
    x: float,
    y: float,
    width: float,
    height: float,
    class_: str,
    radius: float = 0,
    **more: str | float | None,
) -> str:
    """A rectangle, with rounded corners where `radius` is not 0."""
    return element("rect", "", x=x, y=y, width=width, height=height, rx=radius or None, class_=class_, **more)


def line(x1: float, y1: float, x2: float, y2: float, class_: str, **more: str | float | None) -> str:
    """A straight line."""
    return element("line", "", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_, **more)


def text(
    x: float,
    y: float,
    content: str,
    size: float = NORMAL,
    anchor: str = "middle",
    color: str = "ink",
    *,
    bold: bool = False,
    turned: bool = False,
    halo: bool = False,
) -> str:
    """One line of text with its baseline at `y`; `turned` runs it upwards, `halo` keeps it clear of what it lies on.

    Empty text writes nothing.
    """
    if not content:
        return ""
    return element(
        "text",
        escape(content, quote=False),
        x=x,
        y=y,
        font_size=size,
        text_anchor=None if anchor == "start" else anchor,
        class_=f"f-{color} s-paper halo" if halo else f"f-{color}",
        font_weight="bold" if bold else None,
        transform=f"rotate(-90 {number(x)} {number(y)})" if turned else None,
    )


def title(content: str) -> str:
    """A tooltip, or an element's name for screen readers."""
    return f"<title>{escape(content, quote=False)}</title>" if content else ""


def document(
    width: float, height: float, body: str, name: str, description: str = "", theme: Theme = "auto"
) -> str:
    """A whole SVG file: no scripts, no outside fonts, no ids; its own style is scoped by the class `ca`."""
    width, height = math.ceil(width), math.ceil(height)  # whole pixels, so that a PNG has no blurred edge
    paper = rect(0, 0, width, height, "f-paper")
    style = (
        f".ca text{{font-family:{FONT_STACK};font-variant-numeric:tabular-nums}}"
        f".ca .line{{fill:none;stroke-linecap:round;stroke-linejoin:round}}"
        f"{_HALO if 'halo' in body else ''}{stylesheet(paper + body, theme)}"
    )
    about = title(name) + (f"<desc>{escape(description, quote=False)}</desc>" if description else "")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="ca" role="img" width="{number(width)}" height="{number(height)}"'
        f' viewBox="0 0 {number(width)} {number(height)}">{about}<style>{style}</style>'
        f"{paper}\n{body}\n</svg>\n"
    )
