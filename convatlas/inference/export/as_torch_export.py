"""torch.export: a program of aten operations with a batch of any size; read by torch, AOTInductor, ExecuTorch."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from convatlas.inference.engines.eager import frozen_copy
from convatlas.inference.export.job import Job
from convatlas.inference.export.pixels import InPrecision

if TYPE_CHECKING:
    from torch import Tensor, nn

    from convatlas.inference.export.formats import Runtime


def module_of(job: Job) -> nn.Module:
    """The model in the job's precision, floats or pixels in, floats out."""
    import copy

    if job.precision == "float32":
        return frozen_copy(job.model)
    twin = copy.deepcopy(job.model).eval().requires_grad_(False)
    if job.layout is None:
        return InPrecision(twin, torch.bfloat16).eval()
    twin.network = InPrecision(twin.network, torch.bfloat16).eval()  # type: ignore[arg-type]
    return twin


def write(job: Job, path: Path) -> None:
    """One file, with the metadata beside the program."""
    batch = torch.export.Dim("batch", min=1)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's talk about its own internals
        program = torch.export.export(
            module_of(job), (job.images[:2].contiguous(),), dynamic_shapes=({0: batch},)
        )
        # through memory: torch's own writer ends the whole process where the disk is full
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files=dict(job.metadata()))
    path.write_bytes(buffer.getbuffer())


def open_again(job: Job, path: Path) -> Runtime:
    """By torch.export.load."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.export.load(path).module()

    def run(images: Tensor) -> Tensor:
        with torch.no_grad():
            return module(images.contiguous())

    return run
