"""One rule an operation: how a node of a recording is written in ONNX."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from onnx import TensorProto
from torch import fx

from convatlas.inference.engines.base import Unsuitable
from convatlas.inference.graph.operations import Kind

if TYPE_CHECKING:
    from convatlas.inference.export.onnx_graph import GraphWriter

Writer = Callable[["GraphWriter", fx.Node], str | None]


def _row(node: fx.Node) -> str:
    return str(node.meta["row"])


def _simple(op: str, **attributes: Any) -> Writer:
    return lambda w, n: w.emit(op, [w.value(n.args[0])], _row(n), n.meta["kind"].value, **attributes)


def _affine(w: GraphWriter, n: fx.Node) -> str:
    row = _row(n) or "affine"
    x, scale, shift = (
        w.value(n.args[0]),
        w.value(n.args[1], f"{row}.scale"),
        w.value(n.args[2], f"{row}.shift"),
    )
    channels = n.meta["shape"][1]
    mean = w.weight(np.zeros(channels, np.float32), f"{row}.mean")
    variance = w.weight(np.ones(channels, np.float32), f"{row}.variance")
    return w.emit(
        "BatchNormalization", [x, scale, shift, mean, variance], _row(n), "norm", main=True, epsilon=0.0
    )


def _conv(w: GraphWriter, n: fx.Node) -> str:
    row, s = _row(n) or "conv", n.kwargs
    inputs = [w.value(n.args[0]), w.value(n.args[1], f"{row}.weight")]
    if n.args[2] is not None:
        inputs.append(w.value(n.args[2], f"{row}.bias"))
    kernel = list(n.args[1].meta["shape"][2:])
    return w.emit(
        "Conv", inputs, _row(n), "conv", main=True, kernel_shape=kernel, strides=list(s["stride"]),
        pads=[*s["padding"], *s["padding"]], dilations=list(s["dilation"]), group=int(s["groups"]),
    )  # fmt: skip


def _linear(w: GraphWriter, n: fx.Node) -> str:
    row = _row(n) or "linear"
    inputs = [w.value(n.args[0]), w.value(n.args[1], f"{row}.weight")]
    if len(n.meta["shape"]) != 2:
        raise Unsuitable(
            f"ONNX: {row} is a linear layer on {len(n.meta['shape'])} axes, for which there is no rule"
        )
    if n.args[2] is not None:
        inputs.append(w.value(n.args[2], f"{row}.bias"))
    return w.emit("Gemm", inputs, _row(n), "linear", main=True, transB=1)


def _relu6(w: GraphWriter, n: fx.Node) -> str:
    bounds = [w.weight(np.array(v, np.float32), f"{_row(n)}/bound") for v in (0, 6)]
    return w.emit("Clip", [w.value(n.args[0]), *bounds], _row(n), "relu6")


def _silu(w: GraphWriter, n: fx.Node) -> str:
    x = w.value(n.args[0])
    return w.emit("Mul", [x, w.emit("Sigmoid", [x], _row(n), "sigmoid")], _row(n), "silu")


def _ends(n: fx.Node, kernel: list[int], dilation: list[int]) -> list[int]:
    """Padding after the last row and column, so that just the recorded outputs come out.

    Written out instead of ceil_mode, on whose last window runtimes disagree.
    """
    ends = []
    for i, (before, after) in enumerate(zip(n.args[0].meta["shape"][2:], n.meta["shape"][2:], strict=True)):
        span = (kernel[i] - 1) * dilation[i] + 1
        ends.append(max(0, (after - 1) * n.kwargs["stride"][i] + span - before - n.kwargs["padding"][i]))
    return ends


def _max_pool(w: GraphWriter, n: fx.Node) -> str:
    s = n.kwargs
    pads = [*s["padding"], *_ends(n, s["kernel"], s["dilation"])]
    return w.emit(
        "MaxPool", [w.value(n.args[0])], _row(n), "max_pool", main=True, kernel_shape=list(s["kernel"]),
        strides=list(s["stride"]), pads=pads, dilations=list(s["dilation"]),
    )  # fmt: skip


def _avg_pool(w: GraphWriter, n: fx.Node) -> str:
    """Torch counts the zeros of its padding, if asked, but never what a ceil-mode window takes beyond them."""
    s = n.kwargs
    if s["divisor"] is not None:
        raise Unsuitable(f"ONNX: {_row(n)} averages with a divisor of its own, which ONNX cannot say")
    x, begins, ends = w.value(n.args[0]), list(s["padding"]), _ends(n, s["kernel"], [1, 1])
    counted = s["count_include_pad"] and any(begins)
    if counted and any(e > p for e, p in zip(ends, begins, strict=True)):
        # ONNX counts all of its padding or none: torch's zeros are written out, so that none of the rest counts
        pads = w.weight(np.array([0, 0, *begins, 0, 0, *begins], np.int64), f"{_row(n)}/pads")
        x = w.emit("Pad", [x, pads], _row(n), "pad")
        ends = [max(0, e - p) for e, p in zip(ends, begins, strict=True)]
        begins, counted = [0, 0], False
    return w.emit(
        "AveragePool", [x], _row(n), "avg_pool", main=True, kernel_shape=list(s["kernel"]),
        strides=list(s["stride"]), pads=[*begins, *ends], count_include_pad=int(counted),
    )  # fmt: skip


def _global(op: str) -> Writer:
    def write(w: GraphWriter, n: fx.Node) -> str:
        pooled = w.emit(op, [w.value(n.args[0])], _row(n), n.meta["kind"].value, main=True)
        return pooled if n.kwargs["keep"] else w.emit("Flatten", [pooled], _row(n), "flatten", axis=1)

    return write


def _concat(w: GraphWriter, n: fx.Node) -> str:
    return w.emit("Concat", [w.value(x) for x in n.args[0]], _row(n), "concat", axis=n.kwargs["dim"])


def _two(op: str) -> Writer:
    return lambda w, n: w.emit(
        op, [w.value(x, f"{_row(n)}/constant") for x in n.args], _row(n), n.meta["kind"].value
    )


def _reshape_to(w: GraphWriter, x: str, rest: tuple[int, ...], row: str) -> str:
    # 0 copies the batch axis, whatever it is
    shape = w.weight(np.array([0, *rest], np.int64), f"{row}/shape")
    return w.emit("Reshape", [x, shape], row, "reshape")


def _reshape(w: GraphWriter, n: fx.Node) -> str:
    if len(n.kwargs["rest"]) == 1:
        return w.emit("Flatten", [w.value(n.args[0])], _row(n), "flatten", axis=1)
    return _reshape_to(w, w.value(n.args[0]), n.kwargs["rest"], _row(n))


def _permute(w: GraphWriter, n: fx.Node) -> str | None:
    if n.kwargs["dims"][0] != 0:
        return None
    return w.emit("Transpose", [w.value(n.args[0])], _row(n), "transpose", perm=list(n.kwargs["dims"]))


def _shuffle(w: GraphWriter, n: fx.Node) -> str:
    channels, height, width = n.meta["shape"][1:]
    groups = n.kwargs["groups"]
    split = _reshape_to(w, w.value(n.args[0]), (groups, channels // groups, height, width), _row(n))
    swapped = w.emit("Transpose", [split], _row(n), "transpose", perm=[0, 2, 1, 3, 4])
    return _reshape_to(w, swapped, (channels, height, width), _row(n))


def _cut(w: GraphWriter, x: str, cuts: list[tuple[int, int, int, int]], row: str) -> str:
    axes, starts, stops, steps = (np.array(v, np.int64) for v in zip(*cuts, strict=True))
    names = [
        w.weight(v, f"{row}/{label}")
        for v, label in ((starts, "starts"), (stops, "stops"), (axes, "axes"), (steps, "steps"))
    ]
    return w.emit("Slice", [x, *names], row, "slice")


def _slice(w: GraphWriter, n: fx.Node) -> str:
    return _cut(w, w.value(n.args[0]), list(n.kwargs["cuts"]), _row(n))


def _pad(w: GraphWriter, n: fx.Node) -> str:
    x, shape, row = w.value(n.args[0]), n.args[0].meta["shape"], _row(n)
    rank, given = len(shape), n.kwargs["pads"]
    sides = [(rank - 1 - i // 2, given[i], given[i + 1]) for i in range(0, len(given), 2)]
    cuts = [(axis, max(0, -a), shape[axis] - max(0, -b), 1) for axis, a, b in sides if min(a, b) < 0]
    if cuts:  # a negative padding crops; not every runtime's Pad does
        x = _cut(w, x, cuts, row)
    before, after = [0] * rank, [0] * rank
    for axis, a, b in sides:
        before[axis], after[axis] = max(0, a), max(0, b)
    if not any(before + after):
        return x
    pads = w.weight(np.array(before + after, np.int64), f"{row}/pads")
    value = w.weight(np.array(n.kwargs["value"], np.float32), f"{row}/value")
    return w.emit("Pad", [x, pads, value], row, "pad")


def _lrn(w: GraphWriter, n: fx.Node) -> str:
    s = n.kwargs
    return w.emit(
        "LRN",
        [w.value(n.args[0])],
        _row(n),
        "lrn",
        main=True,
        size=s["size"],
        alpha=s["alpha"],
        beta=s["beta"],
        bias=s["k"],
    )


def _softmax(w: GraphWriter, n: fx.Node) -> str:
    return w.emit("Softmax", [w.value(n.args[0])], _row(n), "softmax", axis=n.kwargs["dim"])


def _other(w: GraphWriter, n: fx.Node) -> str | None:
    """The few functions without a rewrite that networks of this atlas call."""
    x = w.value(n.args[0])
    match n.meta["name"]:
        case "to" | "float" if n.meta["dtype"] is torch.float32:
            return w.emit("Cast", [x], _row(n), "cast", to=TensorProto.FLOAT)
        case "neg":
            return w.emit("Neg", [x], _row(n), "neg")
        case "square":
            return w.emit("Mul", [x, x], _row(n), "square")
        case "abs":
            return w.emit("Abs", [x], _row(n), "abs")
        case "adaptive_avg_pool2d":
            return _adaptive(w, n, x)
        case "sum" if isinstance(dim := n.args[1] if len(n.args) > 1 else n.kwargs.get("dim"), int):
            axes = w.weight(np.array([dim], np.int64), f"{_row(n)}/axes")
            return w.emit("ReduceSum", [x, axes], _row(n), "sum", keepdims=0)
    return None


def _adaptive(w: GraphWriter, n: fx.Node, x: str) -> str:
    """A mean over windows of uneven size, which ONNX has no word for: one product down, one across."""
    row, sizes = _row(n), zip(n.args[0].meta["shape"][2:], n.meta["shape"][2:], strict=True)
    down, across = (_means(*size) for size in sizes)
    x = w.emit("MatMul", [w.weight(down, f"{row}/down"), x], row, "down")
    return w.emit("MatMul", [x, w.weight(across.T.copy(), f"{row}/across")], row, "across")


def _means(before: int, after: int) -> np.ndarray:
    """(after, before): row i holds the mean over rows floor(i b / a) to ceil((i + 1) b / a)."""
    means = np.zeros((after, before), np.float32)
    for i, row in enumerate(means):
        first, last = i * before // after, -(-(i + 1) * before // after)
        row[first:last] = 1 / (last - first)
    return means


WRITERS: dict[Kind, Writer] = {
    Kind.AFFINE: _affine,
    Kind.CONV: _conv,
    Kind.LINEAR: _linear,
    Kind.RELU: _simple("Relu"),
    Kind.RELU6: _relu6,
    Kind.HARDSWISH: _simple("HardSwish"),
    Kind.HARDSIGMOID: _simple("HardSigmoid", alpha=1 / 6, beta=0.5),
    Kind.SIGMOID: _simple("Sigmoid"),
    Kind.TANH: _simple("Tanh"),
    Kind.SILU: _silu,
    Kind.MAX_POOL: _max_pool,
    Kind.AVG_POOL: _avg_pool,
    Kind.GLOBAL_AVG: _global("GlobalAveragePool"),
    Kind.GLOBAL_MAX: _global("GlobalMaxPool"),
    Kind.CONCAT: _concat,
    Kind.ADD: _two("Add"),
    Kind.SUB: _two("Sub"),
    Kind.MUL: _two("Mul"),
    Kind.DIV: _two("Div"),
    Kind.RESHAPE: _reshape,
    Kind.PERMUTE: _permute,
    Kind.SLICE: _slice,
    Kind.PAD: _pad,
    Kind.LRN: _lrn,
    Kind.SOFTMAX: _softmax,
    Kind.SHUFFLE: _shuffle,
    Kind.OTHER: _other,
}
