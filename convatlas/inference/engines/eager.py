"""Plain torch: the model as it is, and its simplified recording in a better memory layout and precision."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from convatlas.inference.engines.base import Engine, Plan, Runner, Workbench
from convatlas.inference.graph import Kind, Recording, end_in_float32

# "mixed": of a recording that has its own types and casts, and takes float32
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "mixed": torch.float32}


class Eager(Engine):
    """The model itself, untouched, in float32: what every other candidate is checked against."""

    name = "eager"

    def precisions(self, device: torch.device) -> tuple[str, ...]:
        return ("float32",)

    def prepare(self, bench: Workbench, plan: Plan) -> Callable[[int], Runner]:
        run = without_gradients(bench.model.eval())
        return lambda _batch: run


class Folded(Engine):
    """Batch norms folded, channels_last, weights in the precision: works on every device."""

    name = "folded"
    refines = ("bf16",)

    def precisions(self, device: torch.device) -> tuple[str, ...]:
        return ("float32", "bf16") if device.type != "mps" else ("float32",)

    def prepare(self, bench: Workbench, plan: Plan) -> Callable[[int], Runner]:
        kinds = "mixed" if plan.exact else plan.precision
        run = in_precision(folded(bench.recording_for(plan), kinds), kinds)
        return lambda _batch: run


def folded(recording: Recording, precision: str) -> nn.Module:
    """The recording as a module with weights of this precision, kernels channels_last."""
    result = lowered(recording, precision)
    result.finish()
    return result.module


def lowered(recording: Recording, precision: str) -> Recording:
    """A copy of the recording with weights of this precision, kernels channels_last, to be rewritten and finished."""
    result = recording.copy()
    dtype = DTYPES[precision]
    kept = end_in_float32(result) if precision == "bf16" else set()
    for name, value in list(result.module.named_buffers()):
        if value.is_floating_point() and name not in kept:
            layout = torch.channels_last if value.dim() == 4 else torch.contiguous_format
            own = value.dtype if precision == "mixed" else dtype
            setattr(result.module, name, value.to(own).contiguous(memory_format=layout))
    for node in (
        result.nodes(Kind.OTHER) if precision != "mixed" else []
    ):  # a dtype or a device written into a call would not follow
        if "dtype" in node.kwargs:
            node.kwargs = {**node.kwargs, "dtype": dtype}
    return result


def in_precision(module: nn.Module, precision: str) -> Runner:
    """Float32 images in, float32 logits out, the module's precision in between."""
    dtype = DTYPES[precision]

    def run(images: Tensor) -> Tensor:
        with torch.no_grad():
            x = images.to(dtype).contiguous(memory_format=torch.channels_last)
            return module(x).float()

    return run


def without_gradients(model: nn.Module) -> Runner:
    """The model as a function that keeps nothing for a backward pass."""

    def run(images: Tensor) -> Tensor:
        with torch.no_grad():
            return model(images)

    return run


def frozen_copy(model: nn.Module) -> nn.Module:
    """The model in eval mode that nobody trains: modules of its own, the weights' memory shared."""
    shared: dict[int, object] = {
        id(p): nn.Parameter(p.detach(), requires_grad=False) for p in model.parameters()
    }
    shared.update({id(b): b.detach() for b in model.buffers()})
    return copy.deepcopy(model, shared).eval()
