"""GoogLeNet: Szegedy et al., Going Deeper with Convolutions, 2014. The Inception module, version 1.

A line of Table 1 is a row here, with the table's columns; towers are in the order of Fig. 2(b).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from convatlas.define import (
    LRN,
    AdaptiveAvgPool,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Linear,
    MaxPool,
    Network,
    Node,
    Operation,
    ReLU,
    Sequential,
)
from convatlas.define.facts import Claim, Facts, Paper
from convatlas.networks.published import accuracy, error, slim, torchvision

POOL = MaxPool(3, stride=2, ceil=True)  # 112 → 56 → 28 → 14 → 7, the table's sizes, need ceil
# The paper gives no parameters for its LocalRespNorm; these are those of the only published weights (Caffe's, where
# alpha = 1e-4 is divided by the five channels).
NORM = LRN(5, alpha=2e-5, beta=0.75, k=1.0)

Unit = Callable[[int, int], Sequential]


def conv(width: int, kernel: int, stride: int = 1) -> Sequential:
    """A convolution with its ReLU: “all the convolutions … use rectified linear activation” (§5)."""
    return Sequential(conv=Conv(width, kernel, stride), relu=ReLU())


def conv_bn(width: int, kernel: int, stride: int = 1) -> Sequential:
    """The same with batch norm for the bias."""
    return Sequential(conv=Conv(width, kernel, stride, bias=False), bn=BatchNorm(eps=1e-3), relu=ReLU())


def inception(
    n1: int, n3_reduce: int, n3: int, n5_reduce: int, n5: int, proj: int, unit: Unit = conv, kernel5: int = 5
) -> Concat:
    """Four towers: the columns #1x1 to pool proj of Table 1."""
    return Concat(
        conv1x1=unit(n1, 1),
        conv3x3=Sequential(reduce=unit(n3_reduce, 1), conv=unit(n3, 3)),
        conv5x5=Sequential(reduce=unit(n5_reduce, 1), conv=unit(n5, kernel5)),
        pool=Sequential(max=MaxPool(3, stride=1, padding=1), proj=unit(proj, 1)),
    )


def auxiliary(unit: Unit = conv, pool: Operation = AvgPool(5, stride=3)) -> Sequential:  # noqa: B008  immutable
    """The head that trains the middle of the network (§5): 14x14 → 4x4 → 1024 → classes."""
    return Sequential(
        pool=pool,
        conv=unit(128, 1),
        flatten=Flatten(),
        fc1=Sequential(linear=Linear(1024), relu=ReLU()),
        dropout=Dropout(0.7),
        fc2=Linear(1000),
    )


# fmt: off
def table1(module: Callable[..., Concat], pool4: MaxPool = POOL) -> dict[str, Node]:
    """The Inception part of Table 1."""
    return dict(
        #                 #1x1 reduce #3x3 reduce #5x5 pool proj
        inception3a=module( 64,  96,  128,  16,   32,   32),
        inception3b=module(128, 128,  192,  32,   96,   64),
        pool3=POOL,
        inception4a=module(192,  96,  208,  16,   48,   64),
        inception4b=module(160, 112,  224,  24,   64,   64),
        inception4c=module(128, 128,  256,  24,   64,   64),
        inception4d=module(112, 144,  288,  32,   64,   64),
        inception4e=module(256, 160,  320,  32,  128,  128),
        pool4=pool4,
        inception5a=module(256, 160,  320,  32,  128,  128),
        inception5b=module(384, 192,  384,  48,  128,  128),
    )


def googlenet() -> Network:
    """Table 1, with the two auxiliary heads of §5."""
    return Network(
        input=(3, 224, 224),
        init="xavier",
        conv1=conv(64, 7, stride=2), pool1=POOL, norm1=NORM,
        conv2_reduce=conv(64, 1), conv2=conv(192, 3), norm2=NORM, pool2=POOL,
        **table1(inception),  # type: ignore[arg-type]
        avgpool=GlobalAvgPool(), dropout=Dropout(0.4), fc=Linear(1000),
        aux={"inception4a": auxiliary(), "inception4d": auxiliary()},
    )


def googlenet_bn() -> Network:
    """What torchvision ships: batch norm, 3x3 in the 5x5 tower, 2x2 in the last pooling, dropout 0.2."""
    module, head = partial(inception, unit=conv_bn, kernel5=3), auxiliary(conv_bn, AdaptiveAvgPool(4))
    return Network(
        input=(3, 224, 224),
        init="truncated_normal",
        conv1=conv_bn(64, 7, stride=2), pool1=POOL,
        conv2_reduce=conv_bn(64, 1), conv2=conv_bn(192, 3), pool2=POOL,
        **table1(module, pool4=MaxPool(2, ceil=True)),  # type: ignore[arg-type]
        avgpool=GlobalAvgPool(), dropout=Dropout(0.2), fc=Linear(1000),
        aux={"inception4a": head, "inception4d": head},
    )


NETWORKS: dict[str, Callable[[], Network]] = {
    "googlenet":    googlenet,
    "googlenet_bn": googlenet_bn,
}
# fmt: on


def facts() -> dict[str, Facts]:
    """What was published."""
    paper = Paper(
        title="Going Deeper with Convolutions",
        authors="Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich",
        year=2014,
        venue="CVPR 2015",
        arxiv="1409.4842",
    )
    return {
        "googlenet": Facts(
            paper,
            "GoogLeNet (Inception-v1)",
            "Towers of several kernel sizes side by side, made affordable by 1x1 reductions; 22 layers, no large "
            "fully connected ones; winner of ILSVRC-2014.",
            (
                error(None, 10.07, "1 model, 1 crop", "paper Table 3"),
                error(None, 7.89, "1 model, 144 crops", "paper Table 3"),
                error(
                    None,
                    6.67,
                    "7 models, 144 crops (ILSVRC-2014 winner)",
                    "paper",
                    dataset="ILSVRC-2014 val and test",
                ),
                accuracy(68.7, 88.9, "center crop 224", "readme of BVLC Caffe's bvlc_googlenet"),
                slim(69.8, 89.6, "single crop, Inception V1 with batch norm"),
            ),
            (
                Claim("depth", "22 layers with parameters, 27 with pooling", "§5"),
                Claim(
                    "mult_adds",
                    "1.5 billion; the column ops of Table 1 adds up to 1502M",
                    "§1, Table 1",
                    "contradicted",
                    "1582.7M by its own table. Its first row prints 34M, but 7x7x3x64 weights on 112x112 positions "
                    "are 118.0M; row 5a prints 54M for 51.1M; every other row agrees.",
                ),
                Claim(
                    "parameters",
                    "12 times fewer than AlexNet; the column params of Table 1 adds up to 6797.7K",
                    "§1, Table 1",
                    "contradicted",
                    "6,998,552 with biases, 8.7 times fewer than AlexNet's 60,965,224. “5 million” is not far only "
                    "without the classifier (5.97 million). The first row prints 2.7K for 9.4K weights.",
                ),
            ),
            (
                "Local response norm stands after the first pooling and after the second convolution, which is a 1x1 "
                "reduction to 64 and a 3x3 to 192, both with ReLU. 3x3 pooling in ceil mode gives 56, 28, 14, 7.",
                "The heads on 4a (512 maps) and 4d (528): average pooling 5x5 at stride 3, 1x1 convolution to 128, "
                "linear to 1024, dropout 0.7, linear to the classes; their loss counts 0.3, in training only.",
                "Dropout before the classifier is 0.4.",
            ),
        ),
        "googlenet_bn": Facts(
            paper,
            "GoogLeNet as torchvision ships it",
            "The network of the most used GoogLeNet weights: batch norm for the biases, and a bug kept for ever.",
            (torchvision(69.778, 89.53),),
            (),
            (
                "The 5x5 tower is built with 3x3 kernels, a slip inherited from TF-slim and kept for the weights: "
                "380,928 weights fewer than with the paper's 5x5 (7,005,832 parameters, 1,582,671,872 mult-adds).",
                "Batch norm with eps 1e-3, in the heads too; dropout 0.2 for the paper's 0.4; the last pooling is 2x2; "
                "the weights expect an input rescaled from ImageNet's mean and deviation to ±1 (transform_input).",
                "torchvision's default object without weights has the auxiliary heads (13,004,888 parameters). They "
                "pool 14x14 adaptively to 4x4, by windows of four and five rows, where the paper's pool 5x5 at stride 3.",
            ),
        ),
    }
