"""VGG: Simonyan & Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, 2014.

Only 3x3 convolutions, stacked: the configurations A to E of Table 1, whose columns are the table here.
"""

from __future__ import annotations

from collections.abc import Callable

from convatlas.define import (
    LRN,
    BatchNorm,
    Conv,
    Dropout,
    Flatten,
    Linear,
    MaxPool,
    Network,
    ReLU,
    Sequential,
)
from convatlas.define.facts import Claim, Facts, Paper
from convatlas.networks.published import error, keras, torchvision

Unit = Callable[[int, int], Sequential]


def conv(width: int, kernel: int) -> Sequential:
    """conv<kernel>-<width> of the table, with its ReLU."""
    return Sequential(conv=Conv(width, kernel), relu=ReLU())


def conv_lrn(width: int, kernel: int) -> Sequential:
    """The same, normalized (A-LRN: after the first convolution alone)."""
    return Sequential(conv=Conv(width, kernel), relu=ReLU(), norm=LRN(5))


def conv_bn(width: int, kernel: int) -> Sequential:
    """The same with batch norm; the bias stays, as in the weights that everyone uses."""
    return Sequential(conv=Conv(width, kernel), bn=BatchNorm(), relu=ReLU())


def block(width: int, kernels: tuple[int, ...], unit: Unit = conv, first: Unit | None = None) -> Sequential:
    """Convolutions of one width, one for each kernel size."""
    units = [first or unit] + [unit] * len(kernels)
    return Sequential(
        **{f"conv{i}": u(width, k) for i, (u, k) in enumerate(zip(units, kernels, strict=False), 1)}
    )


def fc(width: int) -> Sequential:
    """A hidden fully connected layer."""
    return Sequential(linear=Linear(width), relu=ReLU(), dropout=Dropout(0.5))


# fmt: off
CONFIGURATIONS: dict[str, tuple[tuple[int, ...], ...]] = {
    # kernel sizes of   64      128     256           512           512
    "A":              ((3,),   (3,),   (3, 3),       (3, 3),       (3, 3)),
    "B":              ((3, 3), (3, 3), (3, 3),       (3, 3),       (3, 3)),
    "C":              ((3, 3), (3, 3), (3, 3, 1),    (3, 3, 1),    (3, 3, 1)),
    "D":              ((3, 3), (3, 3), (3, 3, 3),    (3, 3, 3),    (3, 3, 3)),
    "E":              ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)),
}


def vgg(configuration: str, unit: Unit = conv, first: Unit | None = None, init: str = "xavier") -> Network:
    """One column of Table 1. The authors say after the fact that Glorot & Bengio's initialization suffices (§3.1)."""
    k1, k2, k3, k4, k5 = CONFIGURATIONS[configuration]
    return Network(
        input=(3, 224, 224),
        init=init,
        block1=block(64,  k1, unit, first), pool1=MaxPool(2),
        block2=block(128, k2, unit),        pool2=MaxPool(2),
        block3=block(256, k3, unit),        pool3=MaxPool(2),
        block4=block(512, k4, unit),        pool4=MaxPool(2),
        block5=block(512, k5, unit),        pool5=MaxPool(2),
        flatten=Flatten(),
        fc1=fc(4096),
        fc2=fc(4096),
        fc3=Linear(1000),
    )


NETWORKS: dict[str, Callable[[], Network]] = {
    "vgg11":     lambda: vgg("A"),
    "vgg11_lrn": lambda: vgg("A", first=conv_lrn),
    "vgg13":     lambda: vgg("B"),
    "vgg16_c":   lambda: vgg("C"),
    "vgg16":     lambda: vgg("D"),
    "vgg19":     lambda: vgg("E"),
    "vgg11_bn":  lambda: vgg("A", conv_bn, init="he"),
    "vgg13_bn":  lambda: vgg("B", conv_bn, init="he"),
    "vgg16_bn":  lambda: vgg("D", conv_bn, init="he"),
    "vgg19_bn":  lambda: vgg("E", conv_bn, init="he"),
}
# fmt: on


def facts() -> dict[str, Facts]:
    """What was published."""
    paper = Paper(
        title="Very Deep Convolutional Networks for Large-Scale Image Recognition",
        authors="Simonyan, Zisserman",
        year=2014,
        venue="ICLR 2015",
        arxiv="1409.1556",
    )
    table3 = "paper Table 3"
    dense = "single scale S = Q = 256, dense evaluation"
    jitter = "training scale S in [256, 512], Q = 384, dense evaluation"

    def params(value: str) -> Claim:
        return Claim("parameters", value, "Table 2")

    biases = (
        "Not in the paper. torchvision keeps the convolutions' biases although batch norm makes them idle."
    )
    new = "Depth from small kernels: two 3x3 convolutions see 5x5, three see 7x7, with fewer weights and more ReLUs."
    share = "The first fully connected layer alone has 7·7·512·4096 + 4096 = 102,764,544 parameters"
    batch_norm = "The VGG network with batch norm after each convolution, as its popular weights have it."
    return {
        "vgg11": Facts(
            paper,
            "VGG-11 (configuration A)",
            new,
            (error(29.6, 10.4, dense, table3), torchvision(69.02, 88.628)),
            (params("133 million"),),
            (
                "Configuration A was trained from random weights and its layers started the deeper ones (§3.1).",
            ),
        ),
        "vgg11_lrn": Facts(
            paper,
            "VGG-11 with local response norm (A-LRN)",
            "Shows that local response normalization does not help: 29.7 % against 29.6 % without it.",
            (error(29.7, 10.5, dense, table3),),
            (params("133 million"),),
            (
                "One normalization after the first convolution, not after each; parameters and mult-adds are A's.",
            ),
        ),
        "vgg13": Facts(
            paper,
            "VGG-13 (configuration B)",
            new,
            (error(28.7, 9.9, dense, table3), torchvision(69.928, 89.246)),
            (params("133 million"),),
        ),
        "vgg16_c": Facts(
            paper,
            "VGG-16 with 1x1 convolutions (configuration C)",
            "Separates depth from field of view: 1x1 layers help over B, but less than the 3x3 of D.",
            (error(28.1, 9.4, dense, table3), error(27.3, 8.8, jitter, table3)),
            (params("134 million"),),
            ("The last convolution of blocks 3, 4 and 5 is 1x1, with its ReLU and the block's width.",),
        ),
        "vgg16": Facts(
            paper,
            "VGG-16 (configuration D)",
            new,
            (
                error(27.0, 8.8, dense, table3),
                error(25.6, 8.1, jitter, table3),
                error(
                    28.5,
                    9.9,
                    "1 crop 224 from 256",
                    "readme of the ResNet authors' release (converted weights)",
                ),
                keras(71.3, 90.1),
                torchvision(71.592, 90.382),
            ),
            (params("138 million"),),
            (f"{share}: 74.3 % of the network.",),
        ),
        "vgg19": Facts(
            paper,
            "VGG-19 (configuration E)",
            new,
            (
                error(27.3, 9.0, dense, table3),
                error(25.5, 8.0, jitter, table3),
                keras(71.3, 90.0),
                torchvision(72.376, 90.876),
            ),
            (params("144 million"),),
            (f"{share}; the three layers more than VGG-16 add 5.3 million.",),
        ),
        **{
            f"{name}_bn": Facts(
                paper, f"VGG-{name[3:]} with batch norm", batch_norm, (result,), (), (biases,)
            )
            for name, result in (
                ("vgg11", torchvision(70.37, 89.81)),
                ("vgg13", torchvision(71.586, 90.374)),
                ("vgg16", torchvision(73.36, 91.516)),
                ("vgg19", torchvision(74.218, 91.842)),
            )
        },
    }
