"""The fused form answers as the model does; nothing is overwritten that is read again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from convatlas.inference.engines.eager import in_precision
from convatlas.inference.engines.onednn import OneDnn, _conv_into, packed
from convatlas.inference.graph import record, simplify
from tests.inference.conftest import lived_in

pytestmark = pytest.mark.skipif(OneDnn().missing() is not None, reason="this torch has no oneDNN")


class Residual(nn.Module):
    def __init__(self, *, read_again: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
        self.read_again = read_again

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        y = torch.relu(x + self.body(x))
        y = y + x if self.read_again else y
        return y.mean((2, 3))


def compare(
    model: nn.Module, size: tuple[int, int, int], precision: str = "float32", tolerance: float = 1e-4
) -> torch.fx.GraphModule:
    recording = record(model.eval(), torch.randn(2, *size))
    simplify(recording)
    module = packed(recording, precision, 2)
    run = in_precision(module, precision)
    for count in (1, 3):
        images = torch.randn(count, *size)
        before = images.clone()
        with torch.no_grad():
            expected = model(images)
        scale = float(expected.abs().max())
        for _ in range(2):  # a second call finds what the first has left in memory
            torch.testing.assert_close(run(images), expected, rtol=tolerance, atol=tolerance * scale)
        assert torch.equal(images, before)
    return module


def sums(module: torch.fx.GraphModule) -> int:
    return sum(node.target is _conv_into for node in module.graph.nodes)


def test_a_residual_sum_is_written_into_the_shortcut() -> None:
    assert sums(compare(Residual(read_again=False), (3, 8, 8))) == 1


def test_a_shortcut_that_is_read_again_is_not_overwritten() -> None:
    compare(Residual(read_again=True), (3, 8, 8))


def test_a_convolution_does_not_write_over_its_own_input() -> None:
    class Short(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.conv = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            return (x + self.conv(x)).relu().mean((2, 3))

    assert sums(compare(Short(), (3, 8, 8))) == 0


def test_a_sum_does_not_overwrite_what_a_later_sum_still_reads() -> None:
    class Crossed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.a, self.b = (
                nn.Conv2d(3, 8, 1),
                nn.Conv2d(8, 8, 3, padding=1),
                nn.Conv2d(8, 8, 3, padding=1),
            )

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            early = self.a(x)
            first = x + self.b(x.relu())
            return (first + early).relu().mean((2, 3))

    compare(Crossed(), (3, 8, 8))


def test_the_images_are_never_overwritten() -> None:
    class OnImages(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return (x + self.conv(x)).relu().mean((2, 3))

    assert sums(compare(OnImages(), (8, 8, 8))) == 0


def test_a_sum_whose_shortcut_has_a_view_is_not_overwritten() -> None:
    class Viewed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.conv = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            part = x[:, :4]
            y = x + self.conv(x)
            return torch.cat([y, part], 1).mean((2, 3))

    compare(Viewed(), (3, 8, 8))


@pytest.mark.parametrize(
    "activation", [nn.ReLU, nn.ReLU6, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh, nn.SiLU]
)
def test_activations_are_fused(activation: type[nn.Module]) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        activation(),
        nn.Conv2d(8, 4, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    module = compare(lived_in(model), (3, 8, 8))
    assert not any(isinstance(m, activation) for m in module.modules())


@pytest.mark.parametrize("name", ["resnet20", "densenet40_k12", "shufflenet_v2_x0_5", "nin_cifar10"])
def test_networks_answer_the_same_in_float32(name: str, network) -> None:
    model = network(name, 64 if name.startswith("shuffle") else None)
    compare(model, model.network.input)


def test_bf16_is_near() -> None:
    if "bf16" not in OneDnn().precisions(torch.device("cpu")):
        pytest.skip("this processor has no bf16")
    # eight bits of mantissa: 2**-8 a rounding, a few layers of them
    compare(Residual(read_again=False), (3, 8, 8), "bf16", tolerance=2**-5)
