"""Raimi Karim, "Illustrated: 10 CNN architectures" (in a Chinese translation): the table from Keras, and the ten."""

from __future__ import annotations

from convatlas.claims.claim import Answer, Claim, Verdict, every, number, prints, same
from convatlas.claims.count import (
    as_keras,
    count,
    depth,
    keras_layers,
    keras_total,
    mebibytes,
    net,
    parameters,
)
from convatlas.define.operations import Conv, Linear

_OLD = "layers of the Keras graph's longest path, the input layer among them, activations and batch norms too: not comparable to the numbers in names; Keras' present table counts layers that have parameters"
_CROP = "Keras Applications' table, single center crop"


def _column(name: str, total: str) -> Answer:
    found = as_keras(name)
    words = f"{found.parameters:,} trained + {found.body.statistics:,} of batch norm's statistics = {keras_total(name):,}"
    return number(total, keras_total(name), words)


def _size(name: str, megabytes: int) -> Answer:
    """The file holds the values in MiB and its own overhead: nearest above."""
    mib = mebibytes(keras_total(name))
    return Answer(f"{mib:.1f} MiB of float32 ({4e-6 * keras_total(name):.1f} MB)", 0 <= megabytes - mib < 1.5)


def keras_rows(
    title: str,
    name: str,
    total: str,
    size: int,
    accuracy: str,
    deep: int | None,
    why: str,
    recalled: str = "",
) -> tuple[Claim, ...]:
    """One row of the document's table, a claim a column."""
    sizes: Verdict = "imprecise" if name == "inception_resnet_v2" else "reproduced"
    overhead = (
        "MiB, and 1.9 more than the values take: the file's overhead"
        if sizes == "imprecise"
        else "MiB, with the file's overhead"
    )
    claims = (
        Claim(
            f"{title}: parameters in Keras",
            total,
            "reproduced",
            lambda: _column(name, total),
            why,
            place="table",
        ),
        Claim(f"{title}: size", f"{size} MB", sizes, lambda: _size(name, size), overhead, place="table"),
        Claim(
            f"{title}: top-1 and top-5 accuracy",
            accuracy,
            "source_agrees",
            source=_CROP + recalled,
            place="table",
        ),
    )
    if deep is None:
        return claims
    layers = Claim(
        f"{title}: depth", str(deep), "reproduced",
        lambda: same(deep, keras_layers(name), f"{keras_layers(name)} layers on the longest path of the Keras graph"), _OLD, place="table",
    )  # fmt: skip
    return (*claims, layers)


def heads(name: str) -> int:
    """Auxiliary heads."""
    return len(net(name).aux)


def stem_3x3() -> tuple[int, ...]:
    """Widths of the 3x3 convolutions that stand for the 7x7 at the start of Inception-v3."""
    rows = [(row, placed) for row, placed in net("inception_v3").rows if row != "maxpool1"][:3]
    assert all(placed["conv"].node.kernel == 3 for _, placed in rows)  # type: ignore[attr-defined]
    return tuple(placed.output[0] for _, placed in rows)


def _millions(claimed: str, name: str) -> Answer:
    return number(claimed, parameters(name))


_STATISTICS = "Keras counts batch norm's running means and variances, which are not trained"
CLAIMS = (
    *keras_rows("VGG16", "vgg16", "138,357,544", 528, "71.3 / 90.1 %", 23, "no batch norm: every copy has this count"),
    *keras_rows("InceptionV3", "inception_v3", "23,851,784", 92, "77.9 / 93.7 %", 159, f"{_STATISTICS}; its batch norm has no gamma (17,216 fewer than 23,834,568)"),
    *keras_rows("ResNet50", "resnet50", "25,636,712", 98, "74.9 / 92.1 %", None, f"{_STATISTICS}; its convolutions have biases (26,560 more than 25,557,032)"),
    *keras_rows("Xception", "xception", "22,910,480", 88, "79.0 / 94.5 %", 126, f"{_STATISTICS}; trained are the paper's 22,855,952"),
    *keras_rows("InceptionResNetV2", "inception_resnet_v2", "55,873,736", 215, "80.3 / 95.3 %", 572, f"{_STATISTICS}; its batch norm has no gamma (30,272 fewer than 55,843,464)"),
    *keras_rows("ResNeXt50", "resnext50_32x4d", "25,097,128", 96, "77.7 / 93.8 %", None, _STATISTICS, "; recalled"),
    Claim("ResNet50, ResNeXt50: depth", "left blank", "unverified", why="nothing is claimed; by the rule of the other rows Keras' ResNet50 has 169, two padding layers among them"),
    Claim(
        "LeNet-5", "2 convolutions + 3 fully connected = 5 layers, about 60 thousand parameters", "reproduced",
        lambda: every(number("60 thousand", parameters("lenet5_1998"), f"{parameters('lenet5_1998'):,} (1998)"), same(5, depth("lenet5"), f"{parameters('lenet5'):,} and 5 layers (modern form)")),
    ),
    Claim("AlexNet", "60 M parameters, 8 layers", "reproduced", lambda: every(_millions("60 M", "alexnet"), same(8, depth("alexnet")))),
    Claim("AlexNet was the first to use ReLU in a convolutional network", "", "unverified", why="rectified units were used before 2012, and the paper does not claim it"),
    Claim(
        "VGG-16", "138 M parameters, 13 convolutions + 3 fully connected, 500 MB", "reproduced",
        lambda: every(
            _millions("138 M", "vgg16"), same((13, 3), (count("vgg16", Conv), count("vgg16", Linear)), "13 + 3"),
            Answer(f"{mebibytes(parameters('vgg16')):.1f} MiB", round(mebibytes(parameters("vgg16")), -2) == 500),
        ),
    ),
    Claim("Inception-v1: depth", "22 layers", "reproduced", lambda: same(22, depth("googlenet"), f"{depth('googlenet')} on the longest path, {count('googlenet', Conv) + count('googlenet', Linear)} convolutions and linear layers in all")),
    Claim(
        "Inception-v1: parameters", "5 M", "contradicted",
        lambda: number("5 M", parameters("googlenet"), f"{parameters('googlenet'):,} as in the paper, {parameters('googlenet_bn'):,} in torchvision, {parameters('googlenet') - net('googlenet')['fc'].parameters:,} without the classifier"),
        "repeats the paper's '12 times fewer than AlexNet'",
    ),
    Claim("Inception-v1: auxiliary networks", "2", "reproduced", lambda: same(2, heads("googlenet"))),
    Claim("Inception-v3: parameters", "24 M", "reproduced", lambda: _millions("24 M", "inception_v3")),
    Claim("Inception-v3: auxiliary networks", "2", "contradicted", lambda: same(2, heads("inception_v3")), "the paper and every release have one, on the last 17x17 module"),
    Claim("Inception-v3 was among the first to use batch normalization", "", "imprecise", source="Ioffe & Szegedy, February 2015: BN-Inception", why="BN-Inception was the first; what is new in v3 is batch norm in the auxiliary head"),
    Claim("Inception-v3: 7x7 replaced by several 3x3", "at the start", "reproduced", lambda: same(3, len(stem_3x3()), f"{len(stem_3x3())} convolutions of 3x3, widths {', '.join(map(str, stem_3x3()))}")),
    Claim(
        "ResNet-50: parameters", "26 M; 25.5 M in another place", "reproduced",
        lambda: every(_millions("26 M", "resnet50"), Answer("", prints("25.5 M", parameters("resnet50"))))._replace(text=f"{parameters('resnet50'):,}"), "25.6 M; 26 M is Keras' 25.64 M",
    ),
    Claim("ResNet: depth", "up to 152", "imprecise", lambda: same(152, max(depth(name) for name in ("resnet152", "resnet1202")), f"{depth('resnet152')} on ImageNet"), "1202 on CIFAR-10 in the same paper"),
    Claim(
        "Xception has about as many parameters as Inception-v1", "23 M", "contradicted",
        lambda: Answer(f"{parameters('xception'):,} against {parameters('googlenet') / 1e6:.1f}M", abs(parameters("xception") / parameters("googlenet") - 1) < 0.1), "Inception-v3 must be meant: 23.8 M",
    ),
    Claim("Inception-v4: parameters", "43 M", "reproduced", lambda: _millions("43 M", "inception_v4")),
    Claim("Inception-v4: auxiliary networks", "2", "contradicted", lambda: same(2, heads("inception_v4"), f"{heads('inception_v4')} in the paper's figures"), "one in TF-slim's release"),
    Claim(
        "Inception-ResNet-v2: parameters", "56 M", "imprecise",
        lambda: number("56 M", parameters("inception_resnet_v2"), f"{parameters('inception_resnet_v2'):,} as released, {parameters('inception_resnet_v2_paper'):,} as the figures print it"),
        "true of the released network of 10, 20 and 10 blocks alone",
    ),
    Claim(
        "Inception-ResNet-v2 has a new Inception-A module after the stem", "", "imprecise",
        lambda: same(True, "mixed_5b" in dict(net("inception_resnet_v2").rows), f"as released: mixed_5b, {net('inception_resnet_v2')['mixed_5b'].output[0]} wide"), "not in the paper's figures",
    ),
    Claim("ResNeXt-50: parameters; towers", "25 M; 32", "reproduced", lambda: every(_millions("25 M", "resnext50_32x4d"), same(32, net("resnext50_32x4d")["conv2.block1.body.conv2"].node.groups))),  # type: ignore[attr-defined]
    Claim(
        "the ten: 5 to 50 convolutions, 2 or 3 to 32 towers, kernels of 7x7 to 5x5", "", "imprecise",
        lambda: same((5, 7), (count("lenet5", Conv), 11), f"LeNet-5 has {count('lenet5', Conv)} convolutions, Inception-ResNet-v2 {count('inception_resnet_v2', Conv)}; AlexNet's first kernel is {net('alexnet')['conv1.conv'].node.kernel}x{net('alexnet')['conv1.conv'].node.kernel}"),  # type: ignore[attr-defined]
        "wrong at both ends",
    ),
    Claim("Network in Network: year", "2014 in the heading, 2013 for arXiv", "source_agrees", source="arXiv 1312.4400 of December 2013; ICLR 2014"),
    Claim("batch normalization is by Ioffe and Szegedy, submitted to ICML 2015", "", "source_agrees", source="arXiv 1502.03167; ICML 2015"),
)  # fmt: skip
