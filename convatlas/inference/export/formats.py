"""The formats: each writes a file, and opens it again in its own runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from convatlas.inference.export import as_onnx, as_openvino, as_safetensors, as_torch_export, as_torchscript
from convatlas.inference.export.job import Job

Runtime = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Format:
    """write(job, path) makes the file (and others beside it, all named in `suffixes`); open(job, path) runs it."""

    suffixes: tuple[str, ...]
    precisions: tuple[str, ...]
    write: Callable[[Job, Path], None]
    open: Callable[[Job, Path], Runtime]
    takes_pixels: bool = True


FORMATS: dict[str, Format] = {
    "onnx": Format((".onnx",), ("float32", "int8"), as_onnx.write, as_onnx.open_again),
    "openvino": Format((".xml", ".bin"), ("float32", "int8"), as_openvino.write, as_openvino.open_again),
    "torch-export": Format((".pt2",), ("float32", "bf16"), as_torch_export.write, as_torch_export.open_again),
    "torchscript": Format((".pt",), ("float32", "bf16"), as_torchscript.write, as_torchscript.open_again),
    "safetensors": Format(
        (".safetensors",),
        ("float32", "bf16"),
        as_safetensors.write,
        as_safetensors.open_again,
        takes_pixels=False,
    ),
}
