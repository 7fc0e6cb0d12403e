"""Every network of the catalogue, without exception, has the parameters, mult-adds and shapes of its paper.

Expected: tests/expected/networks.json, counted apart from this package (tools/expected_networks.py says from what).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from convatlas.analysis.depth import depth
from convatlas.define import elaborate, with_classes
from convatlas.networks import catalogue

EXPECTED = json.loads(
    (Path(__file__).resolve().parents[1] / "expected/networks.json").read_text(encoding="utf-8")
)
NAMES = catalogue.names()
# the reference also lists the wide-spread mistake, so that we may refuse it, and other input sizes of a name
REFERENCE = [name for name in EXPECTED if not name.startswith("not_in_the_catalogue")]


def row_of(stage: str) -> str:
    """Our row of a stage of the reference: repeated stages carry no count, modules begin with a letter."""
    stage = re.sub(r"_x\d*$", "", stage)
    return f"inception{stage}" if stage[0].isdigit() else stage


def squeezed(shape: list[int]) -> tuple[int, ...]:
    """2048 of 2048x1x1: some say a pooled vector so."""
    return tuple(shape[:1]) if shape[1:] == [1, 1] else tuple(shape)


def test_each_name_has_reference_counts() -> None:
    assert set(NAMES) <= set(REFERENCE) | {"plain32", "plain44", "plain56"}
    assert {name.partition("@")[0] for name in REFERENCE} <= set(NAMES)


@pytest.mark.parametrize("name", REFERENCE)
def test_parameters_mult_adds_and_statistics_equal_the_reference(name: str) -> None:
    expected, found = EXPECTED[name], elaborate(catalogue.network(name))
    assert (found.parameters, found.mult_adds, found.body.statistics) == (
        expected["parameters"],
        expected["mult_adds"],
        expected["statistics"],
    )
    assert found.input == tuple(expected["input"])
    assert found.output == (expected["classes"],)


@pytest.mark.parametrize("name", [name for name in REFERENCE if "stages" in EXPECTED[name]])
def test_stage_shapes_equal_the_reference(name: str) -> None:
    rows = dict(elaborate(catalogue.network(name)).rows)
    found = {stage: squeezed(list(rows[row_of(stage)].output)) for stage in EXPECTED[name]["stages"]}
    assert found == {stage: squeezed(shape) for stage, shape in EXPECTED[name]["stages"].items()}


@pytest.mark.parametrize("name", [name for name in REFERENCE if "aux_parameters" in EXPECTED[name]])
def test_auxiliary_heads_have_the_parameters_of_the_reference(name: str) -> None:
    expected = EXPECTED[name]["aux_parameters"]
    heads = [head.parameters for _, head in elaborate(catalogue.network(name)).aux]
    assert (heads if isinstance(expected, list) else sum(heads)) == expected


@pytest.mark.parametrize("name", NAMES)
def test_ten_classes_change_the_classifier_alone(name: str) -> None:
    network = catalogue.network(name)
    before, after = elaborate(network), elaborate(with_classes(network, 10))
    assert after.output == (10,)
    # the classifier is the last layer with weights: (inputs + bias) values for each class
    classes = before.output[0]
    *_, (path, last) = (
        (p, placed) for p, placed in before.operations() if placed.parameters or placed.statistics
    )
    assert before.parameters - after.parameters == last.parameters * (classes - 10) // classes
    assert after[path].output[0] == 10


@pytest.mark.parametrize("name", NAMES)
def test_a_definition_is_made_anew_and_equal(name: str) -> None:
    assert catalogue.network(name) == catalogue.network(name)
    assert catalogue.network(name).name == name


@pytest.mark.parametrize("name", [name for name in REFERENCE if "depth" in EXPECTED[name]])
def test_depth_is_what_the_paper_counts(name: str) -> None:
    assert depth(elaborate(catalogue.network(name))) == EXPECTED[name]["depth"]
