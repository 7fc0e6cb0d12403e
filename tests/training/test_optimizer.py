"""The optimizer's step without torch's decorators: the same step, and no compiler imported for it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest
import torch

from convatlas.modules import build
from convatlas.networks import catalogue
from convatlas.training.optimizer import groups, make, set_lr, suit_classifier, take_step
from convatlas.training.recipe import Recipe

OPTIMIZERS = ("sgd", "nesterov", "adam", "adamw", "muon", "adadelta", "rmsprop")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_step_is_the_optimizers_own(name: str) -> None:
    recipe = dataclasses.replace(Recipe(optimizer=name), weight_decay=1e-3, lr=0.01)
    ends = []
    for own in (False, True):
        torch.manual_seed(0)
        model = build(catalogue.network("lenet5"))
        optimizer = make(model, recipe)
        for _ in range(3):
            for p in model.parameters():
                p.grad = torch.randn_like(p)
            take_step(optimizer) if own else optimizer.step()
            assert all(p.grad_fn is None and p.requires_grad for p in model.parameters())
        ends.append(model.state_dict())
        state = optimizer.state_dict()
        again = make(model, recipe)
        again.load_state_dict(state)
        assert again.state_dict()["param_groups"] == state["param_groups"]
    assert all(torch.equal(ends[0][k], ends[1][k]) for k in ends[0])


def test_a_run_that_compiles_nothing_does_not_import_the_compiler() -> None:
    """It takes two seconds, which a fine-tuning of half a minute notices."""
    code = (
        "import sys, dataclasses\n"
        "from convatlas.data import open_data\nfrom convatlas.networks import catalogue\n"
        "from convatlas.recipes import recipe\nfrom convatlas.training.fit import fit\n"
        "chosen = dataclasses.replace(recipe('fast-digits'), epochs=1)\n"
        "fit(catalogue.network('lenet5'), open_data('digits'), chosen)\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


@pytest.mark.parametrize("name", ["sgd", "nesterov", "muon", "rmsprop"])
def test_its_state_goes_to_the_device_of_the_parameters(name: str) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2))
    optimizer = make(model, Recipe(optimizer=name))
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    take_step(optimizer)
    elsewhere = make(model.to("meta"), Recipe(optimizer=name))
    elsewhere.load_state_dict(optimizer.state_dict())
    assert {v.device.type for own in elsewhere.state.values() for v in own.values()} == {"meta"}


def test_a_checkpoint_of_rmsprops_old_names_is_read() -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = make(model, Recipe(optimizer="rmsprop"))
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    take_step(optimizer)
    state = optimizer.state_dict()
    wanted = {number: own["momentum"].clone() for number, own in state["state"].items()}
    for own in state["state"].values():
        own["step"] = own.pop("momentum")
    again = make(model, Recipe(optimizer="rmsprop"))
    again.load_state_dict(state)
    for number, own in again.state_dict()["state"].items():
        assert set(own) == {"square", "momentum"}
        assert torch.equal(own["momentum"], wanted[number])


def test_auxiliary_heads_are_no_later_rows() -> None:
    """Under layer_decay the classifier moves at the full rate, as the heads do, and the first row least."""
    model = build(catalogue.network("googlenet"), init=False)
    scales = {
        id(p): group["scale"]
        for group in groups(model, Recipe(layer_decay=0.5))
        for p in group["params"]  # type: ignore[attr-defined]
    }
    names: dict[str, Any] = {name: scales[id(p)] for name, p in model.named_parameters()}
    assert {scale for name, scale in names.items() if name.startswith(("aux.", "fc."))} == {1.0}
    assert min(names, key=lambda name: names[name]).startswith("conv1")


@pytest.mark.parametrize("name", ["sgd", "nesterov", "muon", "adam", "adamw"])
def test_a_classifier_of_large_features_moves_the_logits_as_of_small_ones(name: str) -> None:
    """The same function of features 20 times as large: one step from there, with the correction, is the same."""
    moved = []
    for size in (1.0, 20.0):
        model = build(catalogue.network("lenet5"), init=False)
        optimizer = make(model, Recipe(optimizer=name, weight_decay=0.0))
        suit_classifier(optimizer, size)
        set_lr(optimizer, 0.01)
        (group,) = (g for g in optimizer.param_groups if g["classifier"])
        (weight,) = group["params"]
        with torch.no_grad():
            weight.zero_()
        weight.grad = torch.full_like(weight, size)  # that of features so large
        take_step(optimizer)
        moved.append(size * weight.detach().clone())
    torch.testing.assert_close(moved[1], moved[0])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_block_that_was_dropped_at_first_learns_later(name: str) -> None:
    model = build(catalogue.network("resnet110_stochastic_depth"), init=False)
    optimizer = make(model, Recipe(optimizer=name))
    first, last = (list(model.parameters())[at] for at in (0, -1))
    before = first.detach().clone()
    for p in (last, first):
        p.grad = torch.ones_like(p)
        take_step(optimizer)
    assert not torch.equal(first, before)
