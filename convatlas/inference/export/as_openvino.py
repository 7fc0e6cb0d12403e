"""OpenVINO IR: an .xml and a .bin; int8 by NNCF."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from convatlas.errors import ConvAtlasError, MissingExtra
from convatlas.inference.engines.importing import import_problem
from convatlas.inference.export import as_onnx
from convatlas.inference.export.job import Job

if TYPE_CHECKING:
    from torch import Tensor

    from convatlas.inference.export.formats import Runtime


def write(job: Job, path: Path) -> None:
    """NAME.xml, and NAME.bin beside it. Weights stay float32 in the file; a processor with bf16 computes in it."""
    if import_problem(("openvino",), "openvino"):
        raise MissingExtra("OpenVINO", "openvino")
    import dataclasses

    import openvino

    from convatlas.inference.engines.openvino import core, quantize

    source = dataclasses.replace(job, precision="float32")
    model = core().read_model(as_onnx.model_of(source).SerializeToString())
    if job.precision == "int8":
        model = quantize(model, job.images)
    for key, value in job.metadata().items():
        model.set_rt_info(value, ["convatlas", key])
    openvino.save_model(model, path, compress_to_fp16=False)


def open_again(job: Job, path: Path) -> Runtime:
    """On the CPU; float32 files computed in float32, or bf16's rounding would be taken for a fault."""
    from convatlas.inference.engines.openvino import core

    try:
        hint = {"INFERENCE_PRECISION_HINT": "f32"} if job.precision == "float32" else {}
        compiled = core().compile_model(core().read_model(path), "CPU", hint)
    except RuntimeError as error:
        raise ConvAtlasError(
            f"OpenVINO cannot read back what it wrote: {' '.join(str(error).split())[:400]}"
        ) from error

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(compiled(images.contiguous().numpy())[0].copy())

    return run
