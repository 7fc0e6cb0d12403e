"""Colors that everyone tells apart, and text that is never wider than measured."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from convatlas.define.operations import OPERATIONS
from convatlas.drawing.kinds import KIND, KIND_NAMES, kind
from convatlas.drawing.text import shorten, text_width, wrap
from convatlas.drawing.theme import COLORS, KINDS, SERIES, TERMINAL, color

# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
DICHROMACIES = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deutan": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritan": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}


def linear(code: str) -> tuple[float, ...]:
    values = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return tuple(v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values)


def lab(rgb: tuple[float, ...]) -> tuple[float, float, float]:
    r, g, b = (min(max(v, 0), 1) for v in rgb)
    xyz = (
        (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505,
        0.2126 * r + 0.7152 * g + 0.0722 * b,
        (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089,
    )
    x, y, z = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def seen(code: str, by: str) -> tuple[float, float, float]:
    rgb = linear(code)
    return lab(tuple(sum(m * v for m, v in zip(row, rgb, strict=True)) for row in DICHROMACIES[by]))


def distance(one: str, other: str, by: str) -> float:
    return sum((a - b) ** 2 for a, b in zip(seen(one, by), seen(other, by), strict=True)) ** 0.5


def luminance(code: str) -> float:
    r, g, b = linear(code)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("by", DICHROMACIES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_fills_of_the_kinds_that_stand_side_by_side_differ_for_every_eye(by: str, theme: str) -> None:
    # A CIE76 distance of 2.3 is just noticeable; strips of a few pixels need several times that.
    kinds = ("conv", "depthwise", "linear", "pool", "norm", "activation", "reshape")
    near = {
        (a, b): round(distance(color(a, theme), color(b, theme), by), 1)  # type: ignore[arg-type]
        for a, b in combinations(kinds, 2)
    }
    assert {pair: value for pair, value in near.items() if value < 9} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_in_every_box_and_on_every_ground_reaches_contrast_4_5(theme: str) -> None:
    # WCAG 2.1, 1.4.3
    ink, muted = color("ink", theme), color("muted", theme)  # type: ignore[arg-type]
    grounds = [*(kind for kind in KINDS), "paper", "band", "band-alt", "card"]
    assert [g for g in grounds if contrast(ink, color(g, theme)) < 4.5] == []  # type: ignore[arg-type]
    quiet = ["paper", "band", "band-alt", "card"]
    assert [g for g in quiet if contrast(muted, color(g, theme)) < 4.5] == []  # type: ignore[arg-type]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_lines_of_a_plot_stand_out_from_the_paper(theme: str) -> None:
    # WCAG 2.1, 1.4.11: graphics need 3
    paper = color("paper", theme)  # type: ignore[arg-type]
    assert [name for name in SERIES if contrast(color(name, theme), paper) < 2.9] == []  # type: ignore[arg-type]


def test_every_operation_has_a_kind_and_every_kind_its_colors_and_words() -> None:
    assert set(KIND.values()) <= set(KINDS)
    assert set(OPERATIONS) == set(KIND)
    for name in KINDS:
        assert {name, f"{name}-line"} <= set(COLORS)
        assert all(KIND_NAMES[name])
        assert name in TERMINAL


def test_an_operation_without_a_kind_is_told() -> None:
    class Fresh:
        pass

    with pytest.raises(TypeError, match=r"Fresh has no color yet: .*kinds\.py"):
        kind(Fresh())  # type: ignore[arg-type]


FONTS = [
    path
    for path in (
        Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"),
        Path("/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf"),
        Path("/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf"),
    )
    if path.exists()
]
SAMPLES = (
    "1×1, 64·128",
    "3×3, 256 /2 g32",
    "conv3.block2–4",
    "input 3 × 224 × 224",
    "training only",
    "WWWW",
    "0.17…0.2",
)


@pytest.mark.parametrize("sample", SAMPLES)
def test_no_font_at_hand_sets_a_text_wider_than_measured(sample: str) -> None:
    image_font = pytest.importorskip("PIL.ImageFont")
    if not FONTS:
        pytest.skip("none of DejaVu Sans, Liberation Sans, Noto Sans is installed in the usual place")
    for path in FONTS:
        font = image_font.truetype(str(path), 100)
        assert font.getlength(sample) <= text_width(sample, 100) * 1.001, path.name


def test_wide_characters_take_a_full_em_and_marks_nothing() -> None:
    assert text_width("卷积", 10) == 20
    assert text_width("e\u0301", 10) == text_width("e", 10)
    assert text_width("", 10) == 0


def test_bold_is_never_measured_narrower() -> None:
    for code in range(32, 127):
        assert text_width(chr(code), 10, bold=True) >= text_width(chr(code), 10) * 0.98


def test_shorten_keeps_what_fits_and_ends_in_an_ellipsis() -> None:
    assert shorten("pool", 100, 10) == "pool"
    short = shorten("a very long name of a class", 60, 10)
    assert short.endswith("…")
    assert text_width(short, 10) <= 60
    assert shorten("wide", 1, 10) == ""


def test_wrap_breaks_at_spaces_and_between_chinese_characters() -> None:
    text = "one two three four five six"
    lines = wrap(text, 60, 10)
    assert " ".join(lines) == text
    assert all(text_width(line, 10) <= 60 for line in lines)
    chinese = wrap("改变形状的捷径改变形状的捷径", 50, 10)
    assert len(chinese) == 3
    assert wrap("", 50, 10) == [""]
