"""ONNX: read by ONNX Runtime, OpenVINO, TensorRT and Netron; int8 in QDQ form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.errors import ConvAtlasError, MissingExtra
from convatlas.inference.engines.importing import import_problem
from convatlas.inference.export.job import Job
from convatlas.inference.graph import record, simplify

if TYPE_CHECKING:
    import onnx
    from torch import Tensor

    from convatlas.inference.export.formats import Runtime

# a protobuf cannot be larger; VGG-19 is 575 MB
LARGEST = 2**31 - 1


def model_of(job: Job) -> onnx.ModelProto:
    """The job as an ONNX model, float32 or int8, with its metadata."""
    if import_problem(("onnx",), "onnx"):
        raise MissingExtra("ONNX", "onnx")
    import onnx

    from convatlas.inference.export.onnx_graph import onnx_model

    recording = record(job.model, job.images)
    simplify(recording)
    model = onnx_model(recording, opset=job.opset, name=job.name)
    if job.precision == "int8":
        if import_problem(("onnxruntime",), "onnx"):
            raise MissingExtra("ONNX Runtime, to quantize", "onnx")
        from convatlas.inference.engines.onnxruntime import quantize

        model = quantize(model, job.images)
    onnx.helper.set_model_props(model, {**job.metadata(), "opset": str(job.opset)})
    onnx.checker.check_model(model, full_check=True)
    return model


def write(job: Job, path: Path) -> None:
    """One file."""
    content = model_of(job).SerializeToString()
    if len(content) > LARGEST:
        raise ConvAtlasError(f"{job.name} is {len(content) >> 20} MiB; an ONNX file holds 2048")
    path.write_bytes(content)


def open_again(job: Job, path: Path) -> Runtime:
    """In ONNX Runtime, which must be there: an unproven file is not written."""
    problem = import_problem(("onnxruntime",), "onnx")
    if problem:
        raise MissingExtra("ONNX Runtime, to prove the file", "onnx")
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        text = " ".join(str(error).split())
        raise ConvAtlasError(
            f"ONNX Runtime {onnxruntime.__version__} refuses opset {job.opset}: {text[:400]}"
        ) from error

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(
            session.run(None, {session.get_inputs()[0].name: images.contiguous().numpy()})[0]
        )

    return run
