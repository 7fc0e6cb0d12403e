"""What a source means by the same layers: padding, folding, class 0, aux heads, epsilon, preprocessing.

A convention turns the network that was asked for into the one whose arithmetic the weights were trained in, by
edits that keep every name, and says so; and it names the preprocessing that is usual for the source.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace

from convatlas.define import (
    AvgPool,
    BatchNorm,
    Conv,
    DepthwiseConv,
    MaxPool,
    Network,
    Node,
    ReLU,
    ReLU6,
    elaborate,
    with_input,
    without_aux,
    without_normalization,
)
from convatlas.define import replace as put
from convatlas.define.edits import rewrite
from convatlas.define.operations import pair
from convatlas.define.preprocessing import Preprocessing, named
from convatlas.weights.foreign import Foreign, Layer
from convatlas.weights.slots import slots

BACKGROUND = 1001  # TensorFlow's ImageNet classifiers: class 0 is "none of them"
IMAGENET = 1000
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Convention:
    """The network in the source's arithmetic, the layers that go into it, and what to see them with."""

    network: Network
    layers: tuple[Layer, ...]
    preprocessing: Preprocessing
    channels_last: bool = False
    notes: tuple[str, ...] = ()


def convention(source: str, network: Network, foreign: Foreign | None, code: str = "") -> Convention:
    """Apply a source's convention to `network` and to the layers of `foreign` (None: nothing to translate).

    source: where the weights were trained. code: whose model they stand in now, if another's.
    """
    code = code or source
    if foreign is None:
        return Convention(network, (), usual(source, network))
    layers, notes = foreign.layers, []
    if foreign.input is not None and foreign.input != network.input:
        network = with_input(network, foreign.input)
        notes.append(f"the file means {'x'.join(map(str, foreign.input))} inputs")
    network, layers, said = _aux(network, layers)
    notes += said
    if foreign.folded and _has(network, BatchNorm):
        network = without_normalization(network)
        notes.append("batch norm is folded into its convolutions, which have biases")
    edited = source_edits(code, network)
    if edited != network:
        notes.append(
            f"{code}'s {' and '.join(_differences(network, edited))}, other than the paper's, is used"
        )
        network = edited
    layers, said = _background(network, layers)
    notes += said
    eps = source_eps(code, network)
    if eps is not None:
        layers = tuple(replace(x, eps=eps) if x.is_norm and x.eps is None else x for x in layers)
    preprocessing = usual(source, network)
    return Convention(network, layers, preprocessing, code in ("keras", "tflite"), tuple(notes))


def usual(source: str, network: Network) -> Preprocessing:
    """What a source's published weights of this network want to see, where the file does not say it."""
    name, size = network.name.partition("@")[0], network.input[1:]
    if network.input[0] == 1:
        return named("digit")
    if size == (32, 32):
        return named("cifar")
    if source == "caffe":
        return named("caffe").with_size(*size)
    if source in ("keras", "tflite"):
        mode = _keras_mode(name) if source == "keras" else "tf"
        if mode == "caffe":  # keras.applications.imagenet_utils: rounded to three digits, unlike Caffe's
            exact = dataclasses.replace(named("caffe"), mean=(103.939, 116.779, 123.68))
            return exact.with_size(*size)
        return named(mode).with_size(*size)
    half = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    if source == "torchvision" and name == "googlenet_bn":
        return half  # its own model turns torchvision's usual mean into this (transform_input)
    if name == "inception_v3" and source == "torchvision":
        return dataclasses.replace(half, resize=342, crop=299)
    if name.startswith(("inception", "xception")):
        return dataclasses.replace(half, interpolation="bicubic", resize=333, crop=299)
    interpolation = "bicubic" if source == "timm" else "bilinear"
    return dataclasses.replace(named("torchvision"), interpolation=interpolation).with_size(*size)


def _keras_mode(name: str) -> str:
    if name.startswith(("vgg", "resnet")):
        return "caffe"
    return "torchvision" if name.startswith("densenet") else "tf"


def source_eps(source: str, network: Network) -> float | None:
    """Epsilon of a source's batch norms where its files leave it out; None where it is not known."""
    name = network.name.partition("@")[0]
    if source == "keras":
        return 1.001e-5 if name.startswith(("resnet", "densenet")) else 1e-3
    if source == "torchvision":
        return 1e-3 if name in ("googlenet_bn", "inception_v3") or name.startswith("mobilenet_v3") else 1e-5
    if source == "timm":
        return 1e-3 if name.startswith("inception") else 1e-5
    return None


def source_edits(source: str, network: Network) -> Network:
    """The network with the source's own padding, where that differs."""
    name = network.name.partition("@")[0]
    if source == "tflite" or (source == "keras" and name.startswith(("mobilenet", "xception"))):
        network = with_tf_padding(network)
    if source in ("tflite", "keras") and name.startswith("mobilenet_v1"):
        network = put(network, ReLU, ReLU6)  # as the authors' own code has it, where the paper says ReLU
    if source == "keras" and name.startswith("inception"):
        network = with_pool_means(network, include_padding=False)
    if source in ("torchvision", "timm") and name == "inception_v3":
        network = with_pool_means(network, include_padding=True)
    if source == "timm" and name == "xception":
        network = rewrite(network, _centered_pool)
    if source == "torchvision" and name.startswith("squeezenet"):
        network = with_input(_unpadded_classifier(network), (3, 224, 224))
    return network


def _centered_pool(node: Node) -> Node:
    return replace(node, padding=1) if isinstance(node, MaxPool) and node.padding == "same_tf" else node


def _unpadded_classifier(network: Network) -> Network:
    """Torchvision leaves out the padding that SqueezeNet 1.0's release gives its last 1x1 convolution."""

    def rule(node: Node) -> Node:
        return (
            replace(node, padding=0)
            if isinstance(node, Conv) and node.kernel == 1 and node.padding == 1
            else node
        )

    return rewrite(network, rule)


def with_tf_padding(network: Network) -> Network:
    """Pad by TensorFlow's rule wherever a stride makes it differ: more at the bottom and right."""

    def rule(node: Node) -> Node:
        if not isinstance(node, Conv | DepthwiseConv | MaxPool | AvgPool):
            return node
        stride = pair(node.kernel if node.stride is None else node.stride)
        kernel = pair(node.kernel)
        centered = tuple((k - 1) // 2 for k in kernel)
        keeps_size = node.padding == "same" or pair(node.padding) == centered  # type: ignore[arg-type]
        if max(stride) == 1 or max(kernel) == 1 or not keeps_size:
            return node
        return replace(node, padding="same_tf")

    return rewrite(network, rule)


def with_pool_means(network: Network, *, include_padding: bool) -> Network:
    """Average pools that count the padding, as torch's do, or leave it out, as TensorFlow's do."""

    def rule(node: Node) -> Node:
        if not isinstance(node, AvgPool) or node.padding in (0, "valid"):
            return node
        return replace(node, count_include_pad=include_padding)

    return rewrite(network, rule)


def describe(wanted: Preprocessing) -> str:
    """One line: resize, crop, channel order, scale, mean, deviation."""
    means = ", ".join(f"{value:g}" for value in wanted.mean)
    stds = ", ".join(f"{value:g}" for value in wanted.std)
    return (
        f"resize {wanted.resize} {wanted.interpolation}, crop {wanted.crop}, {wanted.channel_order} / {wanted.scale:g},"
        f" mean {means}, std {stds}"
    )


def _differences(before: Network, after: Network) -> list[str]:
    """What an edit changed, in a user's words."""
    told = ["input size"] if before.input != after.input else []
    old, new = (list(elaborate(network).operations(aux=True)) for network in (before, after))
    kinds = {
        type(a.node) is type(b.node) for (_, a), (_, b) in zip(old, new, strict=True) if a.node != b.node
    }
    return told + [word for same, word in ((True, "padding"), (False, "activation")) if same in kinds]


def _has(network: Network, kind: type[BatchNorm]) -> bool:
    return any(isinstance(slot.operation, kind) for slot in slots(network))


def _aux(network: Network, layers: tuple[Layer, ...]) -> tuple[Network, tuple[Layer, ...], list[str]]:
    """Auxiliary heads that only one side has are left out: they matter in training alone."""
    theirs = tuple(layer for layer in layers if is_aux(layer.name))
    if network.aux and not theirs:
        return without_aux(network), layers, ["the file has no auxiliary heads, so the network has none"]
    if theirs and not network.aux:
        kept = tuple(layer for layer in layers if layer not in theirs)
        return network, kept, [f"the file's auxiliary heads ({len(theirs)} layers) are left out"]
    return network, layers, []


def is_aux(name: str) -> bool:
    """Auxiliary heads by the names that torchvision and Caffe give them."""
    first = name.replace("/", ".").split(".")[0]
    return first in ("aux1", "aux2", "AuxLogits", "loss1", "loss2")


def _background(network: Network, layers: tuple[Layer, ...]) -> tuple[tuple[Layer, ...], list[str]]:
    """Drop class 0 of a classifier over 1001 classes where the network has 1000."""
    main = [slot for slot in slots(network) if not slot.is_norm and not slot.is_aux]
    if not main or main[-1].shapes["weight"][0] != IMAGENET:
        return layers, []
    found = [x for x in layers if not x.is_norm and x.tensors["weight"].shape[0] == BACKGROUND]
    if not found:
        return layers, []
    cut = tuple(
        replace(x, tensors={leaf: tensor[1:] for leaf, tensor in x.tensors.items()}) if x in found else x
        for x in layers
    )
    return cut, [f"class 0 of the file's {BACKGROUND}, the background, was dropped"]
