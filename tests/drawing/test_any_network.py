"""What holds of the catalogue's figures holds of any network's: no overlap, a box for every operation, totals that add up."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convatlas.define import (
    AdaptiveAvgPool,
    AvgPool,
    BatchNorm,
    ChannelShuffle,
    Conv,
    DepthwiseConv,
    Dropout,
    Flatten,
    Gate,
    GlobalAvgPool,
    GlobalMaxPool,
    HardSigmoid,
    Linear,
    MaxPool,
    Network,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    Softmax,
    Subsampling,
    Tanh,
    Towers,
    elaborate,
)
from convatlas.define.operations import OPERATIONS
from convatlas.drawing.figure import figure, lay_out
from convatlas.drawing.kinds import box_words
from convatlas.drawing.terminal import layer_table
from tests.drawing import geometry
from tests.properties.strategies import networks

DEPTHS = st.sampled_from([None, 1, 2, 3, 9])


@settings(max_examples=25)
@given(networks(), DEPTHS, st.booleans(), st.sampled_from(["en", "zh"]))
def test_nothing_overlaps_in_the_figure_of_any_network(
    network: Network, depth: int | None, horizontal: bool, lang: str
) -> None:
    sheet = lay_out(network, depth=depth, horizontal=horizontal, lang=lang)
    assert geometry.overlaps(sheet) == []
    assert geometry.outside(sheet) == []
    assert geometry.frames_nest(sheet) + geometry.crossings(sheet) == []
    volumes = lay_out(network, kind="volumes", depth=depth, lang=lang)
    assert geometry.overlaps(volumes) + geometry.outside(volumes) == []


@settings(max_examples=12)
@given(networks())
def test_an_opened_figure_of_any_network_shows_every_operation_once(network: Network) -> None:
    svg = figure(network, depth=99, prefix="p")
    ids = re.findall(r' id="p:([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    named = set(ids) | {row for group in re.findall(r'data-with="([^"]*)"', svg) for row in group.split()}
    assert {path for path, _ in elaborate(network).operations()} <= named


@settings(max_examples=12)
@given(networks(), st.sampled_from([None, 1, 2, 99]))
def test_the_table_of_any_network_ends_in_its_totals(network: Network, depth: int | None) -> None:
    placed = elaborate(network)
    total = layer_table(placed, depth=depth).split("\n")[-2].split()
    assert total[0] == "total"
    assert total[-2:] == [f"{placed.parameters:,}", f"{placed.mult_adds:,}"]


def odd_network() -> Network:
    """Operations and places that the catalogue does not have."""
    return Network(
        input=(4, 32, 32),
        name="odd",
        sample=Subsampling(2),
        dilated=Conv(8, (3, 1), padding=(2, 0), dilation=2),
        strided=Conv(8, 3, stride=(1, 2)),
        wide=DepthwiseConv(3, multiplier=2),
        tower=Towers(2, conv=Conv(16, 3), relu=ReLU(), pool=MaxPool(2)),
        gated=Sequential(gate=Gate(pool=GlobalMaxPool(), fc=Linear(16), act=HardSigmoid()), act=Sigmoid()),
        twice=Residual(
            Residual(Conv(16, 1), scale=0.3, survival=0.9), shortcut=Sequential(pool=AvgPool(1), conv=Conv(16, 1)), survival=0.5
        ),
        alone=Residual(Sequential()),
        shuffle=ChannelShuffle(4),
        norm=BatchNorm(),
        drop=Dropout(0.25),
        act=Tanh(),
        thirds=AdaptiveAvgPool((3, 2)),
        pool=GlobalAvgPool(),
        flatten=Flatten(),
        fc=Linear(3),
        soft=Softmax(),
        aux={"dilated": Sequential(pool=GlobalAvgPool(), fc=Linear(3)), "strided": Sequential(pool=GlobalAvgPool(), fc=Linear(3))},
    )  # fmt: skip


@pytest.mark.parametrize("horizontal", [False, True])
@pytest.mark.parametrize("depth", [None, 1, 9])
def test_odd_networks_are_drawn_too(horizontal: bool, depth: int | None) -> None:
    sheet = lay_out(odd_network(), horizontal=horizontal, depth=depth)
    assert geometry.overlaps(sheet) + geometry.outside(sheet) + geometry.crossings(sheet) == []


def test_odd_settings_are_in_their_boxes() -> None:
    svg = figure(odd_network())
    for words in (
        "3×1, 8 d2",
        "3×3, 8 /1×2",
        "3×3, 16",
        "softmax",
        "shuffle g4",
        "× 0.3",
        "p 0.9",
        "p 0.5",
        "global max",
        "avg to 3×2",
    ):
        assert f">{words}<" in svg, words


def test_every_operation_has_words_in_both_languages() -> None:
    examples = {type(child.node): child.node for _, child in elaborate(odd_network()).operations(aux=True)}
    missing = {cls.__name__ for cls in OPERATIONS} - {cls.__name__ for cls in examples}
    # the rest stands in LeNet-5 of 1998, AlexNet, ShuffleNet v2, MobileNet, ResNet of option A: all in the goldens
    assert missing == {"TableConv", "RBF", "LRN", "ReLU6", "HardSwish", "Slice", "PadShortcut"}
    for operation in examples.values():
        assert box_words(operation, "7")  # type: ignore[arg-type]
        assert box_words(operation, "7", "zh")  # type: ignore[arg-type]
