"""Channels of a map brought to ranges alike, so that the 256 steps of int8 serve all of them.

A positive factor passes through ReLU, pooling and concatenation: what a layer's output channel is divided by, those
that read it multiply their weights with. One range for the whole map then fits each of its channels. The layer that
makes the map does not feel it, since weights have a step for each output channel; those that read it do, and so the
factors are a power of the ranges, chosen for each map by what rounding its values and the weights that read them adds
to the results (Nagel et al., "Data-Free Quantization", 2019, §4.1; Xiao et al., "SmoothQuant", 2022, §4).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from convatlas.inference.graph.operations import Kind
from convatlas.inference.graph.record import Recording
from convatlas.inference.graph.refine import layers

# powers of the ranges that are weighed against each other; 0 leaves a map alone. Beyond a half, other images than those
# that gave the ranges leave them: published SqueezeNet, from 64 photos of ten classes, then loses more than it gains
POWERS = (0.0, 0.2, 0.4)
# a channel's range counts as at least this share of the map's largest: a few images may have missed what excites it
LEAST = 1 / 32
# images at a time
PIECE = 16
# what a positive factor a channel passes through
_THROUGH = frozenset({Kind.RELU, Kind.MAX_POOL, Kind.AVG_POOL, Kind.GLOBAL_AVG, Kind.GLOBAL_MAX})
_FIXED = 0


@dataclass
class Channels:
    """What was seen of a layer's input, each (channels,): least, largest, mean of squares."""

    low: Tensor
    high: Tensor
    square: Tensor


def equalize(recording: Recording, images: Tensor) -> int:
    """Scale channels in place, by images (n, C, H, W) as the model takes them; the number of maps that were scaled."""
    wires = Wires(recording)
    readers = [n for n in layers(recording) if n in wires.own and (wires.roots(n.args[0]) != _FIXED).any()]
    seen = ranges(recording, readers, images)
    largest = torch.zeros(wires.count)
    for node in readers:
        size = torch.maximum(seen[node].high, -seen[node].low)
        largest.scatter_reduce_(0, wires.roots(node.args[0]), size, "amax")
    factors = torch.ones(wires.count)
    changed = 0
    for group in together(readers, wires):
        ids = torch.cat([wires.roots(n.args[0]) for n in group]).unique()
        free = ids[ids != _FIXED]
        top = largest[free].max()
        if top <= 0:
            continue
        relative = (largest[free] / top).clamp_min(LEAST)
        best, power = noise(recording, group, wires, seen, factors), 0.0
        for candidate in POWERS[1:]:
            trial = factors.clone()
            trial[free] = relative**candidate
            lost = noise(recording, group, wires, seen, trial)
            if lost < best:
                best, power = lost, candidate
        factors[free] = relative**power
        changed += power > 0
    for node in wires.own:
        rescale(recording, node, factors[wires.roots(node.args[0])], factors[wires.roots(node)])
    recording.finish()
    return changed


def noise(
    recording: Recording,
    group: Iterable[fx.Node],
    wires: Wires,
    seen: dict[fx.Node, Channels],
    factors: Tensor,
) -> float:
    """What int8 adds to the results of the layers that read a map, beside the squares of these, all added up."""
    total = 0.0
    for node in group:
        weight, own, factor = recording.constant(node.args[1]), seen[node], factors[wires.roots(node.args[0])]
        assert weight is not None
        scaled = per_input(weight, factor, node)
        step = ((own.high / factor).max().clamp_min(0) - (own.low / factor).min().clamp_max(0)) / 255
        of_values = step**2 * scaled.square().sum()
        steps = scaled.flatten(1).abs().amax(1) / 127
        squares = filter_sums(weight, own.square / factor**2, node)
        result = per_input(weight.square(), own.square, node).sum()
        total += float((of_values + (steps**2 * squares).sum()) / (12 * result.clamp_min(1e-30)))
    return total


def per_input(weight: Tensor, values: Tensor, layer: fx.Node) -> Tensor:
    """Weights (width, channels a group, ...) times one value an input channel (channels,)."""
    return weight * _inputs_of(weight, values, layer).view(-1, weight.shape[1], *[1] * (weight.dim() - 2)).to(
        weight
    )


def filter_sums(weight: Tensor, values: Tensor, layer: fx.Node) -> Tensor:
    """Values of the input channels (channels,) added up over all weights of a filter: (width,), or (1,) for all alike."""
    return _inputs_of(weight, values, layer).sum(1) * weight[0, 0].numel()


def _inputs_of(weight: Tensor, values: Tensor, layer: fx.Node) -> Tensor:
    """The values (channels,) that each filter meets: (width, channels a group), or (1, channels) where it is all of them."""
    width, own = weight.shape[:2]
    groups = int(layer.kwargs.get("groups", 1))
    return (
        values.view(groups, own).repeat_interleave(width // groups, 0) if groups > 1 else values.view(1, own)
    )


def per_output(values: Tensor, factors: Tensor) -> Tensor:
    """Values (channels, ...) divided by one factor a channel."""
    return values / factors.view(-1, *[1] * (values.dim() - 1)).to(values)


def rescale(recording: Recording, layer: fx.Node, inputs: Tensor, outputs: Tensor) -> None:
    """Let a layer read a map divided by `inputs` (channels,), and divide its results by `outputs` (width,)."""
    if (inputs == 1).all() and (outputs == 1).all():
        return
    weight, *rest = (recording.constant(a) for a in layer.args[1:])
    assert weight is not None
    if layer.meta["kind"] is Kind.AFFINE:
        values = [weight * inputs.to(weight), *rest]
    else:
        values = [per_input(weight, inputs, layer), *rest]
    new = [v if v is None else recording.add_constant(per_output(v, outputs), layer) for v in values]
    layer.args = (layer.args[0], *new)


def ranges(recording: Recording, readers: Iterable[fx.Node], images: Tensor) -> dict[fx.Node, Channels]:
    """What the readers' input channels take on for these images."""
    wanted = set(readers)
    found: dict[fx.Node, Channels] = {}

    class Look(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            if n in wanted:
                maps = self.env[n.args[0]].transpose(0, 1).flatten(1).cpu()
                seen = Channels(maps.amin(1), maps.amax(1), maps.square().mean(1) * share)
                if n in found:
                    old = found[n]
                    seen = Channels(
                        old.low.minimum(seen.low), old.high.maximum(seen.high), old.square + seen.square
                    )
                found[n] = seen
            return super().run_node(n)

    with torch.no_grad():
        for piece in images.split(PIECE):
            share = len(piece) / len(images)
            Look(recording.module).run(piece)
    return found


def together(readers: Iterable[fx.Node], wires: Wires) -> list[list[fx.Node]]:
    """The readers in groups, such that maps of different groups share no factor."""
    groups: list[tuple[set[int], list[fx.Node]]] = []
    for node in readers:
        ids = set(wires.roots(node.args[0]).tolist()) - {_FIXED}
        joined = [g for g in groups if g[0] & ids]
        groups = [g for g in groups if not g[0] & ids]
        groups.append((ids.union(*(g[0] for g in joined)), [n for g in joined for n in g[1]] + [node]))
    return [nodes for _, nodes in groups]


class Wires:
    """Which channels of which maps must have one factor; 0 is that of channels whose factor is 1."""

    def __init__(self, recording: Recording) -> None:
        self._parents = [_FIXED]
        self._ids: dict[fx.Node, Tensor] = {}
        self.own = dict.fromkeys(scalable(recording))
        for node in recording.graph.nodes:
            if node.op == "get_attr":
                continue
            found = self._new(node) if node in self.own else self._passed(node)
            if found is None:
                for a in node.all_input_nodes:
                    self._join(self._ids.get(a, torch.zeros(0, dtype=torch.long)), None)
                found = torch.zeros(_channels(node), dtype=torch.long)
            self._ids[node] = found
        self._roots = torch.tensor([self._root(i) for i in range(self.count)])

    @property
    def count(self) -> int:
        return len(self._parents)

    def roots(self, node: object) -> Tensor:
        """The factor's number of each channel of a map, (channels,)."""
        assert isinstance(node, fx.Node)
        return self._roots[self._ids[node]]

    def _new(self, node: fx.Node) -> Tensor:
        first, count = len(self._parents), _channels(node)
        self._parents += range(first, first + count)
        return torch.arange(first, first + count)

    def _passed(self, node: fx.Node) -> Tensor | None:
        """The channels of a map made of others without being scaled, or None where factors do not pass."""
        kind, inputs = node.meta.get("kind"), node.all_input_nodes
        shapes = [n.meta.get("shape") for n in inputs]
        if not inputs or any(a.op == "get_attr" for a in inputs):
            return None
        first, shape = self._ids[inputs[0]], node.meta.get("shape")
        if kind in _THROUGH or (kind is Kind.PAD and _only_zeros_around(node)):
            return first
        if kind is Kind.CONCAT and node.kwargs["dim"] == 1:
            return torch.cat([self._ids[n] for n in node.args[0]])
        if kind is Kind.ADD and len(inputs) == 2 and shapes[0] == shapes[1] == shape:
            self._join(first, self._ids[inputs[1]])
            return first
        if kind is Kind.RESHAPE and len(shape) == 2 and len(first) and shape[1] % len(first) == 0:
            return first.repeat_interleave(shape[1] // len(first))
        return None

    def _join(self, one: Tensor, other: Tensor | None) -> None:
        others = [_FIXED] * len(one) if other is None else other.tolist()
        for a, b in zip(one.tolist(), others, strict=True):
            low, high = sorted((self._root(a), self._root(b)))
            self._parents[high] = low

    def _root(self, i: int) -> int:
        while self._parents[i] != i:
            self._parents[i] = self._parents[self._parents[i]]
            i = self._parents[i]
        return i


def scalable(recording: Recording) -> list[fx.Node]:
    """Layers, and lone scales and shifts, all of whose weights are constants."""
    own = [*layers(recording), *recording.nodes(Kind.AFFINE)]
    return [
        n for n in own
        if len(n.args[0].meta["shape"]) == (2 if n.meta["kind"] is Kind.LINEAR else 4)
        and all(a is None or recording.constant(a) is not None for a in n.args[1:])
    ]  # fmt: skip


def _channels(node: fx.Node) -> int:
    shape = node.meta.get("shape", ())
    return int(shape[1]) if len(shape) > 1 else 0


def _only_zeros_around(node: fx.Node) -> bool:
    return node.kwargs["value"] == 0 and len(node.kwargs["pads"]) <= 4 == len(node.meta["shape"])
