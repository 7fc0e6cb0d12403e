"""TorchScript, frozen: for C++ programs on libtorch; torch keeps it running, and develops torch.export."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from convatlas.inference.export.as_torch_export import module_of
from convatlas.inference.export.job import Job

if TYPE_CHECKING:
    from torch import Tensor

    from convatlas.inference.export.formats import Runtime


def write(job: Job, path: Path) -> None:
    """One file, with the metadata as extra files in it."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and asked for
        traced = torch.jit.freeze(torch.jit.trace(module_of(job).eval(), job.images[:2].contiguous()))
        # through memory: torch's own writer ends the whole process where the disk is full
        buffer = io.BytesIO()
        torch.jit.save(traced, buffer, _extra_files={k: v.encode() for k, v in job.metadata().items()})
    path.write_bytes(buffer.getbuffer())


def open_again(job: Job, path: Path) -> Runtime:
    """By torch.jit.load."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.jit.load(str(path))

    def run(images: Tensor) -> Tensor:
        with torch.no_grad():
            return module(images)

    return run
