"""Plans: what a deterministic run takes, and what a measured one may."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from convatlas.data.sources import DataSource
from convatlas.define import Network
from convatlas.define.preprocessing import NAMED
from convatlas.errors import ConvAtlasError
from convatlas.modules import build, norm
from convatlas.modules.norm import kernels
from convatlas.native import Native
from convatlas.networks import catalogue
from convatlas.training import measure, plan, resuming
from convatlas.training.fit import fit
from convatlas.training.logs import Logs
from convatlas.training.plan import Plan, candidates, fixed
from convatlas.training.recipe import Recipe
from convatlas.training.step import Moment, Stepper
from convatlas.weights import read_weights

CPU = torch.device("cpu")
RECIPE = Recipe(epochs=2, batch=64, lr=0.05, deterministic=True)


@pytest.fixture
def amx(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that says it has bf16 units, whatever this one has."""
    monkeypatch.setattr(plan, "cpu_flags", lambda: frozenset({"amx_bf16"}))


@pytest.fixture
def no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timing a candidate is a failure."""

    def refuse(*_: object) -> float:
        raise AssertionError("a deterministic run asked the clock")

    monkeypatch.setattr(measure, "_time", refuse)
    monkeypatch.setattr(measure, "_busy", lambda: False)


@pytest.mark.usefixtures("no_clock")
def test_two_deterministic_runs_measure_nothing_and_end_with_the_same_bits(
    network: Network, source: DataSource, tmp_path: Path
) -> None:
    runs = [tmp_path / "a", tmp_path / "b"]
    for out in runs:
        fit(network, source, RECIPE, out=out, seed=1)
    one, two = (read_weights(out / "weights.safetensors").state_dict for out in runs)
    assert all(torch.equal(one[k], two[k]) for k in one)


@pytest.mark.usefixtures("no_clock")
def test_measuring_is_refused_where_the_run_is_not_deterministic(
    network: Network, source: DataSource
) -> None:
    with pytest.raises(AssertionError, match="clock"):
        fit(network, source, dataclasses.replace(RECIPE, deterministic=False))


@pytest.mark.usefixtures("no_clock")
def test_on_a_busy_cpu_what_is_known_to_be_best_is_taken_unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_busy", lambda: True)
    model, recipe = build(catalogue.network("lenet5")), dataclasses.replace(RECIPE, deterministic=False)
    images, labels = torch.zeros(64, 1, 32, 32, dtype=torch.uint8), torch.zeros(64, dtype=torch.int64)
    found, measured = measure.choose(model, recipe, NAMED["digit"], 10, CPU, images, labels)
    assert (found, measured) == (fixed(model, recipe, CPU, 64), {})


@pytest.mark.usefixtures("amx")
def test_the_fixed_plan_uses_what_the_machine_has() -> None:
    lenet, resnet = (build(catalogue.network(n)) for n in ("lenet5", "resnet20"))
    assert fixed(lenet, RECIPE, CPU, 256).thin
    found = fixed(resnet, RECIPE, CPU, 256)
    assert (found.precision, found.channels_last, found.thin, found.compile) == ("bf16", True, False, False)
    assert found.fused == (kernels().library is not None)
    assert not fixed(lenet, RECIPE, CPU, 256).fused  # it has no batch norm
    plain = fixed(resnet, dataclasses.replace(RECIPE, precision="float32"), CPU, 256)
    assert plain == Plan(threads=torch.get_num_threads())


def test_a_network_that_draws_is_not_shared_by_threads_in_a_deterministic_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    alexnet = build(catalogue.network("alexnet_owt"), init=False)
    assert {p.replicas for p in candidates(alexnet, RECIPE, CPU, 256)} == {1}
    free = dataclasses.replace(RECIPE, deterministic=False)
    assert {p.replicas for p in candidates(alexnet, free, CPU, 256)} == {1, 2}


def test_the_plain_loop_is_always_the_first_candidate() -> None:
    for name in ("lenet5", "resnet20"):
        first = candidates(
            build(catalogue.network(name)), dataclasses.replace(RECIPE, deterministic=False), CPU, 256
        )[0]
        assert first == Plan(threads=torch.get_num_threads())


def test_a_plan_must_win_turn_by_turn_to_be_taken(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """One lucky turn among slow ones is noise; a win in nearly every turn is not. Without bf16 nothing is known."""
    monkeypatch.setattr(plan, "cpu_flags", frozenset)
    images, labels = torch.zeros(64, 1, 12, 12, dtype=torch.uint8), torch.zeros(64, dtype=torch.int64)
    recipe = dataclasses.replace(RECIPE, deterministic=False, compile="off")

    def chosen(seconds: dict[str, list[float]]) -> str:
        def timed(stepper: object, images: object, labels: object, turn: int) -> float:
            kind = "plain" if stepper.plan == plain else "other"  # type: ignore[attr-defined]
            return seconds[kind][turn % len(seconds[kind])]

        monkeypatch.setattr(measure, "_time", timed)
        monkeypatch.setattr(measure, "_busy", lambda: False)
        found, _ = measure.choose(build(network), recipe, NAMED["digit"], 2, CPU, images, labels)
        return "plain" if found == plain else "other"

    plain = Plan(threads=torch.get_num_threads())
    assert chosen({"plain": [1.0], "other": [1.1, 1.1, 0.5, 1.1, 1.1, 1.1]}) == "plain"
    assert chosen({"plain": [1.0], "other": [0.97]}) == "plain"
    assert chosen({"plain": [1.0], "other": [0.8]}) == "other"
    assert chosen({"plain": [1.0, 3.0, 1.0], "other": [0.8, 2.4, 0.8]}) == "other"


def test_a_gpu_tries_graphs_fused_kernels_and_compiling_on_the_fastest_arithmetic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan, "has_bf16", lambda device: True)
    monkeypatch.setattr(norm, "gpu_kernels", lambda: norm)
    model, recipe = build(catalogue.network("resnet20")), dataclasses.replace(RECIPE, deterministic=False)
    cuda = torch.device("cuda")
    found = candidates(model, recipe, cuda, 128)
    assert found[0] == Plan(threads=0)
    assert not any("thread" in p.describe() for p in found)
    ways = {(p.fused, p.graphs, p.compile) for p in found[1:]}
    assert ways == {
        (f, g, c) for f in (False, True) for g in (False, True) for c in (False, True) if not (f and c)
    }
    assert {(p.precision, p.channels_last) for p in found[1:]} == {("bf16", True)}
    assert all("CUDA graph" in p.describe() for p in found if p.graphs)
    assert all(Plan.from_dict(p.to_dict()) == p for p in found)
    assert not any(
        p.compile for p in candidates(model, dataclasses.replace(recipe, compile="off"), cuda, 128)
    )
    assert all(p.compile for p in candidates(model, dataclasses.replace(recipe, compile="on"), cuda, 128))
    # parts of a batch add to what a graph would write anew
    assert not any(p.graphs for p in candidates(model, dataclasses.replace(recipe, accumulate=2), cuda, 128))
    assert not any(p.graphs for p in candidates(model, recipe, CPU, 128))
    # by what the machine is alone, nothing is compiled
    best = fixed(model, RECIPE, cuda, 128)
    assert (best.fused, best.graphs, best.compile) == (True, True, False)


def test_blocks_dropped_by_python_are_in_no_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph would drop the same ones for ever, and leave their weights without a gradient."""
    monkeypatch.setattr(plan, "has_bf16", lambda device: True)
    model = build(catalogue.network("resnet110_stochastic_depth"), init=False)
    for recipe in (RECIPE, dataclasses.replace(RECIPE, deterministic=False)):
        assert not any(p.graphs for p in candidates(model, recipe, torch.device("cuda"), 128))
        assert not fixed(model, recipe, torch.device("cuda"), 128).graphs
    # a recorded plan is not asked again
    made = Stepper(model, RECIPE, Plan("bf16", True, threads=0, graphs=True), NAMED["cifar"], 10, CPU)
    made.device = torch.device("cuda")
    assert not made.capturing


def test_a_run_of_a_gpu_goes_on_on_a_cpu(network: Network, source: DataSource, tmp_path: Path) -> None:
    """Its plan names no threads: those that are set are used."""
    fit(network, source, dataclasses.replace(RECIPE, epochs=1), out=tmp_path, seed=1)
    path = tmp_path / "recipe.json"
    record = json.loads(path.read_text("utf-8"))
    record["plan"] |= {"threads": 0, "replicas": 1, "precision": "float32", "fused": False, "tuned": True}
    record["recipe"]["epochs"] = 2
    path.write_text(json.dumps(record), "utf-8")
    before = torch.get_num_threads()
    outcome = fit(network, source, dataclasses.replace(RECIPE, epochs=2), out=tmp_path, seed=1, resume=True)
    assert len(outcome.history) == 2
    assert torch.get_num_threads() == before
    assert not torch.backends.cudnn.benchmark


def test_crops_resized_by_another_hand_stop_a_deterministic_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a grey level here and there: the bits that such a run promises would change in the middle."""
    monkeypatch.setattr(resuming, "resize_kernels", lambda: Native(None, "no C compiler was found"))
    with pytest.raises(ConvAtlasError, match="resized by C, and would be by torch now: no C compiler"):
        resuming.check_kernels({"resized_by": "C"}, Plan(), RECIPE, CPU, Logs())
    said: list[str] = []
    logs = Logs()
    monkeypatch.setattr(logs, "say", said.append)
    resuming.check_kernels(
        {"resized_by": "C"}, Plan(), dataclasses.replace(RECIPE, deterministic=False), CPU, logs
    )
    resuming.check_kernels({"resized_by": "torch"}, Plan(), RECIPE, CPU, logs)
    assert len(said) == 1


class FakeGpu(Stepper):
    """A stepper whose memory is full above so many pictures in float32, and whose bf16 takes half as long."""

    room = 100

    def gradients(self, images: torch.Tensor, labels: torch.Tensor, moment: Moment):  # type: ignore[no-untyped-def,override]
        if self.plan.precision == "float32" and len(images) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return torch.zeros(()), torch.zeros(())


def test_a_plain_loop_that_does_not_fit_is_measured_on_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bf16 may fit where float32 does not; nothing is lost by asking."""
    model = build(catalogue.network("resnet20"), init=False)
    recipe = dataclasses.replace(RECIPE, deterministic=False, compile="off")
    monkeypatch.setattr(measure, "_SHORT", 0.0)

    def timed(stepper: Stepper, images: torch.Tensor, labels: torch.Tensor, turn: int) -> float:
        stepper.gradients(images, labels, Moment(0, 0, turn))
        return 0.002 if stepper.plan.precision == "float32" else 0.001

    monkeypatch.setattr(measure, "_time", timed)  # a busy machine's clock would choose by chance
    images, labels = torch.zeros(256, 3, 32, 32, dtype=torch.uint8), torch.zeros(256, dtype=torch.int64)

    def maker(one: Plan) -> Stepper:
        return FakeGpu(model, recipe, one, NAMED["cifar"], 10, CPU)

    plans = [Plan(threads=0), Plan("bf16", True, threads=0)]
    before = torch.backends.cudnn.benchmark
    try:
        turns, seen = measure._on_gpu(plans, plans[1], recipe, maker, images, labels, 10**6)
        assert seen == 64
        assert set(turns) == set(plans)
        assert measure._winner(turns, plans[0], plans[1]) == plans[1]
        monkeypatch.setattr(FakeGpu, "room", 0)
        with pytest.raises(torch.OutOfMemoryError):
            measure._on_gpu(plans, plans[1], recipe, maker, images, labels, 10**6)
    finally:
        torch.backends.cudnn.benchmark = before


def test_a_plan_with_graphs_runs_without_them_where_there_are_none() -> None:
    images, labels = torch.zeros(4, 3, 32, 32, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64)
    model = build(catalogue.network("resnet20"))
    made = Stepper(model, RECIPE, Plan(graphs=True), NAMED["cifar"], 10, CPU)
    for _ in range(3):
        _, right = made.gradients(images, labels, Moment(0, 0, 0))
        assert 0 <= int(right) <= 4
    assert made.captured is None


def test_a_short_run_does_not_even_look_at_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing it takes seconds, of which a fine-tuning of a minute has none to give."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a short run made a compiled candidate")

    monkeypatch.setattr(torch, "compile", refuse)
    monkeypatch.setattr(measure, "_busy", lambda: False)
    recipe = dataclasses.replace(RECIPE, deterministic=False, compile="auto")
    images, labels = torch.zeros(64, 1, 32, 32, dtype=torch.uint8), torch.zeros(64, dtype=torch.int64)
    found, measured = measure.choose(
        build(catalogue.network("lenet5")), recipe, NAMED["digit"], 10, CPU, images, labels, 1000
    )
    assert measured
    assert not found.compile


@pytest.mark.usefixtures("amx")
def test_fused_kernels_that_are_gone_at_resume_are_told_and_stop_a_deterministic_run(
    network: Network, source: DataSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch's operations round otherwise: the bits that such a run promises would change in the middle."""
    if kernels().library is None:
        pytest.skip(f"no compiled kernels: {kernels().problem}")
    short = dataclasses.replace(RECIPE, epochs=1)
    fit(network, source, short, out=tmp_path, seed=1)
    monkeypatch.setattr(norm, "kernels", lambda: Native(None, "no C compiler was found"))
    with pytest.raises(ConvAtlasError, match="no C compiler was found"):
        fit(network, source, short, out=tmp_path, seed=1, resume=True)
    said: list[str] = []
    logs = Logs()
    monkeypatch.setattr(logs, "say", said.append)
    resuming.check_kernels({}, Plan(fused=True), dataclasses.replace(short, deterministic=False), CPU, logs)
    resuming.check_kernels({}, Plan(), short, CPU, logs)
    assert len(said) == 1
    assert "no C compiler was found" in said[0]


def test_a_set_in_memory_does_not_depend_on_the_resize(
    network: Network, source: DataSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pictures are no crops: a deterministic run goes on where there is no compiler."""
    fit(network, source, dataclasses.replace(RECIPE, epochs=1), out=tmp_path, seed=1)
    assert "resized_by" not in json.loads((tmp_path / "recipe.json").read_text("utf-8"))
    monkeypatch.setattr(resuming, "resize_kernels", lambda: Native(None, "no C compiler was found"))
    outcome = fit(network, source, dataclasses.replace(RECIPE, epochs=1), out=tmp_path, seed=1, resume=True)
    assert len(outcome.history) == 1
