"""State dicts of torchvision and timm, read by our maps, give what their own models give, auxiliary heads too.

Weights and batch norm statistics are random; the entries are handed over sorted by name, as a safetensors file
has them, so that nothing but the maps can restore their order.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from convatlas.modules import build
from convatlas.networks import catalogue
from convatlas.weights import open_checkpoint
from convatlas.weights.dialects import TORCH

pytestmark = pytest.mark.oracle

ABSENT = {  # of one library, though the dialect is shared
    "torchvision": {"resnext101_32x4d", "se_resnet50_v1_5", "densenet264"},
    "timm": {"densenet264"},
}
PAIRS = [
    (source, ours, theirs)
    for dialect in TORCH
    for source in dialect.sources
    if source in ABSENT
    for ours, theirs in dialect.networks.items()
    if ours not in ABSENT[source]
]
QUICK = {
    "resnet18",
    "squeezenet1_1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "shufflenet_v2_x0_5",
    "googlenet_bn",
}
FIXED = {"alexnet_owt": 224, "vgg": 224, "inception_v3": 299, "inception": 139}  # others take any size


def size_of(name: str) -> int:
    return next((size for start, size in FIXED.items() if name.startswith(start)), 96)


def randomize(model: nn.Module) -> nn.Module:
    """Weights that keep what passes through near one, and statistics that no two layers share."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(std=0.2)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(0.5, 1.0)
                module.bias.normal_(std=0.2)
            elif isinstance(module, (nn.Conv2d, nn.Linear)):
                module.weight.normal_(std=module.weight[0].numel() ** -0.5)
                if module.bias is not None:
                    module.bias.normal_(std=0.2)
    return model.eval()


def close(found: Tensor, expected: Tensor) -> None:
    assert expected.std() > 1e-3, "these outputs would hide a difference"
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * max(1.0, float(expected.abs().max())))


@pytest.mark.parametrize(
    ("source", "ours", "theirs"),
    [pytest.param(*p, marks=() if p[1] in QUICK else pytest.mark.slow, id="-".join(p[:2])) for p in PAIRS],
)
@torch.inference_mode()
def test_state_dicts_of_peers_compute_the_same_in_our_networks(
    source: str, ours: str, theirs: str, peer: Callable[..., nn.Module]
) -> None:
    model = randomize(peer(f"{source}.{theirs}"))
    shuffled = dict(sorted(model.state_dict().items()))
    found = open_checkpoint(shuffled, catalogue.network(ours), source)
    assert found.source == source
    mine = build(found.network, init=False).eval()
    mine.load_state_dict(found.state_dict)
    images = torch.randn(2, 3, size_of(ours), size_of(ours))
    close(mine(images), model(images))


@pytest.mark.parametrize(
    ("ours", "theirs", "size"), [("googlenet_bn", "googlenet", 224), ("inception_v3", "inception_v3", 299)]
)
@torch.no_grad()
def test_auxiliary_heads_of_torchvision_compute_the_same(
    ours: str, theirs: str, size: int, peer: Callable[..., nn.Module]
) -> None:
    model = randomize(peer(f"torchvision.{theirs}", heads=True))
    found = open_checkpoint(dict(sorted(model.state_dict().items())), catalogue.network(ours))
    mine = build(found.network, init=False).eval()
    mine.load_state_dict(found.state_dict)
    heads: dict[
        str, Tensor
    ] = {}  # theirs gives them in training only, where batch norm forgets its statistics
    for name, module in model.named_children():
        if name.lower().startswith("aux"):
            inputs = dict(
                zip(("aux1", "aux2", "AuxLogits"), ("inception4a", "inception4d", "Mixed_6e"), strict=True)
            )
            source = model.get_submodule(inputs[name])
            source.register_forward_hook(lambda _m, _i, out, n=name, h=module: heads.__setitem__(n, h(out)))
    images = torch.randn(2, 3, size, size)
    expected = model(images)
    logits, aux = mine.forward_with_aux(images)
    close(logits, expected)
    assert len(aux) == len(heads) > 0
    for found_head, name in zip(aux, sorted(heads), strict=True):
        close(found_head, heads[name])
