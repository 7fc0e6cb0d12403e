"""Network in Network: Lin, Chen & Yan, 2013.

An mlpconv layer is a convolution and two 1x1 ones (cccp in the authors' release: cascaded cross-channel
parametric pooling). The last layer's maps are the classes, averaged; there is no fully connected layer.
"""

from __future__ import annotations

from collections.abc import Callable

from convatlas.define import AvgPool, Conv, Dropout, GlobalAvgPool, MaxPool, Network, ReLU, Sequential
from convatlas.define.facts import Facts, Paper
from convatlas.networks.published import accuracy, error

MAX_POOL = MaxPool(3, stride=2, ceil=True)
AVG_POOL = AvgPool(3, stride=2, ceil=True)


def conv(width: int, kernel: int = 1, stride: int = 1, padding: int = 0) -> Sequential:
    """A convolution with its ReLU, which follows the last one too."""
    return Sequential(conv=Conv(width, kernel, stride, padding), relu=ReLU())


# fmt: off
def nin_cifar10() -> Network:
    """Three mlpconv layers; the widths are the authors' release's, the paper gives none."""
    return Network(
        input=(3, 32, 32),
        init="he_fan_in",  # set by hand, the paper says, and gives no rule
        conv1=conv(192, 5, padding=2), cccp1=conv(160), cccp2=conv(96),  pool1=MAX_POOL, dropout1=Dropout(0.5),
        conv2=conv(192, 5, padding=2), cccp3=conv(192), cccp4=conv(192), pool2=AVG_POOL, dropout2=Dropout(0.5),
        conv3=conv(192, 3, padding=1), cccp5=conv(192), cccp6=conv(10),
        gap=GlobalAvgPool(),
    )


def nin() -> Network:
    """Four mlpconv layers for ImageNet, known from the authors' release alone."""
    return Network(
        input=(3, 224, 224),
        init="he_fan_in",
        conv1=conv(96, 11, stride=4),        cccp1=conv(96),       cccp2=conv(96),  pool1=MAX_POOL,
        conv2=conv(256, 5, padding=2),       cccp3=conv(256),      cccp4=conv(256), pool2=MAX_POOL,
        conv3=conv(384, 3, padding=1),       cccp5=conv(384),      cccp6=conv(384), pool3=MAX_POOL, dropout=Dropout(0.5),
        conv4_1024=conv(1024, 3, padding=1), cccp7_1024=conv(1024), cccp8_1000=conv(1000),
        gap=GlobalAvgPool(),
    )


NETWORKS: dict[str, Callable[[], Network]] = {
    "nin_cifar10": nin_cifar10,
    "nin":         nin,
}
# fmt: on


def facts() -> dict[str, Facts]:
    """What was published."""
    paper = Paper(
        title="Network In Network", authors="Lin, Chen, Yan", year=2013, venue="ICLR 2014", arxiv="1312.4400"
    )
    new = "1x1 convolutions as a small network slid over the maps, and global average pooling as the classifier."
    cifar = "CIFAR-10 test"
    return {
        "nin_cifar10": Facts(
            paper,
            "Network in Network, CIFAR-10",
            new,
            (
                error(10.41, None, "dropout, no augmentation", "paper Table 1", dataset=cifar),
                error(8.81, None, "dropout and augmentation", "paper Table 1", dataset=cifar),
            ),
            (),
            (
                "The paper gives no widths: 192-160-96, 192-192-192, 192-192-10 come from the authors' released "
                "definition for cuda-convnet and Caffe.",
                "The second pooling of the release is an average over 3x3 (the paper's text says maximum); maps of "
                "16x16 and 8x8 need ceil mode.",
            ),
        ),
        "nin": Facts(
            paper,
            "Network in Network, ImageNet",
            new,
            (
                accuracy(
                    59.36,
                    None,
                    "center crop 224 (10 crops would be higher)",
                    "readme of the authors' release in Caffe's model zoo",
                ),
            ),
            (),
            (
                "This network is not in the paper, only in the authors' Caffe release, whose file of 29 MB is "
                "7,595,176 values of four bytes.",
                "Pooling in ceil mode: 54, 27, 13, 6 at 224.",
            ),
        ),
    }
