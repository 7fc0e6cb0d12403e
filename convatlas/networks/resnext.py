"""ResNeXt: Xie, Girshick, Dollár, Tu & He, Aggregated Residual Transformations for Deep Neural Networks, 2016.

ResNet's bottleneck with many thin paths instead of one: a grouped 3x3 convolution (Fig. 3c). A template
"32x4d" has cardinality 32 and 4 channels a path in conv2, doubled from stage to stage.
"""

from __future__ import annotations

from collections.abc import Callable

from convatlas.define import Network, Sequential
from convatlas.define.facts import Claim, Facts, Paper
from convatlas.networks.published import error, torchvision, torchvision_v2
from convatlas.networks.resnet import bottleneck_v1_5, resnet


def resnext(depths: tuple[int, ...], cardinality: int, path_width: int) -> Network:
    """Table 1; the stride is in the grouped 3x3, as in the authors' code."""

    def body(width: int, stride: int) -> Sequential:
        return bottleneck_v1_5(width, stride, cardinality, cardinality * path_width * width // 64)

    return resnet(depths, body, 4)


# fmt: off
NETWORKS: dict[str, Callable[[], Network]] = {
    #                          conv2 conv3 conv4 conv5  cardinality, width of a path
    "resnext50_32x4d":  lambda: resnext((3, 4,  6, 3), 32, 4),
    "resnext101_32x4d": lambda: resnext((3, 4, 23, 3), 32, 4),
    "resnext101_64x4d": lambda: resnext((3, 4, 23, 3), 64, 4),
    "resnext101_32x8d": lambda: resnext((3, 4, 23, 3), 32, 8),
}


def facts() -> dict[str, Facts]:
    """What was published."""
    paper = Paper(
        "Aggregated Residual Transformations for Deep Neural Networks", "Xie, Girshick, Dollár, Tu, He", 2016,
        "CVPR 2017", "1611.05431",
    )
    new = "Cardinality: more parallel paths in a block gain more than more depth or width at the same cost."
    crop = "single crop 224"
    release = "paper; readme of the authors' release"
    stride = "The stride of 2 is in the grouped 3x3 convolution, already in the authors' Torch code."
    top5 = "Top-5 errors recalled from the papers: 5.6 (32x4d, as the SE paper quotes it) and 5.3 (64x4d)."

    return {
        "resnext50_32x4d": Facts(
            paper, "ResNeXt-50 (32x4d)", new,
            (error(22.2, None, crop, "paper Table 3; readme of the authors' release"),
             torchvision(77.618, 93.698), torchvision_v2(81.198, 95.34)),
            (Claim("parameters", "25.0e6", "Table 1"), Claim("mult_adds", "4.2e9", "Table 1, FLOPs: multiply-adds")),
            ("The stride of 2 is in the grouped 3x3 convolution; a group is 4·2^(stage - 2) channels wide.",
             "Keras' table prints 25,097,128 parameters: 25,028,904 and 68,224 moving statistics."),
        ),
        "resnext101_32x4d": Facts(
            paper, "ResNeXt-101 (32x4d)", new, (error(21.2, None, crop, release),),
            (Claim("mult_adds", "7.8e9", "experiments, FLOPs", "imprecise", "7.97e9 with the stride in the 3x3 convolution"),),
            (stride, top5),
        ),
        "resnext101_64x4d": Facts(
            paper, "ResNeXt-101 (64x4d)", new,
            (error(20.4, None, crop, release), torchvision(83.246, 96.454, resize=232)),
            (Claim("mult_adds", "15.6e9", "experiments, FLOPs", "imprecise", "15.46e9 by the definition"),),
            (stride, top5),
        ),
        "resnext101_32x8d": Facts(
            paper, "ResNeXt-101 (32x8d)", "Not in the paper: torchvision's wider ResNeXt-101.",
            (torchvision(79.312, 94.526), torchvision_v2(82.834, 96.228)), (), (stride, top5),
        ),
    }
# fmt: on
