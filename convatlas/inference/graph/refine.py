"""A recording with its weights rounded by least squares on real images, layer by layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from convatlas.inference.graph.least_squares import patches, round_layer
from convatlas.inference.graph.operations import Kind
from convatlas.inference.graph.record import Recording

# images that are looked at, and bytes of one layer's input that they may take
IMAGES, BYTES = 64, 1 << 29


def layers(recording: Recording) -> list[fx.Node]:
    """The convolutions and linear layers with constant weights, in order."""
    return [
        n for n in recording.nodes(Kind.CONV, Kind.LINEAR)
        if (w := recording.constant(n.args[1])) is not None and w.dtype is torch.float32
    ]  # fmt: skip


def few(recording: Recording, images: Tensor, most: int = IMAGES, room: int = BYTES) -> Tensor:
    """As many of the images as fit, eight at least; `room`: bytes of the largest map of all of them."""
    sizes = [torch.Size(n.meta["shape"][1:]).numel() for n in recording.nodes()]
    return images[: max(8, min(most, room // (4 * max(sizes))))]


def refine(recording: Recording, images: Tensor, grid: str) -> None:
    """Round the weights to the grid, "bf16" or "int8", in place; images (n, C, H, W) as the model takes them."""
    wanted = set(layers(recording))
    found: dict[fx.Node, tuple[Tensor, Tensor]] = {}
    generator = torch.Generator().manual_seed(1998)

    class Look(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            if n in wanted:
                weight, bias, x = recording.constant(n.args[1]), _bias(recording, n), self.env[n.args[0]]
                assert weight is not None
                seen = patches(x.cpu(), weight, n.kwargs, generator)
                found[n] = round_layer(weight.cpu(), None if bias is None else bias.cpu(), seen, grid)
            return super().run_node(n)

    with torch.no_grad():
        Look(recording.module).run(few(recording, images))
    for node, values in found.items():
        new = [recording.add_constant(value.to(images.device), node) for value in values]
        node.args = (node.args[0], *new)
    recording.finish()


def _bias(recording: Recording, node: fx.Node) -> Tensor | None:
    return recording.constant(node.args[2]) if len(node.args) > 2 else None
