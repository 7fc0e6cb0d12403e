"""Activations in front of what they stood behind: the same function, where convolutions can take them along."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.inference.engines.onednn import OneDnn, packed
from convatlas.inference.graph import Kind, Recording, record, simplify
from convatlas.inference.graph.activations import towards_convolutions


class Behind(nn.Module):
    """Convolutions, then a concatenation or a pool, then an activation."""

    def __init__(self, how: str, activation: object, *, read_again: bool = False) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 5, 1)
        self.how, self.activation, self.read_again = how, activation, read_again

    def forward(self, x: Tensor) -> Tensor:
        one = self.one(x)
        y = torch.cat([one, self.two(x)], 1) if self.how == "concat" else F.max_pool2d(one, 3, 2, 1)
        y = self.activation(y).mean((2, 3))  # type: ignore[operator]
        return y + one.mean((1, 2, 3))[:, None] if self.read_again else y


def moved(model: nn.Module, kinds: set[Kind]) -> tuple[Recording, Tensor]:
    example = torch.randn(2, 3, 9, 9)
    recording = record(model.eval(), example)
    simplify(recording)
    towards_convolutions(recording, kinds)
    recording.finish()
    with torch.no_grad():
        torch.testing.assert_close(recording.module(example), model(example))
    return recording, example


def order(recording: Recording) -> list[Kind]:
    return [n.meta["kind"] for n in recording.nodes()]


@pytest.mark.parametrize("how", ["concat", "pool"])
def test_a_relu_goes_to_the_convolutions(how: str) -> None:
    recording, _ = moved(Behind(how, torch.relu), {Kind.RELU})
    kinds = order(recording)
    joint = kinds.index(Kind.CONCAT if how == "concat" else Kind.MAX_POOL)
    assert Kind.RELU in kinds[:joint]
    assert Kind.RELU not in kinds[joint:]


def test_what_does_not_rise_everywhere_stays_behind_a_pool() -> None:
    """SiLU falls below -1.28: the SiLU of the largest is not the largest of the SiLUs."""
    kinds = order(moved(Behind("pool", F.silu), {Kind.SILU})[0])
    assert kinds.index(Kind.SILU) > kinds.index(Kind.MAX_POOL)
    kinds = order(moved(Behind("concat", F.silu), {Kind.SILU})[0])
    assert kinds.index(Kind.SILU) < kinds.index(Kind.CONCAT)


@pytest.mark.parametrize("how", ["concat", "pool"])
def test_a_convolution_that_another_reads_is_left_alone(how: str) -> None:
    kinds = order(moved(Behind(how, torch.relu, read_again=True), {Kind.RELU})[0])
    assert kinds.index(Kind.RELU) > kinds.index(Kind.CONCAT if how == "concat" else Kind.MAX_POOL)


@pytest.mark.skipif(OneDnn().missing() is not None, reason="this torch has no oneDNN")
@pytest.mark.parametrize("how", ["concat", "pool"])
def test_no_pass_of_its_own_is_left_for_it(how: str) -> None:
    example = torch.randn(2, 3, 9, 9)
    model = Behind(how, torch.relu).eval()
    recording = record(model, example)
    simplify(recording)
    module = packed(recording, "float32", 2)
    assert not [n for n in module.graph.nodes if n.meta.get("kind") is Kind.RELU]
    with torch.no_grad():
        found = module(example.contiguous(memory_format=torch.channels_last))
        torch.testing.assert_close(found, model(example), rtol=1e-4, atol=1e-5)
