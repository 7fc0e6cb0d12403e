"""The optimizer's step without torch's decorators: the same step, and no compiler imported for it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
import torch

from convatlas.modules import build
from convatlas.networks import catalogue
from convatlas.training.optimizer import make, take_step
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
