"""Pooling: over windows, over whole maps, and the trained kind of 1998."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from convatlas.define.operation import Operation, Pair, maps, pair
from convatlas.define.shape import Shape
from convatlas.define.window import Padding
from convatlas.define.windowed import Windowed, check_window, window_words

Span = tuple[int, int]


class _Pool(Windowed):
    """What pooling over windows has in common: channels stay, a stride of None is the kernel's size."""

    __slots__ = ()

    def __post_init__(self) -> None:
        check_window(self, self.kernel, self.stride or 1, self.padding)

    def output(self, shape: Shape) -> Shape:
        return (maps(self, shape)[0], *self.place(shape))

    def describe(self) -> str:
        return f"{self.kind} {window_words(self.kernel, self.stride or self.kernel, self.padding)}"


@dataclass(frozen=True, slots=True)
class MaxPool(_Pool):
    """Maximum over a window; stride None means the kernel's size. Padding is never the maximum."""

    kernel: Pair
    stride: Pair | None = None
    padding: Padding = 0
    ceil: bool = False
    kind: ClassVar[str] = "max pool"


@dataclass(frozen=True, slots=True)
class AvgPool(_Pool):
    """Mean over a window; `count_include_pad=False` leaves padding out of the mean, as TensorFlow does."""

    kernel: Pair
    stride: Pair | None = None
    padding: Padding = 0
    ceil: bool = False
    count_include_pad: bool = True
    kind: ClassVar[str] = "average pool"


@dataclass(frozen=True, slots=True)
class Subsampling(_Pool):
    """Sum of each window, times a trained coefficient a map, plus a trained bias (LeCun et al. 1998, S2, S4)."""

    kernel: int = 2
    stride: int | None = None
    padding: Padding = 0
    kind: ClassVar[str] = "subsampling"
    counts_as_layer: ClassVar[bool] = True  # the 1998 paper counts S2 and S4 among its seven layers

    def parameters(self, shape: Shape) -> int:
        return 2 * shape[0]


@dataclass(frozen=True, slots=True)
class AdaptiveAvgPool(Operation):
    """Mean over windows that divide the map into `size` rows and columns, whatever its size: (C, H, W) -> (C, *size).

    Output i of m covers rows floor(i H / m) to ceil((i + 1) H / m): windows overlap and differ in height by a row
    where m does not divide H. torchvision's heads pool so; no paper of the catalogue does.
    """

    size: Pair
    kind: ClassVar[str] = "adaptive average pool"

    def __post_init__(self) -> None:
        if min(pair(self.size)) < 1:
            raise ValueError(f"{self.kind}: size {self.size} must be at least 1")

    def output(self, shape: Shape) -> Shape:
        return (maps(self, shape)[0], *pair(self.size))

    def describe(self) -> str:
        rows, columns = pair(self.size)
        return f"{self.kind} to {rows}×{columns}"

    def spans(self, shape: Shape) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
        """(first, one past the last) row of each output row's window, and the same of the columns."""
        _, *sides = maps(self, shape)
        rows, columns = (
            tuple((i * n // m, -(-(i + 1) * n // m)) for i in range(m))
            for n, m in zip(sides, pair(self.size), strict=True)
        )
        return rows, columns


@dataclass(frozen=True, slots=True)
class GlobalAvgPool(Operation):
    """Mean of each whole map: (C, H, W) -> (C,)."""

    kind: ClassVar[str] = "global average pool"

    def output(self, shape: Shape) -> Shape:
        return (maps(self, shape)[0],)


@dataclass(frozen=True, slots=True)
class GlobalMaxPool(Operation):
    """Maximum of each whole map: (C, H, W) -> (C,)."""

    kind: ClassVar[str] = "global max pool"

    def output(self, shape: Shape) -> Shape:
        return (maps(self, shape)[0],)
