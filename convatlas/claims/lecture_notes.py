"""louwill, "Deep learning notes, lecture 6" (2018, Chinese): LeNet-5 to ResNet."""

from __future__ import annotations

import math

from convatlas.claims.claim import Answer, Claim, number, prints, same
from convatlas.claims.count import convolutions, depth, mult_adds, net, parameters
from convatlas.define.operations import Conv, MaxPool


def lenet_parameters() -> Answer:
    """Layers, and what is trained of them; the RBF output's codes are fixed."""
    fixed = net("lenet5_1998")["output"]
    words = f"{parameters('lenet5_1998'):,} trained; the output layer's {fixed.statistics} are fixed"
    return Answer(words, depth("lenet5_1998") == 7 and parameters("lenet5_1998") == 60_000)


def alexnet_numbers() -> Answer:
    """Connections, parameters and units of AlexNet."""
    rows = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
    units = sum(math.prod(net("alexnet")[row].output) for row in rows)
    everything, conv, count = mult_adds("alexnet"), convolutions("alexnet"), parameters("alexnet")
    words = (
        f"{everything / 1e6:.1f}M mult-adds ({conv / 1e6:.1f}M in convolutions) / {count:,} / {units:,} units"
    )
    return Answer(words, prints("630 M", everything) and prints("60 M", count) and prints("650 K", units))


def pools() -> tuple[str, ...]:
    """Convolutions of AlexNet that a max pool follows."""
    rows = net("alexnet").rows
    return tuple(row.removeprefix("pool") for row, placed in rows if isinstance(placed.node, MaxPool))


def pattern() -> str:
    """Convolutions in each block of VGG-16."""
    blocks = (net("vgg16")[f"block{i}"] for i in range(1, 6))
    return "-".join(str(sum(isinstance(p.node, Conv) for _, p in block.operations())) for block in blocks)


def first_module() -> Answer:
    """Widths of the four towers of GoogLeNet's first module."""
    placed = net("googlenet")["inception3a"]
    widths = [tower.output[0] for _, tower in placed.children]
    words = f"{' + '.join(map(str, widths))} = {sum(widths)} → {placed.output[1]}x{placed.output[2]}x{placed.output[0]}"
    return Answer(
        words,
        sorted(widths) == [32, 32, 64, 128]
        and placed.output == (256, 28, 28)
        and placed.input == (192, 28, 28),
    )


_DEPTHS = ("vgg11", "vgg11_lrn", "vgg13", "vgg16_c", "vgg16", "vgg19")
CLAIMS = (
    Claim("length of the LeNet paper", "42 pages", "contradicted", lambda: number("42", 2324 - 2278 + 1, f"pages 2278 to 2324: {2324 - 2278 + 1}"), "by the document's own reference"),
    Claim("LeNet-5: seven layers without the input, each with trained parameters; parameters", "7; 60,000", "reproduced", lenet_parameters),
    Claim("GoogLeNet bears LeNet's name so many years later", "16", "reproduced", lambda: same(16, 2014 - 1998, "1998 to 2014")),
    Claim("AlexNet: top-5 error at ILSVRC-2012, and the second place's", "16.4 %, 26.2 %", "imprecise", source="paper Table 2 and §6", why="16.4 % is five networks; the entry that won, seven of which two had been trained on more data, has 15.3 %"),
    Claim(
        "AlexNet: connections, parameters, neurons", "630 million / 60 million / 650,000", "imprecise", alexnet_numbers,
        "the parameters agree; 630 million is from the authors' slides, not the paper, and no count gives it",
    ),
    Claim("AlexNet: max pooling after convolutions", "1, 2, 5", "reproduced", lambda: same(("1", "2", "5"), pools())),
    Claim("ZFNet: top-5 error, winner of ILSVRC-2013", "11.2 %", "contradicted", source="challenge results; paper: 16.5 % (one network), 14.8 % (six) on test", why="11.2 % is Clarifai's entry with more data (11.7 % without)"),
    Claim("VGG16: top-5 error, second at ILSVRC-2014", "7.32 %", "imprecise", source="paper Table 7: 7.3 % on test", why="the submission of seven networks, not VGG16; one network has 8.43 % in the ResNet paper's Table 4"),
    Claim("VGG: convolutions a block", "2-2-3-3-3", "reproduced", lambda: same("2-2-3-3-3", pattern(), f"VGG-D: {pattern()}")),
    Claim("VGG: five depths, A to E", "5", "imprecise", lambda: same(5, len({depth(name) for name in _DEPTHS}), f"{len({depth(name) for name in _DEPTHS})} depths in {len(_DEPTHS)} columns of 5 letters")),
    Claim("GoogLeNet: top-5 error of the winner", "6.67 %", "imprecise", source="paper Table 2: 6.67 % (6.66 in the ResNet paper)", why="seven networks with 144 crops; one network with one crop has 10.07 %"),
    Claim("Inception module on 28x28x192: 32 + 32 + 128 + 64", "256", "reproduced", first_module),
    Claim("ResNet: 3.57 % top-5 error of 'a single model'", "3.57 %", "contradicted", source="paper Tables 4 and 5: 4.49 % for one model on validation", why="3.57 % is six models together, on test"),
    Claim("56 plain layers are above 20 in training and test error", "", "source_agrees", source="ResNet paper, Fig. 1"),
)  # fmt: skip
