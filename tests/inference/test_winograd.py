"""Winograd's algorithm gives what the direct convolution gives, at the edges too, and only where it can."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convatlas.inference.engines import Plan, Unsuitable, Workbench, engine
from convatlas.inference.engines.winograd import convolve, filters


@pytest.mark.parametrize(("height", "width"), [(12, 12), (7, 13), (4, 1), (30, 9)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (2, 0)])
@pytest.mark.parametrize("relu", [False, True])
def test_it_is_the_direct_convolution(
    height: int, width: int, padding: tuple[int, int], relu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if min(height + 2 * padding[0], width + 2 * padding[1]) < 3:
        height, width = height + 3, width + 3
    monkeypatch.setattr("convatlas.inference.engines.winograd.CHUNK", 1)  # image by image
    generator = torch.Generator().manual_seed(height * width)
    x = torch.randn(3, 5, height, width, generator=generator)
    weight, bias = torch.randn(7, 5, 3, 3, generator=generator), torch.randn(7, generator=generator)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), padding=padding)
    got = convolve(x, filters(weight), bias, padding=list(padding), relu=relu)
    assert got.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(got.double(), expected.relu() if relu else expected, rtol=1e-4, atol=1e-4)


def test_a_convolution_without_bias_and_one_in_many_channels() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(2, 256, 14, 14), torch.randn(128, 256, 3, 3) / 48
    got = convolve(x, filters(weight), None, padding=[1, 1], relu=False)
    torch.testing.assert_close(got, F.conv2d(x, weight, padding=1), rtol=1e-4, atol=1e-4)


class Net(nn.Module):
    """A residual block that qualifies, and convolutions that do not: strided, grouped, of few channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 96, 3, padding=1)
        self.body = nn.Sequential(
            nn.Conv2d(96, 96, 3, padding=1, bias=False), nn.BatchNorm2d(96), nn.ReLU(), nn.Conv2d(96, 96, 3, padding=1)
        )  # fmt: skip
        self.strided = nn.Conv2d(96, 96, 3, stride=2, padding=1)
        self.grouped = nn.Conv2d(96, 96, 3, padding=1, groups=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(x + self.body(x))
        return self.grouped(self.strided(x)).mean((2, 3))


def test_the_engine_answers_as_the_model_and_takes_two_of_its_convolutions() -> None:
    torch.manual_seed(0)
    model = Net().eval()
    images = torch.randn(4, 3, 24, 24)
    bench = Workbench(model, images, images, torch.device("cpu"))
    from convatlas.inference.engines.winograd import rewrite

    assert rewrite(bench.recording.copy(), 4) == 2
    run = engine("winograd").prepare(bench, Plan("winograd", "float32", 1, 1))(4)
    with torch.no_grad():
        torch.testing.assert_close(run(images), model(images), rtol=1e-4, atol=1e-4)


def test_a_network_without_such_convolutions_is_unsuitable(network) -> None:
    model = network("lenet5")
    images = torch.randn(2, *model.network.input)
    bench = Workbench(model, images, images, torch.device("cpu"))
    with pytest.raises(Unsuitable, match="no 3x3 convolution"):
        engine("winograd").prepare(bench, Plan("winograd", "float32", 1, 1))
