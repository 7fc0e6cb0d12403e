"""Koustubh, "From AlexNet to residual networks" (cv-tricks, in its Chinese translation): every number in it."""

from __future__ import annotations

from convatlas.analysis.receptive_field import POINT, Axis, ReceptiveField
from convatlas.claims.claim import Answer, Claim, every, prints, same
from convatlas.claims.count import count, net, parameters
from convatlas.define.operations import Conv, Dropout, Linear, ReLU

STACKED = ReceptiveField(Axis(3, 1, -1), Axis(3, 1, -1))


def seen_by_stacked(layers: int) -> int:
    """Receptive field of so many 3x3 convolutions on each other."""
    field = POINT
    for _ in range(layers):
        field = field.then(STACKED)
    return field.vertical.size


def without(kind: type[ReLU | Dropout], *kinds: type[Conv | Linear]) -> tuple[str, ...]:
    """Rows of AlexNet that compute with weights and have no operation of `kind` after it."""
    rows: dict[str, set[type]] = {}
    for path, placed in net("alexnet").operations():
        rows.setdefault(path.partition(".")[0], set()).add(type(placed.node))
    return tuple(row for row, found in rows.items() if found & set(kinds) and kind not in found)


def alexnet_share() -> Answer:
    """The linear layers' share of AlexNet's parameters."""
    total = parameters("alexnet")
    linear = sum(p.parameters for _, p in net("alexnet").operations() if isinstance(p.node, Linear))
    share = 100 * linear / total
    return Answer(f"{share:.1f} % ({linear:,} of {total:,})", prints("90 %", share))


def branch_5x5() -> Answer:
    """Mult-adds a position of the 5x5 tower of GoogLeNet's first module, without and with its 1x1 before it."""
    tower = net("googlenet")["inception3a.conv5x5"]
    positions = tower.output[1] * tower.output[2]
    with_reduce = tower.mult_adds // positions
    conv = tower["conv.conv"].node
    assert isinstance(conv, Conv)
    direct = conv.mult_adds(tower.input) // positions
    return Answer(
        f"{direct:,} → {with_reduce:,}",
        (direct, with_reduce) == (25 * 32 * 192, 16 * 192 + 25 * 32 * 16),
    )


def first_module() -> tuple[int, ...]:
    """Widths of GoogLeNet's first module: input, 3x3, 5x5, and the 1x1 before the 5x5."""
    found = net("googlenet")["inception3a"]
    rows = ("conv3x3", "conv5x5", "conv5x5.reduce")
    return (found.input[0], *(found[row].output[0] for row in rows))


CLAIMS = (
    Claim("ImageNet: categories and images", "21,841 and 14,197,122", "source_agrees", source="the statistics page of ImageNet (recalled)"),
    Claim(
        "the images that these networks were trained on", "1.2 million, two lines on 12 million", "contradicted",
        source="ILSVRC-2012: 1.28 million training images", why="a factor of ten lost in translation: the same paragraph says 1.2 million first",
    ),
    Claim("AlexNet: layers", "5 convolutions and 3 fully connected", "reproduced", lambda: same((5, 3), (count("alexnet", Conv), count("alexnet", Linear)))),
    Claim(
        "AlexNet: ReLU after every layer with weights", "all", "imprecise",
        lambda: same((), without(ReLU, Conv, Linear), f"not after {', '.join(without(ReLU, Conv, Linear))}"), "the last one feeds the softmax without ReLU",
    ),
    Claim(
        "AlexNet: dropout after every fully connected layer", "every", "contradicted",
        lambda: same((), without(Dropout, Linear), f"not after {', '.join(without(Dropout, Linear))}"), "the paper: in the first two of them, §4.2",
    ),
    Claim(
        "AlexNet's first two convolutions have 11 and 5 filters", "11 and 5", "imprecise",
        lambda: same((11, 5), (net("alexnet")["conv1"].output[0], net("alexnet")["conv2"].output[0]), "kernels of 11x11 and 5x5; 96 and 256 filters"),
        "sizes of the kernels, not numbers of filters",
    ),
    Claim("dropout on n neurons samples from so many networks", "2^n", "reproduced", lambda: same(2**3, len({(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)}), "each neuron in or out: 2^n")),
    Claim(
        "three 3x3 convolutions on C channels: field and weights", "7x7; 3·9C² against 49C²", "reproduced",
        lambda: every(same(7, seen_by_stacked(3), "7x7"), same(27, sum(Conv(1, 3, bias=False).parameters((1, 9, 9)) for _ in range(3)), "27C²"), same(49, Conv(1, 7, bias=False).parameters((1, 9, 9)), "49C²")),
    ),
    Claim(
        "VGG: top-5 accuracy on ImageNet", "92.3 %", "unverified",
        why="not in the paper: single networks have errors of 7.1 (E, dense and multi-crop, validation) to 8.0, the submission of seven 7.3 on test (92.7 %), VGG-16 with one center crop is right in 90.1 to 90.4 %",
    ),
    Claim("VGG: a 3x3 convolution from 512 to 512 channels, cost of a position", "9·512·512", "reproduced", lambda: same(9 * 512 * 512, net("vgg16")["block5.conv1"].mult_adds // 14**2)),
    Claim("GoogLeNet: first module's input, 3x3, 5x5, and 1x1 before the 5x5", "192, 128, 32, 16", "reproduced", lambda: same((192, 128, 32, 16), first_module())),
    Claim("GoogLeNet: cost of the 5x5 tower a position, without and with the 1x1", "25·32·192, then 16·192 + 25·32·16", "reproduced", branch_5x5),
    Claim("AlexNet: share of the parameters in fully connected layers", "about 90 %", "contradicted", alexnet_share, "understated"),
    Claim("GoogLeNet: top-5 accuracy", "93.3 %", "imprecise", source="paper Tables 2 and 3: error 6.67 %", why="seven networks with 144 crops; one network with one crop has 89.9 %"),
    Claim("ResNet-152: top-5 accuracy", "95.51 %", "source_agrees", source="paper Table 4: error 4.49 %", why="one network, tested at several scales on the validation set; with the center crop alone 93.3 %"),
    Claim(
        "ResNet: global average pooling comes after the classifying layer", "", "contradicted",
        lambda: same(["fc", "avgpool"], [row for row, _ in net("resnet50").rows][-2:], " before ".join(row for row, _ in net("resnet50").rows[-2:])), "a slip of the translation",
    ),
    Claim("plain-34 is worse than plain-18, ResNet-34 better than ResNet-18", "", "source_agrees", source="paper Table 2: 28.54 > 27.94 and 25.03 < 27.88"),
)  # fmt: skip
