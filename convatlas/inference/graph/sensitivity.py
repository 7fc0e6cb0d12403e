"""Which layers lose most by rounding, and how many answers that may change.

Each layer alone is computed with its input and its weights rounded, everything else in float32; what this does to the
lead of the first class over the second, image by image, is its error. Errors of layers add up as variances do
(published MobileNet 0.25: within a tenth, while they are small), so one pass a layer tells about every choice of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from convatlas.inference.graph.leads import density, leads
from convatlas.inference.graph.record import Recording
from convatlas.inference.graph.refine import few, layers
from convatlas.inference.graph.tail import logit_layers

# images that rank the layers, and bytes that their largest map may take: all maps are kept
IMAGES, BYTES = 48, 1 << 26


@dataclass(frozen=True)
class Sensitivity:
    """Layers by name, the most sensitive first.

    errors: (layers, n) what rounding each alone moves the lead by. leads: (m,) leads of the first class over the
    second in float32.
    """

    names: tuple[str, ...]
    errors: Tensor
    leads: Tensor

    def changed(self, spared: int) -> float:
        """The share of answers expected to change where the first `spared` layers stay float32."""
        # what a normal error takes off a lead is spread / sqrt(2 pi) in the mean
        spread = float(self.errors[spared:].square().sum(0).sqrt().mean())
        return min(1.0, density(self.leads) * spread / (2 * torch.pi) ** 0.5)

    def spared_for(self, share: float) -> int:
        """How many layers must stay float32 so that no larger share of the answers is expected to change."""
        return next((n for n in range(len(self.names)) if self.changed(n) <= share), len(self.names))


def sensitivity(recording: Recording, refined: Recording, images: Tensor, grid: str) -> Sensitivity:
    """`refined`: a copy of the recording with rounded weights; grid: "bf16" or "int8", of the layers' inputs."""
    known = torch.cat([leads(recording.module(piece)) for piece in images.split(16)])
    images = few(recording, images, IMAGES, BYTES)
    values = _Values()
    with torch.no_grad():
        [output] = [n for n in recording.graph.nodes if n.op == "output"]
        expected = values.all_of(recording, images)[output]
        two = expected.topk(2, 1).indices
        errors = {}
        fixed = logit_layers(recording) if grid == "bf16" else set()  # stays float32 beside bf16
        for old, new in zip(layers(recording), layers(refined), strict=True):
            if old.name in fixed:
                continue
            answer = values.with_layer(old, new, refined, grid)
            moved = (answer - expected).gather(1, two)
            errors[old.name] = moved[:, 0] - moved[:, 1]
    names = sorted(errors, key=lambda name: -float(errors[name].square().mean()))
    return Sensitivity(tuple(names), torch.stack([errors[n] for n in names]).cpu(), known.cpu())


def rounded_inputs(x: Tensor, grid: str) -> Tensor:
    """To bf16, or to 256 steps over the range and zero."""
    if grid == "bf16":
        return x.bfloat16().to(x)
    low, high = x.min().clamp_max(0), x.max().clamp_min(0)
    step = ((high - low) / 255).clamp_min(1e-30)
    return (x / step).round() * step


class _Values(fx.Interpreter):
    """What every node computes, kept; then what follows from one layer alone being rounded."""

    def __init__(self) -> None:
        self.kept: dict[fx.Node, Any] = {}

    def all_of(self, recording: Recording, images: Tensor) -> dict[fx.Node, Any]:
        super().__init__(recording.module, garbage_collect_values=False)
        self.run(images)
        self.kept = dict(self.env)
        [output] = [n for n in recording.graph.nodes if n.op == "output"]
        self.kept[output] = self.kept[output.args[0]]
        return self.kept

    def with_layer(self, old: fx.Node, new: fx.Node, refined: Recording, grid: str) -> Any:
        weights = [refined.constant(a) for a in new.args[1:]]
        self.env = {old: old.target(rounded_inputs(self.kept[old.args[0]], grid), *weights, **old.kwargs)}
        for node in old.graph.nodes:
            if node.op == "output":
                return self.env.get(node.args[0], self.kept[node.args[0]])
            if any(a in self.env for a in node.all_input_nodes) and node is not old:
                changed = dict(self.env)
                self.env = {a: changed.get(a, self.kept[a]) for a in node.all_input_nodes}
                value = self.run_node(node)
                self.env = {**changed, node: value}
        raise AssertionError("a graph ends in its output")
