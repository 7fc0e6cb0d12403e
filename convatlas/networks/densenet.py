"""DenseNet: Huang, Liu, van der Maaten & Weinberger, Densely Connected Convolutional Networks, 2016.

Every layer of a dense block sees the maps of all layers before it, joined, and adds k (the growth rate) of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from convatlas.define import (
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    GlobalAvgPool,
    Linear,
    MaxPool,
    Network,
    Node,
    ReLU,
    Sequential,
    repeat,
)
from convatlas.define.facts import Accuracy, Claim, Facts, Paper
from convatlas.networks.published import error, keras, torchvision


def layer(growth: int) -> Sequential:
    """H of §3: batch norm, ReLU, 3x3 convolution."""
    return Sequential(bn1=BatchNorm(), relu1=ReLU(), conv1=Conv(growth, 3, bias=False))


def bottleneck(growth: int) -> Sequential:
    """DenseNet-B: a 1x1 convolution to 4k maps before the 3x3."""
    return Sequential(
        bn1=BatchNorm(), relu1=ReLU(), conv1=Conv(4 * growth, 1, bias=False),
        bn2=BatchNorm(), relu2=ReLU(), conv2=Conv(growth, 3, bias=False),
    )  # fmt: skip


def transition(width: int) -> Sequential:
    """Between blocks: 1x1 convolution, then average pooling that halves the maps."""
    return Sequential(bn=BatchNorm(), relu=ReLU(), conv=Conv(width, 1, bias=False), pool=AvgPool(2))


def blocks(
    width: int, depths: tuple[int, ...], growth: int, step: Callable[[int], Sequential], theta: float
) -> dict[str, Node]:
    """Dense blocks on `width` maps, a transition that keeps theta of the maps after each but the last."""
    rows: dict[str, Node] = {}
    for i, depth in enumerate(depths, 1):
        rows[f"dense_block{i}"] = Dense(**repeat("layer", depth, step(growth)))
        width = int(theta * (width + depth * growth))
        if i < len(depths):
            rows[f"transition{i}"] = transition(width)
    return rows


def densenet(growth: int, *depths: int) -> Network:
    """Table 1: DenseNet-BC with theta 0.5 for ImageNet; the stem is convolution, then norm, 2k wide."""
    width = 2 * growth
    rows: dict[str, Node] = {
        "conv1": Conv(width, 7, 2, bias=False), "bn1": BatchNorm(), "relu1": ReLU(), "pool1": MaxPool(3, 2, padding=1),
        **blocks(width, depths, growth, bottleneck, 0.5),
        "norm": BatchNorm(), "relu": ReLU(), "avgpool": GlobalAvgPool(), "fc": Linear(1000),
    }  # fmt: skip
    return Network(input=(3, 224, 224), rows=tuple(rows.items()))


def cifar(depth: int, growth: int, *, bc: bool = False) -> Network:
    """§3, implementation details: three blocks for CIFAR; the stem has 16 maps, with BC 2k."""
    step, theta, width = (bottleneck, 0.5, 2 * growth) if bc else (layer, 1.0, 16)
    depths = ((depth - 4) // (6 if bc else 3),) * 3
    rows: dict[str, Node] = {
        "conv1": Conv(width, 3, bias=False),
        **blocks(width, depths, growth, step, theta),
        "norm": BatchNorm(), "relu": ReLU(), "avgpool": GlobalAvgPool(), "fc": Linear(10),
    }  # fmt: skip
    return Network(input=(3, 32, 32), rows=tuple(rows.items()))


# fmt: off
NETWORKS: dict[str, Callable[[], Network]] = {
    #                               k   layers in each block
    "densenet121": lambda: densenet(32, 6, 12, 24, 16),
    "densenet161": lambda: densenet(48, 6, 12, 36, 24),
    "densenet169": lambda: densenet(32, 6, 12, 32, 32),
    "densenet201": lambda: densenet(32, 6, 12, 48, 32),
    "densenet264": lambda: densenet(32, 6, 12, 64, 48),
    #                                   L    k    (Table 2)
    "densenet40_k12":     lambda: cifar(40,  12),
    "densenet100_k12":    lambda: cifar(100, 12),
    "densenet100_k24":    lambda: cifar(100, 24),
    "densenet100_bc_k12": lambda: cifar(100, 12, bc=True),
    "densenet250_bc_k24": lambda: cifar(250, 24, bc=True),
    "densenet190_bc_k40": lambda: cifar(190, 40, bc=True),
}


def facts() -> dict[str, Facts]:
    """What was published."""
    paper = Paper(
        "Densely Connected Convolutional Networks", "Huang, Liu, van der Maaten, Weinberger", 2016, "CVPR 2017", "1608.06993"
    )
    new = "Dense connections: every layer reads all maps before it in its block, so that narrow layers suffice."
    pattern = (
        "A layer is BN, ReLU, 1x1 convolution to 4k, BN, ReLU, 3x3 convolution to k, and its output is joined, not added; "
        "a transition is BN, ReLU, 1x1 convolution to half the channels, 2x2 average pool; a last BN and ReLU precede the "
        "global pool, and are easily forgotten."
    )
    stem = "The stem is 2k = 64 wide."
    wide_stem = (
        "The stem has 16 channels (paper); (L - 4)/3 layers a block; transitions keep the width (theta 1), no bottleneck."
    )
    copies = (
        "The authors' later Torch code makes the stem 2k here too (1,059,298, 7,083,538 and 28,071,706 parameters), and "
        "pytorchcv compresses by 0.5: neither gives the paper's counts."
    )
    bc_stem = "The stem has 2k channels; three blocks of (L - 4)/6 layers."
    one, ten = "single crop 224", "10 crops"

    def imagenet(
        title: str, crop: tuple[float, float], crops: tuple[float, float], *released: Accuracy, more: str | None = None
    ) -> Facts:
        results = (error(*crop, one, "paper Table 3"), error(*crops, ten, "paper Table 3"), *released)
        return Facts(paper, title, new, results, (), (pattern, stem) if more is None else (pattern, stem, more))

    def on_cifar(title: str, parameters: str, *errors: float | None) -> Facts:
        # CIFAR-10, 10+, 100, 100+; the "+" is pad-4 crop and flip
        protocols = {"CIFAR-10": "no augmentation, dropout 0.2", "CIFAR-10+": "pad-4 crop and flip",
                     "CIFAR-100": "no augmentation, dropout 0.2", "CIFAR-100+": "pad-4 crop and flip"}
        results = tuple(
            error(top1, None, protocol, "release readme", dataset=f"{dataset} test")
            for (dataset, protocol), top1 in zip(protocols.items(), errors, strict=True) if top1 is not None
        )
        notes = (bc_stem,) if "BC" in title else (wide_stem, copies)
        return Facts(paper, title, new, results, (Claim("parameters", parameters, "Table 2"),), notes)

    return {
        "densenet121": imagenet(
            "DenseNet-121", (25.02, 7.71), (23.61, 6.66), torchvision(74.434, 91.972), keras(75.0, 92.3),
            more="Popular code has no dropout by default, Keras' BN eps is 1.001e-5; Table 1's \"conv\" means BN-ReLU-conv, "
            "but the stem is conv-BN-ReLU.",
        ),
        "densenet169": imagenet("DenseNet-169", (23.8, 6.85), (22.08, 5.92), torchvision(75.6, 92.806), keras(76.2, 93.2)),
        "densenet201": imagenet("DenseNet-201", (22.58, 6.34), (21.46, 5.54), torchvision(76.896, 93.37), keras(77.3, 93.6)),
        "densenet264": imagenet(
            "DenseNet-264", (22.15, 6.12), (20.8, 5.29),
            more="Blocks of 6, 12, 64 and 48 make 1 + 260 + 3 + 1 = 265 layers: the name is one short (121, 169, 201 are right).",
        ),
        "densenet161": Facts(
            paper, "DenseNet-161 (k = 48)", new,
            (error(22.2, None, "single crop", "release readme"), torchvision(77.138, 93.56)), (),
            ("Of the authors' release and (recalled) earlier versions of the paper, where the final Table 1 has 264; stem 96.",),
        ),
        #                                                         parameters  C10   C10+  C100   C100+
        "densenet40_k12":     on_cifar("DenseNet L = 40, k = 12",     "1.0M",  7.0,  5.24, 27.55, 24.42),
        "densenet100_k12":    on_cifar("DenseNet L = 100, k = 12",    "7.0M",  5.77, 4.1,  23.79, 20.2),
        "densenet100_k24":    on_cifar("DenseNet L = 100, k = 24",    "27.2M", 5.83, 3.74, 23.42, 19.25),
        "densenet100_bc_k12": on_cifar("DenseNet-BC L = 100, k = 12", "0.8M",  5.92, 4.51, 24.15, 22.27),
        "densenet250_bc_k24": on_cifar("DenseNet-BC L = 250, k = 24", "15.3M", 5.19, 3.62, 19.64, 17.6),
        "densenet190_bc_k40": on_cifar("DenseNet-BC L = 190, k = 40", "25.6M", None, 3.46, None,  17.18),
    }
# fmt: on
