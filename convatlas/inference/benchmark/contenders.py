"""The contenders: how each library's own documentation says to run a model, and how we do."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.inference.checking import Bounds
from convatlas.inference.engines import ENGINES, Plan
from convatlas.inference.engines.importing import import_problem
from convatlas.inference.engines.onnxruntime import quantize
from convatlas.inference.images import evidence
from convatlas.inference.search import Search

Call = Callable[[Tensor], Tensor]
PLAIN_TORCH = ("eager", "folded", "onednn", "winograd", "cudagraph", "cudnn")
PEERS = ("torchvision", "timm", "eager", "onnxruntime", "openvino")
# images on which int8 is calibrated here, the peers' and ours, and on which our candidates are checked
CHECKED = 16


def prepare(
    kind: str,
    model: nn.Module,
    example: Tensor,
    precision: str,
    images: Tensor,
    seconds: float = 10.0,
    made: dict[str, object] | None = None,
) -> Call:
    """A contender's callable; ConvAtlasError where it cannot be had.

    made: keeps the model as exported and quantized from one call to the next, for another size of batch.
    """
    made = {} if made is None else made
    if precision == "auto" and kind in PEERS:
        precision = default_precision(kind)
    if kind in {"torchvision", "timm", "eager"}:
        return eager(model, precision)
    if kind == "onnxruntime":
        return onnxruntime_documented(model, example, precision, images[:CHECKED], made)
    if kind == "openvino":
        return openvino_documented(model, example, precision, images[:CHECKED], made)
    if kind in {"convatlas", "convatlas-plain"}:
        engines = PLAIN_TORCH if kind == "convatlas-plain" else None
        search = Search(model, example, precision, engines=engines)
        search.begin(evidence(images, search.example, CHECKED))
        search.run(seconds)
        return search.take()
    raise MisuseError(f"unknown contender {kind!r}")


def default_precision(peer: str) -> str:
    """What a peer computes float32 weights in if nobody asks for anything else."""
    if peer == "openvino" and ENGINES[peer].missing() is None:
        return "bf16" if "bf16" in ENGINES[peer].precisions(torch.device("cpu")) else "float32"
    return "float32"


def eager(model: nn.Module, precision: str) -> Call:
    """The model called as it is; bf16 by autocast, as torch's documentation says."""
    if precision not in {"float32", "bf16"}:
        raise MisuseError(f"eager torch has no {precision}")

    def run(images: Tensor) -> Tensor:
        with torch.no_grad(), torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16"):
            return model(images).float()

    return run


def onnxruntime_documented(
    model: nn.Module, example: Tensor, precision: str, images: Tensor, made: dict[str, object]
) -> Call:
    """torch.onnx.export with a batch of any size, InferenceSession with default options; int8 by quantize_static."""
    problem = import_problem(("onnx", "onnxscript", "onnxruntime"), "onnx")
    if problem or precision == "bf16":
        raise ConvAtlasError(problem or "ONNX Runtime has no bf16 on a CPU")
    import onnx
    import onnxruntime

    name = f"onnxruntime {precision}"
    if name in made:
        return made[name]  # type: ignore[return-value]  # the session takes any batch
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder) / "model.onnx"
        batch = ({0: torch.export.Dim("batch")},)
        torch.onnx.export(
            model, (example[:1].repeat(2, 1, 1, 1),), path, input_names=["images"], dynamo=True, dynamic_shapes=batch,
            external_data=False,
        )  # fmt: skip
        if precision == "int8":
            logging.getLogger().setLevel(logging.ERROR)
            onnx.save(quantize(onnx.load(path), images, batch=8), path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    made[name] = lambda x: torch.from_numpy(session.run(None, {"images": x.numpy()})[0])
    return made[name]  # type: ignore[return-value]


def openvino_documented(
    model: nn.Module, example: Tensor, precision: str, images: Tensor, made: dict[str, object]
) -> Call:
    """convert_model, reshape, compile_model, call; a CPU with AMX computes in bf16 by default; int8 by nncf.quantize."""
    packages = ("openvino", "nncf") if precision == "int8" else ("openvino",)
    problem = import_problem(packages, "openvino")
    if problem:
        raise ConvAtlasError(problem)
    import openvino

    if "openvino" not in made:
        made["openvino"] = openvino.convert_model(model, example_input=example[:1])
    converted: Any = made["openvino"]
    if precision == "int8" and "openvino int8" not in made:
        import nncf

        logging.getLogger("nncf").setLevel(logging.ERROR)
        pieces = [image.unsqueeze(0).numpy() for image in images]
        with contextlib.redirect_stdout(io.StringIO()):
            made["openvino int8"] = nncf.quantize(
                converted.clone(), nncf.Dataset(pieces), subset_size=len(pieces)
            )
    if precision == "int8":
        converted = made["openvino int8"]
    converted = converted.clone()
    converted.reshape(list(example.shape))
    settings = {"INFERENCE_PRECISION_HINT": "f32"} if precision == "float32" else {}
    compiled = openvino.Core().compile_model(converted, "CPU", settings)
    return lambda x: torch.from_numpy(compiled(x.numpy())[0].copy())


def ours_each(
    model: nn.Module, example: Tensor, images: Tensor, seconds: float, made: dict[str, object]
) -> tuple[dict[str, Call], str]:
    """The best of one search at each precision, over all engines and over plain torch; and its report."""

    def group(plan: Plan) -> object:
        return plan.precision, plan.engine in PLAIN_TORCH

    # random weights leave next to nothing between the first two classes: bounds on answers are for real weights, and
    # benchmarks/agreement.py measures those
    free = dict.fromkeys(("float32", "bf16", "int8"), Bounds(0.0, 1.0))
    # what never wins here (the model as it is, folded without oneDNN's fusions) is left out for time
    search = Search(
        model, example, engines=("onednn", "winograd", "onnxruntime", "openvino"), bounds=free, group=group
    )
    search.begin(evidence(images, search.example, CHECKED))
    search.bench.made = made
    search.run(seconds)
    best: dict[str, Call] = {}
    for precision in ("float32", "bf16", "int8"):
        for name, plain in ((f"convatlas {precision}", False), (f"convatlas-plain {precision}", True)):
            plans = [
                p
                for p in search.passed
                if p.precision == precision and (not plain or p.engine in PLAIN_TORCH)
            ]
            if plans:
                best[name] = search.take(plans.__contains__)
    best["convatlas auto"] = search.take()
    return best, str(search.report)
