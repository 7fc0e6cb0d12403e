"""What a picture says of an operation: its kind (and so its color), and the few words that stand in its box."""

from __future__ import annotations

from dataclasses import replace

from convatlas.define import (
    LRN,
    RBF,
    AdaptiveAvgPool,
    AvgPool,
    BatchNorm,
    ChannelShuffle,
    Conv,
    DepthwiseConv,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GlobalMaxPool,
    HardSigmoid,
    HardSwish,
    Linear,
    MaxPool,
    Operation,
    PadShortcut,
    ReLU,
    ReLU6,
    Shape,
    Sigmoid,
    Slice,
    Softmax,
    Subsampling,
    TableConv,
    Tanh,
)

KIND: dict[type[Operation], str] = {
    Conv: "conv", TableConv: "conv", DepthwiseConv: "depthwise", Linear: "linear", RBF: "linear",
    MaxPool: "pool", AvgPool: "pool", Subsampling: "pool", AdaptiveAvgPool: "pool",
    GlobalAvgPool: "pool", GlobalMaxPool: "pool",
    BatchNorm: "norm", LRN: "norm",
    ReLU: "activation", ReLU6: "activation", HardSwish: "activation", HardSigmoid: "activation",
    Sigmoid: "activation", Tanh: "activation", Softmax: "activation",
    Dropout: "dropout",
    Flatten: "reshape", ChannelShuffle: "reshape", Slice: "reshape", PadShortcut: "reshape",
}  # fmt: skip

# English and Chinese, in the order of theme.KINDS
KIND_NAMES: dict[str, tuple[str, str]] = {
    "conv": ("convolution", "卷积"),
    "depthwise": ("depthwise convolution", "逐通道卷积"),
    "linear": ("linear", "全连接"),
    "pool": ("pooling", "池化"),
    "norm": ("normalization", "归一化"),
    "activation": ("activation", "激活"),
    "dropout": ("dropout", "随机失活"),
    "reshape": ("rearrangement", "重排"),
    "gate": ("gate", "门控"),
    "join": ("join", "合并"),
    "io": ("input, output", "输入、输出"),
}


def kind(operation: Operation) -> str:
    """Kind of an operation, one of `theme.KINDS`; a new operation without one is an error."""
    try:
        return KIND[type(operation)]
    except KeyError:
        name = type(operation).__name__
        raise TypeError(f"{name} has no color yet: give it a kind in convatlas/drawing/kinds.py") from None


def is_main(operation: Operation) -> bool:
    """Whether the operation gets a box of its own; others may ride on a box as a strip."""
    return kind(operation) in {"conv", "depthwise", "linear", "pool"} or isinstance(
        operation, LRN | ChannelShuffle | Slice | PadShortcut | Softmax
    )


def carries(operation: Operation) -> bool:
    """Whether strips (norm, activation, dropout, flatten) may ride on this operation's box: it has weights."""
    return kind(operation) in {"conv", "depthwise", "linear"} or isinstance(operation, Subsampling)


def times(value: int | tuple[int, int]) -> str:
    """3×3 of 3, 1×7 of (1, 7)."""
    height, width = value if isinstance(value, tuple) else (value, value)
    return f"{height}×{width}"


def _stride(value: int | tuple[int, int] | None) -> str:
    if value is None or value in {1, (1, 1)}:
        return ""
    return f" /{value if isinstance(value, int) else times(value)}"


def show_shape(shape: Shape) -> str:
    """64 × 56 × 56 of (64, 56, 56)."""
    return " × ".join(map(str, shape))


def box_words(operation: Operation, widths: str, lang: str = "en") -> str:
    """What stands in the box: kernel, width, stride, groups. `widths` is the width as it is to be shown."""
    zh = lang == "zh"
    match operation:
        case Conv(kernel=kernel, stride=stride, groups=groups, dilation=dilation):
            extra = (f" g{groups}" if groups > 1 else "") + (f" d{dilation}" if dilation > 1 else "")
            return f"{times(kernel)}, {widths}{_stride(stride)}{extra}"
        case TableConv(kernel=kernel, stride=stride):
            return f"{times(kernel)}, {widths}{_stride(stride)} {'按表' if zh else 'table'}"
        case DepthwiseConv(kernel=kernel, stride=stride):
            return f"{times(kernel)}, {widths}{_stride(stride)}"
        case Linear():
            return f"{'全连接' if zh else 'fc'} {widths}"
        case RBF():
            return f"RBF {widths}"
        case MaxPool(kernel=kernel, stride=stride):
            return f"{'最大' if zh else 'max'} {times(kernel)}{_stride(kernel if stride is None else stride)}"
        case AvgPool(kernel=kernel, stride=stride):
            return f"{'平均' if zh else 'avg'} {times(kernel)}{_stride(kernel if stride is None else stride)}"
        case Subsampling(kernel=kernel, stride=stride):
            return f"{'下采样' if zh else 'subsample'} {times(kernel)}{_stride(kernel if stride is None else stride)}"
        case AdaptiveAvgPool(size=size):
            return f"{'平均至' if zh else 'avg to'} {times(size)}"
        case GlobalAvgPool():
            return "全局平均" if zh else "global avg"
        case GlobalMaxPool():
            return "全局最大" if zh else "global max"
        case LRN(size=size):
            return f"LRN {size}"
        case Dropout(p=p):
            return f"{'失活' if zh else 'dropout'} {p:g}"
        case ChannelShuffle(groups=groups):
            return f"{'混洗' if zh else 'shuffle'} g{groups}"
        case Slice(part=part, parts=parts):
            return f"{'分片' if zh else 'slice'} {part + 1}/{parts}"
        case PadShortcut(stride=stride):
            return f"{'补零至' if zh else 'pad to'} {widths}{_stride(stride)}"
        case Flatten():
            return "展平" if zh else "flatten"
        case BatchNorm():
            return "批归一化" if zh else "batch norm"
    return operation.kind


def split_groups(operation: Operation, lanes: int) -> Operation:
    """The operation of one of several towers: lowered to one, they have `lanes` times the groups."""
    if lanes == 1 or not isinstance(operation, Conv):
        return operation
    return replace(operation, groups=operation.groups // lanes)


def tooltip(path: str, operation: Operation, output: Shape, parameters: int, mult_adds: int) -> str:
    """Everything a box keeps to itself: name, operation, output shape, parameters, mult-adds."""
    words = f"{path}: {operation.describe()} → {show_shape(output)}"
    words += f"; {parameters:,} parameters" if parameters else ""
    return words + (f"; {mult_adds:,} mult-adds" if mult_adds else "")
