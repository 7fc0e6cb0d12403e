"""cuDNN's convolutions that add the bias, a shortcut and ReLU before they write: what is left of a GPU's passes over memory.

torch calls them `cudnn_convolution_relu` and `cudnn_convolution_add_relu`. cuDNN has no such kernel for every
convolution: each is asked for once, on its own shapes, and what there is none for stays a convolution and what follows.
The whole is one CUDA graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from convatlas.inference.engines.base import Engine, Plan, Runner, Unsuitable, Workbench
from convatlas.inference.engines.cudagraph import captured, choosing_kernels
from convatlas.inference.engines.eager import DTYPES, lowered
from convatlas.inference.graph import Kind, Recording
from convatlas.inference.graph.activations import towards_convolutions

Fused = Callable[..., Tensor]
Shapes = tuple[tuple[int, ...], ...]  # of the images, the weight, the result
Settings = dict[str, Any]
Serves = Callable[[Fused, Shapes, Settings, torch.dtype], bool]


class CuDnn(Engine):
    """The folded recording with cuDNN's fused convolutions, captured; one graph a batch size."""

    name = "cudnn"
    refines = ("bf16",)

    def missing(self) -> str | None:
        if not (torch.cuda.is_available() and torch.backends.cudnn.is_available()):
            return "cuDNN needs a CUDA device"
        return None

    def precisions(self, device: torch.device) -> tuple[str, ...]:
        return ("float32", "bf16") if device.type == "cuda" else ()

    def prepare(self, bench: Workbench, plan: Plan) -> Callable[[int], Runner]:
        kinds = "mixed" if plan.exact else plan.precision
        recording = lowered(bench.recording_for(plan), kinds)
        tried: dict[object, bool] = {}

        def serves(call: Fused, shapes: Shapes, settings: Settings, dtype: torch.dtype) -> bool:
            key = call, shapes, repr(settings), dtype
            if key not in tried:
                tried[key] = _runs(call, shapes, settings, dtype, bench.device)
            return tried[key]

        if not fuse(recording, serves, len(bench.example)):
            raise Unsuitable("no convolution with a ReLU that cuDNN has a kernel for")
        recording.finish()
        return lambda batch: captured(recording.module, bench.example, batch, DTYPES[kinds])


def fuse(recording: Recording, serves: Serves, batch: int) -> int:
    """Rewrite convolution, sum, ReLU into one call each where `serves` says there is a kernel; how many were."""
    done = 0
    towards_convolutions(recording, {Kind.RELU})
    order = {n: i for i, n in enumerate(recording.graph.nodes)}
    for relu in recording.nodes(Kind.RELU):
        below = relu.args[0]
        if not isinstance(below, fx.Node) or len(below.users) != 1:
            continue
        candidates = [below] if below.meta.get("kind") is Kind.CONV else []
        if below.meta.get("kind") is Kind.ADD:
            # the one computed last: nothing that it needs comes after it
            parts = [
                n for n in below.args[:2] if isinstance(n, fx.Node) and n.meta["shape"] == below.meta["shape"]
            ]
            fits = [n for n in parts if n.meta.get("kind") is Kind.CONV and len(n.users) == 1]
            two = len(parts) == 2 and parts[0] is not parts[1]
            candidates = sorted(fits, key=order.__getitem__, reverse=True) if two else []
        for conv in candidates:
            x, weight, bias = conv.args[0], recording.constant(conv.args[1]), conv.args[2]
            if weight is None or not isinstance(x, fx.Node):
                continue
            shapes = ((batch, *x.meta["shape"][1:]), tuple(weight.shape), (batch, *conv.meta["shape"][1:]))
            summed = below is not conv
            call = _conv_add_relu if summed else _conv_relu
            if not serves(call, shapes, dict(conv.kwargs), weight.dtype):
                continue
            other = [below.args[1] if below.args[0] is conv else below.args[0]] if summed else []
            args = (x, conv.args[1], bias, *other)
            with recording.graph.inserting_before(relu):
                new = recording.graph.call_function(call, args, dict(conv.kwargs))
            new.meta.update(relu.meta, kind=Kind.CONV)
            recording.replace(relu, new)
            for gone in [below, conv] if summed else [conv]:
                recording.graph.erase_node(gone)
            done += 1
            break
    return done


def _conv_relu(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: list[int], padding: list[int], dilation: list[int],
    groups: int,
) -> Tensor:  # fmt: skip
    return torch.cudnn_convolution_relu(x, weight, bias, stride, padding, dilation, groups)


def _conv_add_relu(
    x: Tensor, weight: Tensor, bias: Tensor | None, other: Tensor, *, stride: list[int], padding: list[int],
    dilation: list[int], groups: int,
) -> Tensor:  # fmt: skip
    other = other.contiguous(memory_format=torch.channels_last)
    return torch.cudnn_convolution_add_relu(x, weight, other, 1.0, bias, stride, padding, dilation, groups)


def _runs(call: Fused, shapes: Shapes, settings: Settings, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether cuDNN has a kernel for it that answers as convolution, sum and ReLU do."""
    x, weight, other = (
        torch.randn(shape, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
        for shape in shapes
    )
    bias = torch.randn(shapes[1][0], device=device, dtype=dtype)
    usual = torch.conv2d(x, weight, bias, **settings)
    summed = call is _conv_add_relu
    usual = torch.relu(usual + other if summed else usual)
    try:
        with torch.no_grad(), choosing_kernels():
            own = call(x, weight, bias, *([other] if summed else []), **settings)
    except RuntimeError:
        return False
    return bool((own - usual).norm() <= 0.02 * usual.norm())
