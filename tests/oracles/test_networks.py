"""The same weights give the same logits as torchvision and timm, for every network that they share with us.

Weights and batch norm statistics are random; they are copied in order, shape by shape. Where a peer departs from
the paper or its authors' release, our definition is edited to the peer's form first: the edit says the departure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from convatlas.define import AvgPool, BatchNorm, MaxPool, Network, ReLU, ReLU6, replace, without_aux
from convatlas.modules import build
from convatlas.networks import catalogue

pytestmark = [pytest.mark.oracle, pytest.mark.slow]

Edit = Callable[[Network], Network]


def same(network: Network) -> Network:
    return network


def padding_in_the_mean(network: Network) -> Network:
    """The default of torch counts the padding in a mean; TensorFlow, where the network comes from, does not."""
    return replace(
        network, AvgPool(3, stride=1, padding=1, count_include_pad=False), AvgPool(3, stride=1, padding=1)
    )


def xception_of_timm(network: Network) -> Network:
    """The port of timm pads its pooling on both sides and has torch's eps."""
    network = replace(network, MaxPool(3, 2, "same_tf"), MaxPool(3, 2, 1))
    return replace(network, BatchNorm(eps=1e-3), BatchNorm())


def mobilenet_of_timm(network: Network) -> Network:
    """The port of timm has TF-slim's ReLU6, where the paper prints ReLU, and torch's eps."""
    return replace(replace(network, ReLU, ReLU6), BatchNorm(eps=1e-3), BatchNorm())


# fmt: off
SHARED: list[tuple[str, str, int, Edit]] = [
    ("alexnet_owt",         "torchvision.alexnet",             224, same),
    ("vgg11",               "torchvision.vgg11",               224, same),
    ("vgg13",               "torchvision.vgg13",               224, same),
    ("vgg16",               "torchvision.vgg16",               224, same),
    ("vgg16",               "timm.vgg16",                      224, same),
    ("vgg19",               "torchvision.vgg19",               224, same),
    ("vgg11_bn",            "torchvision.vgg11_bn",            224, same),
    ("vgg13_bn",            "torchvision.vgg13_bn",            224, same),
    ("vgg16_bn",            "torchvision.vgg16_bn",            224, same),
    ("vgg19_bn",            "torchvision.vgg19_bn",            224, same),
    ("googlenet_bn",        "torchvision.googlenet",            96, same),
    ("inception_v3",        "torchvision.inception_v3",        139, padding_in_the_mean),
    ("inception_v3",        "timm.inception_v3",               139, padding_in_the_mean),
    ("inception_v4",        "timm.inception_v4",               139, same),
    ("inception_resnet_v2", "timm.inception_resnet_v2",        139, same),
    ("xception",            "timm.legacy_xception",            139, xception_of_timm),
    ("resnet18",            "torchvision.resnet18",             96, same),
    ("resnet34",            "timm.resnet34",                    96, same),
    ("resnet50_v1_5",       "torchvision.resnet50",             96, same),
    ("resnet101_v1_5",      "timm.resnet101",                   96, same),
    ("resnet152_v1_5",      "torchvision.resnet152",            96, same),
    ("resnext50_32x4d",     "torchvision.resnext50_32x4d",      96, same),
    ("resnext101_32x4d",    "timm.resnext101_32x4d",            96, same),
    ("resnext101_64x4d",    "torchvision.resnext101_64x4d",     96, same),
    ("resnext101_32x8d",    "torchvision.resnext101_32x8d",     96, same),
    ("se_resnet50",         "timm.legacy_seresnet50",           96, same),
    ("se_resnet50_v1_5",    "timm.seresnet50",                  96, same),
    ("se_resnet101",        "timm.legacy_seresnet101",          96, same),
    ("se_resnet152",        "timm.legacy_seresnet152",          96, same),
    ("senet154",            "timm.legacy_senet154",             96, same),
    ("densenet121",         "torchvision.densenet121",          96, same),
    ("densenet161",         "timm.densenet161",                 96, same),
    ("densenet169",         "torchvision.densenet169",          96, same),
    ("densenet201",         "torchvision.densenet201",          96, same),
    ("squeezenet1_1",       "torchvision.squeezenet1_1",        96, same),
    ("mobilenet_v1",        "timm.mobilenetv1_100",             96, mobilenet_of_timm),
    ("mobilenet_v2",        "torchvision.mobilenet_v2",         96, same),
    ("mobilenet_v2",        "timm.mobilenetv2_100",             96, same),
    ("mobilenet_v3_large",  "torchvision.mobilenet_v3_large",   96, same),
    ("mobilenet_v3_small",  "torchvision.mobilenet_v3_small",   96, same),
    ("shufflenet_v2_x0_5",  "torchvision.shufflenet_v2_x0_5",   96, same),
    ("shufflenet_v2_x1_0",  "torchvision.shufflenet_v2_x1_0",   96, same),
    ("shufflenet_v2_x1_5",  "torchvision.shufflenet_v2_x1_5",   96, same),
    ("shufflenet_v2_x2_0",  "torchvision.shufflenet_v2_x2_0",   96, same),
]
# fmt: on


def randomize(model: nn.Module) -> None:
    """Weights that keep activations near one, and statistics far enough from 0 and 1 to be seen."""
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.dim() > 1:
            value.normal_(std=value[0].numel() ** -0.5)
        elif value.is_floating_point() and name.endswith("weight"):
            value.uniform_(0.75, 1.25)
        elif value.is_floating_point():
            value.normal_(std=0.1)


def in_order(state: dict[str, Tensor]) -> list[tuple[str, Tensor]]:
    """Entries as we hold them: timm's Xception keeps a block's projection before its body."""
    entries = [(name, value) for name, value in state.items() if not name.endswith("num_batches_tracked")]
    blocks = {name.partition(".")[0]: i for i, (name, _) in reversed(list(enumerate(entries)))}
    return sorted(entries, key=lambda entry: (blocks[entry[0].partition(".")[0]], ".skip" in entry[0]))


def kind(name: str, value: Tensor) -> tuple[str, int, int]:
    """What two weights of one place share, whether the layer is written as linear or as a convolution."""
    return name.rpartition(".")[2], len(value), value.numel()


def copy_in_order(source: nn.Module, target: nn.Module) -> None:
    """Fill `target`: the first weight of a kind with the first such of `source`, and so on."""
    waiting: dict[tuple[str, int, int], list[Tensor]] = defaultdict(list)
    for name, value in in_order(source.state_dict()):
        waiting[kind(name, value)].append(value)
    for name, value in target.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            value.copy_(waiting[kind(name, value)].pop(0).reshape(value.shape))
    assert not any(waiting.values()), "the peer has weights left over"


@pytest.mark.parametrize(("name", "other", "size", "edit"), SHARED, ids=[f"{n}-{o}" for n, o, _, _ in SHARED])
@torch.inference_mode()
def test_the_same_weights_give_the_same_logits(
    name: str, other: str, size: int, edit: Edit, peer: Callable[[str], nn.Module]
) -> None:
    theirs = peer(other).eval()
    randomize(theirs)
    ours = build(edit(without_aux(catalogue.network(name))), init=False).eval()
    copy_in_order(theirs, ours)
    images = torch.randn(2, 3, size, size)
    expected, found = theirs(images), ours(images)
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
