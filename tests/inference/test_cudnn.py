"""cuDNN's fused convolutions: which ones are found, and that the network stays what it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from convatlas.inference.engines import cudnn
from convatlas.inference.graph import Kind, record, simplify

# convolutions whose ReLU, or sum and ReLU, can be had in one call; counted in the papers' tables
FUSED = {
    "resnet20": (10, 9),  # the stem and each of 9 blocks' first; each block's sum
    "resnet18": (9, 8),
    "resnet50": (33, 16),  # two of three convolutions a block, and the stem
    "vgg11": (8, 0),
    "squeezenet1_1": (26, 0),
}


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The two calls by their definition, on a CPU; a list of those made."""
    made: list[str] = []

    def conv_relu(x, weight, bias, stride, padding, dilation, groups) -> Tensor:
        made.append("relu")
        return torch.relu(torch.conv2d(x, weight, bias, stride, padding, dilation, groups))

    def conv_add_relu(x, weight, other, alpha, bias, stride, padding, dilation, groups) -> Tensor:
        made.append("sum")
        return torch.relu(torch.conv2d(x, weight, bias, stride, padding, dilation, groups) + alpha * other)

    monkeypatch.setattr(torch, "cudnn_convolution_relu", conv_relu)
    monkeypatch.setattr(torch, "cudnn_convolution_add_relu", conv_add_relu)
    return made


def rewritten(model: nn.Module, example: Tensor, serves: cudnn.Serves = lambda *_: True) -> nn.Module:
    recording = record(model, example)
    simplify(recording)
    cudnn.fuse(recording, serves, len(example))
    recording.finish()
    return recording.module


@pytest.mark.parametrize("name", FUSED)
def test_every_relu_behind_a_convolution_is_taken_along(
    name: str, network: Callable[[str], nn.Module], on_cpu: list[str]
) -> None:
    side = 32 if name == "resnet20" else 64
    model = network(name, side)  # type: ignore[call-arg]
    example = torch.randn(2, 3, side, side)
    module = rewritten(model, example)
    with torch.no_grad():
        torch.testing.assert_close(module(example), model(example), rtol=1e-3, atol=1e-4)
    assert (on_cpu.count("relu"), on_cpu.count("sum")) == FUSED[name]


def test_what_there_is_no_kernel_for_stays_as_it_is(
    network: Callable[[str], nn.Module], on_cpu: list[str]
) -> None:
    model, example = network("resnet20"), torch.randn(2, 3, 32, 32)
    asked: list[cudnn.Shapes] = []

    def serves(call: object, shapes: cudnn.Shapes, settings: cudnn.Settings, dtype: torch.dtype) -> bool:
        assert dtype is torch.float32
        asked.append(shapes)
        return settings["stride"] == [1, 1] and call is cudnn._conv_relu

    module = rewritten(model, example, serves)
    with torch.no_grad():
        torch.testing.assert_close(module(example), model(example), rtol=1e-3, atol=1e-4)
    assert (on_cpu.count("relu"), on_cpu.count("sum")) == (8, 0)  # two of the ten have stride 2
    assert ((2, 3, 32, 32), (16, 3, 3, 3), (2, 16, 32, 32)) in asked


def test_a_convolution_that_is_read_twice_is_not_clamped(on_cpu: list[str]) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.other = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return (torch.relu(self.other(y) + y) + y).mean((2, 3))

    model, example = Twice().eval(), torch.randn(2, 3, 8, 8)
    module = rewritten(model, example)
    with torch.no_grad():
        torch.testing.assert_close(module(example), model(example))
    assert on_cpu == ["sum"]


def test_a_convolution_added_to_itself_is_left_alone(on_cpu: list[str]) -> None:
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return torch.relu(y + y).mean((2, 3))

    model, example = Doubled().eval(), torch.randn(2, 3, 8, 8)
    module = rewritten(model, example)
    with torch.no_grad():
        torch.testing.assert_close(module(example), model(example))
    assert on_cpu == []


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["resnet20", "resnet50", "squeezenet1_1", "googlenet_bn"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_on_a_gpu_the_answers_are_the_networks(
    name: str, precision: str, network: Callable[[str], nn.Module]
) -> None:
    from convatlas.inference.engines.base import Plan, Workbench

    model = network(name).cuda()
    side = 32 if name == "resnet20" else 224
    example = torch.randn(4, 3, side, side, device="cuda")
    bench = Workbench(model, example, example, example.device)
    assert bench.recording.nodes(Kind.CONV)
    maker = cudnn.CuDnn().prepare(bench, Plan("cudnn", precision))
    torch.backends.cudnn.conv.fp32_precision = "ieee"
    try:
        with torch.no_grad():
            expected = model(example)
    finally:
        torch.backends.cudnn.conv.fp32_precision = "tf32"
    for batch in (4, 1):
        answer = maker(batch)(example[:batch])
        error = (answer - expected[:batch]).norm() / expected[:batch].norm()
        assert error < (0.1 if precision == "bf16" else 0.01), error


@pytest.mark.gpu
def test_a_network_without_such_a_convolution_is_left_to_others(network: Callable[[str], nn.Module]) -> None:
    """MobileNetV2's activations are ReLU6."""
    from convatlas.inference.engines.base import Plan, Unsuitable, Workbench

    example = torch.randn(1, 3, 224, 224, device="cuda")
    bench = Workbench(network("mobilenet_v2").cuda(), example, example, example.device)
    with pytest.raises(Unsuitable, match="ReLU"):
        cudnn.CuDnn().prepare(bench, Plan("cudnn", "bf16"))


@pytest.mark.gpu
@pytest.mark.parametrize("engine", ["cudnn", "cudagraph"])
def test_plans_with_some_layers_in_float32_run_there_too(
    engine: str, network: Callable[[str], nn.Module]
) -> None:
    from convatlas.inference.engines import ENGINES
    from convatlas.inference.engines.base import Plan, Workbench

    model = network("resnet20").cuda()
    example = torch.randn(16, 3, 32, 32, device="cuda")
    bench = Workbench(model, example, example, example.device)
    errors = []
    with torch.no_grad():
        expected = model(example)
        for plan in (Plan(engine, "bf16"), Plan(engine, "bf16", refined=True, exact=12)):
            answer = ENGINES[engine].prepare(bench, plan)(16)(example)
            errors.append(float((answer - expected).norm() / expected.norm()))
    assert errors[1] < errors[0] < 0.1
