"""Channels are brought to ranges alike where a factor passes, and the answers stay."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from convatlas.inference.graph import Recording, record, simplify
from convatlas.inference.graph.equalize import Wires, equalize, ranges
from convatlas.inference.graph.refine import layers


def recorded(model: nn.Module, images: Tensor) -> Recording:
    recording = record(model.eval(), images)
    simplify(recording)
    return recording


def unequal(model: nn.Module) -> nn.Module:
    """Channels of every layer but the last a thousandfold apart."""
    torch.manual_seed(0)
    for module in [m for m in model.modules() if isinstance(m, nn.Conv2d)]:
        module.weight.data *= torch.logspace(0, 3, len(module.weight)).view(-1, 1, 1, 1)
    return model


@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet20", "densenet40_k12", "mobilenet_v1_x0_25"])
def test_the_answers_of_a_network_stay(name: str, network: Callable[..., nn.Module]) -> None:
    model = network(name, 64 if name.startswith(("squeeze", "mobile")) else None)
    side = 64 if name.startswith(("squeeze", "mobile")) else 32
    images = torch.randn(8, 3, side, side)
    recording = recorded(model, images)
    equalized = recording.copy()
    assert equalize(equalized, images) > 0
    fresh = torch.randn(4, 3, side, side)
    with torch.no_grad():
        expected = model(fresh)
        torch.testing.assert_close(
            equalized.module(fresh), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max())
        )


@pytest.mark.parametrize(("between", "maps"), [(nn.ReLU, 1), (nn.ReLU6, 0), (nn.Hardswish, 0)])
def test_factors_pass_what_commutes_with_them_alone(between: type[nn.Module], maps: int) -> None:
    """ReLU6 cuts off at 6, whatever the channel was divided by."""
    images = torch.randn(16, 3, 8, 8)
    recording = recorded(unequal(nn.Sequential(nn.Conv2d(3, 8, 1), between(), nn.Conv2d(8, 5, 1))), images)
    assert equalize(recording, images) == maps


def test_ranges_come_closer_and_the_original_is_untouched() -> None:
    model = unequal(nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 5, 1)))
    model[3].weight.data /= torch.logspace(0, 3, 5).view(-1, 1, 1, 1)  # type: ignore[union-attr,operator]
    images = torch.randn(16, 3, 8, 8)
    recording = recorded(model, images)
    equalized = recording.copy()
    assert equalize(equalized, images) == 1
    spread = []
    for one in (recording, equalized):
        last = layers(one)[1]
        high = ranges(one, [last], images)[last].high
        spread.append(float(high.max() / high.min()))
    # the largest power is 0.4, of at most 32
    assert spread[1] < spread[0] / 3
    with torch.no_grad():
        torch.testing.assert_close(recording.module(images), model(images))
        torch.testing.assert_close(equalized.module(images), model(images))


class Wired(nn.Module):
    """Two layers joined, one of them clipped; a sum with the images' own channels."""

    def __init__(self) -> None:
        super().__init__()
        self.free, self.clipped = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
        self.back, self.last = nn.Conv2d(8, 3, 1), nn.Conv2d(3, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([self.free(x).relu(), nn.functional.relu6(self.clipped(x))], 1)
        return self.last(self.back(y) + x).mean((2, 3))


def test_images_clipped_channels_and_answers_keep_the_factor_one() -> None:
    torch.manual_seed(0)
    model = unequal(Wired())
    images = torch.randn(8, 3, 6, 6)
    recording = recorded(model, images)
    wires = Wires(recording)
    free, clipped, back, last = layers(recording)
    assert (wires.roots(free) != 0).all()
    for fixed in (clipped, back, last):
        assert (wires.roots(fixed) == 0).all()
    assert wires.roots(back.args[0]).tolist() == [*wires.roots(free).tolist(), 0, 0, 0, 0]
    equalize(recording, images)
    with torch.no_grad():
        torch.testing.assert_close(recording.module(images), model(images), rtol=1e-4, atol=1e-2)


def test_a_sum_has_one_factor_a_channel() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.last((self.one(x) + self.two(x)).relu())

    recording = recorded(Sum(), torch.randn(2, 3, 4, 4))
    wires = Wires(recording)
    one, two, _ = layers(recording)
    assert torch.equal(wires.roots(one), wires.roots(two))
    assert len(wires.roots(one).unique()) == 4
