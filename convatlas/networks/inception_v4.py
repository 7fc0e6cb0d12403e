"""Inception-v4 and Inception-ResNet: Szegedy, Ioffe, Vanhoucke & Alemi, 2016.

A, B and C are the modules on the grids of 35x35, 17x17 and 8x8. Inception-ResNet-v2 exists twice: as the figures
print it, and, larger, as it was released.
"""

from __future__ import annotations

from collections.abc import Callable

from convatlas.define import (
    Concat,
    Conv,
    Dropout,
    GlobalAvgPool,
    Linear,
    Network,
    Node,
    ReLU,
    Residual,
    Sequential,
    repeat,
)
from convatlas.define.facts import Claim, Facts, Paper
from convatlas.networks.inception import POOL, TF_AVG, conv, tower
from convatlas.networks.published import error, keras

RELU = ReLU()


def valid(width: int, stride: int = 1) -> Sequential:
    """3x3 without padding (V in the figures)."""
    return conv(width, 3, stride, "valid")


def down(width: int) -> Sequential:
    """The same of stride 2."""
    return valid(width, 2)


def blocks(count: int, node: Node) -> Sequential:
    """`count` equal blocks."""
    return Sequential(**repeat("block", count, node))


# fmt: off
def stem_v4() -> Sequential:
    """Fig. 3, for Inception-v4 and Inception-ResNet-v2: 299x299 → 384 maps of 35x35."""
    long = tower(conv(64, 1), conv(64, (1, 7)), conv(64, (7, 1)), valid(96))
    return Sequential(
        conv1=down(32), conv2=valid(32), conv3=conv(64, 3),
        mixed3a=Concat(pool=POOL, conv3x3=down(96)),
        mixed4a=Concat(short=tower(conv(64, 1), valid(96)), long=long),
        mixed5a=Concat(conv3x3=down(192), pool=POOL),
    )


def inception_a() -> Concat:
    """Fig. 4."""
    return Concat(
        conv1x1=conv(96, 1),
        conv3x3=tower(conv(64, 1), conv(96, 3)),
        double3x3=tower(conv(64, 1), conv(96, 3), conv(96, 3)),
        pool=Sequential(pool=TF_AVG, proj=conv(96, 1)),
    )


def inception_b() -> Concat:
    """Fig. 5; 7x1 and 1x7 of the long tower in the order of the release (the figure has them the other way)."""
    return Concat(
        conv1x1=conv(384, 1),
        conv7x7=tower(conv(192, 1), conv(224, (1, 7)), conv(256, (7, 1))),
        double7x7=tower(conv(192, 1), conv(192, (7, 1)), conv(224, (1, 7)), conv(224, (7, 1)), conv(256, (1, 7))),
        pool=Sequential(pool=TF_AVG, proj=conv(128, 1)),
    )


def inception_c() -> Concat:
    """Fig. 6."""
    spread = Concat(conv1x3=conv(256, (1, 3)), conv3x1=conv(256, (3, 1)))
    return Concat(
        conv1x1=conv(256, 1),
        conv3x3=Sequential(conv1=conv(384, 1), spread=spread),
        double3x3=Sequential(conv1=conv(384, 1), conv2=conv(448, (3, 1)), conv3=conv(512, (1, 3)), spread=spread),
        pool=Sequential(pool=TF_AVG, proj=conv(256, 1)),
    )


def reduction_a(k: int, l: int, m: int, n: int) -> Concat:  # noqa: E741  the paper's letters
    """Fig. 7, 35x35 → 17x17; k, l, m, n of Table 1."""
    return Concat(conv3x3=down(n), double3x3=tower(conv(k, 1), conv(l, 3), down(m)), pool=POOL)


def reduction_b() -> Concat:
    """Fig. 8, 17x17 → 8x8, of Inception-v4."""
    return Concat(
        conv3x3=tower(conv(192, 1), down(192)),
        conv7x7=tower(conv(256, 1), conv(256, (1, 7)), conv(320, (7, 1)), down(320)),
        pool=POOL,
    )


def residual_reduction_b(n: int, m: int, last: int) -> Concat:
    """Figs. 12 and 18, 17x17 → 8x8, of the Inception-ResNets."""
    return Concat(
        conv3x3_1=tower(conv(256, 1), down(384)),
        conv3x3_2=tower(conv(256, 1), down(n)),
        double3x3=tower(conv(256, 1), conv(m, 3), down(last)),
        pool=POOL,
    )


def residual(up: int, scale: float, then: Node | None, **towers: Node) -> Residual:
    """Towers, a linear 1x1 (bias, no batch norm) up to the width of the shortcut, scaled and added (Fig. 20)."""
    return Residual(Sequential(towers=Concat(**towers), up=Conv(up, 1)), then=then, scale=scale)


def residual_a(up: int, n2: int, n3: int) -> Residual:
    """Figs. 10 and 16."""
    return residual(
        up, 0.17, RELU,
        conv1x1=conv(32, 1),
        conv3x3=tower(conv(32, 1), conv(32, 3)),
        double3x3=tower(conv(32, 1), conv(n2, 3), conv(n3, 3)),
    )


def residual_b(up: int, n1: int, n2: int, n3: int) -> Residual:
    """Figs. 11 and 17."""
    conv7x7 = tower(conv(128, 1), conv(n2, (1, 7)), conv(n3, (7, 1)))
    return residual(up, 0.10, RELU, conv1x1=conv(n1, 1), conv7x7=conv7x7)


def residual_c(up: int, n2: int, n3: int, scale: float = 0.20, then: Node | None = RELU) -> Residual:
    """Figs. 13 and 19."""
    conv3x3 = tower(conv(192, 1), conv(n2, (1, 3)), conv(n3, (3, 1)))
    return residual(up, scale, then, conv1x1=conv(192, 1), conv3x3=conv3x3)


def inception_v4() -> Network:
    """Fig. 9."""
    return Network(
        input=(3, 299, 299), init="he_fan_in",
        stem=stem_v4(),
        inception_a=blocks(4, inception_a()), reduction_a=reduction_a(192, 224, 256, 384),
        inception_b=blocks(7, inception_b()), reduction_b=reduction_b(),
        inception_c=blocks(3, inception_c()),
        avgpool=GlobalAvgPool(), dropout=Dropout(0.2), fc=Linear(1000),
    )


def inception_resnet_v1() -> Network:
    """Fig. 15 with the stem of Fig. 14."""
    return Network(
        input=(3, 299, 299), init="he_fan_in",
        stem=Sequential(
            conv1=down(32), conv2=valid(32), conv3=conv(64, 3), pool=POOL,
            conv4=conv(80, 1), conv5=valid(192), conv6=down(256),
        ),
        inception_resnet_a=blocks(5, residual_a(256, 32, 32)),         reduction_a=reduction_a(192, 192, 256, 384),
        inception_resnet_b=blocks(10, residual_b(896, 128, 128, 128)), reduction_b=residual_reduction_b(256, 256, 256),
        inception_resnet_c=blocks(5, residual_c(1792, 192, 192)),
        avgpool=GlobalAvgPool(), dropout=Dropout(0.2), fc=Linear(1000),
    )


def inception_resnet_v2_paper() -> Network:
    """Fig. 15 with the stem of Fig. 3: the printed network, 1x1 widths corrected to what the sums need."""
    return Network(
        input=(3, 299, 299), init="he_fan_in",
        stem=stem_v4(),
        inception_resnet_a=blocks(5, residual_a(384, 48, 64)),          reduction_a=reduction_a(256, 256, 384, 384),
        inception_resnet_b=blocks(10, residual_b(1152, 192, 160, 192)), reduction_b=residual_reduction_b(288, 288, 320),
        inception_resnet_c=blocks(5, residual_c(2144, 224, 256)),
        avgpool=GlobalAvgPool(), dropout=Dropout(0.2), fc=Linear(1000),
    )


def inception_resnet_v2() -> Network:
    """The released network, with its row names: 10, 20 and 9 + 1 blocks, the last neither scaled nor rectified."""
    return Network(
        input=(3, 299, 299), init="he_fan_in",
        conv2d_1a=down(32), conv2d_2a=valid(32), conv2d_2b=conv(64, 3), maxpool_3a=POOL,
        conv2d_3b=conv(80, 1), conv2d_4a=valid(192), maxpool_5a=POOL,
        mixed_5b=Concat(
            conv1x1=conv(96, 1),
            conv5x5=tower(conv(48, 1), conv(64, 5)),
            double3x3=tower(conv(64, 1), conv(96, 3), conv(96, 3)),
            pool=Sequential(pool=TF_AVG, proj=conv(64, 1)),
        ),
        repeat=blocks(10, residual_a(320, 48, 64)),          mixed_6a=reduction_a(256, 256, 384, 384),
        repeat_1=blocks(20, residual_b(1088, 192, 160, 192)), mixed_7a=residual_reduction_b(288, 288, 320),
        repeat_2=blocks(9, residual_c(2080, 224, 256)),
        block8=residual_c(2080, 224, 256, scale=1.0, then=None),
        conv2d_7b=conv(1536, 1),
        avgpool=GlobalAvgPool(), dropout=Dropout(0.2), fc=Linear(1000),
    )


NETWORKS: dict[str, Callable[[], Network]] = {
    "inception_v4":              inception_v4,
    "inception_resnet_v1":       inception_resnet_v1,
    "inception_resnet_v2":       inception_resnet_v2,
    "inception_resnet_v2_paper": inception_resnet_v2_paper,
}
# fmt: on


def facts() -> dict[str, Facts]:
    """What was published."""
    paper = Paper(
        title="Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning",
        authors="Szegedy, Ioffe, Vanhoucke, Alemi",
        year=2016,
        venue="AAAI 2017",
        arxiv="1602.07261",
    )
    cost = "Inception-ResNet-v2 matches the raw cost of Inception-v4"
    return {
        "inception_v4": Facts(
            paper,
            "Inception-v4",
            "One uniform stem and three kinds of modules, chosen without regard to splitting the network over machines.",
            (
                error(20.0, 5.0, "single crop", "paper Table 2"),
                error(18.7, 4.2, "12 crops", "paper Table 3"),
                error(17.7, 3.8, "144 crops", "paper Table 4"),
                error(16.5, 3.1, "1 v4 and 3 Inception-ResNet-v2, 144 crops (3.08 on test)", "paper Table 5"),
            ),
            (),
            (
                "4 modules A, 7 B, 3 C. The figures show no auxiliary head; TF-slim adds one on the 17x17 grid.",
                "The long tower of B has 1x7 before 7x1 in the figure, 7x1 before 1x7 in the release. Ours is the "
                "release's, since all weights are; parameters and mult-adds are the same.",
            ),
        ),
        "inception_resnet_v1": Facts(
            paper,
            "Inception-ResNet-v1",
            "Inception towers as the body of a residual block, at about the cost of Inception-v3; it trains faster.",
            (
                error(21.3, 5.5, "single crop", "paper Table 2"),
                error(19.8, 4.6, "12 crops", "paper Table 3"),
                error(18.8, 4.3, "144 crops", "paper Table 4"),
            ),
            (),
            (
                "Each convolution has batch norm but the linear 1x1 before the sum, which has a bias.",
                "facenet, and most ports after it, add a sixth C block without ReLU: 24,357,096 parameters with 1000 "
                "classes. pytorchcv's has that and a 512-wide layer before the classifier.",
                "The body is scaled by 0.17, 0.10 and 0.20 as in facenet; the paper says between 0.1 and 0.3.",
                "torchvision, timm and Keras do not have it.",
            ),
        ),
        "inception_resnet_v2": Facts(
            paper,
            "Inception-ResNet-v2 as released",
            "The larger residual Inception: better than Inception-v4 at about its cost, and sooner trained.",
            (
                error(19.9, 4.9, "single crop", "paper Table 2"),
                error(18.7, 4.1, "12 crops", "paper Table 3"),
                error(17.8, 3.7, "144 crops", "paper Table 4"),
                keras(80.3, 95.3),
            ),
            (Claim("mult_adds", cost, "§3.2", "imprecise", "13.16 G against 12.25 G: 7 % more."),),
            (
                "Not the network of the figures (inception_resnet_v2_paper): a stem like v3's ending in 192 maps of "
                "35x35, a module of 320, then 10 blocks scaled by 0.17, 20 by 0.10, 9 by 0.20 and one more, neither "
                "scaled nor followed by ReLU, and a 1x1 to 1536.",
                "Keras and slim train no gamma in batch norm: 55,813,192 trained parameters, 30,272 fewer than here.",
            ),
        ),
        "inception_resnet_v2_paper": Facts(
            paper,
            "Inception-ResNet-v2 as printed",
            "The network of the paper's figures, which no release has: 32.4 million parameters for 55.8.",
            (),
            (
                Claim(
                    "mult_adds",
                    cost,
                    "§1",
                    "contradicted",
                    "9.26 G as printed against 12.25 G; 13.16 G as released.",
                ),
                Claim(
                    "width of the 1x1 in the B block",
                    "1154",
                    "Fig. 17",
                    "contradicted",
                    "The reduction before it gives 384+384+384 = 1152, to which 1154 cannot be added.",
                ),
                Claim(
                    "width of the 1x1 in the C block",
                    "2048",
                    "Fig. 19",
                    "contradicted",
                    "The reduction before it gives 1152+384+288+320 = 2144, to which 2048 cannot be added.",
                ),
            ),
            (
                "TF-slim, Keras, timm and pytorchcv ship another network under this name (inception_resnet_v2): stem, "
                "numbers of blocks (10-20-10 for 5-10-5) and widths differ; 55.8 million parameters for 32.4.",
                "Figs. 17 and 19 print widths that cannot be added to their shortcuts; 1152 and 2144 can.",
                "Its cost is not that of Inception-v4, as the paper says, but three quarters of it.",
            ),
        ),
    }
