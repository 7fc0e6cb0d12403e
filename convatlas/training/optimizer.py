"""The optimizer of a recipe, its parameter groups, and RMSProp as the papers' TensorFlow had it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from convatlas.define import Network
from convatlas.define.edits import classifier
from convatlas.training.muon import Muon
from convatlas.training.plan import drops
from convatlas.training.recipe import Recipe

# where torch._compile._disable_dynamo looks
_EXCLUDED = "__dynamo_disable"
_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)  # noqa: SLF001  the only common base there is


def groups(model: nn.Module, recipe: Recipe) -> list[dict[str, object]]:
    """Parameters in groups of one weight decay and one share of the learning rate ("scale").

    layer_decay < 1 gives each top row a smaller share than the row after it (discriminative learning rates,
    Howard & Ruder 2018): what is early in a trained network is general and should move least.
    """
    plain = {
        id(p)
        for module in model.modules()
        for name, p in module.named_parameters(recurse=False)
        if isinstance(module, _NORMS) or name == "bias"
    }
    rows = list(dict.fromkeys(name.partition(".")[0] for name, _ in model.named_parameters()))
    if getattr(
        model, "_heads", ()
    ):  # they lie beside the rows, not behind them, and are as new as the last one
        rows.remove("aux")
    last = _classifier(model)
    matrices = _matrices(model) if recipe.optimizer == "muon" else frozenset()
    found: dict[tuple[float, float, bool, bool], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        spare = recipe.no_decay_on_norms_and_biases and id(parameter) in plain
        row = name.partition(".")[0]
        behind = len(rows) - 1 - rows.index(row) if row in rows else 0
        alone = parameter is last
        matrix = id(parameter) in matrices and not alone
        key = (0.0 if spare else recipe.weight_decay, recipe.layer_decay**behind, alone, matrix)
        found.setdefault(key, []).append(parameter)
    return [
        {"params": ps, "weight_decay": decay, "scale": scale, "classifier": alone, "matrix": matrix}
        for (decay, scale, alone, matrix), ps in found.items()
    ]


def _matrices(model: nn.Module) -> frozenset[int]:
    """Ids of the weights that are linear maps: what Muon is for. Filters of groups are many small maps, not one.

    Nor the classifier's, by the caller: its rows are classes, and may differ in length.
    """
    layers = (m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    return frozenset(id(m.weight) for m in layers if getattr(m, "groups", 1) == 1)


def _classifier(model: nn.Module) -> Tensor | None:
    """The weight of the layer that makes the classes, where the model knows its definition."""
    network = getattr(model, "network", None)
    path = classifier(network.rows) if isinstance(network, Network) else None
    return None if path is None else getattr(model.get_submodule(path), "weight", None)


def suit_classifier(optimizer: torch.optim.Optimizer, size: float) -> None:
    """Shorten the classifier's steps to what features of this root mean square allow.

    Weights made for pixels of 0..255, as Caffe's, give features of 20 where others give 1. The same function of
    features of 1 has weights 20 times as large: to move alike, gradient descent needs 1/400 of the rate here, Adam,
    whose steps do not depend on the gradient's size, 1/20. Never longer steps than the recipe says.
    """
    size = max(size, 1.0)
    factor = (
        size**-2 if isinstance(optimizer, torch.optim.SGD | Muon) else 1 / size
    )  # Muon's is moved as by SGD
    for group in optimizer.param_groups:
        if group["classifier"]:
            group["scale"] *= factor


def make(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over the model's parameters; fused where torch has it. Step it with `take_step`."""
    spare_the_compiler()
    params = groups(model, recipe)
    # one kernel for all parameters instead of several a tensor; torch has it for CPU and CUDA
    # but not for SGD where blocks are dropped: its fused step fails where some weights have momentum and others none yet
    fused = next(model.parameters()).device.type in {"cpu", "cuda"} and not drops(model)
    betas = (recipe.momentum, recipe.decay)
    match recipe.optimizer:
        case "sgd" | "nesterov":
            nesterov = recipe.optimizer == "nesterov"
            return torch.optim.SGD(
                params, lr=recipe.lr, momentum=recipe.momentum, nesterov=nesterov, fused=fused
            )
        case "adam":
            return torch.optim.Adam(params, lr=recipe.lr, betas=betas, eps=recipe.epsilon, fused=fused)
        case "adamw":
            return torch.optim.AdamW(params, lr=recipe.lr, betas=betas, eps=recipe.epsilon, fused=fused)
        case "muon":
            return Muon(params, recipe.lr, recipe.momentum)
        case "adadelta":
            return torch.optim.Adadelta(params, lr=recipe.lr, rho=recipe.decay, eps=recipe.epsilon)
    return RMSProp(params, recipe.lr, recipe.momentum, recipe.decay, recipe.epsilon)


def take_step(optimizer: torch.optim.Optimizer) -> None:
    """`optimizer.step()` without its decorators, which import torch's compiler: see below. No hooks are called."""
    with torch.no_grad():
        inspect.unwrap(type(optimizer).step)(optimizer)


def spare_the_compiler() -> None:
    """Let no optimizer import torch._dynamo, which takes two seconds, to be excluded from what nobody compiles.

    Its decorators import it at the first call, unless what they would ask it for is there: the function, excluded.
    """
    for name in ("add_param_group", "load_state_dict", "state_dict", "zero_grad"):
        function = inspect.unwrap(getattr(torch.optim.Optimizer, name))
        if not hasattr(function, _EXCLUDED):
            setattr(function, _EXCLUDED, function)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group its share of this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["scale"]


class RMSProp(torch.optim.Optimizer):
    """RMSProp with epsilon inside the root and the learning rate inside the momentum, as in TensorFlow.

    torch's own has both outside. With the Inception papers' epsilon of 1.0 the two are different algorithms.
    The mean of squares starts at 1, as in tf.train.RMSPropOptimizer.
    """

    def __init__(
        self, params: Iterable[dict[str, object]], lr: float, momentum: float, decay: float, epsilon: float
    ) -> None:
        super().__init__(
            params, {"lr": lr, "momentum": momentum, "decay": decay, "epsilon": epsilon, "weight_decay": 0.0}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of all parameters."""
        result = None
        if closure is not None:
            with torch.enable_grad():
                result = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["square"] = torch.ones_like(p)
                    state["momentum"] = torch.zeros_like(p)
                grad = p.grad.add(p, alpha=group["weight_decay"]) if group["weight_decay"] else p.grad
                state["square"].lerp_(grad.square(), 1 - group["decay"])
                update = grad / (state["square"] + group["epsilon"]).sqrt()
                state["momentum"].mul_(group["momentum"]).add_(update, alpha=group["lr"])
                p.sub_(state["momentum"])
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch has it. Older runs call the momentum "step", which torch would leave on the CPU for its name."""
        state = {
            number: {"momentum" if name == "step" else name: value for name, value in own.items()}
            for number, own in state_dict["state"].items()
        }
        super().load_state_dict({**state_dict, "state": state})
