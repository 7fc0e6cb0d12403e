"""A recording computes what the model computed, for any batch, and refuses what it cannot hold."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.inference.graph import Kind, NotRecordable, record, simplify
from tests.inference.recordings import unknown

SMALL = ("lenet5", "lenet5_1998", "nin_cifar10", "resnet20", "densenet40_k12", "shufflenet_v2_x0_5")


class Everything(nn.Module):
    """Calls torch by the many names that one operation has."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(
            8, 8, (1, 3), stride=(1, 2), groups=8, bias=False, dilation=(1, 2), padding="valid"
        )
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        y += F.avg_pool2d(x, 1).repeat(1, 2, 1, 1)
        y = y * 0.5 - 1 / 3
        y = F.hardswish(y) + torch.sigmoid(y).mul(2) + y.tanh() + F.relu6(y) + F.hardtanh(y, 0, 6) + F.silu(y)
        a, b = y.chunk(2, dim=1)
        y = torch.cat([b, a.clone().relu_()], dim=1)
        y = self.depthwise(F.pad(y, [1, 2, -1, 0], value=0.25))
        n, c, h, w = y.shape
        y = y.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().reshape(n, c, h, w)
        y = F.max_pool2d(y, 3, 2, ceil_mode=True) + F.max_pool2d(
            y[:, :, ::1, ::1], 3, stride=2, ceil_mode=True
        )
        y = F.local_response_norm(y, 5, 5e-4, 0.75, 2.0)
        gate = F.hardsigmoid(F.adaptive_avg_pool2d(y, 1))
        y = F.dropout(y * gate, 0.5, self.training)
        return (
            torch.flatten(y, 1)[:, :10].softmax(dim=-1)
            + y.amax((2, 3)).sum(1, keepdim=True)
            + y.mean(dim=[2, 3])[:, :1]
        )


class InPlaceOnShortcut(nn.Module):
    """The shortcut is read after an in-place ReLU has changed it, as in early pre-activation networks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        z = F.relu(y, inplace=True)
        return (y + self.conv(z)).mean((2, 3))


class Decides(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) if x.mean() > 0 else x.amax((2, 3))


def same(model: nn.Module, images: Tensor, tolerance: float = 0.0) -> None:
    recording = record(model, images)
    for count in (1, 3, 5):
        batch = torch.randn(count, *images.shape[1:])
        with torch.no_grad():
            expected = model(batch)
            torch.testing.assert_close(recording.module(batch), expected, rtol=tolerance, atol=tolerance)
    simplify(recording)
    with torch.no_grad():
        torch.testing.assert_close(recording.module(batch), expected, rtol=1e-4, atol=1e-4)


def test_every_way_of_calling_torch_is_recorded() -> None:
    model = Everything().eval()
    model.norm.running_mean.normal_()
    same(model, torch.randn(2, 4, 12, 13), tolerance=1e-5)


def test_a_value_changed_in_place_is_read_as_changed() -> None:
    same(InPlaceOnShortcut().eval(), torch.randn(2, 3, 8, 8))


@pytest.mark.parametrize("name", SMALL)
def test_networks_of_the_catalogue_are_recorded_without_unknown_functions(name: str, network) -> None:
    model = network(name)
    images = torch.randn(2, *model.network.input)
    recording = record(model, images)
    # lenet5_1998 squares distances to its codes, which no rewrite needs to know
    assert set(unknown(recording)) <= {"square", "sum", "neg"}
    same(model, images, tolerance=1e-5)


def test_rows_are_those_of_the_definition(network) -> None:
    model = network("resnet20")
    rows = {node.meta["row"] for node in record(model, torch.randn(2, 3, 32, 32)).nodes(Kind.CONV)}
    convolutions = {name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}
    assert rows == convolutions


def test_a_model_that_looks_at_values_is_refused() -> None:
    with pytest.raises(NotRecordable, match="may go another way"):
        record(Decides(), torch.randn(2, 3, 4, 4))


def test_a_model_that_answers_several_tensors_is_refused() -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.mean((2, 3)), x

    with pytest.raises(NotRecordable, match="tuple"):
        record(Pair(), torch.randn(2, 3, 4, 4))


def test_the_model_is_left_as_it_was(network) -> None:
    model = network("resnet20").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    record(model, torch.randn(2, 3, 32, 32))
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.slow
@pytest.mark.oracle
@pytest.mark.parametrize(
    "name", ["googlenet", "inception_v3", "densenet121", "mobilenet_v3_small", "shufflenet_v2_x0_5"]
)
def test_models_of_torchvision_are_recorded(name: str) -> None:
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    # its compiled part may be another torch's: `make` does without it
    from convatlas.inference.benchmark.models import make, make_sane

    size = 299 if name == "inception_v3" else 224
    model = make("torchvision", name)
    make_sane(model, torch.randn(4, 3, size, size))
    recording = record(model, torch.randn(2, 3, size, size))
    assert unknown(recording) == []
    simplify(recording)
    images = torch.randn(3, 3, size, size)
    with torch.no_grad():
        torch.testing.assert_close(recording.module(images), model(images), rtol=1e-3, atol=1e-3)
