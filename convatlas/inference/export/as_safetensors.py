"""safetensors: our own weights file, definition and preprocessing in its header."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from convatlas.inference.export.job import Job
from convatlas.modules import build
from convatlas.weights.native import read_weights, save_weights

if TYPE_CHECKING:
    from torch import Tensor

    from convatlas.inference.export.formats import Runtime

_DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}


def write(job: Job, path: Path) -> None:
    """One file; counters stay whole numbers."""
    dtype = _DTYPES[job.precision]
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in job.float_model.state_dict().items()}
    save_weights(
        path,
        state,
        network=job.network,
        preprocessing=job.preprocessing,
        classes=job.classes,
        provenance=job.provenance,
    )


def open_again(job: Job, path: Path) -> Runtime:
    """Built from the definition in the file alone."""
    found = read_weights(path)
    assert found.network is not None
    model = build(found.network, init=False).eval()
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in found.state_dict.items()})

    def run(images: Tensor) -> Tensor:
        with torch.no_grad():
            return model(images)

    return run
