"""OpenVINO: float32, bf16 and int8 on Intel and ARM processors; int8 by NNCF's post-training quantization."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import math
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from convatlas.inference.engines.base import Engine, Plan, Runner, Unsuitable, Workbench
from convatlas.inference.engines.importing import import_problem, version_of
from convatlas.inference.engines.input_bytes import kernels
from convatlas.inference.engines.openvino_bytes import take_bytes
from convatlas.inference.engines.openvino_pools import say_plainly
from convatlas.inference.graph.activations import RISING, towards_convolutions
from convatlas.inference.graph.refine import layers
from convatlas.machine import machine

INT8 = "openvino, int8"
# bytes of a batch from which on it is read where it lies. To hand over memory takes the time of copying so much: 0.08 ms
# of the 1.6 of a batch of one; copying 32 images of 224 pixels takes up to a tenth of int8's time, by fours a twentieth
SHARED = 1 << 20
# images of the calibration that NNCF reads, at most
SUBSET = 128


class OpenVino(Engine):
    """A compiled model with one stream an instance; each calling thread has its own request."""

    name = "openvino"
    refines = ("bf16", "int8")

    def missing(self) -> str | None:
        return import_problem(("openvino",), "openvino")

    def version(self) -> str:
        return f"{version_of('openvino')}, {version_of('nncf')}"

    def precisions(self, device: torch.device) -> tuple[str, ...]:
        if device.type != "cpu":
            return ()
        return ("float32", "bf16", "int8") if _has_bf16() else ("float32", "int8")

    def prepare(self, bench: Workbench, plan: Plan) -> Callable[[int], Runner]:
        source = read(bench, plan)
        if plan.precision == "int8":
            name = f"{INT8}, {plan.refined}, {plan.exact}"
            if name not in bench.made:
                exact = bench.exact(plan)
                weights = [
                    w for n in layers(bench.recording_for(plan)) if n.name in exact
                    and (w := bench.recording_for(plan).constant(n.args[1])) is not None
                ]  # fmt: skip
                spared = layers_with(source, weights)
                bench.made[name] = quantize(source, bench.calibration, spared, portable=False)
            source = bench.made[name]
        return lambda batch: compiled_runner(source, plan, (batch, *bench.example.shape[1:]))


def read(bench: Workbench, plan: Plan) -> Any:
    """The recording as an OpenVINO model, any size of images, traced by OpenVINO's own reader of torch modules.

    Not by way of ONNX: there a ReLU6 becomes a maximum and a minimum of broadcast shapes, and a grouped convolution
    computes its weights' shape; NNCF then quantizes in 81 places of MobileNetV2 instead of 64, at 0.7 of the speed.
    """
    import openvino

    recording = bench.recording_for(plan)
    name = f"openvino, from {id(recording)}"
    if name not in bench.made:
        moved = recording.copy()
        towards_convolutions(
            moved, RISING
        )  # what OpenVINO computes along with them; int8 as fast, float32 up to 1.05
        moved.finish()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's tracer, and that torch.jit is on its way out
            model = openvino.convert_model(moved.module, example_input=bench.example[:1])
        say_plainly(model)
        # with the recording: where `made` outlives a bench, another one could come to lie at its address
        bench.made[name] = model, recording
    return bench.made[name][0]  # type: ignore[index]


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
    import openvino

    model = source.clone()
    model.reshape(list(shape))
    grid = None
    if (
        plan.precision == "int8"
        and kernels().library is not None
        and (taken := take_bytes(model)) is not None
    ):
        model, grid = taken
    # a bf16 model with layers in float32 has its own types. What int8 leaves in floating point is the logits, too:
    # in bf16 their classes tie (published SqueezeNet: 241 of 250 answers stay, 244 with float32)
    whole = plan.precision == "bf16" and not plan.exact
    low = (whole or (plan.precision == "int8" and not plan.refined)) and _has_bf16()
    settings: dict[str, object] = {"INFERENCE_PRECISION_HINT": "bf16" if low else "f32"}
    if (plan.instances, plan.threads) == (1, machine().cores):
        # its own choice for one request, which also places the threads: 3 to 6 % ahead of the same numbers asked for
        settings["PERFORMANCE_HINT"] = "LATENCY"
    else:
        settings |= {
            "NUM_STREAMS": plan.instances, "INFERENCE_NUM_THREADS": plan.instances * plan.threads
        }  # fmt: skip
    compiled = core().compile_model(model, "CPU", settings)
    own = threading.local()
    shared = math.prod(shape) * 4 >= SHARED

    def run(images: Tensor) -> Tensor:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
            own.input, own.output = own.request.get_input_tensor().data, own.request.get_output_tensor().data
        if images.shape != shape:  # numpy would repeat one image for all
            raise ValueError(f"compiled for {shape}, received {tuple(images.shape)}")
        if grid is not None:
            grid.fill(torch.from_numpy(own.input), images)
        elif shared:
            # held here as long as it is read: the tensor does not own it
            values = images.float().contiguous().numpy()
            own.request.set_input_tensor(openvino.Tensor(values, shared_memory=True))
        else:
            own.input[:] = images.numpy()
        own.request.infer()
        return torch.from_numpy(own.output.copy())  # the next call writes into it

    return run


def layers_with(model: Any, weights: Sequence[Tensor]) -> list[str]:
    """Names of the operations that have these weights; a conversion keeps the values, not the order or the names."""
    wanted = {_digest(w.detach().cpu().numpy()) for w in weights}
    found = []
    for op in model.get_ordered_ops() if wanted else []:
        if op.get_type_name() in {"Convolution", "GroupConvolution", "MatMul"}:
            node = op.input_value(1).get_node()
            while node.get_type_name() in {"Reshape", "Convert"}:
                node = node.input_value(0).get_node()
            if node.get_type_name() == "Constant" and _digest(node.get_data()) in wanted:
                found.append(op.get_friendly_name())
    if len(found) < len(wanted):
        raise Unsuitable(f"of {len(wanted)} layers that shall stay float32 the model has {len(found)}")
    return found


def _digest(values: Any) -> bytes:
    return hashlib.sha256(values.astype("float32").tobytes()).digest()


def _adds_up_int8() -> bool:
    """Whether products of int8 are summed in 32 bits, as VNNI and AMX do; AVX2's sums saturate at 16."""
    return bool({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"} & set(machine().flags))


def quantize(source: Any, images: Tensor, spared: Sequence[str] = (), *, portable: bool = True) -> Any:
    """int8 with ranges and bias corrections from these images (n, C, H, W); spared: operations left in float32.

    portable: the first layer's weights get 7 bits, so that sums stay right on processors without VNNI, too.
    """
    problem = import_problem(("nncf",), "openvino")
    if problem:
        raise Unsuitable(f"int8 in OpenVINO needs NNCF; {problem}")
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    logging.getLogger("nncf").setLevel(logging.ERROR)
    dataset = nncf.Dataset([image.unsqueeze(0).numpy() for image in images[:SUBSET]])
    with contextlib.redirect_stdout(io.StringIO()):  # its progress bars
        # all that was seen is in range: a few classes' images calibrate for all, and what others exceed is cut off.
        # By NNCF's histogram, or its default, published SqueezeNet's logits lose 1.3 and 2.6 times as much
        ranges = AdvancedQuantizationParameters(
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
            overflow_fix=OverflowFix.DISABLE if not portable and _adds_up_int8() else None,
        )
        return nncf.quantize(
            source.clone(),
            dataset,
            subset_size=min(len(images), SUBSET),
            advanced_parameters=ranges,
            ignored_scope=nncf.IgnoredScope(names=[*spared, *final_means(source)]),
        )


def final_means(model: Any) -> list[str]:
    """Names of the means over maps that give the logits, with no layer between: they read what is not rounded.

    A class's map is nearly empty; all that is below half a step of its rare peaks would go. Published SqueezeNet, int8
    refined: its logits lose 12 % with the maps of its last layer in 8 bits, 3 % without.
    """
    found, node = [], model.outputs[0].get_node()
    while node.get_type_name() not in {"Convolution", "GroupConvolution", "MatMul"} and node.get_input_size():
        if node.get_type_name() in {"ReduceMean", "AvgPool"}:
            found.append(node.get_friendly_name())
        node = node.input_value(0).get_node()
    return found
