"""A figure to a file: SVG as it is; PNG and PDF by a converter that an extra brings."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from convatlas.drawing.theme import Theme, resolve
from convatlas.errors import ConvAtlasError, MissingExtra, MisuseError

FORMATS = (".svg", ".png", ".pdf")
_CJK = re.compile("[\u3400-\u9fff]")
_SIZE = re.compile(r'<svg[^>]*? width="([\d.]+)" height="([\d.]+)"')
# for sans-serif: the converter's own, then what Linux, Windows and macOS bring
_SANS_SERIF = (None, "DejaVu Sans", "Liberation Sans", "Noto Sans", "Segoe UI", "Arial", "Helvetica")
_LARGEST = 16_000  # pixels a side; more than that few viewers open


def check_format(path: Path) -> str:
    """The ending of `path`; MisuseError, naming those that work, for any other."""
    ending = path.suffix.lower()
    if ending not in FORMATS:
        what = f"{path.name!r} ends in {path.suffix!r}" if path.suffix else f"{path.name!r} has no ending"
        raise MisuseError(
            f"{what}, so its format is not known; expected {path.stem or 'figure'}.svg, .png or .pdf"
        )
    return ending


def write(svg: str, path: Path, *, theme: Theme = "auto", scale: float = 2.0) -> Path:
    """Write an `auto` SVG in the format that `path` ends in, and return the path.

    PNG and PDF know one theme: `auto` gives them the light one. `scale` is PNG pixels per SVG pixel. The file is
    whole or not there at all. MisuseError for another ending, MissingExtra where the converter is not installed.
    """
    ending = check_format(path)
    fixed: Literal["light", "dark"] = "dark" if theme == "dark" else "light"
    if ending == ".svg":
        data = (svg if theme == "auto" else resolve(svg, fixed)).encode()
    else:
        data = to_png(resolve(svg, fixed), scale) if ending == ".png" else to_pdf(resolve(svg, fixed))
    part = path.with_name(f"{path.name}.part{os.getpid()}")
    try:
        part.write_bytes(data)
        part.replace(path)
    except FileNotFoundError:
        raise MisuseError(
            f"{path}: there is no folder {str(path.parent)!r}; make it first, or write elsewhere"
        ) from None
    finally:
        part.unlink(missing_ok=True)
    return path


def to_png(svg: str, scale: float = 2.0) -> bytes:
    """PNG of an SVG with plain colors (see `theme.resolve`), `scale` pixels per SVG pixel where that fits 16,000."""
    try:
        import resvg_py
    except ModuleNotFoundError:
        raise MissingExtra("a converter to PNG (resvg-py)", "png") from None
    family = _check_fonts(svg)
    found = _SIZE.search(svg)
    longest = max(float(found[1]), float(found[2])) if found else 1.0
    return bytes(
        resvg_py.svg_to_bytes(svg_string=svg, zoom=min(scale, _LARGEST / longest), sans_serif_family=family)
    )


def to_pdf(svg: str) -> bytes:
    """PDF, of the figure's own size, with text as text, of an SVG with plain colors."""
    try:
        import typst
    except ModuleNotFoundError:
        raise MissingExtra("a converter to PDF (typst)", "pdf") from None
    quoted = svg.replace("\\", "\\\\").replace('"', '\\"')
    # No creation date: the same figure gives the same bytes.
    page = "#set page(width: auto, height: auto, margin: 0pt)\n#set document(date: none)\n"
    return bytes(typst.compile(f'{page}#image(bytes("{quoted}"), format: "svg")'.encode(), format="pdf"))


def _check_fonts(svg: str) -> str | None:
    """The family to take for sans-serif; ConvAtlasError where no font has the text.

    A converter leaves out, without a word, text that no font has: one letter of each script is tried first. It does not
    ask the system which font sans-serif is, so those that systems have are tried as well.
    """
    letters = [("a", "no sans-serif font", "fonts-dejavu-core")]
    if _CJK.search(svg):
        letters.append(("卷", "no font with Chinese characters", "fonts-noto-cjk"))
    family = next((name for name in _SANS_SERIF if _draws("a", name)), None)
    for letter, what, package in letters:
        if not _draws(letter, family):
            raise ConvAtlasError(
                f"this machine has {what}, so a PNG would lack its text; install one (Debian: {package}) or write SVG"
            )
    return family


def _draws(letter: str, family: str | None) -> bool:
    """Whether the letter leaves ink of its own: neither nothing nor the box of a missing character."""
    import resvg_py

    def ink(content: str) -> bytes:
        text = f'<text x="4" y="20" font-size="16" font-family="sans-serif">{content}</text>'
        return bytes(
            resvg_py.svg_to_bytes(
                svg_string=f'<svg xmlns="http://www.w3.org/2000/svg" width="28" height="28">{text}</svg>',
                sans_serif_family=family,
            )
        )

    return ink(letter) not in {ink(" "), ink("\ue123")}
