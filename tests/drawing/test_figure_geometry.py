"""Nothing in a figure overlaps: measured for every network of the catalogue, in both forms."""

from __future__ import annotations

import pytest

from convatlas.drawing.figure import lay_out
from convatlas.drawing.scene import Box, Text, Wire
from convatlas.drawing.sheet import Sheet
from convatlas.networks import catalogue
from tests.drawing import geometry

FORMS = {"downwards": False, "horizontal": True}


def faults(sheet: Sheet) -> list[str]:
    return (
        geometry.overlaps(sheet)
        + geometry.outside(sheet)
        + geometry.crossings(sheet)
        + geometry.frames_nest(sheet)
    )


@pytest.mark.parametrize("name", catalogue.names())
@pytest.mark.parametrize("form", FORMS)
def test_nothing_overlaps_in_the_folded_figure(name: str, form: str) -> None:
    network = catalogue.network(name)
    assert faults(lay_out(network, facts=catalogue.facts(name), horizontal=FORMS[form])) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", catalogue.names())
@pytest.mark.parametrize("form", FORMS)
def test_nothing_overlaps_in_chinese(name: str, form: str) -> None:
    network = catalogue.network(name)
    assert faults(lay_out(network, facts=catalogue.facts(name), horizontal=FORMS[form], lang="zh")) == []


@pytest.mark.slow
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("name", [n for n in catalogue.names() if n != "resnet1202"])
def test_nothing_overlaps_in_opened_figures(name: str, depth: int) -> None:
    network = catalogue.network(name)
    assert faults(lay_out(network, depth=depth)) == []
    assert faults(lay_out(network, depth=depth, horizontal=True)) == []


@pytest.mark.parametrize(
    "name", ["lenet5_1998", "alexnet", "googlenet", "inception_v4", "se_resnet50", "densenet121"]
)
@pytest.mark.parametrize("form", FORMS)
def test_nothing_overlaps_in_chinese_and_opened(name: str, form: str) -> None:
    network, facts = catalogue.network(name), catalogue.facts(name)
    assert faults(lay_out(network, facts=facts, horizontal=FORMS[form], lang="zh")) == []
    assert faults(lay_out(network, facts=facts, horizontal=FORMS[form], depth=2)) == []


@pytest.mark.parametrize("name", catalogue.names())
def test_nothing_overlaps_among_volumes(name: str) -> None:
    sheet = lay_out(catalogue.network(name), facts=catalogue.facts(name), kind="volumes")
    assert geometry.overlaps(sheet) + geometry.outside(sheet) == []


ROWS = {
    "resnet50": "conv3.block1",
    "googlenet": "inception3a",
    "densenet121": "dense_block1",
    "se_resnet50": "conv2.block2",
    "mobilenet_v3_large": "bneck4",
    "shufflenet_v2_x1_0": "stage2.unit1",
    "inception_v4": "inception_c.block1",
    "alexnet": "conv2",
    "vgg16": "fc1",
}


@pytest.mark.parametrize(("name", "row"), ROWS.items())
@pytest.mark.parametrize("form", FORMS)
def test_nothing_overlaps_in_one_row_alone(name: str, row: str, form: str) -> None:
    assert faults(lay_out(catalogue.network(name), row=row, horizontal=FORMS[form])) == []


def test_the_measure_sees_a_text_on_a_wire_and_a_text_out_of_its_box() -> None:
    sheet = lay_out(catalogue.network("lenet5"))
    wire = next(thing for thing in sheet.things if isinstance(thing, Wire))
    u, v = wire.points[0]
    wrong = Text(u + 5, v, "on the wire", 10)
    box = next(thing for thing in sheet.things if isinstance(thing, Box))
    tight = Box(box.u0, box.v0 + 40, box.u1, box.v1 - 40, box.view, box.texts)
    broken = Sheet(
        (*sheet.things, wrong, tight), sheet.paper, sheet.width, sheet.height, sheet.furniture, (), "", ""
    )
    assert any(
        "'on the wire' on wire" in fault or "on text 'on the wire'" in fault
        for fault in geometry.overlaps(broken)
    )
    assert any("leaves its Box" in fault for fault in geometry.outside(broken))
