"""The catalogue: every name, in order of publication, with the family file that declares it.

The table is explicit, so that listing names reads no family, and one network reads its own alone. A family file
ends with NETWORKS, a constructor without arguments for each name, and facts(), what was published about them.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from typing import NamedTuple

from convatlas.define.edits import with_input
from convatlas.define.facts import Accuracy, Facts
from convatlas.define.network import Network
from convatlas.errors import MisuseError


class Entry(NamedTuple):
    """A line of the catalogue: `module` is the file in this folder, `year` that of the first publication."""

    family: str
    module: str
    year: int
    title: str


# fmt: off
ENTRIES: dict[str, Entry] = {
    "lenet5_1998":                Entry("lenet",      "lenet",        1998, "LeNet-5 as printed"),
    "lenet5":                     Entry("lenet",      "lenet",        1998, "LeNet-5, the usual modern form"),
    "alexnet":                    Entry("alexnet",    "alexnet",      2012, "AlexNet, two towers"),
    "zfnet":                      Entry("zfnet",      "zfnet",        2013, "ZFNet"),
    "zfnet_wide":                 Entry("zfnet",      "zfnet",        2013, "ZFNet (b), 512-1024-512"),
    "nin_cifar10":                Entry("nin",        "nin",          2013, "Network in Network, CIFAR-10"),
    "nin":                        Entry("nin",        "nin",          2013, "Network in Network, ImageNet"),
    "vgg11":                      Entry("vgg",        "vgg",          2014, "VGG-11 (A)"),
    "vgg11_lrn":                  Entry("vgg",        "vgg",          2014, "VGG-11 with LRN (A-LRN)"),
    "vgg13":                      Entry("vgg",        "vgg",          2014, "VGG-13 (B)"),
    "vgg16_c":                    Entry("vgg",        "vgg",          2014, "VGG-16 with 1x1 (C)"),
    "vgg16":                      Entry("vgg",        "vgg",          2014, "VGG-16 (D)"),
    "vgg19":                      Entry("vgg",        "vgg",          2014, "VGG-19 (E)"),
    "vgg11_bn":                   Entry("vgg",        "vgg",          2014, "VGG-11 with batch norm"),
    "vgg13_bn":                   Entry("vgg",        "vgg",          2014, "VGG-13 with batch norm"),
    "vgg16_bn":                   Entry("vgg",        "vgg",          2014, "VGG-16 with batch norm"),
    "vgg19_bn":                   Entry("vgg",        "vgg",          2014, "VGG-19 with batch norm"),
    "alexnet_owt":                Entry("alexnet",    "alexnet",      2014, "AlexNet, one weird trick"),
    "googlenet":                  Entry("googlenet",  "googlenet",    2014, "GoogLeNet (Inception-v1)"),
    "googlenet_bn":               Entry("googlenet",  "googlenet",    2014, "GoogLeNet as torchvision ships it"),
    "bn_inception":               Entry("inception",  "inception",    2015, "BN-Inception"),
    "inception_v2":               Entry("inception",  "inception",    2015, "Inception-v2 of TF-slim"),
    "inception_v3":               Entry("inception",  "inception",    2015, "Inception-v3"),
    "plain18":                    Entry("resnet",     "resnet",       2015, "Plain-18"),
    "plain34":                    Entry("resnet",     "resnet",       2015, "Plain-34"),
    "resnet18_a":                 Entry("resnet",     "resnet",       2015, "ResNet-18, shortcuts A"),
    "resnet34_a":                 Entry("resnet",     "resnet",       2015, "ResNet-34, shortcuts A"),
    "resnet18":                   Entry("resnet",     "resnet",       2015, "ResNet-18"),
    "resnet34":                   Entry("resnet",     "resnet",       2015, "ResNet-34"),
    "resnet50":                   Entry("resnet",     "resnet",       2015, "ResNet-50"),
    "resnet101":                  Entry("resnet",     "resnet",       2015, "ResNet-101"),
    "resnet152":                  Entry("resnet",     "resnet",       2015, "ResNet-152"),
    "resnet50_v1_5":              Entry("resnet",     "resnet",       2015, "ResNet-50 v1.5"),
    "resnet101_v1_5":             Entry("resnet",     "resnet",       2015, "ResNet-101 v1.5"),
    "resnet152_v1_5":             Entry("resnet",     "resnet",       2015, "ResNet-152 v1.5"),
    "plain20":                    Entry("resnet",     "resnet",       2015, "Plain-20, CIFAR"),
    "plain32":                    Entry("resnet",     "resnet",       2015, "Plain-32, CIFAR"),
    "plain44":                    Entry("resnet",     "resnet",       2015, "Plain-44, CIFAR"),
    "plain56":                    Entry("resnet",     "resnet",       2015, "Plain-56, CIFAR"),
    "resnet20":                   Entry("resnet",     "resnet",       2015, "ResNet-20, CIFAR"),
    "resnet32":                   Entry("resnet",     "resnet",       2015, "ResNet-32, CIFAR"),
    "resnet44":                   Entry("resnet",     "resnet",       2015, "ResNet-44, CIFAR"),
    "resnet56":                   Entry("resnet",     "resnet",       2015, "ResNet-56, CIFAR"),
    "resnet110":                  Entry("resnet",     "resnet",       2015, "ResNet-110, CIFAR"),
    "resnet1202":                 Entry("resnet",     "resnet",       2015, "ResNet-1202, CIFAR"),
    "inception_v4":               Entry("inception",  "inception_v4", 2016, "Inception-v4"),
    "inception_resnet_v1":        Entry("inception",  "inception_v4", 2016, "Inception-ResNet-v1"),
    "inception_resnet_v2":        Entry("inception",  "inception_v4", 2016, "Inception-ResNet-v2 as released"),
    "inception_resnet_v2_paper":  Entry("inception",  "inception_v4", 2016, "Inception-ResNet-v2 as printed"),
    "squeezenet1_0":              Entry("squeezenet", "squeezenet",   2016, "SqueezeNet 1.0"),
    "squeezenet1_1":              Entry("squeezenet", "squeezenet",   2016, "SqueezeNet 1.1"),
    "resnet110_stochastic_depth": Entry("resnet",     "resnet",       2016, "ResNet-110, stochastic depth, CIFAR"),
    "densenet121":                Entry("densenet",   "densenet",     2016, "DenseNet-121"),
    "densenet161":                Entry("densenet",   "densenet",     2016, "DenseNet-161"),
    "densenet169":                Entry("densenet",   "densenet",     2016, "DenseNet-169"),
    "densenet201":                Entry("densenet",   "densenet",     2016, "DenseNet-201"),
    "densenet264":                Entry("densenet",   "densenet",     2016, "DenseNet-264"),
    "densenet40_k12":             Entry("densenet",   "densenet",     2016, "DenseNet-40 (k = 12), CIFAR"),
    "densenet100_k12":            Entry("densenet",   "densenet",     2016, "DenseNet-100 (k = 12), CIFAR"),
    "densenet100_k24":            Entry("densenet",   "densenet",     2016, "DenseNet-100 (k = 24), CIFAR"),
    "densenet100_bc_k12":         Entry("densenet",   "densenet",     2016, "DenseNet-BC-100 (k = 12), CIFAR"),
    "densenet250_bc_k24":         Entry("densenet",   "densenet",     2016, "DenseNet-BC-250 (k = 24), CIFAR"),
    "densenet190_bc_k40":         Entry("densenet",   "densenet",     2016, "DenseNet-BC-190 (k = 40), CIFAR"),
    "xception":                   Entry("xception",   "xception",     2016, "Xception"),
    "resnext50_32x4d":            Entry("resnext",    "resnext",      2016, "ResNeXt-50, 32x4d"),
    "resnext101_32x4d":           Entry("resnext",    "resnext",      2016, "ResNeXt-101, 32x4d"),
    "resnext101_64x4d":           Entry("resnext",    "resnext",      2016, "ResNeXt-101, 64x4d"),
    "resnext101_32x8d":           Entry("resnext",    "resnext",      2016, "ResNeXt-101, 32x8d"),
    "mobilenet_v1":               Entry("mobilenet",  "mobilenet",    2017, "MobileNet"),
    "mobilenet_v1_x0_75":         Entry("mobilenet",  "mobilenet",    2017, "MobileNet, width 0.75"),
    "mobilenet_v1_x0_5":          Entry("mobilenet",  "mobilenet",    2017, "MobileNet, width 0.5"),
    "mobilenet_v1_x0_25":         Entry("mobilenet",  "mobilenet",    2017, "MobileNet, width 0.25"),
    "shufflenet_v1_g1":           Entry("shufflenet", "shufflenet",   2017, "ShuffleNet 1x, g = 1"),
    "shufflenet_v1_g2":           Entry("shufflenet", "shufflenet",   2017, "ShuffleNet 1x, g = 2"),
    "shufflenet_v1_g3":           Entry("shufflenet", "shufflenet",   2017, "ShuffleNet 1x, g = 3"),
    "shufflenet_v1_g4":           Entry("shufflenet", "shufflenet",   2017, "ShuffleNet 1x, g = 4"),
    "shufflenet_v1_g8":           Entry("shufflenet", "shufflenet",   2017, "ShuffleNet 1x, g = 8"),
    "shufflenet_v1_g1_x0_5":      Entry("shufflenet", "shufflenet",   2017, "ShuffleNet 0.5x, g = 1"),
    "shufflenet_v1_g3_x0_5":      Entry("shufflenet", "shufflenet",   2017, "ShuffleNet 0.5x, g = 3"),
    "shufflenet_v1_g8_x0_5":      Entry("shufflenet", "shufflenet",   2017, "ShuffleNet 0.5x, g = 8, as released"),
    "shufflenet_v1_g1_x0_25":     Entry("shufflenet", "shufflenet",   2017, "ShuffleNet 0.25x, g = 1"),
    "shufflenet_v1_g3_x0_25":     Entry("shufflenet", "shufflenet",   2017, "ShuffleNet 0.25x, g = 3"),
    "se_resnet50":                Entry("senet",      "senet",        2017, "SE-ResNet-50"),
    "se_resnet50_v1_5":           Entry("senet",      "senet",        2017, "SE-ResNet-50 v1.5"),
    "se_resnet101":               Entry("senet",      "senet",        2017, "SE-ResNet-101"),
    "se_resnet152":               Entry("senet",      "senet",        2017, "SE-ResNet-152"),
    "senet154":                   Entry("senet",      "senet",        2017, "SENet-154"),
    "mobilenet_v2":               Entry("mobilenet",  "mobilenet",    2018, "MobileNetV2"),
    "shufflenet_v2_x0_5":         Entry("shufflenet", "shufflenet",   2018, "ShuffleNet v2 0.5x"),
    "shufflenet_v2_x1_0":         Entry("shufflenet", "shufflenet",   2018, "ShuffleNet v2 1x"),
    "shufflenet_v2_x1_5":         Entry("shufflenet", "shufflenet",   2018, "ShuffleNet v2 1.5x"),
    "shufflenet_v2_x2_0":         Entry("shufflenet", "shufflenet",   2018, "ShuffleNet v2 2x"),
    "mobilenet_v3_large":         Entry("mobilenet",  "mobilenet",    2019, "MobileNetV3-Large"),
    "mobilenet_v3_small":         Entry("mobilenet",  "mobilenet",    2019, "MobileNetV3-Small"),
}
# fmt: on


def names() -> tuple[str, ...]:
    """Every name, in order of publication."""
    return tuple(ENTRIES)


def families() -> dict[str, tuple[str, ...]]:
    """Names by family, both in order of publication."""
    found: dict[str, list[str]] = {}
    for name, entry in ENTRIES.items():
        found.setdefault(entry.family, []).append(name)
    return {family: tuple(members) for family, members in found.items()}


def entry(name: str) -> Entry:
    """The line of `name`, its ``@size`` left out; MisuseError offers the nearest names."""
    base = name.partition("@")[0]
    if base not in ENTRIES:
        nearest = difflib.get_close_matches(base, ENTRIES, n=3, cutoff=0.5)
        hint = f"; nearest: {', '.join(nearest)}" if nearest else ""
        raise MisuseError(f"unknown network {name!r}{hint} (convatlas list prints them all)")
    return ENTRIES[base]


def network(name: str) -> Network:
    """The definition of `name`; ``mobilenet_v1@192`` is the same network at another input size.

    MisuseError for an unknown name, ShapeError (naming the row) for a size that the network cannot take.
    """
    base, at, size = name.partition("@")
    constructors: dict[str, Callable[[], Network]] = _module(name).NETWORKS
    found = constructors[base]().replaced(name=name)
    if not at:
        return found
    if not (size.isascii() and size.isdigit() and int(size)):
        raise MisuseError(
            f"{name}: {size!r} is no input size; expected a number of pixels, such as {base}@192"
        )
    return with_input(found, (found.input[0], int(size), int(size)))


def facts(name: str) -> Facts:
    """What was published about `name`; another size has the facts of its own where the paper gives them."""
    published: dict[str, Facts] = _module(name).facts()
    return published.get(name) or published[name.partition("@")[0]]


def published(network: Network) -> tuple[Accuracy, ...]:
    """Accuracies that were published of exactly this definition; none for an edited one or an unpublished size."""
    base, _, _ = network.name.partition("@")
    size = f"{base}@{network.input[-1]}"
    own: dict[str, Facts] = _module(base).facts()
    original = _module(base).NETWORKS[base]()
    if (network.rows, network.aux) != (original.rows, original.aux):
        return ()
    if network.input != original.input:
        square = network.input == (original.input[0], network.input[-1], network.input[-1])
        return own[size].accuracies if square and size in own else ()
    return own[base].accuracies


def _module(name: str):  # type: ignore[no-untyped-def]  # noqa: ANN202  a module has no narrower type
    return importlib.import_module(f"convatlas.networks.{entry(name).module}")
