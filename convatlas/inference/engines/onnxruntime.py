"""ONNX Runtime: float32, and int8 with its own static quantization on the user's images."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from convatlas.inference.engines.base import Engine, Plan, Runner, Unsuitable, Workbench
from convatlas.inference.engines.importing import import_problem, version_of
from convatlas.inference.graph import Recording
from convatlas.inference.graph.refine import layers
from convatlas.machine import machine

if TYPE_CHECKING:
    import onnx

INT8 = "onnxruntime, int8"


class OnnxRuntime(Engine):
    """One session; its `run` may be called from many threads."""

    name = "onnxruntime"
    refines = ("int8",)

    def missing(self) -> str | None:
        return import_problem(("onnx", "onnxruntime"), "onnx")

    def version(self) -> str:
        return version_of("onnxruntime")

    def precisions(self, device: torch.device) -> tuple[str, ...]:
        return ("float32", "int8") if device.type == "cpu" else ()

    def prepare(self, bench: Workbench, plan: Plan) -> Callable[[int], Runner]:
        model = bench.onnx_model
        if plan.precision == "int8":
            name = f"{INT8}, {plan.refined}, {plan.exact}"
            if name not in bench.made:
                recording = bench.recording_for(plan)
                # the plain one is not equalized: it rounds before ReLU, too, where the ranges of channels are others
                # (published SqueezeNet's logits then lose 6.5 % instead of 5.8; refined ones 4.7 instead of 5.4)
                source = bench.onnx_of(recording) if plan.refined else bench.onnx_model
                spared = spared_nodes(source, recording, bench.exact(plan))
                bench.made[name] = quantize(source, bench.calibration, spared=spared)
            model = bench.made[name]  # type: ignore[assignment]
        run = session_runner(model.SerializeToString(), plan.threads)
        return lambda _batch: run


def session_runner(model: bytes | str, threads: int) -> Runner:
    """A session on a CPU with this many threads a call."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # 0, the default, also pins its threads to cores; a number does not
    options.intra_op_num_threads = 0 if threads == machine().cores else threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {name: images.contiguous().numpy()})[0])

    return run


def spared_nodes(model: onnx.ModelProto, recording: Recording, exact: set[str]) -> list[str]:
    """The model's names of the recording's layers `exact`: both have them in one order."""
    weights = {w.name for w in model.graph.initializer}
    own = [
        n.name for n in model.graph.node
        if n.op_type in {"Conv", "Gemm", "MatMul"} and weights & {n.input[1]}
    ]  # fmt: skip
    found = layers(recording)
    if exact and len(own) != len(found):
        raise Unsuitable(f"{len(found)} layers, of which the ONNX model has {len(own)}")
    return [name for name, node in zip(own, found, strict=False) if node.name in exact]


def quantize(
    model: onnx.ModelProto, images: Tensor, batch: int = 16, *, spared: Sequence[str] = ()
) -> onnx.ModelProto:
    """Static int8 in ONNX's QDQ form: u8 activations, s8 weights a channel, ranges from the images (n, C, H, W).

    spared: names of nodes that stay float32.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.pieces = iter(images.split(batch))

        def get_next(self) -> dict[str, object] | None:
            piece = next(self.pieces, None)
            return None if piece is None else {"images": piece.contiguous().numpy()}

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)
        quantize_static(
            str(source), str(target), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            nodes_to_exclude=list(spared),
        )  # fmt: skip
        return onnx.load(target)
