"""A step's shares: of replicas, of parts, and of a worker that has none."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from convatlas.data.sources import DataSource
from convatlas.define import Network
from convatlas.define.preprocessing import NAMED
from convatlas.errors import MisuseError
from convatlas.modules import build
from convatlas.networks import catalogue
from convatlas.training.plan import Plan, candidates, fixed
from convatlas.training.recipe import Recipe
from convatlas.training.step import Moment, Stepper

CPU = torch.device("cpu")
RECIPE = Recipe(batch=64, precision="float32", compile="off")


def stepper(network: Network, replicas: int, recipe: Recipe = RECIPE) -> Stepper:
    torch.manual_seed(3)
    return Stepper(build(network).train(), recipe, Plan(replicas=replicas), NAMED["digit"], 2, CPU)


def after(one: Stepper) -> dict[str, torch.Tensor]:
    """Gradients and statistics."""
    one.close()
    found = {name: p.grad for name, p in one.model.named_parameters() if p.grad is not None}
    return found | dict(one.model.named_buffers())


def floats(images: torch.Tensor) -> torch.Tensor:
    digit = NAMED["digit"]
    return (images.float() / digit.scale - digit.mean[0]) / digit.std[0]


def test_a_batch_that_does_not_reach_all_replicas_is_one_replicas(
    network: Network, source: DataSource
) -> None:
    images, labels = source.train.images[:3], source.train.labels[:3]  # type: ignore[attr-defined]
    alone, several = stepper(network, 1), stepper(network, 4)
    for one in (alone, several):
        one.gradients(images, labels, Moment(0, 0, 1))
    for name, value in after(alone).items():
        torch.testing.assert_close(after(several)[name], value)
    for statistics in several.buffers[1:]:
        for own, first in zip(statistics, several.buffers[0], strict=True):
            assert torch.equal(own, first)


def test_replicas_share_what_they_do_not_divide(network: Network, source: DataSource) -> None:
    """Five pictures for four: each has one, and batch norm remembers the mean of all four means."""
    images, labels = source.train.images[:5], source.train.labels[:5]  # type: ignore[attr-defined]
    several = stepper(network, 4)
    several.gradients(images, labels, Moment(0, 0, 1))
    assert all(p.grad is not None for own in several.parameters for p in own)
    with torch.no_grad():
        seen = several.model.conv(floats(images))
    shares = seen.tensor_split(4)
    wanted = 0.1 * torch.stack([share.mean((0, 2, 3)) for share in shares]).mean(0)
    torch.testing.assert_close(after(several)["norm.running_mean"], wanted, atol=1e-5, rtol=1e-4)


def test_a_gradient_that_the_first_replica_lacks_is_not_lost(network: Network) -> None:
    """Each replica drops blocks of its own under stochastic depth."""
    one = stepper(network, 2)
    for task, own in enumerate(one.parameters):
        for number, p in enumerate(own):
            p.grad = None if number == task else torch.full_like(p, 1.0 + task)
    one._join(2)
    one.close()
    sums = [float(p.grad.mean()) for p in one.parameters[0]]  # type: ignore[union-attr]
    assert sums == [2.0, 1.0] + [3.0] * (len(sums) - 2)


class Noted(nn.Module):
    """What DistributedDataParallel is to a step: notes which passes reduce gradients."""

    def __init__(self, task: nn.Module) -> None:
        super().__init__()
        self.task, self.reduced, self.silent = task, list[bool](), False

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        self.silent = True
        yield
        self.silent = False

    def forward(self, *args: torch.Tensor) -> object:
        self.reduced.append(not self.silent)
        return self.task(*args)


@pytest.mark.parametrize("count", [3, 4, 6, 7])
def test_the_last_part_alone_reduces_whatever_the_number_of_pictures(
    network: Network, source: DataSource, count: int
) -> None:
    one = stepper(network, 1, dataclasses.replace(RECIPE, batch=48, accumulate=3))
    noted = Noted(one.tasks[0])
    one.tasks = [noted]
    one.gradients(source.train.images[:count], source.train.labels[:count], Moment(0, 0, 1))  # type: ignore[attr-defined]
    assert noted.reduced == [False, False, True]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("joint", [False, True])
def test_a_share_without_pictures_has_gradients_of_zero(
    network: Network, source: DataSource, joint: bool, accumulate: int
) -> None:
    one = stepper(network, 1, dataclasses.replace(RECIPE, sync_batchnorm=joint, accumulate=accumulate))
    images, labels = source.train.images[:0], source.train.labels[:0]  # type: ignore[attr-defined]
    loss, correct = one.gradients(images, labels, Moment(0, 0, 1), 2.0)
    assert (float(loss), int(correct)) == (0.0, 0)
    assert all(p.grad is not None and not p.grad.any() for p in one.model.parameters())


def test_the_replicas_that_were_asked_for_are_had() -> None:
    model = build(catalogue.network("resnet20"), init=False)
    recipe = dataclasses.replace(RECIPE, replicas=2)
    assert {p.replicas for p in candidates(model, recipe, CPU, 64)} == {2}
    assert fixed(model, dataclasses.replace(recipe, deterministic=True), CPU, 64).replicas == 2


@pytest.mark.parametrize(
    ("name", "changes", "device", "said"),
    [
        ("alexnet", {"deterministic": True}, "cpu", "draws random numbers"),
        ("resnet20", {"batch": 1}, "cpu", "batch of 1"),
        ("resnet20", {}, "meta", "cores of a CPU"),
    ],
)
def test_replicas_that_cannot_be_are_told(
    name: str, changes: dict[str, object], device: str, said: str
) -> None:
    model = build(catalogue.network(name), init=False)
    recipe = dataclasses.replace(RECIPE, replicas=2, **changes)  # type: ignore[arg-type]
    with pytest.raises(MisuseError, match=said):
        candidates(model, recipe, torch.device(device), recipe.batch)
