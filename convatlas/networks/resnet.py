"""ResNet and its plain counterparts (He, Zhang, Ren, Sun 2015), for ImageNet and CIFAR-10.

Also ResNet v1.5 (the stride moved to the 3x3 convolution) and stochastic depth (Huang et al. 2016).
Batch normalization follows every convolution and comes before the activation (§3.4), so convolutions have no bias.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count

from convatlas.define import (
    BatchNorm,
    Conv,
    GlobalAvgPool,
    Linear,
    MaxPool,
    Network,
    Node,
    PadShortcut,
    ReLU,
    Residual,
    Sequential,
    repeat,
    without_shortcuts,
)
from convatlas.define.facts import Claim, Facts, Paper
from convatlas.networks.published import error, keras, slim, torchvision, torchvision_v2

Body = Callable[[int, int], Sequential]  # (width, stride) -> what is added to the shortcut
Shortcut = Callable[[int, int], Node]  # (width that comes out, stride) -> a shortcut that changes the shape

POOL = MaxPool(3, 2, padding=1)


def basic(width: int, stride: int) -> Sequential:
    """Two 3x3 convolutions (Fig. 5, left)."""
    return Sequential(
        conv1=Conv(width, 3, stride, bias=False), bn1=BatchNorm(), relu1=ReLU(),
        conv2=Conv(width, 3, bias=False), bn2=BatchNorm(),
    )  # fmt: skip


def bottleneck(width: int, stride: int) -> Sequential:
    """1x1 to reduce, 3x3, 1x1 to restore (Fig. 5, right). The stride is in the first 1x1: the paper's mult-adds need it."""
    return Sequential(
        conv1=Conv(width, 1, stride, bias=False), bn1=BatchNorm(), relu1=ReLU(),
        conv2=Conv(width, 3, bias=False), bn2=BatchNorm(), relu2=ReLU(),
        conv3=Conv(4 * width, 1, bias=False), bn3=BatchNorm(),
    )  # fmt: skip


def bottleneck_v1_5(width: int, stride: int, groups: int = 1, inner: int | None = None) -> Sequential:
    """The bottleneck with its stride in the 3x3, which may be grouped and `inner` wide (ResNeXt)."""
    inner = inner or width
    return Sequential(
        conv1=Conv(inner, 1, bias=False), bn1=BatchNorm(), relu1=ReLU(),
        conv2=Conv(inner, 3, stride, groups=groups, bias=False), bn2=BatchNorm(), relu2=ReLU(),
        conv3=Conv(4 * width, 1, bias=False), bn3=BatchNorm(),
    )  # fmt: skip


def projection(width: int, stride: int) -> Sequential:
    """Shortcut of option B: a 1x1 convolution (eq. 2)."""
    return Sequential(conv=Conv(width, 1, stride, bias=False), bn=BatchNorm())


def stage(
    depth: int, width: int, stride: int, body: Body, *, expansion: int = 1, shortcut: Shortcut = projection
) -> Sequential:
    """`depth` residual blocks, `expansion` times as wide as their narrowest layer; the first may change the shape."""
    change = shortcut(expansion * width, stride) if stride > 1 or expansion > 1 else None
    return Sequential(
        block1=Residual(body(width, stride), change, ReLU()),
        **repeat("block", depth - 1, Residual(body(width, 1), then=ReLU()), start=2),
    )


def resnet(
    depths: tuple[int, ...],
    body: Body,
    expansion: int = 1,
    shortcut: Shortcut = projection,
    pool: Node = POOL,
) -> Network:
    """Table 1: `depths` are the numbers of blocks in conv2 to conv5."""
    part = partial(stage, body=body, expansion=expansion, shortcut=shortcut)
    return Network(
        input=(3, 224, 224),
        conv1=Conv(64, 7, 2, bias=False), bn1=BatchNorm(), relu1=ReLU(), pool1=pool,
        conv2=part(depths[0], 64, 1),
        conv3=part(depths[1], 128, 2),
        conv4=part(depths[2], 256, 2),
        conv5=part(depths[3], 512, 2),
        avgpool=GlobalAvgPool(), fc=Linear(1000),
    )  # fmt: skip


def cifar(depth: int) -> Network:
    """§4.2: 6n + 2 layers, 2n on each map size, shortcuts without parameters (option A)."""
    n = (depth - 2) // 6
    return Network(
        input=(3, 32, 32),
        conv1=Conv(16, 3, bias=False), bn1=BatchNorm(), relu1=ReLU(),
        stage1=stage(n, 16, 1, basic),
        stage2=stage(n, 32, 2, basic, shortcut=PadShortcut),
        stage3=stage(n, 64, 2, basic, shortcut=PadShortcut),
        avgpool=GlobalAvgPool(), fc=Linear(10),
    )  # fmt: skip


def stochastic_depth(network: Network, last: float = 0.5) -> Network:
    """Block l of L survives a mini-batch with 1 - l/L (1 - last) (Huang et al. 2016, eq. 4)."""
    total = sum(len(node.children) for _, node in network.rows if isinstance(node, Sequential))
    number = count(1)

    def mortal(block: Node) -> Node:
        assert isinstance(block, Residual)
        survival = 1 - next(number) / total * (1 - last)
        return Residual(block.body, block.shortcut, block.then, survival=survival)

    def row(node: Node) -> Node:
        if not isinstance(node, Sequential):
            return node
        return node.with_children(tuple((name, mortal(block)) for name, block in node.children))

    return network.replaced(rows=tuple((name, row(node)) for name, node in network.rows))


# fmt: off
NETWORKS: dict[str, Callable[[], Network]] = {
    # Table 1                        conv2 conv3 conv4 conv5
    "resnet18_a":     lambda: resnet(( 2,    2,    2,    2), basic, shortcut=PadShortcut),
    "resnet34_a":     lambda: resnet(( 3,    4,    6,    3), basic, shortcut=PadShortcut),
    "resnet18":       lambda: resnet(( 2,    2,    2,    2), basic),
    "resnet34":       lambda: resnet(( 3,    4,    6,    3), basic),
    "resnet50":       lambda: resnet(( 3,    4,    6,    3), bottleneck, 4),
    "resnet101":      lambda: resnet(( 3,    4,   23,    3), bottleneck, 4),
    "resnet152":      lambda: resnet(( 3,    8,   36,    3), bottleneck, 4),
    "resnet50_v1_5":  lambda: resnet(( 3,    4,    6,    3), bottleneck_v1_5, 4),
    "resnet101_v1_5": lambda: resnet(( 3,    4,   23,    3), bottleneck_v1_5, 4),
    "resnet152_v1_5": lambda: resnet(( 3,    8,   36,    3), bottleneck_v1_5, 4),
    # the same layers without shortcuts, which the paper compares with
    "plain18":        lambda: without_shortcuts(NETWORKS["resnet18_a"]()),
    "plain34":        lambda: without_shortcuts(NETWORKS["resnet34_a"]()),
    # Table 6, CIFAR-10
    "plain20":        lambda: without_shortcuts(cifar(20)),
    "plain32":        lambda: without_shortcuts(cifar(32)),
    "plain44":        lambda: without_shortcuts(cifar(44)),
    "plain56":        lambda: without_shortcuts(cifar(56)),
    "resnet20":       lambda: cifar(20),
    "resnet32":       lambda: cifar(32),
    "resnet44":       lambda: cifar(44),
    "resnet56":       lambda: cifar(56),
    "resnet110":      lambda: cifar(110),
    "resnet1202":     lambda: cifar(1202),
    "resnet110_stochastic_depth": lambda: stochastic_depth(cifar(110)),
}


def facts() -> dict[str, Facts]:
    """What was published."""
    paper = Paper("Deep Residual Learning for Image Recognition", "He, Zhang, Ren, Sun", 2015, "CVPR 2016", "1512.03385")
    ten, scales = "10 crops", "multi-scale, fully convolutional, single model"
    plain = "The yardstick: layers stacked as in VGG, where more depth makes even the training error worse."
    residual = "Shortcuts: layers learn what to add to their input, so that depth helps instead of hurting."
    narrow = "Bottleneck blocks: 1x1 convolutions narrow and widen again around the 3x3, so that depth costs little."
    moved = "Not in the paper: the stride moves from the first 1x1 convolution to the 3x3, which then sees every position."
    small = "Shows on CIFAR-10 that very deep networks train, with narrow layers and shortcuts without parameters."
    stride = (
        "The stride is in the first 1x1 convolution (and the projection) of conv3_1, conv4_1 and conv5_1: only so do the "
        "paper's FLOPs come out. v1.5 costs 231,211,008 mult-adds more at every depth, with the same parameters."
    )
    recipe = (
        "torchvision's IMAGENET1K_V2 weights come from a newer training recipe and are tested on a crop of 224 from 232: "
        "never quote their accuracy as the paper's."
    )
    option_a = "All shortcuts are option A, identity with zero padding: no projection, so no parameters in them."

    def macs(value: str) -> tuple[Claim, ...]:
        return (Claim("mult_adds", value, "Table 1, FLOPs: multiply-adds"),)

    def on_cifar(title: str, top1: float, parameters: str, *more: str, spread: str = "") -> Facts:
        result = error(top1, None, f"pad-4 crop and flip{spread}", "paper Table 6", dataset="CIFAR-10 test")
        claim = Claim("parameters", parameters, "Table 6")
        return Facts(paper, title, small, (result,), (claim,), (option_a, *more))

    def bottlenecked(title: str, value: str, biases: str, *figures: tuple[float, float]) -> Facts:
        release, table3, table4, tf, applications = figures
        results = (
            error(*release, "1 crop 224 from 256", "readme of the authors' release"),
            error(*table3, ten, "paper Table 3"), error(*table4, scales, "paper Table 4"),
            slim(*tf), keras(*applications),
        )
        kept = f"Keras keeps the biases of its convolutions: {biases} trained parameters more, and BN eps is 1.001e-5."
        return Facts(paper, title, narrow, results, macs(value), (stride, kept))

    def as_trained_today(depth: int, v1: tuple[float, float], v2: tuple[float, float]) -> Facts:
        results = (torchvision(*v1), torchvision_v2(*v2))
        return Facts(paper, f"ResNet-{depth} v1.5 (stride in the 3x3)", moved, results, (), (recipe,))

    def plain_on_cifar(depth: int) -> Facts:
        same = f"Exactly the parameters of ResNet-{depth}, whose shortcuts have none."
        return Facts(paper, f"Plain-{depth} for CIFAR-10", plain, deviations=(same,))

    stochastic = Paper(
        "Deep Networks with Stochastic Depth", "Huang, Sun, Liu, Sedra, Weinberger", 2016, "ECCV 2016", "1603.09382"
    )
    return {
        "plain18": Facts(
            paper, "Plain-18", plain, (error(27.94, None, ten, "paper Table 2"),), (),
            ("The same parameters as ResNet-18 with option A shortcuts.",),
        ),
        "plain34": Facts(paper, "Plain-34", plain, (error(28.54, None, ten, "paper Table 2"),), macs("3.6e9")),
        "resnet18_a": Facts(
            paper, "ResNet-18, option A shortcuts", residual, (error(27.88, None, ten, "paper Table 2"),), macs("1.8e9"),
            ("Table 2 has zero-padded, strided identity shortcuts: 11,515,688 parameters; popular code has option B, 11,689,512.",),
        ),
        "resnet34_a": Facts(
            paper, "ResNet-34, option A shortcuts", residual, (error(25.03, 7.76, ten, "paper Tables 2 and 3"),),
            macs("3.6e9"),
        ),
        "resnet18": Facts(
            paper, "ResNet-18, option B shortcuts", residual, (torchvision(69.758, 89.078),), macs("1.8e9"),
            ("Projections where the shape changes. With projections everywhere (option C): 12,043,816 parameters.",),
        ),
        "resnet34": Facts(
            paper, "ResNet-34, option B shortcuts", residual,
            (error(24.52, 7.46, ten, "paper Table 3 (34 B)"), torchvision(73.314, 91.42)), macs("3.6e9"),
            ("Projections where the shape changes. With projections everywhere (option C): 22,716,840 parameters.",),
        ),
        #                                      FLOPs     biases   1 crop       Table 3        Table 4        TF-slim       Keras
        "resnet50":  bottlenecked("ResNet-50",  "3.8e9",  "26,560", (24.7, 7.8), (22.85, 6.71), (20.74, 5.25), (75.2, 92.2), (74.9, 92.1)),
        "resnet101": bottlenecked("ResNet-101", "7.6e9",  "52,672", (23.6, 7.1), (21.75, 6.05), (19.87, 4.60), (76.4, 92.9), (76.4, 92.8)),
        "resnet152": bottlenecked("ResNet-152", "11.3e9", "75,712", (23.0, 6.7), (21.43, 5.71), (19.38, 4.49), (76.8, 93.2), (76.6, 93.1)),
        "resnet50_v1_5":  as_trained_today(50,  (76.130, 92.862), (80.858, 95.434)),
        "resnet101_v1_5": as_trained_today(101, (77.374, 93.546), (81.886, 95.780)),
        "resnet152_v1_5": as_trained_today(152, (78.312, 94.046), (82.284, 96.002)),
        **{f"plain{depth}": plain_on_cifar(depth) for depth in (20, 32, 44, 56)},
        "resnet20": on_cifar("ResNet-20 for CIFAR-10", 8.75, "0.27M"),
        "resnet32": on_cifar("ResNet-32 for CIFAR-10", 7.51, "0.46M"),
        "resnet44": on_cifar("ResNet-44 for CIFAR-10", 7.17, "0.66M"),
        "resnet56": on_cifar("ResNet-56 for CIFAR-10", 6.97, "0.85M"),
        "resnet110": on_cifar(
            "ResNet-110 for CIFAR-10", 6.43, "1.7M",
            "It was warmed up at a learning rate of 0.01 until the training error fell below 80 % (§4.2).",
            spread="; best of 5, 6.61 ± 0.16",
        ),
        "resnet1202": on_cifar("ResNet-1202 for CIFAR-10", 7.93, "19.4M"),
        "resnet110_stochastic_depth": Facts(
            stochastic, "ResNet-110 with stochastic depth",
            "Blocks are dropped at random while training: a short network learns, a deep one is tested.",
            (error(5.23, None, "linear decay, p_L = 0.5; 6.41 with constant depth", "paper; table of the WRN paper", dataset="CIFAR-10 test"),
             error(24.58, None, "linear decay, p_L = 0.5", "table of the WRN paper", dataset="CIFAR-100 test"),
             error(5.25, None, "authors' code, test at the best validation", "release readme", dataset="CIFAR-10 test")),
            (Claim("parameters", "1.7M", "experiments"),),
            ("Block l of 54 survives with 1 - l/L (1 - p_L), the last with 0.5: on average (3·54 - 1)/4 = 40.25 are active.",
             "Only the residual branch is dropped; at test it is multiplied by p_l (the later DropPath scales up in training).",
             "The same parameters as ResNet-110."),
        ),
    }
# fmt: on
