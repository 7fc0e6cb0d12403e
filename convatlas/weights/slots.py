"""What a network wants to be filled: its modules with weights, by name, with the shape of each tensor."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.define import (
    RBF,
    BatchNorm,
    Conv,
    DepthwiseConv,
    Flatten,
    Linear,
    Network,
    Shape,
    Subsampling,
    TableConv,
    elaborate,
)
from convatlas.define.operations import Operation, pair


@dataclass(frozen=True)
class Slot:
    """One module of ours: name, leaf name -> shape, and what the arithmetic at the border must know.

    `eps` is that of a batch norm. `flattened` is the (C, H, W) that a linear layer sees as a vector.
    """

    name: str
    shapes: dict[str, Shape]
    operation: Operation
    flattened: Shape | None = None

    @property
    def is_norm(self) -> bool:
        """Batch norms are matched among themselves."""
        return isinstance(self.operation, BatchNorm)

    @property
    def is_aux(self) -> bool:
        """Belongs to an auxiliary head."""
        return self.name.startswith("aux.")


def slots(network: Network) -> list[Slot]:
    """The modules of `network` that hold weights, in order of computation, auxiliary heads last."""
    found, flattened = [], None
    for name, placed in elaborate(network).operations(aux=True):
        op, shape = placed.node, placed.input
        assert isinstance(op, Operation)
        if isinstance(op, Flatten) and len(shape) == 3:
            flattened = shape
        shapes = _shapes(op, shape)
        if shapes:
            linear_after_maps = isinstance(op, Linear) and flattened is not None
            found.append(Slot(name, shapes, op, flattened if linear_after_maps else None))
            flattened = None
    return found


def _shapes(op: Operation, shape: Shape) -> dict[str, Shape]:
    match op:
        case Conv():
            weight: Shape = (op.width, shape[0] // op.groups, *pair(op.kernel))
        case DepthwiseConv():
            weight = (shape[0] * op.multiplier, 1, *pair(op.kernel))
        case Linear():
            weight = (op.width, shape[0])
        case BatchNorm():
            one = (shape[0],)
            scale: dict[str, Shape] = {"weight": one} if op.scale else {}
            return scale | {"bias": one, "running_mean": one, "running_var": one}
        case TableConv() | Subsampling() | RBF():
            return {"": ()}  # LeNet-5 of 1998: nobody else publishes it, our own files match by name
        case _:
            return {}
    return {"weight": weight} | ({"bias": weight[:1]} if op.bias else {})


def squeezed(shape: Shape) -> Shape:
    """A weight's shape without its trailing sides of one: (out, in, 1, 1) is (out, in)."""
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape
