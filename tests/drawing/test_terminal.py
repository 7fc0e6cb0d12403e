"""The layer table: the network's numbers, folded, in any width."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest

from convatlas.define import elaborate
from convatlas.drawing.terminal import aligned, cells, clip, layer_table, pad, terminal_width, wants_color
from convatlas.networks import catalogue

TABLES = (
    "lenet5_1998",
    "alexnet",
    "googlenet",
    "resnet50",
    "densenet121",
    "mobilenet_v3_small",
    "shufflenet_v2_x1_0",
)


def table(name: str, **choices: object) -> str:
    return layer_table(elaborate(catalogue.network(name)), **choices)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TABLES)
def test_the_table_of_each_look_is_as_reviewed(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"tables/{name}.txt", table(name) + "\n")


def number(text: str) -> int:
    return int(text.replace(",", ""))


@pytest.mark.parametrize("name", catalogue.names())
def test_lines_at_the_left_edge_add_up_to_the_total(name: str) -> None:
    placed = elaborate(catalogue.network(name))
    if placed.aux:
        pytest.skip("auxiliary heads stand at the left edge too, outside the total: see the goldens")
    lines = layer_table(placed).split("\n")
    rules = [i for i, line in enumerate(lines) if line.startswith("─")]
    head = lines[0]
    ends = [head.index("parameters") + len("parameters"), head.index("mult-adds") + len("mult-adds")]
    rows = [line for line in lines[rules[0] + 1 : rules[1]] if not line.startswith(" ")]

    def column(line: str, end: int) -> int:
        found = re.search(r"([\d,]+)$", line[:end].rstrip()) if len(line) >= end - 1 else None
        start = ends[0] - 24 if end == ends[0] else ends[0]
        return (
            number(found[1])
            if found and found.start() >= start and line[:end].strip() and line[end - 1 : end].strip()
            else 0
        )

    assert sum(column(line, ends[0]) for line in rows) == placed.parameters
    assert sum(column(line, ends[1]) for line in rows) == placed.mult_adds


def test_equal_blocks_are_one_line_marked_with_their_number() -> None:
    # He et al. 2015, Table 1: conv4 of the 152-layer network has 36 blocks
    assert "block2–block36 ×35" in table("resnet152")
    assert "×" not in "".join(re.findall(r"^\s*block\S*.*?  ", table("resnet152", depth=2), re.MULTILINE))
    assert table("resnet152", depth=2).count("\n  block") == 3 + 8 + 36 + 3


def test_depth_opens_that_many_levels() -> None:
    assert "block1" not in table("resnet50", depth=1)
    assert "block1" in table("resnet50", depth=2)
    assert "conv2 " not in table("resnet50", depth=2).replace("\nconv2 ", "")


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("name", ["lenet5_1998", "resnet50", "mobilenet_v1"])
def test_no_line_is_wider_than_asked_where_numbers_leave_room(name: str, width: int) -> None:
    lines = table(name, width=width).split("\n")[:-1]
    least = max(cells(line) for line in table(name, width=1).split("\n")[:-1])
    assert max(map(cells, lines)) <= max(width, least)


def test_color_adds_escapes_and_nothing_else() -> None:
    plain, colored = table("alexnet"), table("alexnet", color=True)
    assert "\x1b[" not in plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain


def test_receptive_fields_are_a_column_when_given() -> None:
    shown = layer_table(elaborate(catalogue.network("lenet5")), receptive_fields={"C1.conv": "5/1"})
    assert "field" in shown.split("\n")[0]
    assert "field" not in table("lenet5").split("\n")[0]


def test_auxiliary_heads_say_what_they_are_and_stay_out_of_the_total() -> None:
    text = table("googlenet")
    assert "aux.inception4a  auxiliary head after inception4a, training only" in text
    assert f"{elaborate(catalogue.network('googlenet')).parameters:,}" in text.split("\n")[-2]


def test_the_footer_defines_mult_adds() -> None:
    assert table("lenet5").endswith("multiply-accumulates of convolutions and linear layers, for one image")


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_color_is_wanted_on_a_screen_only_and_never_against_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert wants_color(Screen())
    assert not wants_color(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")  # https://no-color.org
    assert not wants_color(Screen())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not wants_color(Screen())
    assert terminal_width(io.StringIO()) is None


def test_columns_line_up_with_wide_characters() -> None:
    lines = aligned(["name", "n"], [["猫", "1"], ["cat", "20"]], right=(1,)).split("\n")
    assert {cells(line) for line in lines} == {8}
    assert clip("卷积网络", 5) == "卷积…"
    assert clip("cat", 3) == "cat"
    assert clip("cat", 0) == ""
    assert pad("猫", 4, right=True) == "  猫"
