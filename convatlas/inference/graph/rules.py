"""How each torch function is written in the vocabulary: one rule a function, None where a form has no kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from convatlas.inference.graph.operations import Kind
from convatlas.inference.graph.seen import Seen

Translation = tuple[Kind | None, str, tuple[Any, ...], dict[str, Any]]


def _pair(value: Any) -> list[int]:
    return (
        [value, value]
        if isinstance(value, int)
        else ([value[0], value[0]] if len(value) == 1 else list(value))
    )


def _conv(s: Seen, _: list[Tensor]) -> list[Translation] | None:
    x, weight, bias, stride, padding, dilation, groups = s.bound(
        "input",
        "weight",
        "bias",
        "stride",
        "padding",
        "dilation",
        "groups",
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
    )
    if x.dim() != 4 or (isinstance(padding, str) and padding != "valid"):
        return None
    padding = 0 if padding == "valid" else padding
    settings = {
        "stride": _pair(stride),
        "padding": _pair(padding),
        "dilation": _pair(dilation),
        "groups": groups,
    }
    return [(Kind.CONV, s.name, (x, weight, bias), settings)]


def _batch_norm(s: Seen, _: list[Tensor]) -> list[Translation] | None:
    x, mean, var, weight, bias, training, _m, eps = s.bound(
        "input",
        "running_mean",
        "running_var",
        "weight",
        "bias",
        "training",
        "momentum",
        "eps",
        training=False,
        momentum=0.1,
        eps=1e-5,
    )
    if training or mean is None or x.dim() != 4:
        return None
    # in double precision: the folded weights are then rounded once
    scale = (var.double() + eps).rsqrt() * (1.0 if weight is None else weight.double())
    shift = -mean.double() * scale + (0.0 if bias is None else bias.double())
    return [(Kind.AFFINE, s.name, (x, scale.to(x.dtype), shift.to(x.dtype)), {})]


def _linear(s: Seen, _: list[Tensor]) -> list[Translation]:
    return [(Kind.LINEAR, s.name, s.bound("input", "weight", "bias"), {})]


def _activation(kind: Kind) -> Callable[[Seen, list[Tensor]], list[Translation]]:
    return lambda s, _: [(kind, s.name, s.bound("input")[:1] if s.args else (s.kwargs["input"],), {})]


def _hardtanh(s: Seen, _: list[Tensor]) -> list[Translation] | None:
    x, low, high = s.bound("input", "min_val", "max_val", min_val=-1.0, max_val=1.0)
    return [(Kind.RELU6, s.name, (x,), {})] if (low, high) == (0, 6) else None


def _max_pool(s: Seen, _: list[Tensor]) -> list[Translation] | None:
    x, kernel, stride, padding, dilation, ceil, indices = s.bound(
        "input",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "ceil_mode",
        "return_indices",
        padding=0,
        dilation=1,
        ceil_mode=False,
    )
    if indices or x.dim() != 4:
        return None
    kernel = _pair(kernel)
    settings = {
        "kernel": kernel,
        "stride": _pair(stride) if stride else kernel,
        "padding": _pair(padding),
        "dilation": _pair(dilation),
        "ceil": bool(ceil),
    }
    return [(Kind.MAX_POOL, s.name, (x,), settings)]


def _avg_pool(s: Seen, _: list[Tensor]) -> list[Translation] | None:
    x, kernel, stride, padding, ceil, include, divisor = s.bound(
        "input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override",
        padding=0, ceil_mode=False, count_include_pad=True,
    )  # fmt: skip
    if x.dim() != 4:
        return None
    kernel = _pair(kernel)
    settings = {
        "kernel": kernel, "stride": _pair(stride) if stride else kernel, "padding": _pair(padding),
        "ceil": bool(ceil), "count_include_pad": bool(include), "divisor": divisor,
    }  # fmt: skip
    return [(Kind.AVG_POOL, s.name, (x,), settings)]


def _adaptive(kind: Kind) -> Callable[[Seen, list[Tensor]], list[Translation] | None]:
    def handler(s: Seen, outputs: list[Tensor]) -> list[Translation] | None:
        x = s.bound("input")[0]
        if x.dim() != 4 or len(outputs) != 1:
            return None
        before, after = tuple(x.shape[2:]), tuple(outputs[0].shape[2:])
        if before == after:
            return [(None, s.name, (x,), {})]
        if after == (1, 1):
            return [(kind, s.name, (x,), {"keep": True})]
        if kind is Kind.GLOBAL_AVG and all(b % a == 0 for b, a in zip(before, after, strict=True)):
            window = [b // a for b, a in zip(before, after, strict=True)]
            settings = {
                "kernel": window,
                "stride": window,
                "padding": [0, 0],
                "ceil": False,
                "count_include_pad": True,
                "divisor": None,
            }
            return [(Kind.AVG_POOL, s.name, (x,), settings)]
        return None

    return handler


def _reduce(kind: Kind) -> Callable[[Seen, list[Tensor]], list[Translation] | None]:
    def handler(s: Seen, _: list[Tensor]) -> list[Translation] | None:
        x, dim, keep = s.bound("input", "dim", "keepdim", keepdim=False)
        dims = (dim,) if isinstance(dim, int) else tuple(dim or ())
        if x.dim() != 4 or sorted(d % 4 for d in dims) != [2, 3]:
            return None
        return [(kind, s.name, (x,), {"keep": bool(keep)})]

    return handler


def _cat(s: Seen, _: list[Tensor]) -> list[Translation]:
    tensors, dim = s.bound("tensors", "dim", dim=0)
    return [(Kind.CONCAT, s.name, (list(tensors),), {"dim": dim % tensors[0].dim()})]


def _arithmetic(kind: Kind) -> Callable[[Seen, list[Tensor]], list[Translation] | None]:
    def handler(s: Seen, _: list[Tensor]) -> list[Translation] | None:
        x, y = s.bound("input", "other")
        if s.kwargs.get("alpha", 1) != 1 or s.kwargs.get("rounding_mode") is not None:
            return None
        return [(kind, s.name, (x, y), {})]

    return handler


def _reshape(s: Seen, outputs: list[Tensor]) -> list[Translation] | None:
    x, before, after = s.args[0] if s.args else s.kwargs["input"], None, tuple(outputs[0].shape)
    before = s.shape(x)
    if before == after:
        return [(None, s.name, (x,), {})]
    if len(after) == 0 or before[0] != after[0]:
        return None
    return [(Kind.RESHAPE, s.name, (x,), {"rest": after[1:]})]


def _permute(s: Seen, outputs: list[Tensor]) -> list[Translation] | None:
    x, rank = s.args[0], outputs[0].dim()
    if s.name == "transpose":
        a, b = (d % rank for d in s.bound("input", "dim0", "dim1")[1:])
        dims = list(range(rank))
        dims[a], dims[b] = b, a
    else:
        given = s.args[1:] or (s.kwargs["dims"],)
        dims = [d % rank for d in (given[0] if isinstance(given[0], (tuple, list)) else given)]
    return [(Kind.PERMUTE, s.name, (x,), {"dims": tuple(dims)})]


def _slices(s: Seen, outputs: list[Tensor]) -> list[Translation] | None:
    """chunk, split and narrow: consecutive parts along one axis."""
    if s.name == "narrow":
        x, dim, start, _length = s.bound("input", "dim", "start", "length")
    else:
        x, _parts, dim = s.bound("input", "parts", "dim", dim=0)
        start, dim = 0, s.kwargs.get("dim", dim)
    dim = dim % x.dim()
    if dim == 0:
        return None
    found: list[Translation] = []
    for part in outputs:
        stop = start + part.shape[dim]
        found.append((Kind.SLICE, s.name, (x,), {"cuts": ((dim, start, stop, 1),)}))
        start = stop
    return found


def _getitem(s: Seen, outputs: list[Tensor]) -> list[Translation] | None:
    x, index = s.args
    index = index if isinstance(index, tuple) else (index,)
    if not all(isinstance(i, slice) for i in index) or len(outputs) != 1:
        return None
    ranges = [(axis, *i.indices(x.shape[axis])) for axis, i in enumerate(index)]
    cuts = tuple(cut for cut in ranges if cut[1:] != (0, x.shape[cut[0]], 1))
    if not cuts:
        return [(None, s.name, (x,), {})]
    return None if cuts[0][0] == 0 else [(Kind.SLICE, s.name, (x,), {"cuts": cuts})]


def _pad(s: Seen, _: list[Tensor]) -> list[Translation] | None:
    x, pads, mode, value = s.bound("input", "pad", "mode", "value", mode="constant")
    if mode != "constant":
        return None
    return [(Kind.PAD, s.name, (x,), {"pads": list(pads), "value": float(value or 0.0)})]


def _lrn(s: Seen, _: list[Tensor]) -> list[Translation]:
    x, size, alpha, beta, k = s.bound("input", "size", "alpha", "beta", "k", alpha=1e-4, beta=0.75, k=1.0)
    return [(Kind.LRN, s.name, (x,), {"size": size, "alpha": alpha, "beta": beta, "k": k})]


def _softmax(s: Seen, _: list[Tensor]) -> list[Translation] | None:
    x, dim = s.bound("input", "dim")
    return None if dim is None else [(Kind.SOFTMAX, s.name, (x,), {"dim": dim % x.dim()})]


def _shuffle(s: Seen, _: list[Tensor]) -> list[Translation]:
    x, groups = s.bound("input", "groups")
    return [(Kind.SHUFFLE, s.name, (x,), {"groups": groups})]


def _dropout(s: Seen, _: list[Tensor]) -> list[Translation] | None:
    x, p, training = s.bound("input", "p", "training", p=0.5, training=True)
    return None if training and p else [(None, s.name, (x,), {})]


def _same(s: Seen, outputs: list[Tensor]) -> list[Translation] | None:
    x = s.args[0]
    return [(None, s.name, (x,), {})] if isinstance(x, Tensor) and x.dtype == outputs[0].dtype else None


RULES: dict[str, Callable[[Seen, list[Tensor]], list[Translation] | None]] = {
    "conv2d": _conv,
    "batch_norm": _batch_norm,
    "linear": _linear,
    "relu": _activation(Kind.RELU),
    "relu6": _activation(Kind.RELU6),
    "hardtanh": _hardtanh,
    "hardswish": _activation(Kind.HARDSWISH),
    "hardsigmoid": _activation(Kind.HARDSIGMOID),
    "sigmoid": _activation(Kind.SIGMOID),
    "tanh": _activation(Kind.TANH),
    "silu": _activation(Kind.SILU),
    "max_pool2d": _max_pool,
    "avg_pool2d": _avg_pool,
    "adaptive_avg_pool2d": _adaptive(Kind.GLOBAL_AVG),
    "adaptive_max_pool2d": _adaptive(Kind.GLOBAL_MAX),
    "mean": _reduce(Kind.GLOBAL_AVG),
    "amax": _reduce(Kind.GLOBAL_MAX),
    "cat": _cat,
    "add": _arithmetic(Kind.ADD),
    "sub": _arithmetic(Kind.SUB),
    "mul": _arithmetic(Kind.MUL),
    "div": _arithmetic(Kind.DIV),
    "flatten": _reshape,
    "view": _reshape,
    "reshape": _reshape,
    "squeeze": _reshape,
    "unsqueeze": _reshape,
    "transpose": _permute,
    "permute": _permute,
    "chunk": _slices,
    "split": _slices,
    "narrow": _slices,
    "getitem": _getitem,
    "pad": _pad,
    "local_response_norm": _lrn,
    "softmax": _softmax,
    "channel_shuffle": _shuffle,
    "native_channel_shuffle": _shuffle,
    "dropout": _dropout,
    "feature_dropout": _dropout,
    "dropout2d": _dropout,
    "contiguous": _same,
    "clone": _same,
    "detach": _same,
    "to": _same,
    "float": _same,
}
