"""CUDA graphs: all launches of a forward pass recorded once and replayed as one, which is what batch 1 waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from convatlas.inference.engines.base import Engine, Plan, Runner, Workbench
from convatlas.inference.engines.eager import DTYPES, folded

WARM_UP = 3


class CudaGraph(Engine):
    """The folded recording, captured; one graph a batch size."""

    name = "cudagraph"
    refines = ("bf16",)

    def missing(self) -> str | None:
        return None if torch.cuda.is_available() else "CUDA graphs need a CUDA device"

    def precisions(self, device: torch.device) -> tuple[str, ...]:
        return ("float32", "bf16") if device.type == "cuda" else ()

    def prepare(self, bench: Workbench, plan: Plan) -> Callable[[int], Runner]:
        kinds = "mixed" if plan.exact else plan.precision
        module = folded(bench.recording_for(plan), kinds)
        return lambda batch: captured(module, bench.example, batch, DTYPES[kinds])


@contextmanager
def choosing_kernels() -> Iterator[None]:
    """Let cuDNN time its kernels for each new shape instead of guessing: the shapes of a graph are fixed."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def captured(module: torch.nn.Module, example: Tensor, batch: int, dtype: torch.dtype) -> Runner:
    """A runner for so many images like the example: the module in this type, recorded."""
    shape = (batch, *example.shape[1:])
    held = torch.zeros(shape, dtype=dtype, device=example.device).contiguous(
        memory_format=torch.channels_last
    )
    side = torch.cuda.Stream(example.device)
    side.wait_stream(torch.cuda.current_stream(example.device))
    with torch.no_grad(), torch.cuda.stream(side), choosing_kernels():
        for _ in range(WARM_UP):  # cuDNN chooses its algorithms outside of the capture
            module(held)
    torch.cuda.current_stream(example.device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), choosing_kernels(), torch.cuda.graph(graph):
        answer = module(held).float()

    def run(images: Tensor) -> Tensor:
        held.copy_(images)  # converts and changes the layout in one kernel
        graph.replay()
        return answer.clone()  # the next replay writes into `answer`

    return run
