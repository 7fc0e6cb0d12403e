"""What every operation of a network is: a leaf of its tree that knows its shapes and its counts.

Input widths are never written: they follow from the row above. Mult-adds count convolutions and linear layers
only (biases, norms, pooling left out), as the papers of ResNet, ResNeXt, SENet and ShuffleNet count.
"""

from __future__ import annotations

from dataclasses import fields
from typing import ClassVar

from convatlas.define.shape import Shape, ShapeError, show
from convatlas.define.window import Window

Pair = int | tuple[int, int]


class Node:
    """Anything that stands in a network's tree: an operation or a combinator."""

    __slots__ = ()


def pair(value: Pair) -> tuple[int, int]:
    """(height, width) of a value that may be given once for both."""
    return value if isinstance(value, tuple) else (value, value)


def times(value: Pair) -> str:
    """Print a size as ``3×3``."""
    height, width = pair(value)
    return f"{height}×{width}"


class Operation(Node):
    """An operation of its own kind; shapes are (C, H, W) or (C,) unless a class says otherwise."""

    __slots__ = ()
    kind: ClassVar[str] = "operation"
    counts_as_layer: ClassVar[bool] = False  # papers count the layers that hold weights

    def output(self, shape: Shape) -> Shape:
        """Shape that comes out for `shape`; ShapeError (without a path) where it cannot be."""
        return shape

    def parameters(self, shape: Shape) -> int:
        """Trained parameters: weights, biases, norm scales and shifts; no running statistics."""
        return 0

    def statistics(self, shape: Shape) -> int:
        """Values kept but not trained: batch norm's running mean and variance, fixed codes."""
        return 0

    def mult_adds(self, shape: Shape) -> int:
        """Multiply-accumulates for one image: convolutions and linear layers, no others."""
        return 0

    def windows(self, shape: Shape) -> tuple[Window, Window] | None:
        """(vertical, horizontal) windows of what looks at neighbours, None for what does not."""
        return None

    def describe(self) -> str:
        """Say the operation in a few words, as a table's cell."""
        return self.kind

    def settings(self) -> dict[str, object]:
        """Fields that differ from their defaults, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}  # type: ignore[arg-type]


def maps(op: Operation, shape: Shape) -> tuple[int, int, int]:
    """`shape` as channels, height, width; ShapeError where it is a vector."""
    if len(shape) != 3:
        raise ShapeError(f"{op.kind} needs feature maps, channels x height x width; received {show(shape)}")
    return shape
