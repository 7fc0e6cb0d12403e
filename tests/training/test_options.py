"""What a recipe's options do: growing pictures, auxiliary heads, compiling, TensorBoard."""

from __future__ import annotations

import dataclasses
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.data.sources import DataSource
from convatlas.define import BatchNorm, Conv, Flatten, GlobalAvgPool, Linear, Network, ReLU, Sequential
from convatlas.define.preprocessing import NAMED
from convatlas.errors import MissingExtra, MisuseError
from convatlas.modules import build
from convatlas.training.fit import fit
from convatlas.training.logs import Logs, TensorBoard
from convatlas.training.loop import Interrupted
from convatlas.training.plan import Plan
from convatlas.training.recipe import Recipe
from convatlas.training.start import Start
from convatlas.training.step import Moment, Stepper

CPU = torch.device("cpu")
RECIPE = Recipe(epochs=2, batch=32, lr=0.05, deterministic=True, precision="float32")
ANY_SIZE = Network(
    input=(1, 12, 12), name="any size", conv=Conv(6, 3, bias=False), norm=BatchNorm(), relu=ReLU(), pool=GlobalAvgPool(),
    fc=Linear(2),
)  # fmt: skip
HEADED = Network(
    input=(1, 12, 12), name="headed", aux={"relu": Sequential(flatten=Flatten(), fc=Linear(2))},
    conv=Conv(6, 3), relu=ReLU(), conv2=Conv(6, 3, stride=2), relu2=ReLU(), flatten=Flatten(), fc=Linear(2),
)  # fmt: skip


def test_training_pictures_grow_and_test_pictures_do_not(source: DataSource) -> None:
    model = build(ANY_SIZE)
    seen: dict[bool, list[int]] = {True: [], False: []}

    def look(module: nn.Module, inputs: tuple[Tensor]) -> None:
        side = inputs[0].shape[2]
        if not seen[module.training] or seen[module.training][-1] != side:
            seen[module.training].append(side)

    model.conv.register_forward_pre_hook(look)  # type: ignore[union-attr]
    recipe = dataclasses.replace(RECIPE, epochs=4, start_size=4, full_size_at=0.75, replicas=1)
    fit(Start(ANY_SIZE, model), source, recipe, seed=0)
    assert seen[True] == [4, 8, 12]
    assert seen[False] == [12]


def gradients(
    network: Network, recipe: Recipe, plan: Plan, images: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    torch.manual_seed(3)
    model = build(network).train()
    stepper = Stepper(model, recipe, plan, NAMED["digit"], 2, CPU)
    stepper.gradients(images, labels, Moment(0, 0, 0))
    stepper.close()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, 1, 12, 12), generator=generator).to(torch.uint8)
    return images, torch.arange(8) % 2


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_an_auxiliary_head_adds_its_share_of_the_loss(weight: float) -> None:
    images, labels = batch()
    found = gradients(HEADED, dataclasses.replace(RECIPE, aux_loss_weight=weight), Plan(), images, labels)
    torch.manual_seed(3)
    model = build(HEADED).train()
    digit = NAMED["digit"]
    x = (images.float() / digit.scale - digit.mean[0]) / digit.std[0]
    logits, (head,) = model.forward_with_aux(x)
    loss = F.cross_entropy(logits, labels) + weight * F.cross_entropy(head, labels)
    wanted = torch.autograd.grad(loss, list(model.parameters()))
    for (name, _), value in zip(model.named_parameters(), wanted, strict=True):
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-5)
    moved = float(found[next(n for n in found if n.endswith("fc.weight") and n != "fc.weight")].abs().max())
    assert (moved > 0) == (weight > 0)


def test_the_auxiliary_head_learns_with_the_network(source: DataSource) -> None:
    model = build(HEADED)
    images = torch.stack([source.test.images[i] for i in range(len(source.test))])  # type: ignore[union-attr]
    digit = NAMED["digit"]
    x = (images.float() / digit.scale - digit.mean[0]) / digit.std[0]

    def loss() -> float:
        with torch.no_grad():
            return float(F.cross_entropy(model.eval().forward_with_aux(x)[1][0], source.test.labels))

    before = loss()
    fit(Start(HEADED, model), source, dataclasses.replace(RECIPE, epochs=20, lr=0.05), seed=0)
    assert loss() < before - 0.1


@pytest.mark.slow
def test_a_compiled_step_has_the_gradient_of_a_plain_one() -> None:
    if shutil.which("c++") is None and shutil.which("g++") is None:
        pytest.skip("torch.compile on a CPU needs a C++ compiler")
    images, labels = batch()
    plain = gradients(ANY_SIZE, RECIPE, Plan(), images, labels)
    compiled = gradients(ANY_SIZE, RECIPE, Plan(compile=True), images, labels)
    assert list(plain) == list(compiled)
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_a_compiled_run_is_said_and_ends_like_a_plain_one(source: DataSource, tmp_path: Path) -> None:
    if shutil.which("c++") is None and shutil.which("g++") is None:
        pytest.skip("torch.compile on a CPU needs a C++ compiler")
    plain = fit(ANY_SIZE, source, RECIPE, seed=1)
    compiled = fit(ANY_SIZE, source, dataclasses.replace(RECIPE, compile="on"), out=tmp_path / "run", seed=1)
    assert "compiled" in str(compiled.summary["plan"])
    for key, value in plain.model.state_dict().items():
        torch.testing.assert_close(compiled.model.state_dict()[key], value, atol=1e-3, rtol=1e-2)


def test_tensorboard_receives_every_number_of_every_epoch(source: DataSource, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra 'log'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    outcome = fit(ANY_SIZE, source, RECIPE, seed=0, logs=TensorBoard(Logs(), tmp_path))
    events = EventAccumulator(str(tmp_path)).Reload()
    assert "top1" in events.Tags()["scalars"]
    found = [(e.step, e.value) for e in events.Scalars("top1")]
    assert found == [(line["epoch"], pytest.approx(line["top1"])) for line in outcome.history]


def test_tensorboard_that_is_not_installed_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtra, match=r"convatlas\[log\]"):
        TensorBoard(Logs(), tmp_path)


class Watch(Logs):
    """Wants to know of every step; asks the run to end in one of them."""

    def __init__(self, end_at: int = 0) -> None:
        self.end_at, self.seen, self.began = end_at, list[tuple[int, float, float]](), 0.0

    def begin(self, epoch: int, epochs: int, steps: int, done: int) -> None:
        self.began = time.perf_counter()

    def wants(self) -> bool:
        return True

    def step(self, done: int, loss: float, accuracy: float, rate: float) -> None:
        self.seen.append((done, rate, time.perf_counter() - self.began))
        if len(self.seen) == self.end_at:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("board", [False, True])
def test_steps_are_told_at_the_rate_that_they_have(source: DataSource, tmp_path: Path, board: bool) -> None:
    """Under TensorBoard as well; not at 128,000,000,000 images a second, as of a first step that took no time."""
    watch = Watch()
    if board:
        pytest.importorskip("tensorboard", reason="needs the extra 'log'")
    fit(ANY_SIZE, source, RECIPE, seed=0, logs=TensorBoard(watch, tmp_path) if board else watch)
    assert [done for done, _, _ in watch.seen] == [1, 2, 3] * 2
    for done, rate, seconds in watch.seen:
        assert rate * seconds >= 32 * done > 0  # the loop's time lies within ours
    assert watch.seen[0][1] < 1e9


def test_a_run_that_ended_with_its_epoch_logs_the_rate_of_the_last_step(
    source: DataSource, tmp_path: Path
) -> None:
    whole = fit(ANY_SIZE, source, RECIPE, seed=0)
    with pytest.raises(Interrupted):
        fit(ANY_SIZE, source, RECIPE, out=tmp_path, seed=0, logs=Watch(end_at=3))
    outcome = fit(ANY_SIZE, source, RECIPE, out=tmp_path, seed=0, resume=True)
    assert [line["lr"] for line in outcome.history] == [line["lr"] for line in whole.history]


@pytest.mark.parametrize("good", [True, False])
def test_what_a_run_sets_for_the_process_comes_back(source: DataSource, good: bool) -> None:
    before = torch.get_num_threads()
    recipe = RECIPE if good else dataclasses.replace(RECIPE, replicas=RECIPE.batch + 1)
    torch.set_num_threads(before + 1)
    try:
        if good:
            fit(ANY_SIZE, source, recipe)
        else:
            with pytest.raises(MisuseError):
                fit(ANY_SIZE, source, recipe)
        assert not torch.are_deterministic_algorithms_enabled()
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
