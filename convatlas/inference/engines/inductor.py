"""torch.compile: inductor with frozen weights on a CPU, max-autotune on a GPU. Compiles for minutes, so on request."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import torch
from torch import Tensor

from convatlas.inference.engines.base import Engine, Plan, Runner, Workbench
from convatlas.inference.engines.eager import DTYPES, folded


class Inductor(Engine):
    """The folded recording, compiled."""

    name = "inductor"
    by_default = False

    def missing(self) -> str | None:
        if torch.cuda.is_available():
            return None
        if not any(shutil.which(compiler) for compiler in ("g++", "c++", "clang++", "cl")):
            return "torch.compile needs a C++ compiler on a CPU: apt-get install g++"
        return None

    def precisions(self, device: torch.device) -> tuple[str, ...]:
        return ("float32", "bf16")

    def prepare(self, bench: Workbench, plan: Plan) -> Callable[[int], Runner]:
        import torch._inductor.config as inductor

        module = folded(bench.recording_for(plan), plan.precision)
        dtype = DTYPES[plan.precision]
        on_gpu = bench.device.type == "cuda"
        compiled = torch.compile(module, mode="max-autotune" if on_gpu else None, dynamic=False)

        def run(images: Tensor) -> Tensor:
            with torch.no_grad(), inductor.patch(freezing=True):
                return compiled(images.to(dtype).contiguous(memory_format=torch.channels_last)).float()

        return lambda _batch: run
