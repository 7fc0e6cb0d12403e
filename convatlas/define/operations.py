"""The operations: leaves of a network's tree, each an immutable record.

Each knows, for an input shape (one image, no batch): its output shape, its trained parameters, its
mult-adds and its window. Input widths are never written: they follow from the row above.
Mult-adds count convolutions and linear layers only (biases, norms, pooling left out), as the papers of
ResNet, ResNeXt, SENet and ShuffleNet count.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import ClassVar

from convatlas.define.shape import Shape, ShapeError, show
from convatlas.define.window import RULES, Padding, Window, window

Pair = int | tuple[int, int]


class Node:
    """Anything that stands in a network's tree: an operation or a combinator."""

    __slots__ = ()


def pair(value: Pair) -> tuple[int, int]:
    """(height, width) of a value that may be given once for both."""
    return value if isinstance(value, tuple) else (value, value)


def _times(value: Pair) -> str:
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


def _maps(op: Operation, shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ShapeError(f"{op.kind} needs feature maps, channels x height x width; received {show(shape)}")
    return shape


def _check_window(op: Operation, kernel: Pair, stride: Pair, padding: Padding) -> None:
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


class _Windowed(Operation):
    """What slides a window: shared by convolutions and pooling. Subclasses have kernel, stride, padding."""

    __slots__ = ()
    kernel: Pair
    stride: Pair | None
    padding: Padding

    def windows(self, shape: Shape) -> tuple[Window, Window]:
        _, height, width = _maps(self, shape)
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

    def _place(self, shape: Shape) -> tuple[int, int]:
        rows, columns = self.windows(shape)
        return rows.output, columns.output


def _window_words(kernel: Pair, stride: Pair, padding: Padding) -> str:
    down = "" if stride == 1 else f"/{stride if isinstance(stride, int) else _times(stride)}"
    rule = f", {padding}" if isinstance(padding, str) and padding != "same" else ""
    return f"{_times(kernel)}{down}{rule}"


@dataclass(frozen=True, slots=True)
class Conv(_Windowed):
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
        _check_window(self, self.kernel, self.stride, self.padding)
        if self.width < 1 or self.groups < 1:
            raise ValueError(f"conv: width {self.width} and groups {self.groups} must be at least 1")

    def output(self, shape: Shape) -> Shape:
        channels = _maps(self, shape)[0]
        for what, value in (("input channels", channels), ("width", self.width)):
            if value % self.groups:
                low = max(1, value // self.groups) * self.groups
                raise ShapeError(
                    f"{value} {what} cannot be divided into {self.groups} groups; "
                    f"nearest that can: {low} and {low + self.groups}"
                )
        return (self.width, *self._place(shape))

    def parameters(self, shape: Shape) -> int:
        kernel = pair(self.kernel)
        return self.width * (shape[0] // self.groups * kernel[0] * kernel[1] + self.bias)

    def mult_adds(self, shape: Shape) -> int:
        kernel, (height, width) = pair(self.kernel), self._place(shape)
        return self.width * (shape[0] // self.groups) * kernel[0] * kernel[1] * height * width

    def describe(self) -> str:
        words = f"conv {_window_words(self.kernel, self.stride, self.padding)}, {self.width}"
        return words if self.groups == 1 else f"{words}, g{self.groups}"


@dataclass(frozen=True, slots=True)
class DepthwiseConv(_Windowed):
    """One kernel (or `multiplier`) a channel: a convolution with as many groups as channels."""

    kernel: Pair = 3
    stride: Pair = 1
    padding: Padding = "same"
    bias: bool = True
    multiplier: int = 1
    kind: ClassVar[str] = "depthwise conv"
    counts_as_layer: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_window(self, self.kernel, self.stride, self.padding)

    def output(self, shape: Shape) -> Shape:
        return (_maps(self, shape)[0] * self.multiplier, *self._place(shape))

    def parameters(self, shape: Shape) -> int:
        kernel = pair(self.kernel)
        return shape[0] * self.multiplier * (kernel[0] * kernel[1] + self.bias)

    def mult_adds(self, shape: Shape) -> int:
        kernel, (height, width) = pair(self.kernel), self._place(shape)
        return shape[0] * self.multiplier * kernel[0] * kernel[1] * height * width

    def describe(self) -> str:
        return f"depthwise conv {_window_words(self.kernel, self.stride, self.padding)}"


@dataclass(frozen=True, slots=True)
class TableConv(_Windowed):
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
        _check_window(self, self.kernel, self.stride, self.padding)
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
        if last >= _maps(self, shape)[0]:
            raise ShapeError(
                f"the connection table names input map {last}; received {show(shape)}: widths are fixed by the table"
            )
        return (self.width, *self._place(shape))

    def parameters(self, shape: Shape) -> int:
        kernel = pair(self.kernel)
        return self.connections * kernel[0] * kernel[1] + self.width * self.bias

    def mult_adds(self, shape: Shape) -> int:
        kernel, (height, width) = pair(self.kernel), self._place(shape)
        return self.connections * kernel[0] * kernel[1] * height * width

    def describe(self) -> str:
        return f"conv {_window_words(self.kernel, self.stride, self.padding)}, {self.width}, by table"


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
class MaxPool(_Windowed):
    """Maximum over a window; stride None means the kernel's size. Padding is never the maximum."""

    kernel: Pair
    stride: Pair | None = None
    padding: Padding = 0
    ceil: bool = False
    kind: ClassVar[str] = "max pool"

    def __post_init__(self) -> None:
        _check_window(self, self.kernel, self.stride or 1, self.padding)

    def output(self, shape: Shape) -> Shape:
        return (_maps(self, shape)[0], *self._place(shape))

    def describe(self) -> str:
        return f"max pool {_window_words(self.kernel, self.stride or self.kernel, self.padding)}"


@dataclass(frozen=True, slots=True)
class AvgPool(_Windowed):
    """Mean over a window; `count_include_pad=False` leaves padding out of the mean, as TensorFlow does."""

    kernel: Pair
    stride: Pair | None = None
    padding: Padding = 0
    ceil: bool = False
    count_include_pad: bool = True
    kind: ClassVar[str] = "average pool"

    def __post_init__(self) -> None:
        _check_window(self, self.kernel, self.stride or 1, self.padding)

    def output(self, shape: Shape) -> Shape:
        return (_maps(self, shape)[0], *self._place(shape))

    def describe(self) -> str:
        return f"average pool {_window_words(self.kernel, self.stride or self.kernel, self.padding)}"


@dataclass(frozen=True, slots=True)
class Subsampling(_Windowed):
    """Sum of each window, times a trained coefficient a map, plus a trained bias (LeCun et al. 1998, S2, S4)."""

    kernel: int = 2
    stride: int | None = None
    padding: Padding = 0
    kind: ClassVar[str] = "subsampling"
    counts_as_layer: ClassVar[bool] = True  # the 1998 paper counts S2 and S4 among its seven layers

    def output(self, shape: Shape) -> Shape:
        return (_maps(self, shape)[0], *self._place(shape))

    def parameters(self, shape: Shape) -> int:
        return 2 * shape[0]

    def describe(self) -> str:
        return f"subsampling {_window_words(self.kernel, self.stride or self.kernel, self.padding)}"


@dataclass(frozen=True, slots=True)
class GlobalAvgPool(Operation):
    """Mean of each whole map: (C, H, W) -> (C,)."""

    kind: ClassVar[str] = "global average pool"

    def output(self, shape: Shape) -> Shape:
        return (_maps(self, shape)[0],)


@dataclass(frozen=True, slots=True)
class GlobalMaxPool(Operation):
    """Maximum of each whole map: (C, H, W) -> (C,)."""

    kind: ClassVar[str] = "global max pool"

    def output(self, shape: Shape) -> Shape:
        return (_maps(self, shape)[0],)


@dataclass(frozen=True, slots=True)
class BatchNorm(Operation):
    """Batch normalization (Ioffe & Szegedy 2015); `scale=False` trains no gamma, as Keras' Inception-v3."""

    eps: float = 1e-5
    momentum: float = 0.1
    scale: bool = True
    kind: ClassVar[str] = "batch norm"

    def parameters(self, shape: Shape) -> int:
        return shape[0] * (1 + self.scale)

    def statistics(self, shape: Shape) -> int:
        return 2 * shape[0]


@dataclass(frozen=True, slots=True)
class LRN(Operation):
    """Local response normalization across `size` channels (Krizhevsky et al. 2012, §3.3).

    x / (k + alpha * sum)^beta: alpha multiplies the *sum*, where Caffe and torch divide it by `size`.
    """

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0
    kind: ClassVar[str] = "local response norm"

    def describe(self) -> str:
        return f"local response norm, {self.size}"


@dataclass(frozen=True, slots=True)
class ReLU(Operation):
    """max(0, x)."""

    kind: ClassVar[str] = "ReLU"


@dataclass(frozen=True, slots=True)
class ReLU6(Operation):
    """min(max(0, x), 6)."""

    kind: ClassVar[str] = "ReLU6"


@dataclass(frozen=True, slots=True)
class HardSwish(Operation):
    """x * ReLU6(x + 3) / 6 (Howard et al. 2019, §5.2)."""

    kind: ClassVar[str] = "hard swish"


@dataclass(frozen=True, slots=True)
class HardSigmoid(Operation):
    """ReLU6(x + 3) / 6."""

    kind: ClassVar[str] = "hard sigmoid"


@dataclass(frozen=True, slots=True)
class Sigmoid(Operation):
    """1 / (1 + exp(-x))."""

    kind: ClassVar[str] = "sigmoid"


@dataclass(frozen=True, slots=True)
class Tanh(Operation):
    """scale * tanh(slope * x); LeNet-5 of 1998 has 1.7159 tanh(2x/3)."""

    scale: float = 1.0
    slope: float = 1.0
    kind: ClassVar[str] = "tanh"


@dataclass(frozen=True, slots=True)
class Softmax(Operation):
    """Probabilities over a vector (C,). Networks of the catalogue end in logits and leave it to their users."""

    kind: ClassVar[str] = "softmax"


@dataclass(frozen=True, slots=True)
class Dropout(Operation):
    """Zero each value with probability p in training, scale the others by 1 / (1 - p)."""

    p: float = 0.5
    kind: ClassVar[str] = "dropout"

    def __post_init__(self) -> None:
        if not 0 <= self.p < 1:
            raise ValueError(f"dropout: p = {self.p}; expected 0 <= p < 1")

    def describe(self) -> str:
        return f"dropout {self.p:g}"


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
        if _maps(self, shape)[0] % self.groups:
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
        channels, height, width = _maps(self, shape)
        if channels > self.width:
            raise ShapeError(
                f"a padded shortcut can only add channels: received {show(shape)}, expected at most {self.width}"
            )
        return (self.width, -(-height // self.stride), -(-width // self.stride))

    def windows(self, shape: Shape) -> tuple[Window, Window]:
        rows, columns = (window(n, 1, self.stride, "valid") for n in _maps(self, shape)[1:])
        return rows, columns

    def describe(self) -> str:
        return f"padded shortcut, {self.width}" + (f", /{self.stride}" if self.stride > 1 else "")


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


OPERATIONS: tuple[type[Operation], ...] = (
    Conv, DepthwiseConv, TableConv, Linear, MaxPool, AvgPool, Subsampling, GlobalAvgPool, GlobalMaxPool, BatchNorm,
    LRN, ReLU, ReLU6, HardSwish, HardSigmoid, Sigmoid, Tanh, Softmax, Dropout, Flatten, ChannelShuffle, Slice,
    PadShortcut, RBF,
)  # fmt: skip
