"""SENet: Hu, Shen, Albanie, Sun & Wu, Squeeze-and-Excitation Networks, 2017.

A gate after a block's last batch norm weighs its channels by their global averages (Fig. 2, 3), here on ResNet
and, with the changes of the 2017 challenge, on ResNeXt (SENet-154).
"""

from __future__ import annotations

from collections.abc import Callable

from convatlas.define import (
    BatchNorm,
    Conv,
    Dropout,
    Gate,
    GlobalAvgPool,
    Linear,
    MaxPool,
    Network,
    ReLU,
    Sequential,
    Sigmoid,
)
from convatlas.define.facts import Claim, Facts, Paper
from convatlas.networks.published import error
from convatlas.networks.resnet import POOL, Body, bottleneck, bottleneck_v1_5, resnet, stage

CAFFE_POOL = MaxPool(3, 2, ceil=True)  # the authors' release: no padding, 112 to 56 by rounding up


def squeeze_excite(width: int, reduction: int = 16) -> Gate:
    """Fig. 3: both layers have biases."""
    return Gate(
        pool=GlobalAvgPool(),
        reduce=Linear(width // reduction), relu=ReLU(),
        expand=Linear(width), sigmoid=Sigmoid(),
    )  # fmt: skip


def gated(body: Body) -> Body:
    """A bottleneck body that ends with its gate, before the addition."""

    def with_gate(width: int, stride: int) -> Sequential:
        return Sequential(**dict(body(width, stride).children), se=squeeze_excite(4 * width))

    return with_gate


def halved(width: int, stride: int) -> Sequential:
    """SENet-154's body: ResNeXt's 64x4d, its first 1x1 half as wide as the grouped 3x3."""
    return Sequential(
        conv1=Conv(2 * width, 1, bias=False), bn1=BatchNorm(), relu1=ReLU(),
        conv2=Conv(4 * width, 3, stride, groups=64, bias=False), bn2=BatchNorm(), relu2=ReLU(),
        conv3=Conv(4 * width, 1, bias=False), bn3=BatchNorm(),
    )  # fmt: skip


def wide_projection(width: int, stride: int) -> Sequential:
    """Shortcut with a 3x3 where it also halves the maps."""
    return Sequential(conv=Conv(width, 3 if stride > 1 else 1, stride, bias=False), bn=BatchNorm())


def se_resnet(depths: tuple[int, ...], body: Body = bottleneck, pool: MaxPool = CAFFE_POOL) -> Network:
    """Table 1, middle column: ResNet with gates."""
    return resnet(depths, gated(body), 4, pool=pool)


def senet154() -> Network:
    """The network of the paper's challenge entry."""

    def part(depth: int, width: int, stride: int) -> Sequential:
        return stage(depth, width, stride, gated(halved), expansion=4, shortcut=wide_projection)

    return Network(
        input=(3, 224, 224),
        stem=Sequential(
            conv1=Conv(64, 3, 2, bias=False), bn1=BatchNorm(), relu1=ReLU(),
            conv2=Conv(64, 3, bias=False), bn2=BatchNorm(), relu2=ReLU(),
            conv3=Conv(128, 3, bias=False), bn3=BatchNorm(), relu3=ReLU(),
        ),
        pool1=CAFFE_POOL,
        conv2=part(3, 64, 1),
        conv3=part(8, 128, 2),
        conv4=part(36, 256, 2),
        conv5=part(3, 512, 2),
        avgpool=GlobalAvgPool(), dropout=Dropout(0.2), fc=Linear(1000),
    )  # fmt: skip


# fmt: off
NETWORKS: dict[str, Callable[[], Network]] = {
    #                             conv2 conv3 conv4 conv5
    "se_resnet50":      lambda: se_resnet((3, 4,  6, 3)),
    "se_resnet101":     lambda: se_resnet((3, 4, 23, 3)),
    "se_resnet152":     lambda: se_resnet((3, 8, 36, 3)),
    "se_resnet50_v1_5": lambda: se_resnet((3, 4,  6, 3), bottleneck_v1_5, POOL),
    "senet154":         senet154,
}


def facts() -> dict[str, Facts]:
    """What was published."""
    paper = Paper(
        "Squeeze-and-Excitation Networks", "Hu, Shen, Albanie, Sun, Wu", 2017,
        "CVPR 2018 (Hu, Shen, Sun) / TPAMI 2020", "1709.01507",
    )
    new = "Channel attention: global averages, through two small layers, weigh a block's channels."
    crop, readme = "single crop 224", "release readme"
    return {
        "se_resnet50": Facts(
            paper, "SE-ResNet-50", new,
            (error(23.29, 6.62, crop, "paper Table 2"),
             error(22.37, 6.36, "single crop 224 from 256, longer training", readme)),
            (Claim("parameters", "28.1M", "§4"), Claim("mult_adds", "3.87 GFLOPs", "Table 2, multiply-adds")),
            ("The gate (r = 16, two layers with bias, ReLU, then sigmoid) stands after the last batch norm, before the addition.",
             "It adds 2,530,992 parameters to ResNet-50."),
        ),
        "se_resnet50_v1_5": Facts(
            paper, "SE-ResNet-50 v1.5", "Not in the paper: the stride moves to the 3x3, as in popular weights.",
            deviations=("The same parameters as with the paper's strides, 4.092e9 mult-adds.",),
        ),
        "se_resnet101": Facts(
            paper, "SE-ResNet-101", new,
            (error(22.38, 6.07, crop, "paper Table 2"), error(21.75, 5.72, "single crop", readme)),
            (Claim("mult_adds", "7.60 GFLOPs", "Table 2", "imprecise", "7.575e9 multiply-adds by the definition"),),
        ),
        "se_resnet152": Facts(paper, "SE-ResNet-152", new, (error(21.34, 5.54, "single crop", readme),)),
        "senet154": Facts(
            paper, "SENet-154", "The winner of ILSVRC 2017: squeeze and excitation on a wide ResNeXt-152.",
            (error(18.68, 4.47, "single crop 224 from 256", readme),
             error(17.28, 3.79, "single crop 320, after the challenge", "paper", checked="recalled")),
            (Claim("parameters", "115M", "release and paper"), Claim("mult_adds", "20.7e9", "release and paper")),
            ("ResNeXt-152 64x4d with the first 1x1 of each bottleneck halved (128, 256, 512, 1024) and r = 16.",
             "A stem of three 3x3 convolutions (64, 64, 128), 3x3 projections where maps are halved (1x1 in conv2), dropout 0.2.",
             "The first pool has no padding and rounds up (ceil mode)."),
        ),
    }
# fmt: on
