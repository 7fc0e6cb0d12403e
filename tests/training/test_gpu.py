"""Training on a GPU: a step recorded as one graph is the same step."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from convatlas.data.augmentation import Augmentation
from convatlas.data.sources import DataSource
from convatlas.define import Network
from convatlas.define.preprocessing import NAMED
from convatlas.modules import build
from convatlas.networks import catalogue
from convatlas.training.fit import fit
from convatlas.training.measure import choose
from convatlas.training.optimizer import make
from convatlas.training.plan import Plan, candidates, fixed
from convatlas.training.recipe import Recipe
from convatlas.training.step import Moment, Stepper
from convatlas.weights import read_weights

pytestmark = pytest.mark.gpu
RECIPE = Recipe(epochs=8, batch=64, lr=0.05)


def steps(name: str, plan: Plan, sizes: tuple[int, ...], augmentation: Augmentation) -> list[torch.Tensor]:
    """Weights, statistics and losses after some steps on pictures of a seed."""
    device = torch.device("cuda")
    torch.manual_seed(0)
    model = build(catalogue.network(name)).to(device).train()
    recipe = dataclasses.replace(RECIPE, augmentation=augmentation, lr=0.01)
    stepper = Stepper(model, recipe, plan, NAMED["cifar"], 10, device)
    for task in stepper.tasks:
        task.train()
    optimizer = make(model, recipe)
    losses = []
    for number, size in enumerate(sizes):
        generator = torch.Generator().manual_seed(number)
        images = torch.randint(0, 256, (size, 3, 32, 32), generator=generator).to(torch.uint8).to(device)
        labels = torch.randint(0, 10, (size,), generator=generator).to(device)
        loss, right = stepper.gradients(
            images.to(memory_format=torch.channels_last), labels, Moment(0, 0, number)
        )
        losses += [loss.clone(), right.double().clone()]
        optimizer.step()
    assert (stepper.captured is not None) == plan.graphs
    return [
        *(t.double().clone() for t in model.state_dict().values()),
        torch.stack([x.double() for x in losses]),
    ]


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(),
        Augmentation(padding=4, flip=0.5),
        Augmentation(mixup=0.4),
        Augmentation(rand_augment=1),
    ],
)
@pytest.mark.parametrize("name", ["resnet20", "nin_cifar10", "densenet40_k12"])
def test_recorded_steps_are_the_steps(name: str, augmentation: Augmentation) -> None:
    """With batches of another size in between, random numbers of augmentation, and of dropout (Network in Network)."""
    sizes = (16, 16, 16, 5, 16, 16, 16)
    torch.backends.cudnn.conv.fp32_precision = "ieee"
    try:
        found = [steps(name, Plan(graphs=graphs), sizes, augmentation) for graphs in (False, True)]
    finally:
        torch.backends.cudnn.conv.fp32_precision = "tf32"
    for a, b in zip(*found, strict=True):  # cuDNN adds up gradients in any order, and ReLUs near 0 follow
        assert (a - b).norm() <= 5e-2 * b.norm() + 1e-6


def test_every_candidate_takes_a_step_and_the_fixed_one_is_among_them() -> None:
    device = torch.device("cuda")
    model = build(catalogue.network("resnet20")).to(device)
    plans = candidates(model, dataclasses.replace(RECIPE, compile="off"), device, 64)
    assert fixed(model, RECIPE, device, 64) in plans
    assert any(p.graphs and p.fused for p in plans)
    for plan in plans:
        assert all(torch.isfinite(t).all() for t in steps("resnet20", plan, (32, 32, 32), Augmentation()))


def test_a_long_run_is_measured_and_a_short_one_is_not() -> None:
    device = torch.device("cuda")
    model = build(catalogue.network("resnet20")).to(device)
    images = torch.zeros(64, 3, 32, 32, dtype=torch.uint8, device=device)
    labels = torch.zeros(64, dtype=torch.int64, device=device)
    recipe = dataclasses.replace(RECIPE, compile="off")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    _, measured = choose(
        model, dataclasses.replace(recipe, compile="auto"), NAMED["cifar"], 10, device, images, labels, 64
    )
    assert measured == {}
    plan, measured = choose(model, recipe, NAMED["cifar"], 10, device, images, labels, 64_000_000)
    assert plan.describe() in measured
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_two_deterministic_runs_end_with_the_same_bits(
    network: Network, source: DataSource, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(RECIPE, deterministic=True, batch=16)
    try:
        outcomes = [
            fit(network, source, recipe, out=tmp_path / n, seed=1, device="cuda") for n in ("one", "two")
        ]
    finally:
        torch.use_deterministic_algorithms(False)
    assert all("one CUDA graph" in str(o.summary["plan"]) for o in outcomes)
    one, two = (read_weights(tmp_path / n / "weights.safetensors").state_dict for n in ("one", "two"))
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert outcomes[0].scores.top1 > 0.9
