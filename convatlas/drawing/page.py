"""One self-contained HTML page: no scripts, no outside files, light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from convatlas.drawing.text import FONT_STACK
from convatlas.drawing.theme import variables

_STYLE = """
:root{{color-scheme:light dark;{light}}}
@media(prefers-color-scheme:dark){{:root{{{dark}}}}}
*{{box-sizing:border-box}}
body{{margin:0 auto;padding:2rem 1.25rem 4rem;max-width:64rem;background:var(--ca-paper);color:var(--ca-ink);
font:16px/1.5 {font};font-variant-numeric:tabular-nums}}
h1{{font-size:1.6rem;line-height:1.2;margin:0 0 1rem}}
h2{{font-size:1.15rem;margin:2.5rem 0 .75rem;padding-top:.75rem;border-top:1px solid var(--ca-faint)}}
table{{border-collapse:collapse;display:block;overflow-x:auto;max-width:100%}}
th,td{{padding:.3rem .9rem .3rem 0;text-align:left;border-bottom:1px solid var(--ca-faint);vertical-align:top}}
th{{color:var(--ca-muted);font-weight:600}} td.n,th.n{{text-align:right}}
svg,img{{max-width:100%;height:auto}} pre{{overflow-x:auto;background:var(--ca-band);padding:.75rem;border-radius:6px}}
figure{{margin:0}} figcaption,.muted{{color:var(--ca-muted);font-size:.9rem}}
.sheet{{display:grid;grid-template-columns:repeat(auto-fill,minmax(8.5rem,1fr));gap:1rem}}
.sheet img{{width:100%;image-rendering:pixelated;background:var(--ca-band);border-radius:4px}}
@media print{{body{{max-width:none;padding:0}} h2{{break-after:avoid}} figure,svg{{break-inside:avoid}}}}
"""


def html_page(
    title: str, sections: Iterable[tuple[str, str]] | Mapping[str, str], *, lang: str = "en"
) -> str:
    """A whole page from `sections` of (heading, HTML); an empty heading adds to the section before it.

    Headings and title are text and are escaped; the contents are HTML (figures of this package, `table`,
    `paragraph`) and are not.
    """
    pairs = sections.items() if isinstance(sections, Mapping) else sections
    body = "\n".join(
        (f"<h2>{escape(heading)}</h2>\n" if heading else "") + content for heading, content in pairs
    )
    style = _STYLE.format(light=variables("light"), dark=variables("dark"), font=FONT_STACK).strip()
    return (
        f'<!doctype html>\n<html lang="{escape(lang)}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>\n{style}\n</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def paragraph(text: str, *, muted: bool = False) -> str:
    """A paragraph of text."""
    mark = ' class="muted"' if muted else ""
    return f"<p{mark}>{escape(text)}</p>"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of text; a column whose cells are all numbers is set to the right."""
    cells = [[_show(cell) for cell in row] for row in rows]
    right = [bool(cells) and all(_is_number(row[i]) for row in cells) for i in range(len(header))]
    marks = [' class="n"' if flag else "" for flag in right]
    head = "".join(f"<th{mark}>{escape(name)}</th>" for mark, name in zip(marks, header, strict=True))
    body = "\n".join(
        "<tr>"
        + "".join(f"<td{mark}>{escape(cell)}</td>" for mark, cell in zip(marks, row, strict=True))
        + "</tr>"
        for row in cells
    )
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _show(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:.4g}"
    if isinstance(cell, int) and not isinstance(cell, bool):
        return f"{cell:,}"
    return "" if cell is None else str(cell)


def _is_number(text: str) -> bool:
    return (
        not text
        or text.replace(",", "").replace("%", "").replace(".", "").replace("-", "").replace("e", "").isdigit()
    )
