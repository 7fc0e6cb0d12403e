"""Concatenations in one piece of memory: other operations, the same function."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from convatlas.inference.engines import Plan, Workbench
from convatlas.inference.engines.growing import grow
from convatlas.inference.engines.onednn import OneDnn
from convatlas.inference.graph import Kind, record, simplify
from convatlas.modules import build
from convatlas.modules.norm import affine, kernels
from convatlas.networks import catalogue
from tests.modules.filling import fill

pytestmark = pytest.mark.skipif(kernels().library is None, reason=f"no compiled kernels: {kernels().problem}")


@pytest.mark.parametrize("clamp", [(0, float("inf")), (1, float("inf")), (2, 6.0)])
@pytest.mark.parametrize("channels", [1, 5, 16, 100])
def test_the_kernel_reads_the_first_channels_through_scale_shift_and_clamp(
    clamp: tuple[int, float], channels: int
) -> None:
    torch.manual_seed(channels)
    x = (3 * torch.randn(3, 100, 5, 4)).to(memory_format=torch.channels_last)
    scale, shift = torch.randn(2, channels)
    wide = x[:, :channels].double() * scale.view(-1, 1, 1).double() + shift.view(-1, 1, 1).double()
    expected = wide if clamp[0] == 0 else wide.clamp(0, clamp[1])
    torch.testing.assert_close(affine(x, scale, shift, clamp).double(), expected, atol=2e-6, rtol=1e-6)
    low = affine(x.bfloat16(), scale, shift, clamp).double()
    torch.testing.assert_close(low, expected, atol=0.1, rtol=2.0**-6)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_densenet_joins_nothing_twice_and_answers_as_before(precision: str) -> None:
    engine = OneDnn()
    if engine.missing() or precision not in engine.precisions(torch.device("cpu")):
        pytest.skip(f"{precision}: {engine.missing() or 'the processor lacks it'}")
    model = fill(build(catalogue.network("densenet40_k12"), init=False))
    torch.manual_seed(0)
    x = torch.randn(4, 3, 32, 32)
    recording = record(model, x)
    simplify(recording)
    before = len(recording.nodes(Kind.CONCAT))
    assert before > 36
    grow(recording)
    recording.finish()
    assert not recording.nodes(Kind.CONCAT)
    run = engine.prepare(Workbench(model, x, x, torch.device("cpu")), Plan("onednn", precision, 1, 1))(4)
    with torch.no_grad():
        expected = model(x)
        for images in (x, x[:1], torch.randn(7, 3, 32, 32)):
            expected, found = model(images), run(images)
            assert (found - expected).norm() <= (1e-5 if precision == "float32" else 0.05) * expected.norm()


class Joined(nn.Module):
    """Two concatenations, the second of which has the pieces of the first; `also` reads the first as it is."""

    def __init__(self, *, also: bool) -> None:
        super().__init__()
        self.one, self.two, self.norm, self.also = (
            nn.Conv2d(3, 4, 1),
            nn.Conv2d(4, 4, 1),
            nn.BatchNorm2d(4),
            also,
        )
        self.last = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = torch.cat([self.one(x)], 1)
        second = torch.cat([self.one(x), self.two(torch.relu(self.norm(first)))], 1)
        y = self.last(second).mean((2, 3))
        return y + first.mean() if self.also else y


def test_what_others_read_as_well_stays_a_concatenation() -> None:
    x = torch.randn(2, 3, 6, 6)
    for also in (False, True):
        model = fill(Joined(also=also))
        recording = record(model, x)
        simplify(recording)
        count = len(recording.nodes(Kind.CONCAT))
        grow(recording)
        recording.finish()
        assert also is False or len(recording.nodes(Kind.CONCAT)) == count
        with torch.no_grad():
            torch.testing.assert_close(recording.module(x), model(x))


class Pairs(nn.Module):
    """Two pieces at once, then two more behind them, of different widths."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces = nn.ModuleList(nn.Conv2d(3, width, 1) for width in (2, 3, 4, 5))
        self.norm, self.last = nn.BatchNorm2d(5), nn.Conv2d(14, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        a, b, c, d = (piece(x) for piece in self.pieces)
        first = torch.relu(self.norm(torch.cat([a, b], 1)))
        return self.last(torch.cat([a, b, c, d], 1)).mean((2, 3)) + first.mean((1, 2, 3)).unsqueeze(1)


def test_several_pieces_at_once_lie_one_behind_the_other() -> None:
    torch.manual_seed(0)
    model, x = fill(Pairs()), torch.randn(2, 3, 6, 6)
    recording = record(model, x)
    simplify(recording)
    assert grow(recording)
    recording.finish()
    assert not recording.nodes(Kind.CONCAT)
    with torch.no_grad():
        torch.testing.assert_close(recording.module(x), model(x))
