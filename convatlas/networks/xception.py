"""Xception: Chollet, Deep Learning with Depthwise Separable Convolutions, 2016. Fig. 5 of the paper.

A separable convolution is a depthwise and a pointwise one with nothing between them, counted as one layer.
"""

from __future__ import annotations

from collections.abc import Callable

from convatlas.define import (
    BatchNorm,
    Conv,
    DepthwiseConv,
    Dropout,
    GlobalAvgPool,
    Linear,
    MaxPool,
    Network,
    Node,
    ReLU,
    Residual,
    Separable,
    Sequential,
    repeat,
)
from convatlas.define.facts import Claim, Facts, Paper
from convatlas.networks.published import accuracy

BN = BatchNorm(eps=1e-3)


def conv(width: int, stride: int) -> Sequential:
    """A 3x3 convolution of the stem, without padding."""
    return Sequential(conv=Conv(width, 3, stride, "valid", bias=False), bn=BN, relu=ReLU())


def sep(width: int) -> Sequential:
    """SeparableConv of the figure, with the batch norm that follows each."""
    depthwise = DepthwiseConv(3, bias=False)
    return Sequential(conv=Separable(depthwise=depthwise, pointwise=Conv(width, 1, bias=False)), bn=BN)


def relu_sep(width: int) -> Sequential:
    """The same after ReLU."""
    return Sequential(relu=ReLU(), **dict(sep(width).children))


def sep_relu(width: int) -> Sequential:
    """The same before ReLU."""
    return Sequential(**dict(sep(width).children), relu=ReLU())


# fmt: off
def down(sep1: Node, sep2: Node, width: int) -> Residual:
    """Two separable convolutions and pooling, beside a 1x1 of stride 2; padding is TensorFlow's, as in the release."""
    return Residual(
        Sequential(sep1=sep1, sep2=sep2, pool=MaxPool(3, 2, "same_tf")),
        shortcut=Sequential(conv=Conv(width, 1, 2, bias=False), bn=BN),
    )


def xception() -> Network:
    """Entry flow, middle flow, exit flow."""
    middle = Residual(Sequential(sep1=relu_sep(728), sep2=relu_sep(728), sep3=relu_sep(728)))
    return Network(
        input=(3, 299, 299),
        init="xavier",
        conv1=conv(32, 2),
        conv2=conv(64, 1),
        entry_block1=down(sep(128), relu_sep(128), 128),  # conv2 has just been rectified
        entry_block2=down(relu_sep(256), relu_sep(256), 256),
        entry_block3=down(relu_sep(728), relu_sep(728), 728),
        middle_flow=Sequential(**repeat("block", 8, middle)),
        exit_block=down(relu_sep(728), relu_sep(1024), 1024),
        sep3=sep_relu(1536),
        sep4=sep_relu(2048),
        avgpool=GlobalAvgPool(), dropout=Dropout(0.5), fc=Linear(1000),
    )


NETWORKS: dict[str, Callable[[], Network]] = {"xception": xception}
# fmt: on


def facts() -> dict[str, Facts]:
    """What was published."""
    paper = Paper(
        title="Xception: Deep Learning with Depthwise Separable Convolutions",
        authors="Chollet",
        year=2016,
        venue="CVPR 2017",
        arxiv="1610.02357",
    )
    return {
        "xception": Facts(
            paper,
            "Xception",
            "Inception taken to its end: channels and space are convolved apart, in separable convolutions alone.",
            (accuracy(79.0, 94.5, "single crop 299", "paper Table 1 and Keras Applications table"),),
            (Claim("parameters", "22,855,952", "Table 3"),),
            (
                "Depthwise first, then pointwise, batch norm after the pointwise alone, and no activation between "
                "them, which the paper found to hurt.",
                "Blocks begin with ReLU but the first; widths of the exit block are 728 and 1024; projections are 1x1 "
                "of stride 2 with batch norm, without ReLU.",
                "Keras, the author's own, has no padding in the first two layers and TensorFlow's padding in the rest "
                "(149, 147, 74, 37, 19, 10), as here; ports that pad their pooling by 1 on both sides, timm's too, "
                "differ from it at 74 → 37, where TensorFlow pads below and to the right alone.",
                "Batch norm has eps 1e-3 and momentum 0.99 in Keras; 22,910,480 is its total with running statistics.",
                "timm's xception41, 65 and 71 are DeepLab's; the paper's network is its legacy_xception.",
            ),
        ),
    }
