"""AlexNet: Krizhevsky, Sutskever & Hinton, ImageNet Classification with Deep Convolutional Neural Networks, 2012.

Its successor of 2014, which torchvision calls alexnet, is Krizhevsky, One weird trick for parallelizing CNNs.
"""

from __future__ import annotations

from collections.abc import Callable

from convatlas.define import (
    LRN,
    Conv,
    Dropout,
    Flatten,
    Linear,
    MaxPool,
    Network,
    Node,
    ReLU,
    Sequential,
    Towers,
)
from convatlas.define.facts import Claim, Facts, Paper
from convatlas.networks.published import accuracy, error, torchvision

POOL = MaxPool(3, stride=2)  # overlapping, §3.4


def conv(width: int, kernel: int, stride: int = 1, padding: int = 0) -> Sequential:
    """A convolution that sees all maps, with its ReLU."""
    return Sequential(conv=Conv(width, kernel, stride, padding), relu=ReLU())


def towers(width: int, kernel: int, padding: int) -> Towers:
    """A convolution on two GPUs, each of which sees the maps of its own half (Fig. 2)."""
    return Towers(2, conv=Conv(width, kernel, padding=padding), relu=ReLU())


def fc(width: int, *, dropout: bool) -> Sequential:
    """A hidden fully connected layer; in the paper its output is dropped by half."""
    rows: dict[str, Node] = {"linear": Linear(width), "relu": ReLU()}
    return Sequential(**rows, **({"dropout": Dropout(0.5)} if dropout else {}))


# fmt: off
def alexnet() -> Network:
    """The network of 2012: two towers, local response norm after ReLU in the first two layers."""
    return Network(
        input=(3, 227, 227),  # the paper prints 224, which does not give its 55x55
        init="alexnet",
        conv1=conv(96, 11, stride=4), norm1=LRN(5), pool1=POOL,
        conv2=towers(256, 5, padding=2), norm2=LRN(5), pool2=POOL,
        conv3=conv(384, 3, padding=1),
        conv4=towers(384, 3, padding=1),
        conv5=towers(256, 3, padding=1), pool5=POOL,
        flatten=Flatten(),
        fc6=fc(4096, dropout=True),
        fc7=fc(4096, dropout=True),
        fc8=Linear(1000),
    )


def alexnet_owt() -> Network:
    """The network of 2014: one tower, no local response norm; dropout where torchvision's weights had it."""
    return Network(
        input=(3, 224, 224),
        init="alexnet",
        conv1=conv(64, 11, stride=4, padding=2), pool1=POOL,
        conv2=conv(192, 5, padding=2), pool2=POOL,
        conv3=conv(384, 3, padding=1),
        conv4=conv(256, 3, padding=1),
        conv5=conv(256, 3, padding=1), pool5=POOL,
        flatten=Flatten(),
        dropout6=Dropout(0.5), fc6=fc(4096, dropout=False),
        dropout7=Dropout(0.5), fc7=fc(4096, dropout=False),
        fc8=Linear(1000),
    )


NETWORKS: dict[str, Callable[[], Network]] = {
    "alexnet":     alexnet,
    "alexnet_owt": alexnet_owt,
}
# fmt: on


def facts() -> dict[str, Facts]:
    """What was published."""
    paper = Paper(
        title="ImageNet Classification with Deep Convolutional Neural Networks",
        authors="Krizhevsky, Sutskever, Hinton",
        year=2012,
        venue="NIPS 2012",
    )
    weird = Paper(
        title="One weird trick for parallelizing convolutional neural networks",
        authors="Krizhevsky",
        year=2014,
        venue="arXiv",
        arxiv="1404.5997",
    )
    table2 = "paper Table 2"
    return {
        "alexnet": Facts(
            paper,
            "AlexNet, two towers",
            "The network that won ILSVRC-2012: ReLU, dropout, overlapping pooling, data augmentation, two GPUs.",
            (
                error(40.7, 18.2, "10 crops averaged, 1 network", table2),
                error(38.1, 16.4, "5 networks averaged (16.4 on test too)", table2),
                error(
                    36.7,
                    15.4,
                    "7 networks, two of them first trained on ImageNet Fall 2011; 15.3 on test won ILSVRC-2012",
                    table2,
                ),
                error(37.5, 17.0, "ILSVRC-2010 test", "paper abstract", dataset="ILSVRC-2010 test"),
                accuracy(57.1, 80.2, "center crop 227", "readme of BVLC Caffe's bvlc_alexnet"),
            ),
            (
                Claim("parameters", "60 million", "abstract"),
                Claim(
                    "neurons",
                    "650,000",
                    "abstract",
                    "imprecise",
                    "With maps of 55x55 in the first layer we count 659,272; the list in §3.5 begins with 253,440 for "
                    "that layer and adds up to 622,312.",
                ),
            ),
            (
                "The input is printed as 224x224, but maps of 55x55 need 227 (or padding 2 at 224, as torchvision).",
                "Convolutions 2, 4 and 5 see only their own GPU's maps (two groups); convolution 3 sees all. Without "
                "groups it is another network: 62,378,344 parameters and 1,135,256,096 mult-adds, a wide-spread "
                "mistake.",
                "The order is convolution, ReLU, LRN, pooling, with n = 5, k = 2, alpha = 1e-4 times the sum and "
                "beta = 0.75. Caffe and torch divide alpha by n: the paper's is 5e-4 there. Caffe's bvlc_alexnet "
                "itself uses alpha = 1e-4 and k = 1.",
                "CaffeNet (bvlc_reference_caffenet) pools before it normalizes: not AlexNet.",
            ),
        ),
        "alexnet_owt": Facts(
            weird,
            "AlexNet, one weird trick",
            "One tower with fewer kernels, without local response norm, to study data and model parallelism.",
            (torchvision(56.522, 79.066),),
            (),
            (
                "This is what torchvision calls alexnet: 64-192-384-256-256 kernels, no groups, no LRN, padding 2 in "
                "the first layer. torchvision also pools adaptively to 6x6 before the first linear layer, which "
                "does nothing at 224.",
            ),
        ),
    }
