"""The language itself: values, names, and errors that say where, what came, what was expected, what to do."""

from __future__ import annotations

import copy
import pickle

import pytest

from convatlas import define as d


def tiny(**rows: d.Node) -> d.Network:
    return d.Network(input=(3, 8, 8), **rows)


def test_a_network_is_a_value() -> None:
    one, other = (tiny(conv=d.Conv(4, 3), relu=d.ReLU()) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert copy.deepcopy(one) == one
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(AttributeError, match="value"):
        one.input = (1, 8, 8)  # type: ignore[misc]


def test_towers_that_disagree_are_named_with_both_shapes() -> None:
    network = tiny(inception=d.Concat(a=d.Conv(2, 1), b=d.MaxPool(3, 1)))
    with pytest.raises(d.ShapeError, match=r"^inception: towers disagree: a gives 8x8, b gives 6x6"):
        d.elaborate(network)


def test_a_shortcut_of_another_shape_asks_for_a_projection() -> None:
    network = tiny(stage=d.Sequential(block=d.Residual(d.Conv(4, 3))))
    with pytest.raises(
        d.ShapeError, match=r"^stage\.block: shortcut gives 3x8x8, body gives 4x8x8; give .* projection"
    ):
        d.elaborate(network)


def test_a_dense_step_must_keep_the_resolution() -> None:
    with pytest.raises(
        d.ShapeError, match=r"^block: a dense step must keep the resolution: step1 turns 3x8x8 into 2x4x4"
    ):
        d.elaborate(tiny(block=d.Dense(step1=d.Conv(2, 3, 2))))


def test_a_gate_must_give_one_value_a_channel() -> None:
    with pytest.raises(
        d.ShapeError, match=r"^se: the gate gives 2 for 3x8x8; expected one value a channel, \(3,\)"
    ):
        d.elaborate(tiny(se=d.Gate(pool=d.GlobalAvgPool(), fc=d.Linear(2))))


def test_a_linear_layer_on_maps_says_what_to_put_before_it() -> None:
    with pytest.raises(
        d.ShapeError, match=r"^fc: linear needs a vector; received 3x8x8: put a Flatten or GlobalAvgPool"
    ):
        d.elaborate(tiny(fc=d.Linear(2)))


def test_groups_that_do_not_divide_name_what_does() -> None:
    with pytest.raises(
        d.ShapeError,
        match=r"^conv: 3 input channels cannot be divided into 2 groups; nearest that can: 2 and 4",
    ):
        d.elaborate(tiny(conv=d.Conv(4, 3, groups=2)))


def test_a_class_in_place_of_an_instance_is_told() -> None:
    with pytest.raises(TypeError, match=r"row 'relu'.*an instance, not its class"):
        tiny(relu=d.ReLU)  # type: ignore[arg-type]


def test_towers_of_two_are_convolutions_of_two_groups() -> None:
    lanes = d.Network(input=(4, 8, 8), conv=d.Towers(2, conv=d.Conv(6, 3), relu=d.ReLU()))
    grouped = d.Network(input=(4, 8, 8), conv=d.Conv(6, 3, groups=2))
    assert d.elaborate(lanes).parameters == d.elaborate(grouped).parameters == 6 * (2 * 9 + 1)
    with pytest.raises(d.ShapeError, match="LRN cannot stand inside Towers"):
        d.elaborate(d.Network(input=(4, 8, 8), conv=d.Towers(2, norm=d.LRN())))


def test_a_head_must_follow_a_row() -> None:
    with pytest.raises(ValueError, match="auxiliary head after 'conv9': no such row; rows: conv"):
        d.Network(input=(3, 8, 8), conv=d.Conv(2), aux={"conv9": d.Linear(2)})


def test_equal_blocks_are_elaborated_once() -> None:
    block = d.Residual(d.Conv(3, 3))
    placed = d.elaborate(tiny(stage=d.Sequential(**d.repeat("block", 100, block))))["stage"]
    assert len({id(child) for _, child in placed.children}) == 1
    assert placed.parameters == 100 * (3 * 3 * 9 + 3)
