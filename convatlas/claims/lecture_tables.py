"""Kuangnan Fang's lecture on convolutional networks (2022, Chinese), LeNet to DenseNet: its tables and walk-throughs."""

from __future__ import annotations

from convatlas.claims.claim import Answer, Claim, every, number, prints, same
from convatlas.claims.count import (
    count,
    depth,
    mult_adds,
    net,
    parameters,
    shape,
    shapes,
    steps_of,
    uncompressed_densenet169,
)
from convatlas.define import Elaborated
from convatlas.define.operations import AvgPool, Conv, Dropout
from convatlas.define.shape import show

VGG = {"A": "vgg11", "A-LRN": "vgg11_lrn", "B": "vgg13", "C": "vgg16_c", "D": "vgg16", "E": "vgg19"}
_VGG_MILLIONS = {"A": 133, "A-LRN": 133, "B": 133, "C": 134, "D": 138, "E": 144}
_VGG_TABLE = {  # kernels of the five blocks, as the table's columns print them
    "A": "3 3 33 33 33", "A-LRN": "3 3 33 33 33", "B": "33 33 33 33 33", "C": "33 33 331 331 331",
    "D": "33 33 333 333 333", "E": "33 33 3333 3333 3333",
}  # fmt: skip
_VGG19 = (
    "64x224x224 64x112x112 128x112x112 128x56x56 256x56x56 256x28x28 512x28x28 512x14x14 512x14x14 512x7x7"
)


def vgg_kernels(name: str) -> str:
    """Kernel sizes of each block."""
    blocks = (net(name)[f"block{i}"] for i in range(1, 6))
    return " ".join(
        "".join(str(p.node.kernel) for _, p in block.operations() if isinstance(p.node, Conv))
        for block in blocks
    )


def vgg_table() -> Answer:
    """The parameters of all columns, and every kernel."""
    counted = {column: parameters(name) for column, name in VGG.items()}
    kernels = {column: vgg_kernels(name) for column, name in VGG.items()}
    agrees = kernels == _VGG_TABLE and all(prints(f"{_VGG_MILLIONS[c]} M", n) for c, n in counted.items())
    return Answer("; ".join(f"{column} {n:,}" for column, n in counted.items()), agrees)


def vgg_depths() -> Answer:
    """Depth of each column."""
    depths = {column: depth(name) for column, name in VGG.items()}
    return Answer(
        ", ".join(f"{c} {n}" for c, n in depths.items()),
        len(VGG) == 6 and set(depths.values()) == {11, 13, 16, 19},
    )


def vgg19_shapes() -> str:
    """Sizes after each block and each pool of VGG-19."""
    return " ".join(shapes("vgg19", *(row for i in range(1, 6) for row in (f"block{i}", f"pool{i}"))))


def kernels_of_one() -> tuple[str, ...]:
    """Columns with 1x1 convolutions."""
    return tuple(column for column, name in VGG.items() if "1" in vgg_kernels(name))


def resnet_flops(value: str, name: str, more: str = "") -> Claim:
    """A cell of the last line of the ResNet table."""
    title = f"ResNet-{name.removeprefix('resnet').removesuffix('_a')}"
    unit = "multiply-adds of one forward pass, where the document says the computation for one training of one image; twice as many in floating-point operations"
    return Claim(
        f"{title}: 'FLOPs'", value, "reproduced",
        lambda: number(value, mult_adds(name), f"{mult_adds(name):,} mult-adds"), unit + more, place="Fig. 21",
    )  # fmt: skip


def resnet_blocks() -> Answer:
    """Blocks in each stage, and the depth that they make."""
    expected = {
        "resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3),
        "resnet152": (3, 8, 36, 3),
    }  # fmt: skip
    found = {name: tuple(len(net(name)[f"conv{i}"].children) for i in range(2, 6)) for name in expected}
    depths = [depth(name) for name in expected]
    return Answer(
        f"depths {', '.join(map(str, depths))} by counting layers",
        found == expected and depths == [18, 34, 50, 101, 152],
    )


def connections(layers: int) -> int:
    """Inputs that the layers of a dense block receive, each from all before it."""
    placed = net("densenet40_k12")["dense_block1"]
    before, growth = placed.input[0], 12
    return sum(1 + (step.input[0] - before) // growth for _, step in placed.children[:layers])


def widths_grow() -> bool:
    """Whether layer i of a dense block sees k0 + (i - 1) k maps."""
    placed = net("densenet121")["dense_block2"]
    return all(step.input[0] == placed.input[0] + i * 32 for i, (_, step) in enumerate(placed.children))


def walk(row: str, where: str, claimed: str, *, smaller: bool = False) -> Claim:
    """A step of the DenseNet-169 walk-through: both compressions, as rows x columns x channels."""

    def turned(found: Elaborated) -> str:
        output = found[row].output
        return show((*output[1:], output[0]) if len(output) == 3 else (1, 1, output[0]))

    def check() -> Answer:
        kept, halved = turned(uncompressed_densenet169()), turned(net("densenet169"))
        words = f"theta = 1, as the document has it: {kept}; theta = 0.5, the real network: {halved}"
        return Answer(words, claimed.replace("theta", "1") in {f"{kept}x1", kept})

    why = "a block gives its input and all its layers' maps joined, k0 + n k, not k"
    return Claim(
        f"DenseNet-169, walk-through: {where}",
        claimed,
        "contradicted",
        check,
        why + ("; block 3 works at 14x14" if smaller else ""),
    )


def transition() -> Answer:
    """The rows of a DenseNet transition."""
    conv, pool = (net("densenet169")[f"transition1.{row}"].node for row in ("conv", "pool"))
    assert isinstance(conv, Conv)
    assert isinstance(pool, AvgPool)
    words = f"{conv.kernel}x{conv.kernel} convolution, then {pool.kernel}x{pool.kernel} average pool"
    return Answer(words, conv.kernel == 2)


def compression() -> Answer:
    """What theta multiplies."""
    before, after = net("densenet169")["dense_block1"].output[0], net("densenet169")["transition1"].output[0]
    return Answer(f"the number of maps: {before} → {after}; k stays 32", after == 32 // 2)


_RESNET50 = ("64x112x112", "256x56x56", "512x28x28", "1024x14x14", "2048x7x7")
_LENET = ("6x28x28", "6x14x14", "16x10x10", "16x5x5", "400", "120", "84", "10")

CLAIMS = (
    Claim("batch normalization comes from Google's DeepMind", "", "contradicted", source="Ioffe & Szegedy 2015, first page: Google", why="not DeepMind"),
    Claim(
        "LeNet-5: shapes", "32x32x1, 28x28x6, 14x14x6, 10x10x16, 5x5x16, 400, 120, 84, 10", "reproduced",
        lambda: same(_LENET, shapes("lenet5", "C1", "S2", "C3", "S4", "flatten", "F5", "F6", "F7")),
        "the modern form; 'every layer has trained parameters' is true of the form of 1998; the input is counted as a layer although 'seven layers, input not counted'",
    ),
    Claim("VGG: 6 configurations of 4 depths", "11, 13, 16, 19", "reproduced", vgg_depths),
    Claim("VGG: every row of columns A to E", "as the paper's Table 1", "reproduced", vgg_table, "the paper's 133, 133, 133, 134, 138 and 144 M"),
    Claim("VGG-16 brings in 1x1 convolutions", "", "imprecise", lambda: same(("C", "D"), kernels_of_one(), f"configuration {', '.join(kernels_of_one())} alone")),
    Claim("VGG-19: shapes from first to last", "224x224x64 ... 7x7x512", "reproduced", lambda: same(_VGG19, vgg19_shapes())),
    resnet_flops("1.8e9", "resnet18"),
    resnet_flops("3.6e9", "resnet34_a", "; shortcuts A (B: 3.664e9, which rounds to 3.7)"),
    resnet_flops("3.8e9", "resnet50", "; v1.5, as torchvision has it, takes 4,089,184,256"),
    resnet_flops("7.6e9", "resnet101"),
    resnet_flops("11.3e9", "resnet152"),
    Claim("ResNet: blocks in each stage", "2-2-2-2, 3-4-6-3, 3-4-6-3, 3-4-23-3, 3-8-36-3", "reproduced", resnet_blocks, place="Fig. 21"),
    Claim("ResNet-50, walk-through: sizes", "112, 56, 28, 14, 7", "reproduced", lambda: same(_RESNET50, shapes("resnet50", "conv1", "conv2", "conv3", "conv4", "conv5"))),
    Claim("ResNet-50: dropout before the classifier", "", "contradicted", lambda: same(1, count("resnet50", Dropout), "no dropout"), "the paper uses none (§3.4)"),
    Claim("ResNet won ILSVRC and COCO 2015", "", "source_agrees", source="paper, abstract"),
    Claim("AlexNet: crops at test time", "5 crops and their mirror images: 10", "source_agrees", source="paper §4.1"),
    Claim("VGG: second in classification and first in localization at ILSVRC-2014", "", "source_agrees", source="paper, abstract; the challenge's results"),
    Claim("CIFAR-10: 56 plain layers are worse than 20", "", "source_agrees", source="ResNet paper, Fig. 1"),
    Claim("DenseNet: L layers have so many connections", "L(L+1)/2", "reproduced", lambda: same(tuple(n * (n + 1) // 2 for n in (1, 5, 12)), tuple(connections(n) for n in (1, 5, 12)), "L(L+1)/2")),
    Claim("DenseNet: maps that layer i sees", "k0 + (i-1) k", "reproduced", lambda: same(True, widths_grow(), "k0 + (i-1) k"), "for i counted from 1"),
    Claim(
        "DenseNet: layers in the blocks", "6-12-24-16, 6-12-32-32, 6-12-48-32, 6-12-64-48", "reproduced",
        lambda: every(
            *(same(steps, steps_of(f"densenet{n}"), str(depth(f"densenet{n}"))) for n, steps in ((121, (6, 12, 24, 16)), (169, (6, 12, 32, 32)), (201, (6, 12, 48, 32)), (264, (6, 12, 64, 48)))),
        ),
        "layers with weights; the printed name DenseNet-264 is one short of its printed table", place="Fig. 26",
    ),
    Claim("DenseNet: Gao Huang (Cornell), Zhuang Liu (Tsinghua), 2016, best paper of CVPR 2017", "", "source_agrees", source="paper, first page; CVPR 2017 awards"),
    walk("dense_block1", "dense block 1", "56x56x32"),
    walk("transition1", "transition 1", "28x28x32xtheta"),
    walk("dense_block2", "dense block 2", "28x28x32"),
    walk("transition2", "transition 2", "14x14x32"),
    walk("dense_block3", "dense block 3", "7x7x32", smaller=True),
    walk("transition3", "transition 3", "7x7x32"),
    walk("dense_block4", "dense block 4", "7x7x32"),
    walk("avgpool", "global pool", "1x1x32"),
    Claim("DenseNet: a transition is 'a 2x2 bottleneck layer'", "2x2", "contradicted", transition),
    Claim("DenseNet: theta compresses the growth rate k", "", "contradicted", compression, "theta turns m maps into floor(theta m)"),
    Claim("DenseNet-169: blocks of so many groups", "6, 12, 32, 32", "reproduced", lambda: same((6, 12, 32, 32), steps_of("densenet169"))),
    Claim(
        "DenseNet: the stem", "7x7, stride 2, 64 channels: 112x112x64; max pool 3x3, stride 2", "reproduced",
        lambda: same(("64x112x112", "64x56x56"), (shape("densenet169", "conv1"), shape("densenet169", "pool1"))),
    ),
)  # fmt: skip
