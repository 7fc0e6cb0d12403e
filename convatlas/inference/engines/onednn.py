"""Plain torch at its best on a CPU: oneDNN's fused convolutions with weights packed beforehand, without compiling.

Inductor generates calls to `torch.ops.mkldnn._convolution_pointwise`; nothing but the recording is needed to make
them directly, in milliseconds. A convolution takes its activation along, and the sum of a residual too; a lone
scale and shift (DenseNet's) becomes a depthwise 1x1 convolution, which is one pass over memory with its ReLU.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, fx

from convatlas.inference.engines.base import Engine, Plan, Runner, Unsuitable, Workbench
from convatlas.inference.engines.eager import DTYPES, in_precision
from convatlas.inference.engines.growing import grow
from convatlas.inference.engines.pooling import lower_pools
from convatlas.inference.graph import Kind, Recording, end_in_float32
from convatlas.inference.graph.activations import towards_convolutions
from convatlas.modules.norm import kernels

# activation -> (oneDNN's name, its numbers)
_FUSED: dict[Kind, tuple[str, list[float]]] = {
    Kind.RELU: ("relu", []),
    Kind.RELU6: ("hardtanh", [0.0, 6.0]),
    Kind.HARDSWISH: ("hardswish", []),
    Kind.HARDSIGMOID: ("hardsigmoid", []),
    Kind.SIGMOID: ("sigmoid", []),
    Kind.TANH: ("tanh", []),
    Kind.SILU: ("swish", []),
}
# their results share memory with what they were made of
_VIEWS = frozenset({Kind.SLICE, Kind.RESHAPE, Kind.PERMUTE, Kind.OTHER})
# their results have memory of their own, which may be written over
_OWN = frozenset({Kind.CONV, Kind.ADD, Kind.MAX_POOL, Kind.AVG_POOL, Kind.CONCAT, Kind.RELU})


class OneDnn(Engine):
    """Fused and packed oneDNN convolutions, called from Python."""

    name = "onednn"
    refines = ("bf16",)

    def missing(self) -> str | None:
        if not torch.backends.mkldnn.is_available() or not hasattr(
            torch.ops.mkldnn, "_convolution_pointwise"
        ):
            return "this build of torch has no oneDNN; the wheels for x86 have"
        return None

    def precisions(self, device: torch.device) -> tuple[str, ...]:
        if device.type != "cpu":
            return ()
        return ("float32", "bf16") if torch.ops.mkldnn._is_mkldnn_bf16_supported() else ("float32",)

    def prepare(self, bench: Workbench, plan: Plan) -> Callable[[int], Runner]:
        kinds = "mixed" if plan.exact else plan.precision
        run = in_precision(packed(bench.recording_for(plan), kinds, plan.tile or len(bench.example)), kinds)
        return lambda _batch: run


def packed(recording: Recording, precision: str, batch: int) -> fx.GraphModule:
    """The recording with fused, packed operations; `batch` is a hint for the packing, not a limit."""
    lowered = recording.copy()
    towards_convolutions(lowered, _FUSED)
    lower_pools(lowered)
    kept = end_in_float32(lowered) if precision == "bf16" else set()
    if precision != "mixed" and kernels().serves(torch.get_num_threads()):
        kept |= grow(lowered)
    for name, value in list(lowered.module.named_buffers()):
        if value.is_floating_point() and name not in kept and precision != "mixed":
            setattr(lowered.module, name, value.to(DTYPES[precision]))
    for node in lowered.nodes(Kind.AFFINE):
        _affine_to_conv(lowered, node)
    for node in lowered.nodes(Kind.CONV):
        _pack(lowered, node, batch)
    for node in lowered.nodes(Kind.ADD):
        _fuse_sum(lowered, node)
    if not any(n.target in {_conv, _conv_into} for n in lowered.graph.nodes):
        raise Unsuitable("no convolution that oneDNN could take")
    lowered.finish()
    return lowered.module


def _conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    attr: str,
    numbers: list[float],
) -> Tensor:
    return torch.ops.mkldnn._convolution_pointwise(
        x, weight, bias, padding, stride, dilation, groups, attr, numbers, ""
    )


def _conv_into(
    other: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    attr: str | None,
    numbers: list[float],
) -> Tensor:
    """The convolution added to `other`, in its memory, which nobody reads afterwards."""
    if not other.is_contiguous(memory_format=torch.channels_last):
        other = other.contiguous(memory_format=torch.channels_last)
    return torch.ops.mkldnn._convolution_pointwise_.binary(
        other, x, weight, bias, padding, stride, dilation, groups, "add", None, attr, numbers, None
    )


def _affine_to_conv(r: Recording, node: fx.Node) -> None:
    x, scale, shift = node.args[0], r.constant(node.args[1]), r.constant(node.args[2])
    assert scale is not None and shift is not None
    weight = r.add_constant(scale.view(-1, 1, 1, 1).clone(), node)
    settings = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": len(scale)}
    r.replace(node, r.insert(Kind.CONV, (x, weight, node.args[2]), settings, node, node.meta["shape"]))


def _pack(r: Recording, node: fx.Node, batch: int) -> None:
    x, weight = node.args[0], r.constant(node.args[1])
    if weight is None or not isinstance(x, fx.Node):
        return
    settings = node.kwargs
    layout = weight.contiguous(memory_format=torch.channels_last)
    size = [batch, *x.meta["shape"][1:]]
    value = torch.ops.mkldnn._reorder_convolution_weight(
        layout, settings["padding"], settings["stride"], settings["dilation"], settings["groups"], size
    )
    attr, last = "none", node
    numbers: list[float] = []
    reader = next(iter(node.users)) if len(node.users) == 1 else None
    if reader is not None and reader.meta.get("kind") in _FUSED:
        (attr, numbers), last = _FUSED[reader.meta["kind"]], reader
    name = f"packed_{node.name}"
    r.module.register_buffer(name, value)
    with r.graph.inserting_before(node):
        constant = r.graph.get_attr(name)
        new = r.graph.call_function(
            _conv, (x, constant, node.args[2]), {**settings, "attr": attr, "numbers": numbers}
        )
    new.meta.update(last.meta)
    new.meta["kind"] = Kind.CONV
    last.replace_all_uses_with(new)
    if last is not node:
        r.graph.erase_node(last)
    r.graph.erase_node(node)


def _fuse_sum(r: Recording, node: fx.Node) -> None:
    """Shortcut + convolution (then ReLU): written by the convolution into the shortcut's memory."""
    order = {n: i for i, n in enumerate(r.graph.nodes)}
    for conv, other in (node.args[:2], node.args[1::-1]):
        if not isinstance(conv, fx.Node) or not isinstance(other, fx.Node):
            return
        if conv.target is not _conv or conv.kwargs["attr"] != "none" or len(conv.users) != 1:
            continue
        # `other` must be a value of our own, of the same shape, and all that read it must have done so when the
        # convolution runs; that itself cannot write over what it is still reading
        own = other.op == "call_function" and other.meta["kind"] in _OWN and other is not conv.args[0]
        same = conv.meta["shape"] == other.meta.get("shape")
        free = all(
            u is node or (order[u] < order[conv] and u.meta.get("kind") not in _VIEWS) for u in other.users
        )
        if not (own and same and free and order[other] < order[conv]):
            continue
        reader = next(iter(node.users)) if len(node.users) == 1 else None
        relu = reader is not None and reader.meta.get("kind") is Kind.RELU
        settings = {**conv.kwargs, "attr": "relu" if relu else None, "numbers": []}
        last = reader if relu and reader is not None else node
        with r.graph.inserting_before(conv):
            new = r.graph.call_function(_conv_into, (other, *conv.args), settings)
        new.meta.update(last.meta)
        new.meta["kind"] = Kind.CONV
        last.replace_all_uses_with(new)
        for gone in ([reader] if relu else []) + [node, conv]:
            r.graph.erase_node(gone)
        return
