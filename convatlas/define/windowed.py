"""Operations that slide a window: what convolutions and pooling have in common."""

from __future__ import annotations

from functools import lru_cache

from convatlas.define.operation import Operation, Pair, maps, pair, times
from convatlas.define.shape import Shape, ShapeError, show
from convatlas.define.window import RULES, Padding, Window, window


def check_window(op: Operation, kernel: Pair, stride: Pair, padding: Padding) -> None:
    """ValueError where no window can have these settings, on any input."""
    if min(*pair(kernel), *pair(stride)) < 1:
        raise ValueError(f"{op.kind}: kernel {kernel} and stride {stride} must be at least 1")
    if isinstance(padding, str) and padding not in RULES:
        raise ValueError(
            f"{op.kind}: padding {padding!r}; expected a number, a pair, or one of {', '.join(RULES)}"
        )


@lru_cache(maxsize=4096)  # a catalogue of networks asks for few different ones, thousands of times
def _both_axes(
    height: int, width: int, kernel: Pair, stride: Pair, padding: Padding, *, dilation: int, ceil: bool
) -> tuple[Window, Window]:
    rules = padding if isinstance(padding, tuple) else (padding, padding)
    rows, columns = (
        window(n, k, s, rule, dilation=dilation, ceil=ceil)
        for n, k, s, rule in zip((height, width), pair(kernel), pair(stride), rules, strict=True)
    )
    return rows, columns


class Windowed(Operation):
    """What slides a window: shared by convolutions and pooling. Subclasses have kernel, stride, padding."""

    __slots__ = ()
    kernel: Pair
    stride: Pair | None
    padding: Padding

    def windows(self, shape: Shape) -> tuple[Window, Window]:
        _, height, width = maps(self, shape)
        stride = self.kernel if self.stride is None else self.stride
        ceil, dilation = getattr(self, "ceil", False), getattr(self, "dilation", 1)
        rows, columns = _both_axes(
            height, width, self.kernel, stride, self.padding, dilation=dilation, ceil=ceil
        )
        if rows.output < 1 or columns.output < 1:
            least = [max(1, w.span - w.before - w.after) for w in (rows, columns)]
            raise ShapeError(
                f"{self.describe()} does not fit: received {show(shape)}, the window with its padding needs at "
                f"least {least[0]}x{least[1]}; give the network a larger input, or this row more padding"
            )
        return rows, columns

    def place(self, shape: Shape) -> tuple[int, int]:
        rows, columns = self.windows(shape)
        return rows.output, columns.output


def window_words(kernel: Pair, stride: Pair, padding: Padding) -> str:
    """Say a window as a table's cell does: ``3×3/2, valid``."""
    down = "" if stride == 1 else f"/{stride if isinstance(stride, int) else times(stride)}"
    rule = f", {padding}" if isinstance(padding, str) and padding != "same" else ""
    return f"{times(kernel)}{down}{rule}"
