"""CUDA graphs: all launches of a forward pass recorded once and replayed as one, which is what batch 1 waits for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from convatlas.inference.engines.base import Engine, Plan, Runner, Workbench
from convatlas.inference.engines.eager import DTYPES, folded

WARM_UP = 3


class CudaGraph(Engine):
    """The folded recording, captured; one graph a batch size."""

    name = "cudagraph"

    def missing(self) -> str | None:
        return None if torch.cuda.is_available() else "CUDA graphs need a CUDA device"

    def precisions(self, device: torch.device) -> tuple[str, ...]:
        return ("float32", "bf16") if device.type == "cuda" else ()

    def prepare(self, bench: Workbench, plan: Plan) -> Callable[[int], Runner]:
        module = folded(bench.recording_for(plan), plan.precision)
        return lambda batch: _captured(module, bench.example, batch, DTYPES[plan.precision])


def _captured(module: torch.nn.Module, example: Tensor, batch: int, dtype: torch.dtype) -> Runner:
    shape = (batch, *example.shape[1:])
    held = torch.zeros(shape, dtype=dtype, device=example.device).contiguous(
        memory_format=torch.channels_last
    )
    side = torch.cuda.Stream(example.device)
    side.wait_stream(torch.cuda.current_stream(example.device))
    with torch.no_grad(), torch.cuda.stream(side):
        for _ in range(WARM_UP):  # cuDNN chooses its algorithms outside of the capture
            module(held)
    torch.cuda.current_stream(example.device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        answer = module(held).float()

    def run(images: Tensor) -> Tensor:
        held.copy_(images)  # converts and changes the layout in one kernel
        graph.replay()
        return answer.clone()  # the next replay writes into `answer`

    return run
