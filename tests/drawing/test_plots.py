"""Plots: every value where its axis says, every label free, every odd input survived."""

from __future__ import annotations

import base64
import math
import re
import struct
import xml.etree.ElementTree as ET
import zlib

import pytest

from convatlas.drawing.axes import Scale, fit, show_value
from convatlas.drawing.contact_sheet import contact_sheet, contact_sheet_html
from convatlas.drawing.page import html_page, paragraph, table
from convatlas.drawing.plots import Dot, bars, heat_map, line_chart, scatter
from convatlas.drawing.raster import data_uri, shade_png
from convatlas.drawing.text import text_width

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[tuple[str, tuple[float, float, float, float]]]:
    """(content, rectangle) of each text, by the measured bound; turned ones stand upright."""
    found = []
    for node in ET.fromstring(svg).iter(f"{SVG}text"):
        size, x, y = (float(node.get(key, "0")) for key in ("font-size", "x", "y"))
        content = node.text or ""
        wide = text_width(content, size, bold=node.get("font-weight") == "bold")
        shift = {"middle": wide / 2, "end": wide}.get(node.get("text-anchor", "start"), 0.0)
        rect = (x - shift, y - size * 0.8, wide, size)
        if "rotate" in node.get("transform", ""):
            rect = (x - size * 0.8, y - wide + shift, size, wide)
        found.append((content, rect))
    return found


def overlapping(svg: str) -> list[tuple[str, str]]:
    all_texts = texts(svg)
    return [
        (a, b)
        for i, (a, p) in enumerate(all_texts)
        for b, q in all_texts[i + 1 :]
        if p[0] + 0.5 < q[0] + q[2]
        and q[0] + 0.5 < p[0] + p[2]
        and p[1] + 0.5 < q[1] + q[3]
        and q[1] + 0.5 < p[1] + p[3]
    ]


def off_paper(svg: str) -> list[str]:
    root = ET.fromstring(svg)
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    return [
        t
        for t, (x, y, w, h) in texts(svg)
        if x < -0.5 or y < -0.5 or x + w > width + 0.5 or y + h > height + 0.5
    ]


def test_a_line_goes_through_its_points_in_proportion() -> None:
    svg = line_chart({"loss": [(0, 0.0), (1, 1.0), (2, 0.0)]}, x_label="epoch", y_label="loss")
    found = re.search(r'<polyline points="([^"]+)"', svg)
    assert found
    (x0, y0), (x1, y1), (x2, y2) = [tuple(map(float, p.split(","))) for p in found[1].split()]
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.02)
    assert y0 == y2 > y1  # up is less on paper


@pytest.mark.parametrize(
    "series", [{}, {"a": []}, {"a": [(0, math.nan)]}, {"a": [(1, 1.0)]}, {"a": [(0, 5.0), (1, 5.0)]}]
)
def test_line_charts_survive_missing_single_and_equal_values(
    series: dict[str, list[tuple[float, float]]],
) -> None:
    svg = line_chart(series, y_label="loss")
    ET.fromstring(svg)
    assert "nan" not in svg
    has_value = any(math.isfinite(y) for points in series.values() for _, y in points)
    assert ("no data" in svg) is not has_value


def test_a_value_that_is_not_finite_breaks_its_curve() -> None:
    svg = line_chart({"loss": [(0, 3.0), (1, 2.0), (2, math.inf), (3, 1.0), (4, 0.5)]})
    assert svg.count("<polyline") == 2


def test_labels_of_line_charts_and_bars_are_free_and_on_the_paper() -> None:
    charts = [
        line_chart(
            {f"resnet{i} with a rather long name": [(e, 1 / (e + i)) for e in range(1, 90)] for i in range(1, 12)},
            title="A title that says a little more than fits on one line of this chart, so that it has to be broken",
            x_label="epoch", y_label="cross entropy", log_y=True,
        ),
        bars(
            {f"network {i}": {"float32": (10.0**i, 0.9 * 10.0**i, 2.0 * 10.0**i), "int8": 2 * 10.0**i, "bf16": math.nan} for i in range(5)},
            title="images a second", x_label="images / s", log_x=True,
        ),
        bars({"one": {"": 1234567.0}, "two": {"": 2.0}}),
    ]  # fmt: skip
    for svg in charts:
        assert overlapping(svg) == []
        assert off_paper(svg) == []


def test_bars_say_value_and_spread() -> None:
    svg = bars({"lenet5": {"fp32": (3100.0, 1000.0, 3200.0)}})
    assert "3100 [1000 – 3200]" in svg
    assert svg.count('class="s-ink"') == 3  # a whisker and its two ends
    # the bar begins at 0, and the whisker reaches as far below its end as was seen, not as far above
    bar = re.search(r'<rect x="([\d.]+)"[^>]* width="([\d.]+)"[^>]*f-series1', svg)
    ends = [float(x) for x in re.findall(r'x1="([\d.]+)"[^>]*class="s-ink"', svg)]
    assert bar is not None
    zero, unit = float(bar[1]), float(bar[2]) / 3100
    assert min(ends) == pytest.approx(zero + 1000 * unit, abs=0.2)
    assert max(ends) == pytest.approx(zero + 3200 * unit, abs=0.2)


@pytest.mark.parametrize("size", [2, 3, 10, 20, 21, 60, 61, 200, 1000])
def test_heat_maps_are_legible_from_2_to_1000_classes(size: int) -> None:
    matrix = [[50 if i == j else (i * 7 + j) % 31 == 0 for j in range(size)] for i in range(size)]
    svg = heat_map(matrix, [f"class name {i}" for i in range(size)], title="confusion")
    assert off_paper(svg) == []
    assert overlapping(svg) == []
    assert len(svg) < 450_000
    sizes = [float(value) for value in re.findall(r'font-size="([\d.]+)"', svg)]
    assert min(sizes) >= 6.5


def test_a_confusion_matrix_shows_its_counts_and_names_the_worst() -> None:
    small = heat_map([[90, 10], [3, 97]], ["cat", "dog"])
    assert {"90", "10", "3", "97", "cat", "dog"} <= {text for text, _ in texts(small)}
    large = [[0] * 100 for _ in range(100)]
    large[4][7] = 42
    named = heat_map(large, [f"c{i}" for i in range(100)])
    assert "42 × c4 taken for c7" in named


def test_the_picture_of_a_large_matrix_has_its_diagonal_where_it_belongs() -> None:
    size = 100
    svg = heat_map([[int(i == j) for j in range(size)] for i in range(size)], [str(i) for i in range(size)])
    first = re.search(r'href="data:image/png;base64,([^"]+)"', svg)
    assert first
    png = base64.b64decode(first[1])
    width, height = struct.unpack(">II", png[16:24])
    assert (width, height) == (100, 100)
    start = png.index(b"IDAT") + 4
    rows = zlib.decompress(png[start : png.index(b"IEND") - 8])
    assert all(rows[r * 101 + 1 + c] == (255 if r == c else 0) for r in range(size) for c in range(size))


def test_a_matrix_that_is_not_square_is_told() -> None:
    with pytest.raises(ValueError, match="expected a square one"):
        heat_map([[1, 2, 3], [4, 5, 6]], ["a", "b"])


def crowd() -> list[Dot]:
    """94 dots, of which a third lie within a few pixels of each other, as the ResNets do."""
    return [
        Dot(
            f"network_{i}",
            1e8 * 1.06**i if i % 3 else 6e9 * 1.005**i,
            60 + (i * 7 % 20) if i % 3 else 76 + i % 5 * 0.3,
            1e6 * (1 + i % 9) ** 2,
            f"g{i % 5}",
        )
        for i in range(94)
    ]


def test_ninety_four_labels_of_a_scatter_never_cover_each_other() -> None:
    svg = scatter(
        crowd(),
        title="accuracy",
        x_label="mult-adds",
        y_label="top-1",
        area_label="parameters",
        width=1200,
        height=900,
    )
    assert overlapping(svg) == []
    assert off_paper(svg) == []
    labels = {text for text, _ in texts(svg)}
    assert {f"network_{i}" for i in range(94)} <= labels


def test_areas_of_a_scatter_tell_the_third_number() -> None:
    svg = scatter([Dot("a", 1e9, 70, 1e6), Dot("b", 2e9, 75, 4e6)], x_label="mult-adds", y_label="top-1")
    radii = sorted(float(r) for r in re.findall(r' r="([\d.]+)"', svg))
    assert radii[1] / radii[0] == pytest.approx(2.0, rel=0.01)  # area goes with the square


def test_what_has_no_place_on_a_log_axis_is_named() -> None:
    svg = scatter([Dot("good", 1e9, 70), Dot("lost", 0.0, 75)], x_label="mult-adds", y_label="top-1")
    assert "not placed: lost" in svg


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (1500, "1500"), (11_689_512, "11.7M"), (3.858e9, "3.86G"), (0.25, "0.25"), (-2, "−2"), (999_999, "1000k"), (123, "123"), (1e-5, "1e-05")],
)  # fmt: skip
def test_values_are_shown_for_people(value: float, shown: str) -> None:
    assert show_value(value) == shown


def test_axes_hold_all_values_and_their_ticks_are_within() -> None:
    for values, log in (
        ([0.1, 0.9], False),
        ([1e3, 1e9], True),
        ([5.0], False),
        ([], True),
        ([-3, 4], False),
    ):
        low, high = fit(values, log=log)
        assert all(low <= value <= high for value in values)
        ticks = Scale(low, high, 0, 100, log).ticks()
        assert len(ticks) >= 2
        assert all(low * (0.99 if low > 0 else 1.01) <= tick <= high * 1.01 for tick in ticks)


PIXEL = shade_png([bytes([0, 255])], "#0f62a8")


def test_contact_sheets_hold_every_picture_with_its_caption() -> None:
    pictures = [(PIXEL, f"true {i}\nsaid {i + 1}") for i in range(11)]
    svg = contact_sheet(pictures, columns=4, title="wrong")
    assert svg.count("<image") == 11
    assert overlapping(svg) == []
    assert off_paper(svg) == []
    assert contact_sheet_html(pictures).count("<figure>") == 11
    flat = shade_png([bytes(6)], "#0f62a8")
    image = ET.fromstring(contact_sheet([(flat, "wide")], side=120)).find(".//{*}image")
    assert image is not None and float(image.get("height", "")) == 20
    ET.fromstring(contact_sheet([]))


def test_a_caption_goes_on_below_pictures_that_have_none() -> None:
    long = "brightness, contrast, saturation=0.4"
    row = [(PIXEL, long), (PIXEL, ""), (PIXEL, "")]
    assert long in [content for content, _ in texts(contact_sheet(row * 2, columns=3))]
    # the next one's place is its own, a row's last picture has no more than its own, nor does a row go on in the next
    for pictures in (
        [(PIXEL, long), (PIXEL, long)],
        [(PIXEL, ""), (PIXEL, long)],
        [(PIXEL, "a"), (PIXEL, long), (PIXEL, "")],
    ):
        svg = contact_sheet(pictures, columns=2)
        assert long not in [content for content, _ in texts(svg)]
        assert overlapping(svg) == []
        assert off_paper(svg) == []


def test_image_data_of_an_unknown_kind_is_told() -> None:
    assert data_uri(b"\xff\xd8\xff").startswith("data:image/jpeg;base64,")
    with pytest.raises(ValueError, match="expected the bytes of a PNG"):
        data_uri(b"hello")


def test_a_page_is_self_contained_escaped_and_knows_both_themes() -> None:
    page = html_page(
        "A <b>",
        [
            ("Curves", line_chart({"a": [(0, 1.0)]})),
            ("Numbers", table(["name", "n"], [["<x>", 1200]]) + paragraph("1 < 2")),
        ],
    )
    assert "<script" not in page
    assert "<h1>A &lt;b&gt;</h1>" in page
    assert "&lt;x&gt;" in page
    assert '<td class="n">1,200</td>' in page
    assert "prefers-color-scheme:dark" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_a_page_takes_sections_by_name_and_missing_cells() -> None:
    page = html_page("t", {"One": "<p>1</p>", "": "<p>2</p>"}, lang="zh")
    assert page.count("<h2>") == 1
    assert '<html lang="zh">' in page
    assert "<td></td>" in table(["a", "b"], [["x", None], ["y", None]]).replace('<td class="n">', "<td>")


def test_curves_with_a_spread_have_a_band_and_nine_series_get_a_dash() -> None:
    points = [(0.0, 1.0, 0.1), (1.0, 2.0, 0.2)]
    assert line_chart({"a": points}).count("<polygon") == 1
    many = line_chart({str(i): [(0.0, i), (1.0, i + 1.0)] for i in range(9)})
    assert many.count("stroke-dasharray") == 1


def test_a_group_beyond_the_eighth_is_hollow_in_the_plot_and_in_its_legend() -> None:
    svg = scatter([Dot(f"n{i}", 10.0**i, i, 1.0, f"g{i}") for i in range(1, 11)], x_label="x", y_label="y")
    assert svg.count('fill-opacity="0.15"') == 4
