"""The article "Analysis of classic networks" (2021, Chinese): AlexNet, ZFNet, VGG, GoogLeNet."""

from __future__ import annotations

from convatlas.claims.claim import Answer, Claim, every, prints, same
from convatlas.claims.count import net, parameters, shape
from convatlas.claims.cv_tricks import seen_by_stacked
from convatlas.define.operations import Conv, MaxPool


def zfnet_starts() -> tuple[object, ...]:
    """Kernel of ZFNet's first convolution, strides of the first two."""
    first, second = (net("zfnet")[f"{row}.conv"].node for row in ("conv1", "conv2"))
    assert isinstance(first, Conv)
    assert isinstance(second, Conv)
    return first.kernel, first.stride, second.stride


def vgg_first_linear() -> Answer:
    """VGG-16's first linear layer and its share."""
    layer, total = net("vgg16")["fc1"].parameters, parameters("vgg16")
    share = 100 * layer / total
    return Answer(f"{layer:,} = {share:.2f} %", prints("102 M", layer) and prints("74 %", share))


def googlenet_is_smaller() -> Answer:
    """GoogLeNet's parameters, and how many times AlexNet has as many."""
    times = parameters("alexnet") / parameters("googlenet")
    return Answer(
        f"{parameters('googlenet'):,}; {times:.1f} times fewer",
        prints("5 M", parameters("googlenet")) and prints("12", times),
    )


def paddings() -> tuple[int, ...]:
    """Padding of the module's three kernel sizes: what keeps 28x28."""
    rows = ("conv1x1.conv", "conv3x3.conv.conv", "conv5x5.conv.conv")
    found = [net("googlenet")[f"inception3a.{row}"] for row in rows]
    return tuple(placed.node.windows(placed.input)[0].before for placed in found)  # type: ignore[attr-defined]


def reductions() -> int:
    """1x1 convolutions that the module has besides its tower of 1x1."""
    placed = net("googlenet")["inception3a"].operations()
    return sum(
        isinstance(p.node, Conv) and p.node.kernel == 1
        for path, p in placed
        if not path.startswith("conv1x1")
    )


def pool_branch() -> Answer:
    """The module's pooling tower."""
    pool, proj = (net("googlenet")[f"inception3a.pool.{row}"].node for row in ("max", "proj.conv"))
    assert isinstance(pool, MaxPool)
    assert isinstance(proj, Conv)
    return Answer(
        f"{pool.kernel}x{pool.kernel} of stride {pool.stride}, then a {proj.kernel}x{proj.kernel} convolution",
        pool.kernel == 1,
    )


CLAIMS = (
    Claim("AlexNet: input and output of its convolutions", "227x227x3 → 6x6x256", "reproduced", lambda: same("256x6x6", shape("alexnet", "pool5"))),
    Claim("AlexNet: pools of 3x3, stride 2; flattened length", "9216", "reproduced", lambda: every(same((3, 2), (net("alexnet")["pool5"].node.kernel, net("alexnet")["pool5"].node.stride)), same("9216", shape("alexnet", "flatten")))),  # type: ignore[attr-defined]
    Claim("AlexNet was the first to use ReLU and to propose dropout", "", "imprecise", source="Hinton et al., arXiv 1207.0580, July 2012", why="dropout was proposed there"),
    Claim("ZFNet: first kernel; strides of the first two convolutions", "7x7; 2, 2", "reproduced", lambda: same((7, 2, 2), zfnet_starts(), "7x7, s2, s2")),
    Claim(
        "ZFNet: more kernels in the third and fourth convolutions than AlexNet", "", "contradicted",
        lambda: Answer("-".join(str(net("zfnet")[row].output[0]) for row in ("conv3", "conv4", "conv5")) + ", as AlexNet", net("zfnet")["conv3"].output[0] > net("alexnet")["conv3"].output[0]),
        "512-1024-512 is the enlarged network of the paper's ablation (107.6 M parameters), not that of its Fig. 3",
    ),
    Claim("VGG-16: first fully connected layer", "102 M, 74 % of the parameters", "reproduced", vgg_first_linear),
    Claim(
        "the same layer on 1024 maps", "200 M", "reproduced",
        lambda: Answer(f"{7 * 7 * 1024 * 4096:,} weights", round((net("vgg16")["fc1"].parameters - 4096) * 2 + 4096, -8) == 200_000_000),
    ),
    Claim("VGG: widths double after each pool up to the fourth stage, then stay", "", "reproduced", lambda: same("64-128-256-512-512", "-".join(str(net("vgg16")[f"block{i}"].output[0]) for i in range(1, 6)))),
    Claim("two 3x3 convolutions see what one 5x5 does", "", "reproduced", lambda: same(5, seen_by_stacked(2), f"{seen_by_stacked(2)}x{seen_by_stacked(2)}")),
    Claim("GoogLeNet: parameters", "5 million, 12 times fewer than AlexNet", "contradicted", googlenet_is_smaller, "the paper's own claim; its Table 1 sums to 6.8 M"),
    Claim("GoogLeNet takes AlexNet's first two fully connected layers away", "", "source_agrees", source="paper §5: average pooling in place of fully connected layers"),
    Claim("Inception: padding of 1x1, 3x3 and 5x5", "0, 1, 2", "reproduced", lambda: same((0, 1, 2), paddings())),
    Claim("Inception: its pooling branch is a '1x1 max pooling'", "1x1", "contradicted", pool_branch),
    Claim("Inception-v1: the module adds so many 1x1 convolutions", "3", "reproduced", lambda: same(3, reductions())),
)  # fmt: skip
