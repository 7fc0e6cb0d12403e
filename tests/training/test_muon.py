"""Muon: orthogonal steps for matrices, Nesterov's for all else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from convatlas.modules import build
from convatlas.networks import catalogue
from convatlas.training.muon import Muon, orthogonal
from convatlas.training.optimizer import groups, make, set_lr
from convatlas.training.recipe import Recipe


@pytest.mark.parametrize("size", [(16, 150), (120, 400), (64, 64), (400, 120)])
def test_all_directions_of_an_orthogonal_step_are_about_as_long(size: tuple[int, int]) -> None:
    """Singular values from 0.03 to 1 come out within 0.6 and 1.3 after five iterations; their vectors stay."""
    generator = torch.Generator().manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(size, generator=generator), full_matrices=False)
    values = torch.logspace(-1.5, 0, min(size))
    found = orthogonal(u * values @ v, steps=5)
    own = u.t() @ found @ v.t()
    assert 0.6 < float(own.diagonal().min()) <= float(own.diagonal().max()) < 1.3
    torch.testing.assert_close(own - own.diagonal().diag(), torch.zeros_like(own), atol=1e-4, rtol=0)


def test_a_zero_gradient_moves_nothing() -> None:
    weight = nn.Parameter(torch.randn(4, 3))
    before = weight.detach().clone()
    weight.grad = torch.zeros_like(weight)
    Muon([{"params": [weight], "matrix": True}], 0.1, 0.9).step()
    assert torch.equal(weight, before)


def test_what_is_no_matrix_moves_as_under_nesterov() -> None:
    torch.manual_seed(0)
    mine, theirs = (nn.Linear(5, 3) for _ in range(2))
    theirs.load_state_dict(mine.state_dict())
    own = Muon([{"params": list(mine.parameters()), "weight_decay": 0.01}], 0.1, 0.9)
    usual = torch.optim.SGD(theirs.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
    for _ in range(4):
        x = torch.randn(7, 5)
        for model, optimizer in ((mine, own), (theirs, usual)):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(mine.weight, theirs.weight)
    torch.testing.assert_close(mine.bias, theirs.bias)


def test_matrices_are_the_weights_of_hidden_layers() -> None:
    recipe = Recipe(optimizer="muon")
    model = build(catalogue.network("lenet5"))
    names = {id(p): name for name, p in model.named_parameters()}
    found = {names[id(p)] for g in groups(model, recipe) if g["matrix"] for p in g["params"]}  # type: ignore[attr-defined]
    assert found == {"C1.conv.weight", "C3.conv.weight", "F5.linear.weight", "F6.linear.weight"}
    mobile = build(catalogue.network("mobilenet_v2"), init=False)
    depthwise = {id(m.weight) for m in mobile.modules() if isinstance(m, nn.Conv2d) and m.groups > 1}
    assert depthwise
    assert not depthwise & {id(p) for g in groups(mobile, recipe) if g["matrix"] for p in g["params"]}  # type: ignore[attr-defined]


def test_its_state_goes_through_a_checkpoint() -> None:
    def after(interrupted: bool) -> torch.Tensor:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))
        optimizer = make(model, Recipe(optimizer="muon", weight_decay=0.01))
        for step in range(4):
            if interrupted and step == 2:
                state = optimizer.state_dict()
                optimizer = make(model, Recipe(optimizer="muon", weight_decay=0.01))
                optimizer.load_state_dict(state)
            set_lr(optimizer, 0.1)
            optimizer.zero_grad()
            model(torch.ones(3, 6)).square().sum().backward()
            optimizer.step()
        return model[0].weight.detach()

    assert torch.equal(after(interrupted=True), after(interrupted=False))
