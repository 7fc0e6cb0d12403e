"""What a recording leaves behind when it fails, with torch.cuda replaced by what a CPU can do."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import Tensor, nn

from convatlas.training.captured import Captured, key


class Stream:
    def __init__(self, *_: object) -> None:
        self.waited = 0

    def wait_stream(self, _: Stream) -> None:
        self.waited += 1


class Graph:
    """Fails at the end of a recording, or replays by computing anew."""

    def __init__(self) -> None:
        self.replayed = 0

    def replay(self) -> None:
        self.replayed += 1


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Streams that do nothing, the CPU's random numbers, and a recording that runs; `fail` makes it fail at its end."""
    state: dict[str, object] = {"fail": False, "current": None, "here": Stream()}

    @contextlib.contextmanager
    def recording(_: Graph):  # type: ignore[no-untyped-def]
        yield
        if state["fail"]:
            raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "current_stream", lambda *_: state["here"])
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "set_stream", lambda s: state.update(current=s))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", recording)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda *_: torch.get_rng_state())
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda s, *_: torch.set_rng_state(s))
    return state


def learner() -> tuple[nn.Module, object]:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 2)
    ).train()

    def run(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        return loss.detach(), y.sum()

    return model, run


@pytest.mark.parametrize("fail", [False, True])
def test_nothing_of_the_trials_is_left(fail: bool, cuda: dict[str, object]) -> None:
    """Statistics and random numbers as before; after a failure no gradients, and the stream that was."""
    model, run = learner()
    before = {n: b.clone() for n, b in model.named_buffers()}
    x, y = torch.randn(2, 3, 6, 6), torch.tensor([0, 1])
    drawn = torch.get_rng_state()
    cuda["fail"] = fail
    made = None
    if fail:
        with pytest.raises(RuntimeError, match="not permitted"):
            Captured(run, x, y, list(model.parameters()), list(model.buffers()))  # type: ignore[arg-type]
        assert all(p.grad is None for p in model.parameters())
        assert cuda["current"] is cuda["here"]
    else:
        made = Captured(run, x, y, list(model.parameters()), list(model.buffers()))  # type: ignore[arg-type]
    assert all(torch.equal(before[n], b) for n, b in model.named_buffers())
    assert torch.equal(torch.get_rng_state(), drawn)
    if made is None:
        return
    # the gradient of one pass, not of four
    recorded = [p.grad.clone() for p in model.parameters()]
    torch.set_rng_state(drawn)
    for _ in range(3):  # what the warm-up drew
        model(x)
    model.zero_grad()
    run(x, y)  # type: ignore[operator]
    for p, gradient in zip(model.parameters(), recorded, strict=True):
        torch.testing.assert_close(p.grad, gradient, rtol=1e-4, atol=1e-6)
    assert made.suits(torch.randn(2, 3, 6, 6), y)
    assert not made.suits(torch.randn(3, 3, 6, 6), y)
    model[0].weight.data = model[0].weight.data.clone()  # elsewhere: a graph would read the old place
    assert not made.suits(x, y)


def test_gradients_and_inputs_are_put_where_the_graph_has_them(cuda: dict[str, object]) -> None:
    model, run = learner()
    x, y = torch.randn(2, 3, 6, 6), torch.tensor([0, 1])
    made = Captured(run, x, y, list(model.parameters()), list(model.buffers()))  # type: ignore[arg-type]
    gradients = [p.grad for p in model.parameters()]
    model.zero_grad()
    other = torch.randn(2, 3, 6, 6)
    made(other, torch.tensor([1, 1]))
    assert torch.equal(made.inputs, other)
    assert made.targets.tolist() == [1, 1]
    assert y.tolist() == [0, 1]  # the caller's own stay as they are
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients, strict=True))
    assert made.graph.replayed == 1  # type: ignore[attr-defined]
    assert key(x, y) != key(x, y.float())
