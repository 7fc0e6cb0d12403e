"""The figures that our notes give for popular copies and for other readings of a paper are computed here.

Each changes one thing of the definition and expects the count that the copy has, or that the paper prints.
"""

from __future__ import annotations

import pytest

from convatlas.define import (
    BatchNorm,
    Conv,
    Dense,
    Gate,
    GlobalAvgPool,
    HardSigmoid,
    Linear,
    Network,
    Node,
    ReLU,
    ReLU6,
    Residual,
    Sequential,
    elaborate,
    replace,
    with_input,
    without_shortcuts,
)
from convatlas.define.edits import rewrite
from convatlas.networks import catalogue, densenet, mobilenet, resnet, shufflenet


def counts(network: Network) -> tuple[int, int]:
    """(parameters, mult-adds)."""
    found = elaborate(network)
    return found.parameters, found.mult_adds


def with_row(network: Network, **changed: Node) -> Network:
    return network.replaced(rows=tuple((name, changed.get(name, node)) for name, node in network.rows))


# ResNet: He et al. 2015


@pytest.mark.parametrize("depth", ["50", "101", "152"])
def test_the_stride_in_the_3x3_costs_231_million_mult_adds_at_every_depth(depth: str) -> None:
    v1, v1_5 = (counts(catalogue.network(name)) for name in (f"resnet{depth}", f"resnet{depth}_v1_5"))
    assert v1_5[0] == v1[0]
    assert v1_5[1] - v1[1] == 231_211_008


@pytest.mark.parametrize(("name", "parameters"), [("resnet18", 12_043_816), ("resnet34", 22_716_840)])
def test_projections_everywhere_are_option_c(name: str, parameters: int) -> None:
    network, extra = catalogue.network(name), 0
    for _, stage in elaborate(network).rows:
        for _, block in stage.children:
            if isinstance(block.node, Residual) and block.node.shortcut is None:
                extra += elaborate(
                    Network(input=block.input, row=resnet.projection(block.output[0], 1))
                ).parameters
    assert counts(network)[0] + extra == parameters


@pytest.mark.parametrize(("depth", "biases"), [("50", 26_560), ("101", 52_672), ("152", 75_712)])
def test_biases_of_the_convolutions_are_what_keras_has_more(depth: str, biases: int) -> None:
    network = catalogue.network(f"resnet{depth}")
    widths = [
        placed.output[0] for _, placed in elaborate(network).operations() if isinstance(placed.node, Conv)
    ]
    assert sum(widths) == biases


@pytest.mark.parametrize("depth", [20, 32, 44, 56])
def test_a_plain_network_is_the_residual_one_without_its_shortcuts(depth: int) -> None:
    plain, residual = catalogue.network(f"plain{depth}"), catalogue.network(f"resnet{depth}")
    assert counts(plain) == counts(residual)
    assert plain.rows == without_shortcuts(residual).rows
    assert not any("shortcut" in path for path, _ in elaborate(plain).operations())


def test_option_b_adds_2752_parameters_to_a_cifar_network() -> None:
    # what pytorchcv's resnet20_cifar10 has more
    stages = {
        "stage2": resnet.stage(3, 32, 2, resnet.basic),
        "stage3": resnet.stage(3, 64, 2, resnet.basic),
    }
    option_b = with_row(catalogue.network("resnet20"), **stages)
    assert counts(option_b) == (272_474, 40_813_184)


# Stochastic depth: Huang et al. 2016, eq. 4 and §4


def test_survival_falls_linearly_to_a_half_and_40_blocks_are_active_on_average() -> None:
    network = catalogue.network("resnet110_stochastic_depth")
    survival = [
        block.survival
        for _, stage in network.rows
        if isinstance(stage, Sequential)
        for _, block in stage.children
        if isinstance(block, Residual)
    ]
    assert len(survival) == 54
    steps = [a - b for a, b in zip([1.0, *survival], survival, strict=False)]
    assert steps == pytest.approx([0.5 / 54] * 54)
    assert survival[-1] == 0.5
    assert sum(survival) == pytest.approx(40.25)


# SENet: Hu et al. 2017


def test_gates_add_2_530_992_parameters_to_resnet50() -> None:
    assert counts(catalogue.network("se_resnet50"))[0] - counts(catalogue.network("resnet50"))[0] == 2_530_992


# DenseNet: Huang et al. 2016


@pytest.mark.parametrize("name", [n for n in catalogue.names() if n.startswith("densenet")])
def test_layer_l_of_a_dense_block_reads_k0_and_k_for_each_layer_before_it(name: str) -> None:
    growth = {"densenet161": 48}.get(name) or int(name.partition("_")[2].rpartition("k")[2] or 32)
    for _, block in elaborate(catalogue.network(name)).rows:
        if isinstance(block.node, Dense):
            read = [layer.input[0] for _, layer in block.children]
            assert read == [block.input[0] + growth * i for i in range(len(read))]  # §3, growth rate


@pytest.mark.parametrize(
    ("name", "growth", "parameters"),
    [
        ("densenet40_k12", 12, 1_059_298),
        ("densenet100_k12", 12, 7_083_538),
        ("densenet100_k24", 24, 28_071_706),
    ],
)
def test_a_stem_of_2k_is_the_count_of_the_authors_later_code(name: str, growth: int, parameters: int) -> None:
    network = catalogue.network(name)
    depth = len(network["dense_block1"].children)  # type: ignore[attr-defined]
    rows = {
        "conv1": Conv(2 * growth, 3, bias=False),
        **densenet.blocks(2 * growth, (depth,) * 3, growth, densenet.layer, 1.0),
    }
    assert counts(with_row(network, **rows))[0] == parameters


@pytest.mark.parametrize(
    ("name", "growth", "expected"),
    [("densenet40_k12", 12, (599_050, 205_906_452)), ("densenet100_k24", 24, (16_114_138, 5_296_854_264))],
)
def test_compression_by_a_half_is_pytorchcvs_count(name: str, growth: int, expected: tuple[int, int]) -> None:
    network = catalogue.network(name)
    depth = len(network["dense_block1"].children)  # type: ignore[attr-defined]
    rows = {
        "conv1": Conv(2 * growth, 3, bias=False),
        **densenet.blocks(2 * growth, (depth,) * 3, growth, densenet.layer, 0.5),
    }
    assert counts(with_row(network, **rows)) == expected


# SqueezeNet: Iandola et al. 2016


def test_squeezenet_costs_less_at_224_and_without_the_padding_of_conv10() -> None:
    network = catalogue.network("squeezenet1_0")
    unpadded = with_row(network, conv10=Conv(1000, 1))
    assert counts(unpadded) == (1_248_424, 832_667_936)
    assert counts(with_input(unpadded, (3, 224, 224))) == (1_248_424, 818_924_576)  # torchvision
    assert counts(with_input(catalogue.network("squeezenet1_1"), (3, 224, 224))) == (1_235_496, 349_151_936)


# MobileNet: Howard et al. 2017, 2019; Sandler et al. 2018


def test_the_printed_stride_of_the_last_depthwise_convolution_would_give_4x4_maps() -> None:
    printed = with_row(catalogue.network("mobilenet_v1"), ds13=mobilenet.separable(1024, 2))
    found = elaborate(printed)
    assert found["ds13"].output == (1024, 4, 4)
    assert round(found.mult_adds / 1e6, 1) == 533.8


def test_share_of_each_kind_of_layer_in_mobilenet() -> None:
    # computation and weights in percent: Howard et al. 2017, Table 2, 94.86, 3.06, 0.18 and 74.59, 1.06, 24.33
    mult_adds = dict.fromkeys(("pointwise", "depthwise", "conv1", "fc"), 0)
    for path, placed in elaborate(catalogue.network("mobilenet_v1")).operations():
        if placed.mult_adds:
            mult_adds[path.rpartition(".")[2]] += placed.mult_adds
    total = sum(mult_adds.values())
    shares = {name: round(100 * value / total, 2) for name, value in mult_adds.items()}
    assert shares == {"pointwise": 94.86, "depthwise": 3.06, "conv1": 1.91, "fc": 0.18}


def test_mobilenet_v2_has_3_47_million_parameters_without_batch_norms_own() -> None:
    operations = [placed for _, placed in elaborate(catalogue.network("mobilenet_v2")).operations()]
    assert sum(p.parameters for p in operations if not isinstance(p.node, BatchNorm)) == 3_470_760


@pytest.mark.parametrize(("size", "parameters"), [("large", 5_481_198), ("small", 2_537_238)])
def test_a_plain_quarter_in_the_gates_of_mobilenet_v3(size: str, parameters: int) -> None:
    def plain_quarter(node: Node) -> Node:
        if not isinstance(node, Gate):
            return node
        expand = node["expand"]
        assert isinstance(expand, Linear)
        return Gate(
            pool=GlobalAvgPool(), reduce=Linear(expand.width // 4), relu=ReLU(), expand=expand, sigmoid=HardSigmoid()
        )  # fmt: skip

    assert counts(rewrite(catalogue.network(f"mobilenet_v3_{size}"), plain_quarter))[0] == parameters


def test_the_head_of_1280_is_mobilenet_v3_small_of_the_first_versions() -> None:
    first = with_row(catalogue.network("mobilenet_v3_small"), fc1=Linear(1280))
    parameters, mult_adds = counts(first)
    assert parameters == 2_946_568  # printed: 2.9M
    assert round(mult_adds / 1e6, 1) == 56.9  # printed: 66M


# ShuffleNet: Zhang et al. 2017


def convolutions(network: Network) -> float:
    """Millions of mult-adds without the classifier, as the paper counts."""
    return round((elaborate(network).mult_adds - elaborate(network)["fc"].mult_adds) / 1e6, 2)


@pytest.mark.parametrize(("groups", "millions"), [(1, 143), (2, 140), (3, 137), (4, 133), (8, 137)])
def test_complexity_of_shufflenet_leaves_the_classifier_out(groups: int, millions: int) -> None:
    # Table 1; 136.50 of three groups is printed as 137
    assert int(convolutions(catalogue.network(f"shufflenet_v1_g{groups}")) + 0.5) == millions


def test_grouping_the_first_pointwise_convolution_too_is_another_network() -> None:
    grouped = with_row(catalogue.network("shufflenet_v1_g3"), stage2=shufflenet.stage_v1(4, 24, 240, 3))
    assert (convolutions(grouped), round(counts(grouped)[1] / 1e6, 2)) == (133.49, 134.45)


@pytest.mark.parametrize(("groups", "width", "millions"), [(1, 36, 13.02), (3, 60, 13.06)])
def test_a_quarter_needs_12_channels_in_conv1_for_the_papers_13_million(
    groups: int, width: int, millions: float
) -> None:
    assert convolutions(shufflenet.shufflenet_v1(groups, 12, width)) == millions


def test_other_readings_change_no_name() -> None:
    # Keras' MobileNet: ReLU6 in place of ReLU; the rows, so the weights, are the same
    network = catalogue.network("mobilenet_v1")
    six = replace(network, ReLU, ReLU6)
    assert [path for path, _ in elaborate(six).operations()] == [
        path for path, _ in elaborate(network).operations()
    ]
