"""ZFNet: Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, 2013.

AlexNet on one GPU, with a smaller window and stride in the first two layers (Fig. 3 of the paper).
"""

from __future__ import annotations

from collections.abc import Callable

from convatlas.define import LRN, Conv, Dropout, Flatten, Linear, MaxPool, Network, ReLU, Sequential
from convatlas.define.facts import Facts, Paper
from convatlas.networks.published import error

POOL = MaxPool(3, stride=2, ceil=True)  # 110 → 55 and 26 → 13, the paper's sizes, need ceil


def conv(width: int, kernel: int, stride: int = 1, padding: int = 0) -> Sequential:
    """A convolution with its ReLU."""
    return Sequential(conv=Conv(width, kernel, stride, padding), relu=ReLU())


def fc(width: int) -> Sequential:
    """A hidden fully connected layer, its output dropped by half."""
    return Sequential(linear=Linear(width), relu=ReLU(), dropout=Dropout(0.5))


# fmt: off
def zfnet(n3: int = 384, n4: int = 384, n5: int = 256) -> Network:
    """Fig. 3; n3, n4, n5 are the widths that the paper varies. Contrast normalization follows the pooling."""
    return Network(
        input=(3, 224, 224),
        init="gaussian",
        conv1=conv(96, 7, stride=2, padding=1), pool1=POOL, norm1=LRN(5),
        conv2=conv(256, 5, stride=2),           pool2=POOL, norm2=LRN(5),
        conv3=conv(n3, 3, padding=1),
        conv4=conv(n4, 3, padding=1),
        conv5=conv(n5, 3, padding=1),           pool5=POOL,
        flatten=Flatten(),
        fc6=fc(4096),
        fc7=fc(4096),
        fc8=Linear(1000),
    )


NETWORKS: dict[str, Callable[[], Network]] = {
    "zfnet":      zfnet,
    "zfnet_wide": lambda: zfnet(512, 1024, 512),
}
# fmt: on


def facts() -> dict[str, Facts]:
    """What was published."""
    paper = Paper(
        title="Visualizing and Understanding Convolutional Networks",
        authors="Zeiler, Fergus",
        year=2013,
        venue="ECCV 2014",
        arxiv="1311.2901",
    )
    eccv = "paper, ECCV version"
    winner = "The 11.7 % that won ILSVRC-2013 (11.2 % with extra data) is an ensemble of the firm Clarifai, not this network."
    return {
        "zfnet": Facts(
            paper,
            "ZFNet",
            "Looks into a network with a deconvnet, finds dead and aliased first-layer features, and repairs AlexNet.",
            (
                error(38.3, 16.4, "10 crops, 1 network (16.5 on test)", "paper Table 2, arXiv v1"),
                error(36.6, 15.3, "5 networks (15.3 on test)", "paper, arXiv v1"),
                error(38.4, 16.5, "1 network as in Fig. 3", eccv, checked="recalled"),
                error(None, 14.8, "6 networks, test", eccv, dataset="ILSVRC-2012 test", checked="recalled"),
            ),
            (),
            (
                "Only the first layer (7x7, stride 2, for 11x11, stride 4) and the second (stride 2) differ from "
                "AlexNet: layers 3 to 5 keep 384-384-256 kernels. 512-1024-512 is the paper's variation, zfnet_wide.",
                "No groups. Contrast normalization comes after the pooling, not before as in AlexNet. Padding 1 in "
                "the first layer gives 110; pooling needs ceil for 55 and 13; the second layer has no padding (26).",
                winner,
            ),
        ),
        "zfnet_wide": Facts(
            paper,
            "ZFNet (b), 512-1024-512",
            "The paper's larger middle layers: a gain of 0.9 points for 1.7 times the parameters.",
            (error(37.5, 16.0, "1 network (b), 10 crops", eccv, checked="recalled"),),
            (),
            ("Often taken for the ZFNet of the paper, which is the narrower network.", winner),
        ),
    }
