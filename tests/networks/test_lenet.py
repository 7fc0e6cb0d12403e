"""LeNet-5 of 1998, count by count (LeCun et al. 1998, §II.B)."""

from __future__ import annotations

import json
from pathlib import Path

from convatlas.define import RBF, Conv, Linear, Placed, Subsampling, TableConv, elaborate
from convatlas.networks import catalogue

EXPECTED = json.loads(
    (Path(__file__).resolve().parents[1] / "expected/networks.json").read_text(encoding="utf-8")
)
PRINTED = EXPECTED["lenet5_1998"]


def connections(placed: Placed) -> int:
    """Inputs that each output reads, its bias counted as one, over all outputs."""
    match placed.node:
        case Conv() | TableConv():
            return placed.parameters * placed.output[1] * placed.output[2]
        case Subsampling(kernel=kernel):
            maps, height, width = placed.output
            return maps * height * width * (kernel * kernel + 1)
        case Linear():
            return placed.parameters
        case RBF():
            return placed.statistics
    return sum(connections(child) for _, child in placed.children)


def test_connections_are_those_of_the_paper_layer_by_layer() -> None:
    rows = dict(elaborate(catalogue.network("lenet5_1998")).rows)
    found = {("RBF" if name == "output" else name): connections(placed) for name, placed in rows.items()}
    assert found == PRINTED["connections_by_layer"]
    assert sum(found.values()) == PRINTED["connections"] == 340_908


def test_parameters_are_those_of_the_paper_layer_by_layer() -> None:
    rows = dict(elaborate(catalogue.network("lenet5_1998")).rows)
    found = {name: placed.parameters for name, placed in rows.items() if name != "output"}
    found["RBF_fixed"] = rows["output"].statistics
    assert found == PRINTED["parameters_by_layer"]


def test_c3_reads_s2_by_table_1() -> None:
    conv = catalogue.network("lenet5_1998")["C3.conv"]
    assert isinstance(conv, TableConv)
    assert [list(maps) for maps in conv.table] == PRINTED["table"]


def test_the_codes_are_ten_different_bitmaps_of_7_by_12() -> None:
    output = catalogue.network("lenet5_1998")["output"]
    assert isinstance(output, RBF)
    codes = output.codes
    assert {len(code) for code in codes} == {7 * 12}
    assert {pixel for code in codes for pixel in code} == {-1, 1}
    # far enough from each other that the nearest code is meant: no two share all but a few pixels
    differences = [sum(x != y for x, y in zip(a, b, strict=True)) for a in codes for b in codes if a is not b]
    assert len(differences) == 90
    assert min(differences) >= 5
