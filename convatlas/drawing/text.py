"""Text measured without a font at hand: a safe upper bound of its width.

A figure cannot know which font will show it. The stack below is tried in order by every viewer, so a width
that is at least that of Arial (Liberation Sans), DejaVu Sans and Noto Sans, glyph by glyph, is a bound that
holds wherever the figure is opened. CJK glyphs are one em wide in every font there is.
"""

from __future__ import annotations

import unicodedata

FONT_STACK = (
    'Helvetica,Arial,"Liberation Sans","Noto Sans","DejaVu Sans","PingFang SC","Microsoft YaHei",'
    '"Noto Sans CJK SC","WenQuanYi Micro Hei",sans-serif'
)

# Advance widths in thousandths of an em, for U+0020 to U+007E: for each the largest of Liberation Sans 2.1
# (metric-compatible with Arial and Helvetica), DejaVu Sans 2.37 and Noto Sans 2.0, read from their hmtx tables.
# fmt: off
_REGULAR = (
    318, 401, 460, 838, 637, 951, 780, 275, 391, 391, 551, 838, 318, 361, 318, 372, 637, 637, 637, 637, 637, 637, 637,
    637, 637, 637, 337, 337, 838, 838, 838, 557, 1016, 685, 687, 723, 771, 667, 611, 778, 752, 339, 500, 667, 558, 907,
    760, 788, 667, 788, 723, 667, 611, 732, 685, 989, 686, 667, 686, 391, 372, 391, 838, 557, 500, 613, 635, 550, 635,
    616, 353, 635, 634, 278, 278, 580, 278, 975, 634, 612, 635, 635, 413, 521, 393, 634, 592, 818, 592, 592, 525, 637,
    551, 637, 838,
)
_BOLD = (
    349, 457, 521, 838, 696, 1002, 873, 307, 458, 458, 545, 838, 380, 416, 380, 413, 696, 696, 696, 696, 696, 696, 696,
    696, 696, 696, 400, 400, 838, 838, 838, 611, 1000, 774, 763, 734, 831, 684, 684, 821, 837, 389, 557, 775, 638, 996,
    837, 851, 733, 851, 771, 721, 683, 813, 774, 1104, 771, 725, 726, 458, 413, 458, 838, 557, 500, 675, 716, 593, 716,
    679, 436, 716, 712, 343, 343, 666, 343, 1042, 712, 688, 716, 716, 494, 596, 479, 712, 652, 924, 646, 652, 583, 712,
    551, 712, 838,
)
# fmt: on
_FIRST, _LAST = 0x20, 0x7E
_NARROW = {"·": 380, "‘": 380, "’": 380, "“": 658, "”": 658, "–": 557, "°": 500, "\u00a0": 349}
_SIGN = 838  # × − ± ≤ ≥ and the like, in every font of the stack that has them
_LETTER = 1100  # accented Latin, Greek, Cyrillic: wider than any common letter of these alphabets
_WIDE = 1000
_EMOJI = 1350  # colour emoji fonts draw past the em
_SIGNS = frozenset("×÷±−≤≥≈↑↓⊕⊗")

ELLIPSIS = "…"


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Upper bound of the width of one line of `text` set at `size`, in the unit of `size`."""
    table = _BOLD if bold else _REGULAR
    total = 0
    for character in text:
        code = ord(character)
        total += table[code - _FIRST] if _FIRST <= code <= _LAST else _other_width(character)
    return total * size / 1000


def _other_width(character: str) -> int:
    """Advance of a character outside ASCII, in thousandths of an em."""
    if character in _NARROW:
        return _NARROW[character]
    if character in _SIGNS:
        return _SIGN
    category = unicodedata.category(character)
    if category in {"Mn", "Me", "Cf", "Cc"}:
        return 0
    if category == "So" and ord(character) > 0xFFFF:
        return _EMOJI
    if unicodedata.east_asian_width(character) in {"W", "F"}:
        return _WIDE
    return _LETTER if category[0] == "L" else _WIDE


def shorten(text: str, width: float, size: float, *, bold: bool = False) -> str:
    """The longest beginning of `text` that fits `width`, ended by an ellipsis where it was cut."""
    if text_width(text, size, bold=bold) <= width:
        return text
    for end in range(len(text) - 1, 0, -1):
        short = text[:end].rstrip() + ELLIPSIS
        if text_width(short, size, bold=bold) <= width:
            return short
    return ""


def wrap(text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
    """Lines of `text` no wider than `width`, broken at spaces (CJK: anywhere); a word too long is shortened."""
    lines: list[str] = []
    line = ""
    for word in _pieces(text):
        longer = line + word
        if line and text_width(longer.rstrip(), size, bold=bold) > width:
            lines.append(line.rstrip())
            longer = word.lstrip()
        line = longer
    lines.append(line.rstrip())
    return [shorten(piece, width, size, bold=bold) for piece in lines if piece] or [""]


def _pieces(text: str) -> list[str]:
    """`text` cut where a line may break: after each run of spaces and around each wide character."""
    pieces = [""]
    for character in text:
        wide = unicodedata.east_asian_width(character) in {"W", "F"}
        if (wide and unicodedata.category(character)[0] != "P") or (
            pieces[-1].endswith(" ") and character != " "
        ):
            pieces.append(character)
        else:
            pieces[-1] += character
    return [piece for piece in pieces if piece]
