"""Edits: what changes is what was asked, names stay, and what cannot be is told by the row's name."""

from __future__ import annotations

import itertools

import pytest

from convatlas import define as d
from convatlas.networks import catalogue


def names(network: d.Network) -> list[str]:
    return [name for name, _ in d.elaborate(network).operations()]


@pytest.mark.parametrize("name", [n for n in catalogue.names() if n != "lenet5_1998"])
def test_with_classes_changes_the_outputs_of_the_network_and_of_each_head(name: str) -> None:
    network = catalogue.network(name)
    changed = d.elaborate(d.with_classes(network, 7))
    assert changed.output == (7,)
    assert all(head.output == (7,) for _, head in changed.aux)
    assert names(changed.network) == names(network)


def test_the_rbf_output_of_1998_has_ten_codes_and_says_so() -> None:
    with pytest.raises(d.ShapeError, match=r"10 classes.*use lenet5"):
        d.with_classes(catalogue.network("lenet5_1998"), 7)


@pytest.mark.parametrize(("alpha", "parameters"), [(0.75, 2_585_560), (0.5, 1_331_592), (0.25, 470_072)])
def test_width_multiplier_gives_mobilenets_table(alpha: float, parameters: int) -> None:
    scaled = d.scale_width(catalogue.network("mobilenet_v1"), alpha)
    assert (
        d.elaborate(scaled).parameters == parameters
    )  # networks.yaml; Howard et al. 2017, Table 6: 2.6, 1.3, 0.5 M
    assert d.elaborate(scaled).output == (1000,)


@pytest.mark.parametrize("alpha", [0.35, 0.5, 0.75, 1.4])
def test_rounded_widths_are_multiples_and_never_below_nine_tenths(alpha: float) -> None:
    """Sandler et al. 2018 and their release: multiples of 8, not more than 10 % below the exact width."""
    network = catalogue.network("mobilenet_v2")
    before = dict(d.elaborate(network).operations())
    for row, placed in d.elaborate(d.scale_width(network, alpha, round_to=8)).operations():
        if isinstance(placed.node, d.Conv):
            exact = alpha * before[row].output[0]
            assert placed.output[0] % 8 == 0
            assert 0.9 * exact <= placed.output[0] <= exact + 8


def test_a_width_that_leaves_a_group_indivisible_names_the_row_and_what_would_work() -> None:
    with pytest.raises(d.ShapeError, match=r"conv\d.*groups; nearest that can"):
        d.scale_width(catalogue.network("resnext50_32x4d"), 0.3)


def test_lenet_of_1998_cannot_be_scaled_because_of_its_table() -> None:
    with pytest.raises(d.ShapeError, match="connection table"):
        d.scale_width(catalogue.network("lenet5_1998"), 2)


@pytest.mark.parametrize(
    ("residual", "plain"), [("resnet18_a", "plain18"), ("resnet34_a", "plain34"), ("resnet20", "plain20")]
)
def test_a_residual_network_without_shortcuts_is_the_papers_plain_one(residual: str, plain: str) -> None:
    without = d.elaborate(d.without_shortcuts(catalogue.network(residual)))
    printed = d.elaborate(catalogue.network(plain))
    assert (without.parameters, without.mult_adds) == (
        printed.parameters,
        printed.mult_adds,
    )  # He et al. 2015, Fig. 3


@pytest.mark.parametrize("name", catalogue.names())
def test_replacing_relu_by_tanh_keeps_names_and_counts(name: str) -> None:
    network = catalogue.network(name)
    changed = d.replace(network, d.ReLU, d.Tanh)
    assert names(changed) == names(network)
    assert d.elaborate(changed).parameters == d.elaborate(network).parameters
    kinds = {type(placed.node) for _, placed in d.elaborate(changed).operations(aux=True)}
    assert d.ReLU not in kinds


def test_replace_carries_the_settings_that_both_kinds_have() -> None:
    network = d.Network(input=(3, 9, 9), pool=d.MaxPool(3, 2, 1, ceil=True))
    assert d.replace(network, d.MaxPool, d.AvgPool)["pool"] == d.AvgPool(3, 2, 1, ceil=True)


@pytest.mark.parametrize("name", catalogue.names())
def test_without_normalization_no_norm_is_left_and_folded_layers_have_a_bias(name: str) -> None:
    changed = d.elaborate(d.without_normalization(catalogue.network(name)))
    before = dict(d.elaborate(catalogue.network(name)).operations())
    for row, placed in changed.operations(aux=False):
        assert not isinstance(placed.node, d.BatchNorm | d.LRN)
        assert row in before
    order = list(before)
    for row, follower in itertools.pairwise(order):
        conv, norm = before[row].node, before[follower].node
        same_block = row.rpartition(".")[0] == follower.rpartition(".")[0]
        if same_block and isinstance(conv, d.Conv | d.DepthwiseConv) and isinstance(norm, d.BatchNorm):
            assert changed[row].node.bias  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["googlenet", "googlenet_bn", "inception_v3"])
def test_without_aux_the_main_network_stays(name: str) -> None:
    network = catalogue.network(name)
    bare = d.without_aux(network)
    assert network.aux
    assert not bare.aux
    assert bare.rows == network.rows


def test_shared_blocks_stay_shared_through_an_edit() -> None:
    changed = d.replace(catalogue.network("resnet1202"), d.ReLU, d.Tanh)
    stage = dict(changed.rows)["stage1"]
    assert len({id(block) for _, block in stage.children}) <= 2  # type: ignore[attr-defined]


def test_an_input_that_is_too_small_is_told_with_the_row_and_the_least_size() -> None:
    with pytest.raises(d.ShapeError, match=r"pool\d.*at least"):
        d.with_input(catalogue.network("vgg16"), (3, 16, 16))
