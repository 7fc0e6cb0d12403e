"""OpenVINO: float32, bf16 and int8 on Intel and ARM processors; int8 by NNCF's post-training quantization."""

from __future__ import annotations

import contextlib
import io
import logging
import threading
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from convatlas.inference.engines.base import Engine, Plan, Runner, Unsuitable, Workbench
from convatlas.inference.engines.importing import import_problem, version_of
from convatlas.machine import machine

INT8 = "openvino, int8"
# images of the calibration that NNCF reads, at most
SUBSET = 128


class OpenVino(Engine):
    """A compiled model with one stream an instance; each calling thread has its own request."""

    name = "openvino"

    def missing(self) -> str | None:
        return import_problem(("openvino",), "openvino")

    def version(self) -> str:
        return f"{version_of('openvino')}, {version_of('nncf')}"

    def precisions(self, device: torch.device) -> tuple[str, ...]:
        if device.type != "cpu":
            return ()
        return ("float32", "bf16", "int8") if _has_bf16() else ("float32", "int8")

    def prepare(self, bench: Workbench, plan: Plan) -> Callable[[int], Runner]:
        source = read(bench, plan.precision)
        if plan.precision == "int8":
            if INT8 not in bench.made:
                bench.made[INT8] = quantize(source, bench.calibration)
            source = bench.made[INT8]
        return lambda batch: compiled_runner(source, plan, (batch, *bench.example.shape[1:]))


def read(bench: Workbench, precision: str = "float32") -> Any:
    """The recording as an OpenVINO model, any size of images, traced by OpenVINO's own reader of torch modules.

    Not by way of ONNX: there a ReLU6 becomes a maximum and a minimum of broadcast shapes, and a grouped convolution
    computes its weights' shape; NNCF then quantizes in 81 places of MobileNetV2 instead of 64, at 0.7 of the speed.
    """
    import openvino

    name = f"openvino, from {'bf16' if precision == 'bf16' else 'float32'}"
    if name not in bench.made:
        module = bench.recording_for(precision).module
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's tracer, and that torch.jit is on its way out
            bench.made[name] = openvino.convert_model(module, example_input=bench.example[:1])
    return bench.made[name]


_CORE: list[Any] = []


def core() -> Any:
    """The one Core of this process."""
    if not _CORE:
        import openvino

        _CORE.append(openvino.Core())
    return _CORE[0]


def _has_bf16() -> bool:
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def compiled_runner(source: Any, plan: Plan, shape: tuple[int, ...]) -> Runner:
    """Compile for images of just this shape, which lets OpenVINO plan its memory."""
    model = source.clone()
    model.reshape(list(shape))
    settings: dict[str, object] = {
        "INFERENCE_PRECISION_HINT": "bf16" if plan.precision != "float32" and _has_bf16() else "f32",
    }
    if (plan.instances, plan.threads) == (1, machine().cores):
        # its own choice for one request, which also places the threads: 3 to 6 % ahead of the same numbers asked for
        settings["PERFORMANCE_HINT"] = "LATENCY"
    else:
        settings |= {
            "NUM_STREAMS": plan.instances, "INFERENCE_NUM_THREADS": plan.instances * plan.threads
        }  # fmt: skip
    compiled = core().compile_model(model, "CPU", settings)
    own = threading.local()

    def run(images: Tensor) -> Tensor:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        result = own.request.infer([images.contiguous().numpy()], share_inputs=True)[0]
        return torch.from_numpy(result.copy())  # the next call writes into `result`

    return run


def quantize(source: Any, images: Tensor) -> Any:
    """int8 with ranges and bias corrections from these images (n, C, H, W)."""
    problem = import_problem(("nncf",), "openvino")
    if problem:
        raise Unsuitable(f"int8 in OpenVINO needs NNCF; {problem}")
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    logging.getLogger("nncf").setLevel(logging.ERROR)
    dataset = nncf.Dataset([image.unsqueeze(0).numpy() for image in images[:SUBSET]])
    with contextlib.redirect_stdout(io.StringIO()):  # its progress bars
        # ranges by histogram: on published SqueezeNet 243 of 250 answers stay, by NNCF's default 240, and the largest
        # move of a probability is 0.21 instead of 0.36; it takes twice as long
        ranges = AdvancedQuantizationParameters(
            activations_range_estimator_params=RangeEstimatorParametersSet.HISTOGRAM
        )
        return nncf.quantize(
            source.clone(), dataset, subset_size=min(len(images), SUBSET), advanced_parameters=ranges
        )
