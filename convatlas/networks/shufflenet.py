"""ShuffleNet v1 (Zhang, Zhou, Lin & Sun 2017) and v2 (Ma, Zhang, Zheng & Sun 2018).

Grouped or split channels make the 1x1 convolutions cheap; shuffling lets what they compute cross the groups.
"""

from __future__ import annotations

from collections.abc import Callable

from convatlas.define import (
    AvgPool,
    BatchNorm,
    ChannelShuffle,
    Concat,
    Conv,
    DepthwiseConv,
    GlobalAvgPool,
    Linear,
    MaxPool,
    Network,
    Node,
    ReLU,
    Residual,
    Sequential,
    Slice,
    repeat,
)
from convatlas.define.facts import Accuracy, Claim, Facts, Paper
from convatlas.networks.published import error, torchvision


def body(width: int, out: int, groups: int, stride: int = 1, *, first: bool = False) -> Sequential:
    """v1, Fig. 2: grouped 1x1 to `width`, shuffle, depthwise 3x3 without ReLU, grouped 1x1 to `out`.

    The network's very first 1x1 is not grouped: its input is narrow (§3.2).
    """
    shuffle: dict[str, Node] = {"shuffle": ChannelShuffle(groups)} if groups > 1 else {}
    return Sequential(
        gconv1=Conv(width, 1, groups=1 if first else groups, bias=False), bn1=BatchNorm(), relu1=ReLU(), **shuffle,
        dwconv=DepthwiseConv(3, stride, bias=False), bn2=BatchNorm(),
        gconv2=Conv(out, 1, groups=groups, bias=False), bn3=BatchNorm(),
    )  # fmt: skip


def stage_v1(depth: int, before: int, out: int, groups: int, *, first: bool = False) -> Sequential:
    """`depth` units; the first halves the maps and joins its branch to the pooled input, `before` channels wide."""
    down = Concat(pool=AvgPool(3, 2, padding=1), body=body(out // 4, out - before, groups, 2, first=first))
    unit = Residual(body(out // 4, out, groups), then=ReLU())
    return Sequential(unit1=Sequential(join=down, relu=ReLU()), **repeat("unit", depth - 1, unit, start=2))


def shufflenet_v1(groups: int, stem: int, width: int) -> Network:
    """v1, Table 1: `width` channels in stage 2, doubled in stages 3 and 4."""
    return Network(
        input=(3, 224, 224),
        conv1=Conv(stem, 3, 2, bias=False), bn1=BatchNorm(), relu1=ReLU(), pool1=MaxPool(3, 2, padding=1),
        stage2=stage_v1(4, stem, width, groups, first=True),
        stage3=stage_v1(8, width, 2 * width, groups),
        stage4=stage_v1(4, 2 * width, 4 * width, groups),
        avgpool=GlobalAvgPool(), fc=Linear(1000),
    )  # fmt: skip


def branch(width: int, stride: int) -> dict[str, Node]:
    """v2, Fig. 3: the branch that computes."""
    return {
        "conv1": Conv(width, 1, bias=False), "bn1": BatchNorm(), "relu1": ReLU(),
        "dwconv": DepthwiseConv(3, stride, bias=False), "bn2": BatchNorm(),
        "conv2": Conv(width, 1, bias=False), "bn3": BatchNorm(), "relu2": ReLU(),
    }  # fmt: skip


def stage_v2(depth: int, out: int) -> Sequential:
    """`depth` units; the first halves the maps on both branches, the others split the channels and leave one half alone."""
    half = out // 2
    down = Concat(
        shortcut=Sequential(
            dwconv=DepthwiseConv(3, 2, bias=False), bn1=BatchNorm(),
            conv=Conv(half, 1, bias=False), bn2=BatchNorm(), relu=ReLU(),
        ),
        body=Sequential(**branch(half, 2)),
    )  # fmt: skip
    keep = Concat(shortcut=Slice(0), body=Sequential(split=Slice(1), **branch(half, 1)))
    shuffle = ChannelShuffle(2)
    return Sequential(
        unit1=Sequential(join=down, shuffle=shuffle),
        **repeat("unit", depth - 1, Sequential(join=keep, shuffle=shuffle), start=2),
    )


def shufflenet_v2(stage2: int, stage3: int, stage4: int, conv5: int) -> Network:
    """v2, Table 5: a column of output channels."""
    return Network(
        input=(3, 224, 224),
        conv1=Conv(24, 3, 2, bias=False), bn1=BatchNorm(), relu1=ReLU(), pool1=MaxPool(3, 2, padding=1),
        stage2=stage_v2(4, stage2),
        stage3=stage_v2(8, stage3),
        stage4=stage_v2(4, stage4),
        conv5=Conv(conv5, 1, bias=False), bn5=BatchNorm(), relu5=ReLU(),
        avgpool=GlobalAvgPool(), fc=Linear(1000),
    )  # fmt: skip


# fmt: off
NETWORKS: dict[str, Callable[[], Network]] = {
    #                                            groups conv1 stage2
    "shufflenet_v1_g1":       lambda: shufflenet_v1(1,   24,  144),
    "shufflenet_v1_g2":       lambda: shufflenet_v1(2,   24,  200),
    "shufflenet_v1_g3":       lambda: shufflenet_v1(3,   24,  240),
    "shufflenet_v1_g4":       lambda: shufflenet_v1(4,   24,  272),
    "shufflenet_v1_g8":       lambda: shufflenet_v1(8,   24,  384),
    "shufflenet_v1_g1_x0_5":  lambda: shufflenet_v1(1,   12,   72),
    "shufflenet_v1_g3_x0_5":  lambda: shufflenet_v1(3,   12,  120),
    "shufflenet_v1_g8_x0_5":  lambda: shufflenet_v1(8,   16,  192),  # conv1 as released
    "shufflenet_v1_g1_x0_25": lambda: shufflenet_v1(1,    6,   36),
    "shufflenet_v1_g3_x0_25": lambda: shufflenet_v1(3,    6,   60),
    #                                         stage2 stage3 stage4 conv5
    "shufflenet_v2_x0_5": lambda: shufflenet_v2( 48,   96,  192,  1024),
    "shufflenet_v2_x1_0": lambda: shufflenet_v2(116,  232,  464,  1024),
    "shufflenet_v2_x1_5": lambda: shufflenet_v2(176,  352,  704,  1024),
    "shufflenet_v2_x2_0": lambda: shufflenet_v2(244,  488,  976,  2048),
}


def facts() -> dict[str, Facts]:
    """What was published."""
    v1 = Paper(
        "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices", "Zhang, Zhou, Lin, Sun",
        2017, "CVPR 2018", "1707.01083",
    )
    v2 = Paper(
        "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design", "Ma, Zhang, Zheng, Sun", 2018,
        "ECCV 2018", "1807.11164",
    )
    new_v1 = "Channel shuffle: grouped 1x1 convolutions, whose groups exchange their channels between layers."
    new_v2 = "Designed for measured speed: equal widths, no grouped 1x1, a channel split in place of the sum."
    crop, single = "single crop 224", "single crop"
    scaled = "conv1 is scaled too (24 times the width)."
    quarter = "The paper's 13M need 12 channels in conv1, where pytorchcv, and the rule of scaling, have 6."

    def first(
        title: str, millions: str, counted: str, top1: float, *notes: str, verdict: str = "reproduced",
        more: tuple[Accuracy, ...] = (), claims: tuple[Claim, ...] = (),
    ) -> Facts:
        cost = Claim("mult_adds", f"{millions}M", "Tables 1 and 2, complexity", verdict, f"{counted} in the convolutions alone")
        results = (error(top1, None, crop, "paper Table 2"), *more)
        return Facts(v1, f"ShuffleNet {title}", new_v1, results, (cost, *claims), notes)

    def second(
        width: str, parameters: str, cost: tuple[str, str], paper: float, release: tuple[float, float], weights: Accuracy,
        *notes: str, checked: str = "recalled",
    ) -> Facts:
        reason = f"{cost[1]} under it; batch norm, ReLU or biases do not explain the difference"
        results = (
            error(paper, None, crop, "paper Table 8", checked=checked),
            error(*release, single, "readme of the authors' release"), weights,
        )
        claims = (Claim("mult_adds", cost[0], "Tables 5 and 8", "imprecise", reason), Claim("parameters", parameters, "release and Table 5"))
        return Facts(v2, f"ShuffleNet v2 {width}", new_v2, results, claims, notes)

    def released(top1: float, top5: float, source: str = "readme of the authors' PyTorch release") -> tuple[Accuracy, ...]:
        return (error(top1, top5, single, source),)

    return {
        "shufflenet_v1_g1": first("1x, g = 1", "143", "142.50M", 33.6),
        "shufflenet_v1_g2": first("1x, g = 2", "140", "140.04M", 32.7),
        "shufflenet_v1_g3": first(
            "1x, g = 3", "137", "136.50M", 32.6,
            "The first 1x1 convolution of stage 2 is not grouped (24 input channels); grouping it too gives 133.49M.",
            "The bottleneck is 1/4 of the unit's output; units with stride 2 compute output minus input channels and join "
            "them to a 3x3 average pool of the input.",
            "No ReLU follows the depthwise convolution. The paper's complexity leaves the classifier out: all five of 143, "
            "140, 137, 133 and 137M agree so, and three of the five disagree with it.",
            "The authors' PyTorch release has no bias in the classifier: 1000 parameters fewer.",
            more=released(32.2, 12.3),
        ),
        "shufflenet_v1_g4": first("1x, g = 4", "133", "133.25M", 32.8),
        "shufflenet_v1_g8": first("1x, g = 8", "137", "136.83M", 32.4, more=released(32.0, 13.6)),
        "shufflenet_v1_g1_x0_5": first("0.5x, g = 1", "38", "38.23M", 45.1, scaled),
        "shufflenet_v1_g3_x0_5": first("0.5x, g = 3", "38", "37.11M", 43.2, scaled, verdict="imprecise"),
        "shufflenet_v1_g1_x0_25": first(
            "0.25x, g = 1", "13", "10.86M (13.02M if conv1 keeps 12 channels)", 57.1, scaled, quarter, verdict="contradicted"
        ),
        "shufflenet_v1_g3_x0_25": first(
            "0.25x, g = 3", "13", "10.77M (13.06M if conv1 keeps 12 channels)", 55.0, scaled, quarter, verdict="contradicted"
        ),
        "shufflenet_v1_g8_x0_5": first(
            "0.5x, g = 8, as released", "38", "39.70M, with conv1 at the release's 16 channels,", 42.3,
            "At 0.5x and 0.25x the widths for g = 2, 4 and 8 cannot be divided by g (bottlenecks of 25 and 34, a branch of 180) "
            "and the paper does not say how it rounded: its other scaled networks (errors 44.4, 41.6, 42.3 and 56.8, 54.2, "
            "52.7) cannot be reconstructed; this is the authors' release.",
            verdict="contradicted", more=released(41.2, 19.0, "release readme"),
            claims=(Claim("mult_adds", "40M", "release readme"), Claim("parameters", "1.0M", "release readme")),
        ),
        "shufflenet_v2_x0_5": second("0.5x", "1.4M", ("41M", "1.3 %"), 39.7, (38.9, 17.4), torchvision(60.552, 81.746)),
        "shufflenet_v2_x1_0": second("1x", "2.3M", ("146M", "0.8 %"), 30.6, (30.6, 11.1), torchvision(69.362, 88.316)),
        "shufflenet_v2_x1_5": second(
            "1.5x", "3.5M", ("299M", "1.1 %"), 27.4, (27.4, 9.4), torchvision(72.996, 91.086, resize=232), checked="seen"
        ),
        "shufflenet_v2_x2_0": second(
            "2x", "7.4M", ("591M", "1.3 %"), 25.1, (25.0, 7.6), torchvision(76.23, 93.006, resize=232),
            "Stage 2 has 48, 116, 176 and 244 channels in the four sizes: 2x has 244, where some copies print 224.",
        ),
    }
# fmt: on
