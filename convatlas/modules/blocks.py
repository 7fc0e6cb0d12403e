"""The combinators as modules. Children are the definition's rows, under the same names."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from convatlas.define import Network
from convatlas.define.preprocessing import Preprocessing


class Block(nn.Module):
    """A module over named children."""

    def __init__(self, children: Iterable[tuple[str, nn.Module]]) -> None:
        super().__init__()
        for name, child in children:
            self.add_module(name, child)


class Concat(Block):
    """Branches on one input, their channels joined in order."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self._modules.values()], 1)  # type: ignore[misc]


class Dense(Block):
    """Each step sees the input and all outputs before it, joined. `recompute` trades time for training memory."""

    def __init__(self, children: Iterable[tuple[str, nn.Module]], *, recompute: bool = False) -> None:
        super().__init__(children)
        self.recompute = recompute

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for step in self._modules.values():
            if self.recompute and self.training and torch.is_grad_enabled():
                features.append(checkpoint(_join_and_apply, step, *features, use_reentrant=False))
            else:
                features.append(_join_and_apply(step, *features))  # type: ignore[arg-type]
        return torch.cat(features, 1)


def _join_and_apply(step: nn.Module, *features: Tensor) -> Tensor:
    return step(torch.cat(features, 1))


class Gate(nn.Sequential):
    """The rows' output, one value a channel, times the input (squeeze and excite)."""

    def forward(self, input: Tensor) -> Tensor:
        weights = super().forward(input)
        return input * weights.reshape(*weights.shape[:2], 1, 1) if weights.dim() == 2 else input * weights


class Residual(Block):
    """shortcut(x) + scale * body(x), then `then`; with stochastic depth as its paper has it."""

    body: nn.Module
    shortcut: nn.Module
    then: nn.Module

    def __init__(self, children: Iterable[tuple[str, nn.Module]], scale: float, survival: float) -> None:
        super().__init__(children)
        self.scale, self.survival = scale, survival
        self._projects = hasattr(self, "shortcut")
        self._continues = hasattr(self, "then")

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.shortcut(x) if self._projects else x
        y = shortcut if self._drops() else self._sum(x, shortcut)
        return self.then(y) if self._continues else y

    def _drops(self) -> bool:
        # one draw a mini-batch (Huang et al. 2016, §3); a compiled graph multiplies by the draw instead
        return (
            self.training
            and self.survival < 1
            and not torch.compiler.is_compiling()
            and bool(torch.rand(()) >= self.survival)
        )

    def _sum(self, x: Tensor, shortcut: Tensor) -> Tensor:
        y = self.body(x)
        if self.scale != 1:
            y = y * self.scale
        if self.survival < 1:
            if not self.training:
                y = y * self.survival
            elif torch.compiler.is_compiling():
                y = y * (torch.rand((), device=y.device) < self.survival)
        return shortcut + y

    def extra_repr(self) -> str:
        return ", ".join(
            f"{k}={v}" for k, v in (("scale", self.scale), ("survival", self.survival)) if v != 1
        )


class ConvNet(Block):
    """A whole network; `network` is its definition. `forward` always returns logits (N, classes).

    preprocessing: what the weights in it want done to a picture, where they came from somewhere that says it.
    """

    preprocessing: Preprocessing | None = None

    def __init__(
        self,
        children: Iterable[tuple[str, nn.Module]],
        heads: Iterable[tuple[str, nn.Module]],
        network: Network,
    ) -> None:
        super().__init__(children)
        self.network = network
        self._rows = tuple(self._modules)
        named = dict(heads)
        if named:
            self.aux = nn.ModuleDict(named)
        self._heads = tuple(named)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of images (N, C, H, W)."""
        for row in self._rows:
            x = self._modules[row](x)  # type: ignore[misc]
        return x

    def forward_with_aux(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(logits, [logits of each auxiliary head, in order of the rows they follow])."""
        heads = []
        for row in self._rows:
            x = self._modules[row](x)  # type: ignore[misc]
            if row in self._heads:
                # a copy where the next row works in place is torch's business: autograd would complain, not corrupt
                heads.append(self.aux[row](x))
        return x, heads

    def features(self, x: Tensor, *names: str) -> dict[str, Tensor]:
        """Outputs of the rows of these names, ``features(x, "conv3.block1", "pool5")``; KeyError lists the rows."""
        caught: dict[str, Tensor] = {}
        hooks = []
        try:
            for name in names:
                try:
                    module = self.get_submodule(name)
                except AttributeError:
                    raise KeyError(f"no row {name!r}; top rows: {', '.join(self._rows)}") from None
                # cloned, since a ReLU that follows may work in place
                hooks.append(
                    module.register_forward_hook(
                        lambda _m, _i, out, name=name: caught.__setitem__(name, out.clone())
                    )
                )
            self(x)
        finally:
            for hook in hooks:
                hook.remove()
        return caught


def in_order(module: nn.Module) -> list[str]:
    """Names of the children, where all that the module does is to run them in this order; none otherwise."""
    rows = getattr(module, "_rows", None)
    if rows:
        return list(rows)
    return list(module._modules) if type(module) is nn.Sequential else []  # noqa: SLF001
