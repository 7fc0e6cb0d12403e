"""SqueezeNet: Iandola, Han, Moskewicz, Ashraf, Dally & Keutzer, AlexNet-level accuracy with 50x fewer parameters, 2016.

Fire modules squeeze the channels with 1x1 convolutions, then expand them with 1x1 and 3x3 ones (Fig. 1).
"""

from __future__ import annotations

from collections.abc import Callable

from convatlas.define import Concat, Conv, Dropout, GlobalAvgPool, MaxPool, Network, ReLU, Sequential
from convatlas.define.facts import Claim, Facts, Paper
from convatlas.networks.published import accuracy, torchvision

POOL = MaxPool(3, 2, ceil=True)  # Caffe's rounding


def fire(squeeze: int, expand1x1: int, expand3x3: int) -> Sequential:
    """Fig. 1; the arguments are s1x1, e1x1 and e3x3."""
    return Sequential(
        squeeze=Conv(squeeze, 1), relu1=ReLU(),
        expand=Concat(conv1x1=Conv(expand1x1, 1), conv3x3=Conv(expand3x3, 3)), relu2=ReLU(),
    )  # fmt: skip


# fmt: off
def squeezenet1_0() -> Network:
    """Table 1, with the input of 227 that its sizes need and the padding that the release gives conv10."""
    return Network(
        input=(3, 227, 227),
        init="xavier",
        conv1=Conv(96, 7, 2, "valid"), relu1=ReLU(), pool1=POOL,
        #          s1x1 e1x1 e3x3
        fire2=fire(16,  64,  64),
        fire3=fire(16,  64,  64),
        fire4=fire(32, 128, 128), pool4=POOL,
        fire5=fire(32, 128, 128),
        fire6=fire(48, 192, 192),
        fire7=fire(48, 192, 192),
        fire8=fire(64, 256, 256), pool8=POOL,
        fire9=fire(64, 256, 256),
        dropout9=Dropout(0.5), conv10=Conv(1000, 1, padding=1), relu10=ReLU(), avgpool=GlobalAvgPool(),
    )


def squeezenet1_1() -> Network:
    """The release's second version: a smaller conv1 and earlier pools, 2.2 times fewer mult-adds."""
    return Network(
        input=(3, 227, 227),
        init="xavier",
        conv1=Conv(64, 3, 2, "valid"), relu1=ReLU(), pool1=POOL,
        #          s1x1 e1x1 e3x3
        fire2=fire(16,  64,  64),
        fire3=fire(16,  64,  64), pool3=POOL,
        fire4=fire(32, 128, 128),
        fire5=fire(32, 128, 128), pool5=POOL,
        fire6=fire(48, 192, 192),
        fire7=fire(48, 192, 192),
        fire8=fire(64, 256, 256),
        fire9=fire(64, 256, 256),
        dropout9=Dropout(0.5), conv10=Conv(1000, 1), relu10=ReLU(), avgpool=GlobalAvgPool(),
    )


NETWORKS: dict[str, Callable[[], Network]] = {"squeezenet1_0": squeezenet1_0, "squeezenet1_1": squeezenet1_1}


def facts() -> dict[str, Facts]:
    """What was published."""
    paper = Paper(
        "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
        "Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer", 2016, "arXiv", "1602.07360",
    )
    readme = "release readme"
    return {
        "squeezenet1_0": Facts(
            paper, "SqueezeNet 1.0",
            "AlexNet's accuracy from 1.2 million parameters: mostly 1x1 kernels, few channels before the 3x3, late pooling.",
            (accuracy(57.5, 80.3, "center crop 227", "paper Table 2 (57.5), release readme (at least 80.3 top-5)"),
             torchvision(58.092, 80.42)),
            (Claim("parameters", "1,248,424", "Table 1"),
             Claim("mult_adds", "1.72 GFLOPS/image", readme, "reproduced",
                   "twice the multiply-adds: 861.3M at 227 with conv10 padded by 1")),
            ("The release takes 227 and pads conv10, a 1x1, by 1: the average runs over 15x15 maps whose border is ReLU of the bias.",
             "Pools round up (ceil mode). torchvision takes 224 and does not pad conv10: 818.9M mult-adds.",
             "The paper prints an input of 224x224 and a conv1 of 111x111, which needs 227.",
             "MobileNet's paper lists it with 1700 million mult-adds: these are FLOPs, twice as many, in a column of mult-adds.",
             "1,248,424 parameters is before pruning; after Deep Compression the paper's Table 1 counts 421,098."),
        ),
        "squeezenet1_1": Facts(
            paper, "SqueezeNet 1.1", "Not in the paper: the release's cheaper version, of the same accuracy.",
            (torchvision(58.178, 80.624), accuracy(None, 80.3, "at least, by the release readme", readme)),
            (Claim("mult_adds", "0.72 GFLOPS/image", readme, "contradicted",
                   "twice the multiply-adds is 0.775 G at the prototxt's 227 and 0.698 G at 224"),),
            ("conv1 has 64 kernels of 3x3 with stride 2, pools stand after conv1, fire3 and fire5, and conv10 has no padding.",),
        ),
    }
# fmt: on
