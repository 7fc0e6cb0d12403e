"""BN-Inception: Ioffe & Szegedy, Batch Normalization, 2015. Inception-v3: Szegedy et al., Rethinking …, 2015.

Three networks bear the name Inception-v2: BN-Inception, TF-slim's inception_v2 (both here), and Table 1 of the
v3 paper, whose released form is Inception-v3.
"""

from __future__ import annotations

from collections.abc import Callable

from convatlas.define import (
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    DepthwiseConv,
    Dropout,
    GlobalAvgPool,
    Linear,
    MaxPool,
    Network,
    Node,
    ReLU,
    Separable,
    Sequential,
)
from convatlas.define.facts import Claim, Facts, Paper
from convatlas.define.operations import Pair
from convatlas.define.window import Padding
from convatlas.networks.published import error, keras, slim, torchvision

TF_AVG = AvgPool(3, stride=1, padding=1, count_include_pad=False)  # TensorFlow's mean leaves the padding out
CAFFE_AVG = AvgPool(3, stride=1, padding=1)
MAX = MaxPool(3, stride=1, padding=1)
POOL = MaxPool(3, stride=2)
CEIL_POOL = MaxPool(3, stride=2, ceil=True)


def conv(width: int, kernel: Pair, stride: int = 1, padding: Padding = "same") -> Sequential:
    """A convolution with batch norm and ReLU; eps as in the authors' release."""
    return Sequential(
        conv=Conv(width, kernel, stride, padding, bias=False), bn=BatchNorm(eps=1e-3), relu=ReLU()
    )


def separable(width: int, kernel: int, stride: int) -> Sequential:
    """The first layer of slim's: eight depthwise maps a channel, then 1x1; nothing between them."""
    depthwise = DepthwiseConv(kernel, stride, "same_tf", bias=False, multiplier=8)
    layer = Separable(depthwise=depthwise, pointwise=Conv(width, 1, bias=False))
    return Sequential(conv=layer, bn=BatchNorm(eps=1e-3), relu=ReLU())


def tower(*units: Node) -> Sequential:
    """Units one after another: conv1, conv2..."""
    return Sequential(**{f"conv{i}": unit for i, unit in enumerate(units, 1)})


# fmt: off
def module(n1: int, n3_reduce: int, n3: int, double_reduce: int, double: int, pool: Node, proj: int) -> Concat:
    """Figure 5 of the BN paper: the 5x5 of GoogLeNet has become two 3x3."""
    return Concat(
        conv1x1=conv(n1, 1),
        conv3x3=tower(conv(n3_reduce, 1), conv(n3, 3)),
        double3x3=tower(conv(double_reduce, 1), conv(double, 3), conv(double, 3)),
        pool=Sequential(pool=pool, proj=conv(proj, 1)),
    )


def reduction(n3_reduce: int, n3: int, double_reduce: int, double: int, padding: Padding, pool: Node) -> Concat:
    """The modules that halve the maps: stride 2 in each tower, the pooled input passed on as it is."""
    return Concat(
        conv3x3=tower(conv(n3_reduce, 1), conv(n3, 3, 2, padding)),
        double3x3=tower(conv(double_reduce, 1), conv(double, 3), conv(double, 3, 2, padding)),
        pool=pool,
    )


def figure5(stem: Node, pad: Padding, pool: Node, avg: Node, proj4cd: int, dropout: dict[str, Node]) -> Network:
    """The table of the BN paper; what its two forms disagree on is given."""
    return Network(
        input=(3, 224, 224),
        init="truncated_normal",
        conv1=stem, pool1=pool,
        conv2_reduce=conv(64, 1), conv2=conv(192, 3), pool2=pool,
        #                        #1x1 reduce  #3x3 reduce  double  pool + proj
        inception3a=module(        64,    64,   64,    64,     96,  avg, 32),
        inception3b=module(        64,    64,   96,    64,     96,  avg, 64),
        inception3c=reduction(           128,  160,    64,     96,  pad, pool),
        inception4a=module(       224,    64,   96,    96,    128,  avg, 128),
        inception4b=module(       192,    96,  128,    96,    128,  avg, 128),
        inception4c=module(       160,   128,  160,   128,    160,  avg, proj4cd),
        inception4d=module(        96,   128,  192,   160,    192,  avg, proj4cd),
        inception4e=reduction(           128,  192,   192,    256,  pad, pool),
        inception5a=module(       352,   192,  320,   160,    224,  avg, 128),
        inception5b=module(       352,   192,  320,   192,    224,  MAX, 128),
        gap=GlobalAvgPool(), **dropout, fc=Linear(1000),  # type: ignore[arg-type]
    )


def bn_inception() -> Network:
    """The widths as printed, 4c and 4d giving 608; plain 7x7 stem and pooling as in the Caffe releases."""
    return figure5(conv(64, 7, 2), "same", CEIL_POOL, CAFFE_AVG, 128, {})


def inception_v2() -> Network:
    """TF-slim's: separable stem, projections of 96 in 4c and 4d, TensorFlow's padding."""
    pool = MaxPool(3, stride=2, padding="same_tf")
    return figure5(separable(64, 7, 2), "same_tf", pool, TF_AVG, 96, {"dropout": Dropout(0.2)})


def module_a(proj: int) -> Concat:
    """35x35: Fig. 5 of the v3 paper, but that the released network kept a 5x5."""
    return Concat(
        conv1x1=conv(64, 1),
        conv5x5=tower(conv(48, 1), conv(64, 5)),
        double3x3=tower(conv(64, 1), conv(96, 3), conv(96, 3)),
        pool=Sequential(pool=TF_AVG, proj=conv(proj, 1)),
    )


def module_b(n: int) -> Concat:
    """17x17: Fig. 6, 7x7 factorized into 1x7 and 7x1."""
    return Concat(
        conv1x1=conv(192, 1),
        conv7x7=tower(conv(n, 1), conv(n, (1, 7)), conv(192, (7, 1))),
        double7x7=tower(conv(n, 1), conv(n, (7, 1)), conv(n, (1, 7)), conv(n, (7, 1)), conv(192, (1, 7))),
        pool=Sequential(pool=TF_AVG, proj=conv(192, 1)),
    )


def module_c() -> Concat:
    """8x8: Fig. 7, outputs of 1x3 and 3x1 side by side."""
    spread = Concat(conv1x3=conv(384, (1, 3)), conv3x1=conv(384, (3, 1)))
    return Concat(
        conv1x1=conv(320, 1),
        conv3x3=Sequential(conv1=conv(384, 1), spread=spread),
        double3x3=Sequential(conv1=conv(448, 1), conv2=conv(384, 3), spread=spread),
        pool=Sequential(pool=TF_AVG, proj=conv(192, 1)),
    )


def inception_v3() -> Network:
    """The released network; its one auxiliary head stands on the last 17x17 grid."""
    grid35 = Concat(  # Fig. 10: convolutions of stride 2 beside the pooling
        conv3x3=conv(384, 3, 2, "valid"),
        double3x3=tower(conv(64, 1), conv(96, 3), conv(96, 3, 2, "valid")),
        pool=POOL,
    )
    grid17 = Concat(
        conv3x3=tower(conv(192, 1), conv(320, 3, 2, "valid")),
        conv7x7=tower(conv(192, 1), conv(192, (1, 7)), conv(192, (7, 1)), conv(192, 3, 2, "valid")),
        pool=POOL,
    )
    head = Sequential(
        pool=AvgPool(5, stride=3), conv1=conv(128, 1), conv2=conv(768, 5, padding="valid"),
        avgpool=GlobalAvgPool(), fc=Linear(1000),
    )
    return Network(
        input=(3, 299, 299),
        init="truncated_normal",
        Conv2d_1a_3x3=conv(32, 3, 2, "valid"),
        Conv2d_2a_3x3=conv(32, 3, 1, "valid"),
        Conv2d_2b_3x3=conv(64, 3),
        maxpool1=POOL,
        Conv2d_3b_1x1=conv(80, 1),
        Conv2d_4a_3x3=conv(192, 3, 1, "valid"),
        maxpool2=POOL,
        Mixed_5b=module_a(32), Mixed_5c=module_a(64), Mixed_5d=module_a(64),
        Mixed_6a=grid35,
        Mixed_6b=module_b(128), Mixed_6c=module_b(160), Mixed_6d=module_b(160), Mixed_6e=module_b(192),
        Mixed_7a=grid17,
        Mixed_7b=module_c(), Mixed_7c=module_c(),
        avgpool=GlobalAvgPool(), dropout=Dropout(0.2), fc=Linear(1000),
        aux={"Mixed_6e": head},
    )


NETWORKS: dict[str, Callable[[], Network]] = {
    "bn_inception": bn_inception,
    "inception_v2": inception_v2,
    "inception_v3": inception_v3,
}
# fmt: on


def facts() -> dict[str, Facts]:
    """What was published."""
    bn = Paper(
        title="Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift",
        authors="Ioffe, Szegedy",
        year=2015,
        venue="ICML 2015",
        arxiv="1502.03167",
    )
    rethinking = Paper(
        title="Rethinking the Inception Architecture for Computer Vision",
        authors="Szegedy, Vanhoucke, Ioffe, Shlens, Wojna",
        year=2015,
        venue="CVPR 2016",
        arxiv="1512.00567",
    )
    survey = "survey that transcribes the paper's results"
    return {
        "bn_inception": Facts(
            bn,
            "BN-Inception",
            "Batch normalization: the same accuracy in 14 times fewer steps, higher learning rates, no dropout.",
            (
                error(25.2, 7.82, "single crop", survey),
                error(21.99, 5.82, "1 model, 144 crops", survey),
                error(None, 4.82, "ensemble, test", "paper, from ILSVRC's server", dataset="ILSVRC test"),
            ),
            (
                Claim(
                    "output of 4c and 4d",
                    "576 maps",
                    "Figure 5",
                    "contradicted",
                    "Its own widths add up to 160+160+160+128 = 608 and 96+192+192+128 = 608.",
                ),
                Claim(
                    "output of 4e",
                    "1024 maps, 14x14",
                    "Figure 5",
                    "contradicted",
                    "192+256+608 = 1056 maps of 7x7, for its stride is 2.",
                ),
            ),
            (
                "Figure 5 prints 576 for 4c and 4d and 1024 for 4e; its widths add up to 608, 608 and 1056.",
                "Caffe releases, the SE-BN-Inception one too, take 128 for the projection in 4c and 4d (608 and "
                "1056, as here); TF-slim takes 96 (576 and 1024: inception_v2).",
                "The paper's first convolution is separable with depth multiplier 8. Slim builds it so; the Caffe "
                "releases, and this definition, have a plain 7x7.",
                "Pooling is a mean in all modules but 5b, where it is a maximum; 3c and 4e pass the pooled input on "
                "without a projection. The mean counts its padding, as Caffe's does; slim's leaves it out.",
                "Not the “Inception-v2” of the v3 paper (its Table 1, 42 layers): three networks carry this name. "
                "pytorchcv's copy keeps a useless bias on each convolution (11,295,240 parameters).",
            ),
        ),
        "inception_v2": Facts(
            bn,
            "Inception-v2 of TF-slim",
            "The batch norm paper's network with its separable first layer, narrowed so that 4c and 4d give 576.",
            (slim(73.9, 91.8),),
            (),
            (
                "The first layer is separable: 3 x 8 depthwise maps of 7x7, then 1x1 to 64. Slim trains no gamma in "
                "its batch norms; here it is there, and counted (11,188,288 parameters with it).",
            ),
        ),
        "inception_v3": Facts(
            rethinking,
            "Inception-v3",
            "Factorized convolutions (1x7 and 7x1), grids reduced beside pooling, label smoothing, a head with batch norm.",
            (
                error(21.2, 5.6, "single crop", "paper abstract", checked="recalled"),
                error(18.77, 4.2, "1 model, 144 crops", survey),
                error(17.2, 3.58, "4 models, 144 crops (3.5 on test in the abstract)", survey),
                slim(78.0, 93.9),
                keras(77.9, 93.7),
                torchvision(77.294, 93.45, crop=299, resize=342),
            ),
            (
                Claim("parameters", "less than 25 million", "abstract"),
                Claim(
                    "mult_adds",
                    "5 billion (4.8 in Table 3)",
                    "abstract",
                    "contradicted",
                    "5,713,216,096 for the network as released.",
                ),
                Claim(
                    "depth",
                    "42 layers",
                    "§6",
                    "imprecise",
                    "That is its Table 1; the released network has 48 convolutions and linear layers on its longest path.",
                ),
            ),
            (
                "One auxiliary head, on the last 17x17 grid (Mixed_6e, 768 maps), with batch norm: not two.",
                "Mean pooling in TensorFlow leaves the padding out (count_include_pad=False, as here); torchvision's "
                "F.avg_pool2d counts it: the same shapes, other values near the borders, with the same weights.",
                "Keras and slim train no gamma in batch norm (eps 1e-3): 23,817,352 trained parameters there, 17,216 "
                "gammas fewer than here.",
                "Xception's paper gives Inception-v3 23,626,728 parameters; no implementation has that number.",
                "torchvision rescales its input (transform_input) and trains with dropout 0.5; the authors' release "
                "has 0.2. The stem's convolutions have no padding: 149, 147, 147, 73, 73, 71, 35.",
                "Table 1 prints 3 modules at 288 maps, 5 at 768, 2 at 1280 and 2048; the released network has 3 (256, "
                "288, 288), a reduction, 4 (768), a reduction and 2 (2048).",
            ),
        ),
    }
