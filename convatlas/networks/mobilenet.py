"""MobileNet v1 (Howard et al. 2017), v2 (Sandler et al. 2018) and v3 (Howard et al. 2019).

Depthwise separable convolutions; from v2 on inside inverted residuals, whose shortcuts join the narrow ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from convatlas.define import (
    BatchNorm,
    Conv,
    DepthwiseConv,
    Dropout,
    Gate,
    GlobalAvgPool,
    HardSigmoid,
    HardSwish,
    Linear,
    Network,
    Node,
    ReLU,
    ReLU6,
    Residual,
    Sequential,
    repeat,
    scale_width,
)
from convatlas.define.facts import Accuracy, Claim, Facts, Paper
from convatlas.networks.published import accuracy, keras, slim, torchvision, torchvision_v2

V1_NORM = BatchNorm(eps=1e-3)  # as in the authors' TF-slim release; no paper of the three prints it
V2_NORM = BatchNorm()  # 1e-3 in TF-slim, 1e-5 in the weights that torchvision and timm trained
V3_NORM = BatchNorm(eps=1e-3, momentum=0.01)


class Unit(NamedTuple):
    """What the blocks of a network share, but for their widths."""

    norm: BatchNorm
    act: Node
    kernel: int = 3
    gate: bool = False


def separable(width: int, stride: int = 1) -> Sequential:
    """v1, Fig. 3, right: depthwise 3x3, then 1x1 to `width`."""
    return Sequential(
        depthwise=DepthwiseConv(3, stride, bias=False), bn1=V1_NORM, relu1=ReLU(),
        pointwise=Conv(width, 1, bias=False), bn2=V1_NORM, relu2=ReLU(),
    )  # fmt: skip


# fmt: off
def mobilenet_v1() -> Network:
    """v1, Table 1, but for the stride of the last depthwise convolution: 1, not the printed 2, keeps 7x7."""
    return Network(
        input=(3, 224, 224),
        init="truncated_normal",
        conv1=Conv(32, 3, 2, bias=False), bn1=V1_NORM, relu1=ReLU(),
        ds1=separable(64),
        ds2=separable(128, 2),  ds3=separable(128),
        ds4=separable(256, 2),  ds5=separable(256),
        ds6=separable(512, 2),
        ds7=separable(512), ds8=separable(512), ds9=separable(512), ds10=separable(512), ds11=separable(512),
        ds12=separable(1024, 2), ds13=separable(1024),
        avgpool=GlobalAvgPool(), fc=Linear(1000),
    )


def inverted(before: int, expansion: int, width: int, stride: int, unit: Unit) -> Node:
    """v2, Fig. 4d, and v3, Fig. 4: 1x1 to `expansion` channels, depthwise, [gate], linear 1x1 to `width`.

    An expansion that changes nothing is left out; the shortcut is there where it needs no projection.
    """
    rows: dict[str, Node] = {}
    if expansion != before:
        rows |= {"expand": Conv(expansion, 1, bias=False), "bn1": unit.norm, "act1": unit.act}
    rows |= {"depthwise": DepthwiseConv(unit.kernel, stride, bias=False), "bn2": unit.norm, "act2": unit.act}
    if unit.gate:
        rows["se"] = squeeze_excite(expansion)
    body = Sequential(**rows, project=Conv(width, 1, bias=False), bn3=unit.norm)
    return Residual(body) if stride == 1 and before == width else body


def bottleneck(before: int, t: int, c: int, n: int, s: int) -> Sequential:
    """v2: a row of Table 2, n blocks of expansion factor t; `before` is the width in its column Input."""
    unit = Unit(V2_NORM, ReLU6())
    rest = inverted(c, t * c, c, 1, unit)
    return Sequential(block1=inverted(before, t * before, c, s, unit), **repeat("block", n - 1, rest, start=2))


def mobilenet_v2() -> Network:
    """v2, Table 2; the dropout is TF-slim's."""
    return Network(
        input=(3, 224, 224),
        init="truncated_normal",
        conv1=Conv(32, 3, 2, bias=False), bn1=V2_NORM, act1=ReLU6(),
        #                     input   t   c   n  s
        bottleneck1=bottleneck(  32,  1,  16, 1, 1),
        bottleneck2=bottleneck(  16,  6,  24, 2, 2),
        bottleneck3=bottleneck(  24,  6,  32, 3, 2),
        bottleneck4=bottleneck(  32,  6,  64, 4, 2),
        bottleneck5=bottleneck(  64,  6,  96, 3, 1),
        bottleneck6=bottleneck(  96,  6, 160, 3, 2),
        bottleneck7=bottleneck( 160,  6, 320, 1, 1),
        conv_last=Conv(1280, 1, bias=False), bn_last=V2_NORM, act_last=ReLU6(),
        avgpool=GlobalAvgPool(), dropout=Dropout(0.2), fc=Linear(1000),
    )


def squeeze_excite(width: int) -> Gate:
    """v3, §5.3: a quarter of the width, to the nearest multiple of 8 that is no more than 10 % below it."""
    near = max(8, (width // 4 + 4) // 8 * 8)
    squeeze = near if near >= 0.9 * width / 4 else near + 8
    return Gate(pool=GlobalAvgPool(), reduce=Linear(squeeze), relu=ReLU(), expand=Linear(width), sigmoid=HardSigmoid())


def bneck(before: int, kernel: int, expansion: int, width: int, gate: bool, act: Node, stride: int) -> Node:
    """v3: a row of Tables 1 and 2, in their order of columns."""
    return inverted(before, expansion, width, stride, Unit(V3_NORM, act, kernel, gate))


SE, __, RE, HS = True, False, ReLU(), HardSwish()


def mobilenet_v3_large() -> Network:
    """v3, Table 1; dropout keeps 0.8 (§6.1)."""
    return Network(
        input=(3, 224, 224),
        init="truncated_normal",
        conv1=Conv(16, 3, 2, bias=False), bn1=V3_NORM, act1=HS,
        #           input k  exp  out  SE  NL  s
        bneck1=bneck(  16, 3,  16,  16, __, RE, 1),
        bneck2=bneck(  16, 3,  64,  24, __, RE, 2),
        bneck3=bneck(  24, 3,  72,  24, __, RE, 1),
        bneck4=bneck(  24, 5,  72,  40, SE, RE, 2),
        bneck5=bneck(  40, 5, 120,  40, SE, RE, 1),
        bneck6=bneck(  40, 5, 120,  40, SE, RE, 1),
        bneck7=bneck(  40, 3, 240,  80, __, HS, 2),
        bneck8=bneck(  80, 3, 200,  80, __, HS, 1),
        bneck9=bneck(  80, 3, 184,  80, __, HS, 1),
        bneck10=bneck( 80, 3, 184,  80, __, HS, 1),
        bneck11=bneck( 80, 3, 480, 112, SE, HS, 1),
        bneck12=bneck(112, 3, 672, 112, SE, HS, 1),
        bneck13=bneck(112, 5, 672, 160, SE, HS, 2),
        bneck14=bneck(160, 5, 960, 160, SE, HS, 1),
        bneck15=bneck(160, 5, 960, 160, SE, HS, 1),
        conv_last=Conv(960, 1, bias=False), bn_last=V3_NORM, act_last=HS,
        avgpool=GlobalAvgPool(), fc1=Linear(1280), act2=HS, dropout=Dropout(0.2), fc2=Linear(1000),
    )


def mobilenet_v3_small() -> Network:
    """v3, Table 2."""
    return Network(
        input=(3, 224, 224),
        init="truncated_normal",
        conv1=Conv(16, 3, 2, bias=False), bn1=V3_NORM, act1=HS,
        #           input k  exp  out  SE  NL  s
        bneck1=bneck(  16, 3,  16,  16, SE, RE, 2),
        bneck2=bneck(  16, 3,  72,  24, __, RE, 2),
        bneck3=bneck(  24, 3,  88,  24, __, RE, 1),
        bneck4=bneck(  24, 5,  96,  40, SE, HS, 2),
        bneck5=bneck(  40, 5, 240,  40, SE, HS, 1),
        bneck6=bneck(  40, 5, 240,  40, SE, HS, 1),
        bneck7=bneck(  40, 5, 120,  48, SE, HS, 1),
        bneck8=bneck(  48, 5, 144,  48, SE, HS, 1),
        bneck9=bneck(  48, 5, 288,  96, SE, HS, 2),
        bneck10=bneck( 96, 5, 576,  96, SE, HS, 1),
        bneck11=bneck( 96, 5, 576,  96, SE, HS, 1),
        conv_last=Conv(576, 1, bias=False), bn_last=V3_NORM, act_last=HS,
        avgpool=GlobalAvgPool(), fc1=Linear(1024), act2=HS, dropout=Dropout(0.2), fc2=Linear(1000),
    )


NETWORKS: dict[str, Callable[[], Network]] = {
    "mobilenet_v1":       mobilenet_v1,
    "mobilenet_v1_x0_75": lambda: scale_width(mobilenet_v1(), 0.75),
    "mobilenet_v1_x0_5":  lambda: scale_width(mobilenet_v1(), 0.5),
    "mobilenet_v1_x0_25": lambda: scale_width(mobilenet_v1(), 0.25),
    "mobilenet_v2":       mobilenet_v2,
    "mobilenet_v3_large": mobilenet_v3_large,
    "mobilenet_v3_small": mobilenet_v3_small,
}


def facts() -> dict[str, Facts]:
    """What was published."""
    v1 = Paper(
        "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
        "Howard, Zhu, Chen, Kalenichenko, Wang, Weyand, Andreetto, Adam", 2017, "arXiv", "1704.04861",
    )
    v2 = Paper(
        "MobileNetV2: Inverted Residuals and Linear Bottlenecks", "Sandler, Howard, Zhu, Zhmoginov, Chen", 2018,
        "CVPR 2018", "1801.04381",
    )
    v3 = Paper(
        "Searching for MobileNetV3", "Howard, Sandler, Chu, Chen, Chen, Tan, Wang, Zhu, Pang, Vasudevan, Le, Adam", 2019,
        "ICCV 2019", "1905.02244",
    )
    crop, table3 = "single crop", "paper Table 3"
    squeeze = (
        "All code rounds the squeeze width, expansion/4, to a multiple of 8; the text's plain quarter gives {} parameters.",
        "The gate is a hard sigmoid, the squeeze has ReLU, and it stands between the depthwise convolution's activation and "
        "the projection.",
        "torchvision's BN has eps 1e-3 and momentum 0.01.",
    )

    def first(alpha: str, pixels: int, release: tuple[float, float, str], printed: tuple[float, str, str] | None, *notes: str) -> Facts:
        top1, top5, cost = release
        results: tuple[Accuracy, ...] = (slim(top1, top5, f"single crop, checkpoint of 2018; the readme says {cost}M mult-adds"),)
        claims: tuple[Claim, ...] = ()
        if printed:
            place = "Tables 6 and 7"
            results = (accuracy(printed[0], None, crop, "paper Tables 6-9"), *results)
            claims = (Claim("mult_adds", f"{printed[1]}M", place), Claim("parameters", f"{printed[2]}M", place))
        return Facts(
            v1, f"MobileNet {alpha} at {pixels}",
            "Depthwise separable convolutions throughout: eight to nine times less computation than full 3x3 ones.",
            results, claims, notes,
        )

    v1_notes = (
        "Table 1 prints stride 2 for the last depthwise convolution (7x7x1024): it must be 1, for the maps stay 7x7. With "
        "stride 2 it is 533.8M mult-adds and 4x4 maps.",
        "The 5x of Table 1 stands for the pair of depthwise and pointwise convolutions.",
        "ReLU follows both; Keras has ReLU6. BN eps is 1e-3 in TF-slim and Keras, and their stride-2 padding is TensorFlow's, "
        "at the bottom and right only.",
        "Share of mult-adds and parameters: 1x1 94.86 and 74.57 %, depthwise 3.06 and 1.06, first layer 1.91 and 0.02, classifier "
        "0.18 and 24.35. Table 2 (recalled) prints 1.19 for the first layer: digits swapped, its column then sums to 99.29.",
        "The paper's 569M includes the classifier (567.7M without); its 290M at 160 is 290.68 cut off.",
        "The paper of v2 quotes 575M mult-adds for v1, the paper of v1 569M (568.74M by the definition).",
    )
    slim_low = (
        "TF-slim's readme prints 317M for this width and 233, 162, 104M at smaller inputs: 2.6 % below the computed 325.4, 239.3, "
        "166.4 and 106.8; the paper says 325."
    )
    return {
        #                                            TF-slim                paper
        "mobilenet_v1":           first("1.0",  224, (70.9, 89.9, "569"), (70.6, "569", "4.2"), *v1_notes),
        "mobilenet_v1@192":       first("1.0",  192, (70.0, 89.2, "418"), (69.1, "418", "4.2")),
        "mobilenet_v1@160":       first("1.0",  160, (68.0, 87.7, "291"), (67.2, "290", "4.2")),
        "mobilenet_v1@128":       first("1.0",  128, (65.2, 85.8, "186"), (64.4, "186", "4.2")),
        "mobilenet_v1_x0_75":     first("0.75", 224, (68.4, 88.2, "317"), (68.4, "325", "2.6"), slim_low),
        "mobilenet_v1_x0_75@192": first("0.75", 192, (67.2, 87.3, "233"), None),
        "mobilenet_v1_x0_75@160": first("0.75", 160, (65.3, 86.0, "162"), None),
        "mobilenet_v1_x0_75@128": first("0.75", 128, (62.1, 83.9, "104"), None),
        "mobilenet_v1_x0_5":      first("0.5",  224, (63.3, 84.9, "150"), (63.7, "149", "1.3")),
        "mobilenet_v1_x0_5@192":  first("0.5",  192, (61.7, 83.6, "110"), None),
        "mobilenet_v1_x0_5@160":  first("0.5",  160, (59.1, 81.9, "77"),  (60.2, "76", "1.32")),
        "mobilenet_v1_x0_5@128":  first("0.5",  128, (56.3, 79.4, "49"),  None),
        "mobilenet_v1_x0_25":     first("0.25", 224, (49.8, 74.2, "41"),  (50.6, "41", "0.5")),
        "mobilenet_v1_x0_25@192": first("0.25", 192, (47.7, 72.3, "34"),  None, "TF-slim prints 34M mult-adds; computed are 30.2M."),
        "mobilenet_v1_x0_25@160": first("0.25", 160, (45.5, 70.3, "21"),  None),
        "mobilenet_v1_x0_25@128": first("0.25", 128, (41.5, 66.3, "14"),  None),
        "mobilenet_v2": Facts(
            v2, "MobileNetV2",
            "Inverted residuals: blocks widen inside, shortcuts join their narrow ends, and these have no activation.",
            (accuracy(72.0, None, crop, "paper Table 4"), slim(71.8, 91.0), torchvision(71.878, 90.286),
             torchvision_v2(72.154, 90.822), keras(71.3, 90.1)),
            (Claim("parameters", "3.4M", "Table 4", "imprecise",
                   "3.50M; the count without BN scales and shifts is 3,470,760, TF-slim's 3.47M"),
             Claim("mult_adds", "300M", "Table 4")),
            ("The first bottleneck has expansion 1 and no expansion convolution.",
             "The stride is in the depthwise convolution; shortcuts only at stride 1 and equal widths; the last 1x1 is linear.",
             "Keras' BN has eps 1e-3 and momentum 0.999; TensorFlow pads strided convolutions at the bottom and right only, "
             "torchvision on all sides."),
        ),
        "mobilenet_v3_large": Facts(
            v3, "MobileNetV3-Large", "Found by search, then finished by hand: hard swish, gates, cheap first and last layers.",
            (accuracy(75.2, None, crop, table3), torchvision(74.042, 91.34), torchvision_v2(75.274, 92.566)),
            (Claim("parameters", "5.4M", table3), Claim("mult_adds", "219M", table3, "imprecise", "216.6M by the definition")),
            (squeeze[0].format("5,481,198"), *squeeze[1:],
             "Two rows have an expansion of 2.5 (200) and 2.3 (184): integers in the table, not to be recomputed."),
        ),
        "mobilenet_v3_small": Facts(
            v3, "MobileNetV3-Small", "The same search and finish for the smallest budgets.",
            (accuracy(67.4, None, crop, table3), torchvision(67.668, 87.402)),
            (Claim("parameters", "2.5M", table3), Claim("mult_adds", "56M", table3)),
            (squeeze[0].format("2,537,238"), *squeeze[1:],
             "arXiv versions 1 and 2 printed 66M mult-adds and 2.9M parameters, with a head of 1280 (2,946,568); later versions and "
             "TensorFlow have 1024. TF-slim's readme still says 66 and 2.9, and pytorchcv still builds that network.",
             "The first bneck already has its gate and stride 2."),
        ),
    }
# fmt: on
