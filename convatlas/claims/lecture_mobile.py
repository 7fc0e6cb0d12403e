"""Kuangnan Fang's lecture on convolutional networks (2022, Chinese), MobileNet and ShuffleNet."""

from __future__ import annotations

from convatlas.claims.claim import Answer, Claim, Verdict, prints, same
from convatlas.claims.count import convolutions, mult_adds, net, parameters, weights
from convatlas.define import Sequential, elaborate
from convatlas.define.edits import rewrite
from convatlas.define.operations import Conv, DepthwiseConv, Linear
from convatlas.networks import catalogue

# rows of the body table: (kernel, stride, maps in, maps out, size in); None for depthwise; the two wrong rows left out
_BODY = (
    (3, 2, 3, 32, 224), (3, 1, 32, None, 112), (1, 1, 32, 64, 112), (3, 2, 64, None, 112), (1, 1, 64, 128, 56),
    (3, 1, 128, None, 56), (1, 1, 128, 128, 56), (3, 2, 128, None, 56), (1, 1, 128, 256, 28), (3, 1, 256, None, 28),
    (1, 1, 256, 256, 28), (3, 2, 256, None, 28), (1, 1, 256, 512, 14), (3, 1, 512, None, 14), (1, 1, 512, 512, 14),
    (3, 2, 512, None, 14), (1, 1, 512, 1024, 7), (3, 1, 1024, None, 7), (1, 1, 1024, 1024, 7),
)  # fmt: skip
_WIDTHS = {
    1: (144, 288, 576),
    2: (200, 400, 800),
    3: (240, 480, 960),
    4: (272, 544, 1088),
    8: (384, 768, 1536),
}


def body_rows() -> list[tuple[int, int, int, int | None, int]]:
    """The convolutions of MobileNet in the table's terms, the five repeats of a pair once."""
    rows: list[tuple[int, int, int, int | None, int]] = []
    for _, placed in net("mobilenet_v1").operations():
        node = placed.node
        if isinstance(node, Conv | DepthwiseConv):
            width = node.width if isinstance(node, Conv) else None
            rows.append((node.kernel, node.stride, placed.input[0], width, placed.input[1]))  # type: ignore[arg-type]
    return rows[:13] + rows[21:]


def last_stride() -> Answer:
    """Stride of the last depthwise convolution, and what stride 2 would cost."""
    network = catalogue.network("mobilenet_v1")
    block, here = network["ds13"], net("mobilenet_v1")["ds13.depthwise"]
    assert isinstance(block, Sequential)
    assert isinstance(here.node, DepthwiseConv)
    down = block.with_children((("depthwise", DepthwiseConv(3, 2, bias=False)), *block.children[1:]))
    other = elaborate(
        network.replaced(rows=tuple((n, down if n == "ds13" else row) for n, row in network.rows))
    )
    return Answer(
        f"stride {here.node.stride}: {here.input[1]}x{here.input[2]} in and out; stride 2 would give "
        f"{other['ds13'].output[1]}x{other['ds13'].output[2]} and {other.mult_adds / 1e6:.1f}M mult-adds",
        here.node.stride == 2,
    )


def five_pairs() -> Answer:
    """What stands five times on 512 maps at 14x14."""
    rows = [net("mobilenet_v1")[f"ds{i}"] for i in range(7, 12)]
    kinds = {tuple(type(p.node) for _, p in row.operations() if p.parameters and p.mult_adds) for row in rows}
    equal = {(row.input, row.output) for row in rows} == {((512, 14, 14), (512, 14, 14))}
    words = (
        f"{len(rows)} pairs of a depthwise 3x3 and a 1x1"
        if equal and kinds == {(DepthwiseConv, Conv)}
        else str(kinds)
    )
    return Answer(words, kinds == {(Conv,)})


def separable_ratio() -> Answer:
    """A separable convolution's cost over a full one's, of a block of the network."""
    placed = net("mobilenet_v1")["ds8"]
    width = placed.output[0]
    full = Conv(width, 3, bias=False).mult_adds(placed.input)
    ratio = placed.mult_adds / full
    return Answer(f"1/N + 1/9: {ratio:.4f} at N = {width}", abs(ratio - (1 / width + 1 / 9)) < 1e-12)


def alpha_costs() -> Answer:
    """Cost at each width over the cost at full width."""
    full = mult_adds("mobilenet_v1")
    ratios = {a: mult_adds(f"mobilenet_v1_x{a.replace('.', '_')}") / full for a in ("0.75", "0.5", "0.25")}
    words = ", ".join(
        f"{a}: {full * r / 1e6:.1f}/{full / 1e6:.1f} = {r:.3f} (alpha² {float(a) ** 2:.4f})"
        for a, r in ratios.items()
    )
    return Answer(words, all(abs(r - float(a)) < abs(r - float(a) ** 2) for a, r in ratios.items()))


def resolutions() -> Answer:
    """Parameters and cost at four resolutions."""
    sizes = (224, 192, 160, 128)
    counted = {parameters(f"mobilenet_v1@{s}") for s in sizes}
    ratios = [mult_adds(f"mobilenet_v1@{s}") / mult_adds("mobilenet_v1") / (s / 224) ** 2 for s in sizes]
    return Answer(
        f"{counted.copy().pop():,} parameters at all four; cost over rho² {min(ratios):.3f} to {max(ratios):.3f}",
        len(counted) == 1,
    )


def cost_row(name: str, claimed: tuple[str, str]) -> Answer:
    """Mult-adds in millions and parameters of a row."""
    million, count = mult_adds(name) / 1e6, parameters(name)
    return Answer(f"{million:,.2f}M / {count:,}", prints(claimed[0], million) and prints(claimed[1], count))


def mobilenet(title: str, name: str, mega: str, params: str, accuracy: str, why: str) -> Claim:
    """A row of the tables of widths and resolutions: the costs are computed, the accuracy is the paper's."""
    value = f"{mega}M / {params}M / {accuracy} %"
    return Claim(
        f"{title}: mult-adds, parameters, accuracy",
        value,
        "reproduced",
        lambda: cost_row(name, (mega, f"{params} M")),
        why,
        "accuracy: the paper",
        "Fig. 32 or 33",
    )


def pointwise() -> Answer:
    """Share of the 1x1 convolutions in cost and in parameters."""
    found = net("mobilenet_v1")
    one = [p for _, p in found.operations() if isinstance(p.node, Conv) and p.node.kernel == 1]
    weights = [
        p.parameters for _, p in found.operations() if isinstance(p.node, Conv | DepthwiseConv | Linear)
    ]
    cost = 100 * sum(p.mult_adds for p in one) / found.mult_adds
    share = 100 * sum(p.parameters for p in one) / sum(weights)
    return Answer(f"{cost:.2f} % / {share:.2f} %", prints("95 %", cost) and prints("75 %", share))


def shuffle(groups: int, claimed: str) -> Claim:
    """A cell of the last line of the ShuffleNet table."""

    def check() -> Answer:
        conv, whole = (count(f"shufflenet_v1_g{groups}") / 1e6 for count in (convolutions, mult_adds))
        return Answer(
            f"{conv:.2f}M in the convolutions; {whole:.2f}M with the classifier", prints(claimed, conv)
        )

    return Claim(
        f"ShuffleNet, g = {groups}: complexity",
        f"{claimed}M",
        "reproduced",
        check,
        "the paper counts the convolutions alone",
        place="Fig. 38",
    )


def shuffle_widths() -> Answer:
    """Widths and sizes of the three stages for every group count."""
    found = {g: tuple(net(f"shufflenet_v1_g{g}")[f"stage{i}"].output for i in (2, 3, 4)) for g in _WIDTHS}
    expected = {
        g: tuple((w, s, s) for w, s in zip(widths, (28, 14, 7), strict=True)) for g, widths in _WIDTHS.items()
    }
    return Answer(", ".join("-".join(str(s[0]) for s in f) for f in found.values()), found == expected)


def grouped_everywhere() -> Answer:
    """Groups of the first pointwise convolution, and the cost if it were grouped as well."""
    network = catalogue.network("shufflenet_v1_g3")
    first = network["stage2.unit1.join.body.gconv1"]
    assert isinstance(first, Conv)
    grouped = rewrite(
        network, lambda node: Conv(first.width, 1, groups=3, bias=False) if node is first else node
    )
    cost = sum(p.mult_adds for _, p in elaborate(grouped).operations() if not isinstance(p.node, Linear))
    return Answer(
        f"the first pointwise convolution of stage 2 has {first.groups} group; with 3 it would be {cost / 1e6:.2f}M at g = 3",
        first.groups == 3,
    )


def against(
    title: str, name: str, value: str, verdict: Verdict, why: str, check: Answer | None = None
) -> Claim:
    """A row of the comparison with other networks: accuracy / mult-adds / parameters."""
    parts = value.split(" / ")
    return Claim(
        f"{title}: accuracy, mult-adds, parameters",
        value,
        verdict,
        lambda: check or cost_row(name, (parts[1], parts[2])),
        why,
        "accuracy: see the card",
        "Fig. 34 or 35",
    )


def vgg_row() -> Answer:
    """VGG-16's two costs."""
    conv = convolutions("vgg16") / 1e6
    words = f"{mult_adds('vgg16') / 1e6:,.1f}M with the linear layers, {conv:,.1f}M in the convolutions / {parameters('vgg16'):,}"
    return Answer(words, round(conv, -2) == 15300 and prints("138 M", parameters("vgg16")))


def squeezenet_row() -> Answer:
    """SqueezeNet's cost at both inputs."""
    large, small = mult_adds("squeezenet1_0") / 1e6, mult_adds("squeezenet1_0@224") / 1e6
    words = f"{large:.1f}M at 227, {small:.1f}M at 224 / {parameters('squeezenet1_0'):,}"
    return Answer(words, 1700 in {round(large, -2), round(small, -2)})


def alexnet_row() -> Answer:
    """AlexNet's cost: 720 as to two digits."""
    cost = mult_adds("alexnet") / 1e6
    return Answer(
        f"{cost:.1f}M, grouped / {parameters('alexnet'):,}",
        round(cost, -1) == 720 and prints("60 M", parameters("alexnet")),
    )


def small_row() -> Answer:
    """0.5 MobileNet-160; its parameters as printed leave batch norm out."""
    bare = weights("mobilenet_v1_x0_5") + 1000
    cost = mult_adds("mobilenet_v1_x0_5@160") / 1e6
    return Answer(
        f"{cost:.2f}M / {parameters('mobilenet_v1_x0_5'):,} ({bare:,} without batch norm)",
        prints("76", cost) and prints("1.32 M", bare),
    )


_SIX, _SEVEN = "accuracy: the paper's Table 6", "accuracy: the paper's Table 7"
CLAIMS = (
    Claim("depthwise separable against standard convolution: cost", "1/N + 1/DK², about 1/9 for 3x3", "reproduced", separable_ratio, "the paper says 8 to 9 times less"),
    Claim("MobileNet: width multiplier alpha makes the cost 'alpha times'", "alpha", "contradicted", alpha_costs, "about alpha²: the larger term is alpha M · alpha N, as the document's own formula shows"),
    Claim("MobileNet: the resolution multiplier changes cost, not parameters", "", "reproduced", resolutions),
    Claim("MobileNet, body table: stride of the last depthwise convolution", "2, on 7x7x1024", "contradicted", last_stride, "a misprint of the paper's Table 1, copied", place="Fig. 31"),
    Claim("MobileNet, body table: '5x Conv / s1, 1x1x512x512'", "one 1x1 convolution five times", "garbled", five_pairs, "in the paper the brace spans both rows", place="Fig. 31"),
    Claim("MobileNet, body table: all other rows", "as printed", "reproduced", lambda: same(list(_BODY), body_rows(), "kernel, stride, channels and input size agree"), place="Fig. 31"),
    Claim("MobileNet, body table: kernels of the depthwise rows", "3x3xC", "reproduced", lambda: same({3}, {p.node.kernel for _, p in net("mobilenet_v1").operations() if isinstance(p.node, DepthwiseConv)}, "3x3xC"), place="Fig. 31"),
    mobilenet("1.0 MobileNet-224", "mobilenet_v1", "569", "4.2", "70.6", _SIX),
    mobilenet("0.75 MobileNet-224", "mobilenet_v1_x0_75", "325", "2.6", "68.4", _SIX),
    mobilenet("0.5 MobileNet-224", "mobilenet_v1_x0_5", "149", "1.3", "63.7", _SIX),
    mobilenet("0.25 MobileNet-224", "mobilenet_v1_x0_25", "41", "0.5", "50.6", _SIX),
    mobilenet("1.0 MobileNet-192", "mobilenet_v1@192", "418", "4.2", "69.1", _SEVEN),
    mobilenet("1.0 MobileNet-160", "mobilenet_v1@160", "290", "4.2", "67.2", f"{_SEVEN}; 290.68 is cut, not rounded"),
    mobilenet("1.0 MobileNet-128", "mobilenet_v1@128", "186", "4.2", "64.4", _SEVEN),
    against("GoogLeNet", "googlenet", "69.8 % / 1550M / 6.8M", "imprecise", "the paper's Table 1 sums to 1502M and 6.80M; 69.8 % is TF-slim's Inception V1, single crop"),
    Claim("VGG 16: accuracy, mult-adds, parameters", "71.5 % / 15300M / 138M", "reproduced", vgg_row, "the convolutions alone; 71.5 % is TF-slim's", place="Fig. 34"),
    Claim("MobileNet is so many points below VGG16", "0.9", "reproduced", lambda: same("0.9", f"{71.5 - 70.6:.1f}", f"71.5 - 70.6 = {71.5 - 70.6:.1f}")),
    Claim("0.50 MobileNet-160: accuracy, mult-adds, parameters", "60.2 % / 76M / 1.32M", "reproduced", small_row, "1.33 M with batch norm; the TF-slim checkpoint reaches 59.1 %", place="Fig. 35"),
    Claim("SqueezeNet: accuracy, mult-adds, parameters", "57.5 % / 1700M / 1.25M", "contradicted", squeezenet_row, "1.72 G are floating-point operations, two a mult-add; the column is mult-adds for the others", place="Fig. 35"),
    Claim("AlexNet: accuracy, mult-adds, parameters", "57.2 % / 720M / 60M", "reproduced", alexnet_row, "top-1 is 57.1 % in the readme of BVLC's release, 57.258 % at its best validation", place="Fig. 35"),
    Claim(
        "0.5 MobileNet has about as many parameters as SqueezeNet", "", "reproduced",
        lambda: Answer(f"{parameters('mobilenet_v1_x0_5'):,} against {parameters('squeezenet1_0'):,}", abs(parameters("mobilenet_v1_x0_5") / parameters("squeezenet1_0") - 1) < 0.1),
    ),
    Claim("MobileNet: share of the 1x1 convolutions in computation and parameters", "95 % / 75 %", "reproduced", pointwise),
    shuffle(1, "143"),
    shuffle(2, "140"),
    shuffle(3, "137"),
    shuffle(4, "133"),
    shuffle(8, "137"),
    Claim("ShuffleNet: widths of the stages", "144-288-576, 200-400-800, 240-480-960, 272-544-1088, 384-768-1536", "reproduced", shuffle_widths, place="Fig. 38"),
    Claim("ShuffleNet: units", "16", "reproduced", lambda: same(16, sum(len(net("shufflenet_v1_g3")[f"stage{i}"].children) for i in (2, 3, 4)), "4 + 8 + 4 = 16")),
    Claim(
        "ShuffleNet: more groups, less computation", "", "imprecise",
        lambda: Answer("; ".join(f"g = {g}: {convolutions(f'shufflenet_v1_g{g}') / 1e6:.1f}M" for g in (1, 2, 3, 4, 8)), all(convolutions(f"shufflenet_v1_g{a}") > convolutions(f"shufflenet_v1_g{b}") for a, b in ((1, 2), (2, 3), (3, 4), (4, 8)))),
        "at fixed widths alone: in the table the widths grow, so that the cost stays at about 140M",
    ),
    Claim("ShuffleNet: pointwise convolutions are all grouped", "no exception named", "imprecise", grouped_everywhere, "the note under the paper's Table 1, which the document leaves out"),
)  # fmt: skip
