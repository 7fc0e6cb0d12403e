"""What moves channels about: flattening, shuffling, slicing, the shortcut without parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from convatlas.define.operation import Operation, maps
from convatlas.define.shape import Shape, ShapeError, show
from convatlas.define.window import Window, window


@dataclass(frozen=True, slots=True)
class Flatten(Operation):
    """(C, H, W) -> (C * H * W,), channels outermost."""

    kind: ClassVar[str] = "flatten"

    def output(self, shape: Shape) -> Shape:
        size = 1
        for n in shape:
            size *= n
        return (size,)


@dataclass(frozen=True, slots=True)
class ChannelShuffle(Operation):
    """Transpose (groups, C / groups) to (C / groups, groups) along channels (Zhang et al. 2017, Fig. 1)."""

    groups: int
    kind: ClassVar[str] = "channel shuffle"

    def output(self, shape: Shape) -> Shape:
        if maps(self, shape)[0] % self.groups:
            raise ShapeError(
                f"{shape[0]} channels cannot be shuffled in {self.groups} groups; choose a width that {self.groups} divides"
            )
        return shape

    def describe(self) -> str:
        return f"channel shuffle, g{self.groups}"


@dataclass(frozen=True, slots=True)
class Slice(Operation):
    """Channels of part `part` (from 0) of `parts` equal ones: ShuffleNet v2's channel split."""

    part: int
    parts: int = 2
    kind: ClassVar[str] = "slice"

    def __post_init__(self) -> None:
        if not 0 <= self.part < self.parts:
            raise ValueError(f"slice: part {self.part} of {self.parts}; parts are counted from 0")

    def output(self, shape: Shape) -> Shape:
        if shape[0] % self.parts:
            raise ShapeError(
                f"{shape[0]} channels cannot be cut into {self.parts} equal parts; choose a width that {self.parts} divides"
            )
        return (shape[0] // self.parts, *shape[1:])

    def describe(self) -> str:
        return f"slice {self.part + 1} of {self.parts}"


@dataclass(frozen=True, slots=True)
class PadShortcut(Operation):
    """Shortcut without parameters: every stride-th row and column, zero channels up to `width` (He et al. 2015, option A).

    The paper does not say where the zero channels go; a permutation of channels makes the choices equal.
    `where`: "both" sides (the CIFAR weights that most people use), or at the "end".
    """

    width: int
    stride: int = 1
    where: str = "both"
    kind: ClassVar[str] = "padded shortcut"

    def output(self, shape: Shape) -> Shape:
        channels, height, width = maps(self, shape)
        if channels > self.width:
            raise ShapeError(
                f"a padded shortcut can only add channels: received {show(shape)}, expected at most {self.width}"
            )
        return (self.width, -(-height // self.stride), -(-width // self.stride))

    def windows(self, shape: Shape) -> tuple[Window, Window]:
        rows, columns = (window(n, 1, self.stride, "valid") for n in maps(self, shape)[1:])
        return rows, columns

    def describe(self) -> str:
        return f"padded shortcut, {self.width}" + (f", /{self.stride}" if self.stride > 1 else "")
