"""What the papers themselves say of cost and size, in text and tables: a few dozen claims of our own finding."""

from __future__ import annotations

from collections.abc import Callable

from convatlas.claims.claim import Answer, Claim, Verdict, every, number, prints
from convatlas.claims.count import convolutions, depth, mult_adds, net, parameters
from convatlas.define.operations import Conv, Linear

_RECALLED = " (recalled)"


def ratio(
    place: str,
    quantity: str,
    value: str,
    verdict: Verdict,
    of: Callable[[], tuple[float, float]],
    why: str = "",
    *,
    digits: int = 1,
    recalled: bool = True,
) -> Claim:
    """How many times one number is another."""

    def check() -> Answer:
        a, b = of()
        return Answer(f"{a / b:.{digits}f} times ({a:,.0f} and {b:,.0f})", prints(value, a / b))

    return Claim(quantity, value, verdict, check, why, place=place + (_RECALLED if recalled else ""))


def counted(
    place: str,
    title: str,
    name: str,
    what: Callable[[str], int],
    value: str,
    verdict: Verdict = "reproduced",
    why: str = "",
) -> Claim:
    """A count that a paper prints of its network."""
    words = "parameters" if what is parameters else "mult-adds"
    return Claim(f"{title}: {words}", value, verdict, lambda: number(value, what(name)), why, place=place)


def table_1(rows: str, title: str, million: str, verdict: Verdict = "reproduced", why: str = "") -> Claim:
    """A line of GoogLeNet's Table 1: its operations, printed as rounded, cut, or one off in the last digit."""

    def check() -> Answer:
        cost = sum(net("googlenet")[row].mult_adds for row in rows.split()) / 1e6
        return Answer(f"{cost:.1f}M", abs(cost - float(million)) < 1)

    return Claim(
        f"GoogLeNet, {title}: operations", f"{million}M", verdict, check, why, place="GoogLeNet, Table 1"
    )


def resnext_block() -> Answer:
    """Weights of a block of ResNet-50 and of ResNeXt-50, first stage."""
    plain, grouped = (
        sum(p.parameters for _, p in net(name)["conv2.block2.body"].operations() if isinstance(p.node, Conv))
        for name in ("resnet50", "resnext50_32x4d")
    )
    return Answer(f"{plain:,} and {grouped:,}", prints("70 k", plain) and prints("70 k", grouped))


def gates() -> Answer:
    """What squeeze and excite adds to ResNet-50."""
    more = parameters("se_resnet50") - parameters("resnet50")
    return Answer(f"{more:,} = {100 * more / parameters('resnet50'):.1f} %", prints("2.5 million", more))


def gate_cost() -> Answer:
    """Mult-adds that the gates add, in percent."""
    share = 100 * (mult_adds("se_resnet50") / mult_adds("resnet50") - 1)
    return Answer(
        f"{share:.2f} %: {mult_adds('resnet50') / 1e9:.3f} G to {mult_adds('se_resnet50') / 1e9:.3f} G",
        prints("0.26", share),
    )


def below(name: str, limit: float, what: Callable[[str], int]) -> Answer:
    """Whether a count is below what the paper promises."""
    return Answer(f"{what(name):,}", what(name) < limit)


def factorized() -> Answer:
    """A 5x5 as two 3x3; a 3x3 as 3x1 and 1x3; in percent saved at equal widths."""
    cost = [Conv(64, k, bias=False).mult_adds((64, 17, 17)) for k in (5, 3)]
    thin = Conv(64, (3, 1), bias=False).mult_adds((64, 17, 17))
    two, asymmetric = 100 * (1 - 2 * cost[1] / cost[0]), 100 * (1 - 2 * thin / cost[1])
    return Answer(f"{two:.0f} % and {asymmetric:.0f} %", prints("28", two) and prints("33", asymmetric))


def share_of(kind: str) -> tuple[float, float]:
    """Percent of MobileNet's cost and of its weights in one kind of layer."""
    found = [(p, _kind(path, p.node)) for path, p in net("mobilenet_v1").operations() if p.mult_adds]
    cost, size = (sum(getattr(p, field) for p, _ in found) for field in ("mult_adds", "parameters"))
    mine = [p for p, k in found if k == kind]
    return 100 * sum(p.mult_adds for p in mine) / cost, 100 * sum(p.parameters for p in mine) / size


def _kind(path: str, node: object) -> str:
    if isinstance(node, Linear):
        return "linear"
    return (
        "1x1"
        if isinstance(node, Conv) and node.kernel == 1
        else "depthwise"
        if not isinstance(node, Conv)
        else path
    )


def layer_share(
    title: str, kind: str, cost: str, size: str, verdict: Verdict = "reproduced", why: str = ""
) -> Claim:
    """A line of MobileNet's Table 2; the digits after the point depend on which small parameters count."""

    def check() -> Answer:
        found = share_of(kind)
        agrees = all(abs(a - float(b)) <= 0.06 for a, b in zip(found, (cost, size), strict=True))
        return Answer(f"{found[0]:.2f} % / {found[1]:.2f} %", agrees)

    return Claim(
        f"MobileNet: {title}, share of mult-adds and of parameters",
        f"{cost} % / {size} %",
        verdict,
        check,
        why,
        place=f"MobileNet, Table 2{_RECALLED}",
    )


CLAIMS = (
    Claim("LeNet-5: connections", "340,908", "reproduced", lambda: number("340,908", lenet_connections()), place="LeNet-5, §II.B"),
    Claim("GoogLeNet: operations, all rows of its table", "1502M", "contradicted", lambda: number("1502 M", mult_adds("googlenet"), f"{mult_adds('googlenet') / 1e6:.1f}M"), "two rows are wrong: conv1 and inception 5a", place="GoogLeNet, Table 1"),
    table_1("conv1", "convolution 7x7", "34", "contradicted", "7·7·3·64·112·112 is 118.0 million"),
    table_1("conv2_reduce conv2", "convolution 3x3", "360"),
    *(table_1(f"inception{n}", f"inception {n}", m) for n, m in (("3a", "128"), ("3b", "304"), ("4a", "73"), ("4b", "88"), ("4c", "100"), ("4d", "119"), ("4e", "170"), ("5b", "71"))),
    table_1("inception5a", "inception 5a", "54", "contradicted", "its own columns give 51.1"),
    Claim("GoogLeNet costs about 1.5 billion mult-adds", "1.5 billion", "contradicted", lambda: number("1.50 billion", mult_adds("googlenet")), "the sum of the table; 1.6 when rounded", place="GoogLeNet, §1"),
    ratio("Inception-v3, §1", "VGG has so many times AlexNet's parameters", "3", "contradicted", lambda: (parameters("vgg16"), parameters("alexnet"))),
    Claim("Inception-v3: a 5x5 as two 3x3 saves; a 3x3 as 3x1 and 1x3 saves", "28 % and 33 %", "reproduced", factorized, place=f"Inception-v3, §3.1 and §3.2{_RECALLED}"),
    Claim("Inception-v3: fewer parameters than", "25 million", "reproduced", lambda: below("inception_v3", 25e6, parameters), place="Inception-v3, abstract"),
    Claim("Inception-v3: mult-adds", "5 billion", "contradicted", lambda: number("5.0 billion", mult_adds("inception_v3"), f"{mult_adds('inception_v3'):,}"), "the released graph costs 5.7; printed are 5 in the abstract and 4.8 in Table 3", place="Inception-v3, abstract"),
    ratio("Inception-v3, §7", "Inception-v3 costs so many times GoogLeNet", "2.5", "contradicted", lambda: (mult_adds("inception_v3"), mult_adds("googlenet")), "by the released graph and GoogLeNet's true cost"),
    counted("Xception, Table 3", "Xception", "xception", parameters, "22,855,952"),
    Claim("VGG-19: mult-adds", "19.6 billion", "reproduced", lambda: number("19.6 billion", mult_adds("vgg19")), place=f"ResNet, §3.3{_RECALLED}"),
    Claim("VGG-16 and VGG-19: mult-adds, above ResNet-152's 11.3 billion", "15.3 and 19.6 billion", "reproduced", lambda: every(number("15.3 billion", convolutions("vgg16")), number("19.6 billion", mult_adds("vgg19"))), "VGG-16 by its convolutions alone", place=f"ResNet, §4.1{_RECALLED}"),
    Claim("plain-34 costs this share of VGG-19", "18 %", "reproduced", lambda: number("18", 100 * mult_adds("plain34") / mult_adds("vgg19"), f"{100 * mult_adds('plain34') / mult_adds('vgg19'):.1f} %"), "18.6, cut", place=f"ResNet, §3.3{_RECALLED}"),
    ratio("ResNet, abstract", "ResNet-152 is so many times deeper than VGG nets", "8", "reproduced", lambda: (depth("resnet152"), depth("vgg19"))),
    *(counted("ResNet, Table 6", f"ResNet-{n}", f"resnet{n}", parameters, f"{m} M") for n, m in ((20, "0.27"), (32, "0.46"), (44, "0.66"), (56, "0.85"), (110, "1.7"), (1202, "19.4"))),
    Claim("ResNeXt: a block of 32x4d has the weights of ResNet's", "about 70 k each", "reproduced", resnext_block, place=f"ResNeXt, §4{_RECALLED}"),
    counted("ResNeXt, Table 1", "ResNeXt-50 32x4d", "resnext50_32x4d", parameters, "25.0 M"),
    counted("ResNeXt, Table 1", "ResNeXt-50 32x4d", "resnext50_32x4d", mult_adds, "4.2e9"),
    counted("ResNeXt, Table 4", "ResNeXt-101 32x4d", "resnext101_32x4d", mult_adds, "7.8e9", "imprecise", "7.97e9 with the stride in the grouped 3x3"),
    counted("ResNeXt, Table 4", "ResNeXt-101 64x4d", "resnext101_64x4d", mult_adds, "15.6e9", "imprecise", "15.46e9: the paper is nearly 1 % above"),
    Claim("SE-ResNet-50 has more parameters than ResNet-50", "2.5 million, about 10 %", "reproduced", gates, place=f"SENet, §4{_RECALLED}"),
    Claim("SE-ResNet-50 costs more than ResNet-50", "0.26 %", "contradicted", gate_cost, "the paper prints 3.86 and 3.87 billion; convolutions and linear layers alone do not give so much", place=f"SENet, §4{_RECALLED}"),
    counted("SENet, Table 2", "SE-ResNet-50", "se_resnet50", parameters, "28.1 M"),
    counted("SENet, Table 2", "SE-ResNet-101", "se_resnet101", mult_adds, "7.60e9", "imprecise", "7.575e9, 0.3 % below"),
    counted("SENet, Table 9", "SENet-154", "senet154", parameters, "115 M"),
    counted("SENet, Table 9", "SENet-154", "senet154", mult_adds, "20.7e9"),
    ratio("SqueezeNet, title", "AlexNet has so many times SqueezeNet's parameters", "50", "imprecise", lambda: (parameters("alexnet"), parameters("squeezenet1_0")), "48.8; the paper divides AlexNet's 240 MB by 4.8 MB", recalled=False),
    Claim("SqueezeNet: size of the model", "4.8 MB", "reproduced", lambda: number("4.8", 4 * parameters("squeezenet1_0") / 2**20, f"{4 * parameters('squeezenet1_0') / 2**20:.2f} MiB of float32"), place=f"SqueezeNet, Table 2{_RECALLED}"),
    Claim("SqueezeNet 1.0: floating-point operations", "1.72 G", "reproduced", lambda: number("1.72 G", 2 * mult_adds("squeezenet1_0")), "two a mult-add; at 227, with the release's padding of the last convolution", place="SqueezeNet, readme of the release"),
    Claim("SqueezeNet 1.1: floating-point operations", "0.72 G", "contradicted", lambda: number("0.72 G", 2 * mult_adds("squeezenet1_1")), "0.775 at 227, 0.698 at 224", place="SqueezeNet, readme of the release"),
    layer_share("1x1 convolutions", "1x1", "94.86", "74.59"),
    layer_share("depthwise convolutions", "depthwise", "3.06", "1.06"),
    layer_share("first convolution", "conv1", "1.19", "0.02", "contradicted", "two digits swapped: the four printed shares sum to 99.29, with 1.91 to 100"),
    layer_share("linear layer", "linear", "0.18", "24.33"),
    ratio("MobileNet, §4.3", "VGG16 is so many times larger than MobileNet", "32", "reproduced", lambda: (parameters("vgg16"), parameters("mobilenet_v1"))),
    ratio("MobileNet, §4.3", "VGG16 costs so many times MobileNet", "27", "reproduced", lambda: (mult_adds("vgg16"), mult_adds("mobilenet_v1"))),
    ratio("MobileNet, §4.3", "AlexNet is so many times larger than 0.5 MobileNet-160", "45", "reproduced", lambda: (parameters("alexnet"), parameters("mobilenet_v1_x0_5"))),
    ratio("MobileNet, §4.3", "AlexNet costs so many times 0.5 MobileNet-160", "9.4", "reproduced", lambda: (mult_adds("alexnet"), mult_adds("mobilenet_v1_x0_5@160"))),
    ratio("MobileNet, §4.3", "SqueezeNet costs so many times 0.5 MobileNet-160", "22", "contradicted", lambda: (mult_adds("squeezenet1_0"), mult_adds("mobilenet_v1_x0_5@160")), "11 times: SqueezeNet's 1.7 G are floating-point operations, two a mult-add"),
    counted("MobileNetV2, Table 4", "MobileNetV2", "mobilenet_v2", parameters, "3.4 M", "imprecise", "3.47 M is the count without batch norm"),
    counted("MobileNetV2, Table 4", "MobileNetV2", "mobilenet_v2", mult_adds, "300 M"),
    counted("MobileNetV3, Table 3", "MobileNetV3-Large", "mobilenet_v3_large", mult_adds, "219 M", "imprecise", "1.1 % below"),
    counted("MobileNetV3, Table 3", "MobileNetV3-Small", "mobilenet_v3_small", mult_adds, "56 M"),
    *(counted("DenseNet, Table 2", f"DenseNet {title}", name, parameters, f"{m} M") for title, name, m in (
        ("L = 40, k = 12", "densenet40_k12", "1.0"), ("L = 100, k = 12", "densenet100_k12", "7.0"), ("L = 100, k = 24", "densenet100_k24", "27.2"),
        ("BC, L = 100, k = 12", "densenet100_bc_k12", "0.8"), ("BC, L = 250, k = 24", "densenet250_bc_k24", "15.3"), ("BC, L = 190, k = 40", "densenet190_bc_k40", "25.6"),
    )),
    Claim("DenseNet-201 against ResNet-101: parameters", "20 M against more than 40 M", "reproduced", lambda: Answer(f"{parameters('densenet201'):,} against {parameters('resnet101'):,}", prints("20 M", parameters("densenet201")) and parameters("resnet101") > 40e6), place=f"DenseNet, §4.3{_RECALLED}"),
    *(counted("ShuffleNet v2, Table 5", f"ShuffleNet v2 {w}x", f"shufflenet_v2_x{w.replace('.', '_')}", mult_adds, f"{m} M", "imprecise", "0.8 to 1.3 % below, which batch norm, ReLU and biases do not explain") for w, m in (("0.5", "41"), ("1.0", "146"), ("1.5", "299"), ("2.0", "591"))),
    ratio("ShuffleNet, §4.5", "AlexNet costs so many times ShuffleNet 0.5x (g = 3)", "18", "imprecise", lambda: (mult_adds("alexnet"), convolutions("shufflenet_v1_g3_x0_5")), "19.5 times; 720 over the 40M of the released network is 18"),
)  # fmt: skip


def lenet_connections() -> int:
    """Connections of LeNet-5: an input or a bias of an output each, as its paper counts."""
    total = 0
    for path, placed in net("lenet5_1998").operations():
        positions = placed.output[1] * placed.output[2] if len(placed.output) == 3 else 1
        if path.endswith(".sum"):  # four inputs and a bias
            total += placed.output[0] * positions * 5
        elif path == "output":  # a fixed code of 84 values a class
            total += placed.statistics
        elif placed.mult_adds:
            total += placed.mult_adds + placed.output[0] * positions
    return total
