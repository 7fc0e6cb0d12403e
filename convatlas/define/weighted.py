"""Convolutions and linear layers: the operations whose mult-adds count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from convatlas.define.operation import Operation, Pair, maps, pair
from convatlas.define.shape import Shape, ShapeError, show
from convatlas.define.window import Padding
from convatlas.define.windowed import Windowed, check_window, window_words


@dataclass(frozen=True, slots=True)
class Conv(Windowed):
    """Convolution of `width` kernels; kernel, stride and padding may be (vertical, horizontal) pairs."""

    width: int
    kernel: Pair = 1
    stride: Pair = 1
    padding: Padding = "same"
    groups: int = 1
    bias: bool = True
    dilation: int = 1
    kind: ClassVar[str] = "conv"
    counts_as_layer: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_window(self, self.kernel, self.stride, self.padding)
        if self.width < 1 or self.groups < 1:
            raise ValueError(f"conv: width {self.width} and groups {self.groups} must be at least 1")

    def output(self, shape: Shape) -> Shape:
        channels = maps(self, shape)[0]
        for what, value in (("input channels", channels), ("width", self.width)):
            if value % self.groups:
                low = max(1, value // self.groups) * self.groups
                raise ShapeError(
                    f"{value} {what} cannot be divided into {self.groups} groups; "
                    f"nearest that can: {low} and {low + self.groups}"
                )
        return (self.width, *self.place(shape))

    def parameters(self, shape: Shape) -> int:
        kernel = pair(self.kernel)
        return self.width * (shape[0] // self.groups * kernel[0] * kernel[1] + self.bias)

    def mult_adds(self, shape: Shape) -> int:
        kernel, (height, width) = pair(self.kernel), self.place(shape)
        return self.width * (shape[0] // self.groups) * kernel[0] * kernel[1] * height * width

    def describe(self) -> str:
        words = f"conv {window_words(self.kernel, self.stride, self.padding)}, {self.width}"
        return words if self.groups == 1 else f"{words}, g{self.groups}"


@dataclass(frozen=True, slots=True)
class DepthwiseConv(Windowed):
    """One kernel (or `multiplier`) a channel: a convolution with as many groups as channels."""

    kernel: Pair = 3
    stride: Pair = 1
    padding: Padding = "same"
    bias: bool = True
    multiplier: int = 1
    kind: ClassVar[str] = "depthwise conv"
    counts_as_layer: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_window(self, self.kernel, self.stride, self.padding)

    def output(self, shape: Shape) -> Shape:
        return (maps(self, shape)[0] * self.multiplier, *self.place(shape))

    def parameters(self, shape: Shape) -> int:
        kernel = pair(self.kernel)
        return shape[0] * self.multiplier * (kernel[0] * kernel[1] + self.bias)

    def mult_adds(self, shape: Shape) -> int:
        kernel, (height, width) = pair(self.kernel), self.place(shape)
        return shape[0] * self.multiplier * kernel[0] * kernel[1] * height * width

    def describe(self) -> str:
        return f"depthwise conv {window_words(self.kernel, self.stride, self.padding)}"


@dataclass(frozen=True, slots=True)
class TableConv(Windowed):
    """Convolution whose map i reads only the input maps table[i] (LeNet-5's C3; LeCun et al. 1998, Table I)."""

    width: int
    kernel: Pair
    table: tuple[tuple[int, ...], ...]
    stride: Pair = 1
    padding: Padding = "valid"
    bias: bool = True
    kind: ClassVar[str] = "conv by table"
    counts_as_layer: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_window(self, self.kernel, self.stride, self.padding)
        if len(self.table) != self.width or not all(self.table):
            raise ValueError(
                f"conv by table: {self.width} maps need as many rows, none empty; received {len(self.table)}"
            )

    @property
    def connections(self) -> int:
        """Pairs of an input map and an output map that are joined."""
        return sum(map(len, self.table))

    def output(self, shape: Shape) -> Shape:
        last = max(map(max, self.table))
        if last >= maps(self, shape)[0]:
            raise ShapeError(
                f"the connection table names input map {last}; received {show(shape)}: widths are fixed by the table"
            )
        return (self.width, *self.place(shape))

    def parameters(self, shape: Shape) -> int:
        kernel = pair(self.kernel)
        return self.connections * kernel[0] * kernel[1] + self.width * self.bias

    def mult_adds(self, shape: Shape) -> int:
        kernel, (height, width) = pair(self.kernel), self.place(shape)
        return self.connections * kernel[0] * kernel[1] * height * width

    def describe(self) -> str:
        return f"conv {window_words(self.kernel, self.stride, self.padding)}, {self.width}, by table"


@dataclass(frozen=True, slots=True)
class Linear(Operation):
    """Fully connected layer on a vector (C,): `width` outputs."""

    width: int
    bias: bool = True
    kind: ClassVar[str] = "linear"
    counts_as_layer: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"linear: width {self.width} must be at least 1")

    def output(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ShapeError(
                f"linear needs a vector; received {show(shape)}: put a Flatten or GlobalAvgPool before it"
            )
        return (self.width,)

    def parameters(self, shape: Shape) -> int:
        return self.width * (shape[0] + self.bias)

    def mult_adds(self, shape: Shape) -> int:
        return self.width * shape[0]

    def describe(self) -> str:
        return f"linear, {self.width}"


@dataclass(frozen=True, slots=True)
class RBF(Operation):
    """Squared Euclidean distance to a fixed code a class, negated so that the largest is the best.

    LeCun et al. 1998, §II.B: 84 = 7 x 12 bitmaps of +-1. The codes are kept, not trained.
    """

    codes: tuple[tuple[int, ...], ...]
    kind: ClassVar[str] = "RBF"
    counts_as_layer: ClassVar[bool] = True

    @property
    def width(self) -> int:
        """Number of classes."""
        return len(self.codes)

    def output(self, shape: Shape) -> Shape:
        if shape != (len(self.codes[0]),):
            raise ShapeError(f"the codes have {len(self.codes[0])} values; received {show(shape)}")
        return (len(self.codes),)

    def statistics(self, shape: Shape) -> int:
        return len(self.codes) * len(self.codes[0])

    def describe(self) -> str:
        return f"RBF, {len(self.codes)}"
