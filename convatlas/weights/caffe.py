"""Read .caffemodel files, with the layers of Caffe of 2013 (V1) and after.

Caffe's axis order is torch's. Batch norm stands in two layers there: BatchNorm keeps mean and variance as sums
beside a factor to divide them by, Scale the trained scale and shift; here they are one again.
Field numbers: caffe/src/caffe/proto/caffe.proto.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from convatlas.weights.foreign import Foreign, Layer
from convatlas.weights.header import WeightsError
from convatlas.weights.protobuf import ProtobufError, Value, fields, integers, message, number

MAX_BYTES = 2**31  # protocol buffers stop there
V1_TYPES = {4: "Convolution", 14: "InnerProduct", 39: "Deconvolution"}  # V1LayerParameter.LayerType


@dataclass
class _CaffeLayer:
    name: str = ""
    kind: str = ""
    bottom: list[str] = field(default_factory=list)
    top: list[str] = field(default_factory=list)
    blobs: list[np.ndarray] = field(default_factory=list)
    eps: float = 1e-5  # BatchNormParameter's default


def read_caffe(path: Path) -> Foreign:
    """Layers with weights in the order of the net; raises WeightsError for a broken file."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise WeightsError(f"{path}: {path.stat().st_size} bytes; a .caffemodel has at most {MAX_BYTES}")
        data = memoryview(path.read_bytes())
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        layers = tuple(_joined(_read_layers(data)))
    except (ProtobufError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: not a Caffe model, or a broken one: {error}") from error
    if not layers:
        raise WeightsError(f"{path}: a Caffe model without weights: expected a .caffemodel, not a .prototxt")
    return Foreign("caffe", layers)


def _read_layers(data: memoryview) -> list[_CaffeLayer]:
    found = []
    for key, value in fields(data):
        if key == 2:
            found.append(_layer(message(value), name=4, kind=5, bottom=2, top=3, blobs=6))
        elif key == 100:
            found.append(_layer(message(value), name=1, kind=2, bottom=3, top=4, blobs=7))
    return found


def _layer(data: memoryview, *, name: int, kind: int, bottom: int, top: int, blobs: int) -> _CaffeLayer:
    layer = _CaffeLayer()
    for key, value in fields(data):
        if key == name:
            layer.name = _text(value)
        elif key == kind:
            layer.kind = V1_TYPES.get(value, "") if isinstance(value, int) else _text(value)
        elif key == bottom:
            layer.bottom.append(_text(value))
        elif key == top:
            layer.top.append(_text(value))
        elif key == blobs:
            layer.blobs.append(_blob(message(value)))
        elif key == 139 and not isinstance(value, int):  # batch_norm_param
            layer.eps = next((number(v) for k, v in fields(value) if k == 3), layer.eps)
    return layer


def _blob(data: memoryview) -> np.ndarray:
    old, new, parts = [0, 0, 0, 0], None, []
    for key, value in fields(data):
        if 1 <= key <= 4 and isinstance(value, int):
            old[key - 1] = value
        elif key == 7:
            new = [side for k, v in fields(message(value)) if k == 1 for side in integers(v)]
        elif key in (5, 8):
            raw, width = message(value), 4 if key == 5 else 8
            if len(raw) % width:
                raise ProtobufError("a blob whose data is cut")
            parts.append(np.frombuffer(raw, f"<f{width}"))
    values = np.concatenate(parts).astype(np.float32) if parts else np.zeros(0, np.float32)
    shape = new if new is not None else old
    if int(np.prod(shape, dtype=object)) != values.size:
        raise ProtobufError(f"a blob of shape {tuple(shape)} with {values.size} values")
    return values.reshape(shape)


def _joined(found: list[_CaffeLayer]) -> list[Layer]:
    """Layers that hold weights; each BatchNorm with the Scale that follows it."""
    scales = {
        layer.bottom[0]: layer for layer in found if layer.kind == "Scale" and layer.bottom and layer.blobs
    }
    used, layers = set(), []
    for layer in found:
        if not layer.blobs or layer.name in used:
            continue
        if layer.kind == "BatchNorm":
            scale = scales.get(layer.top[0]) if layer.top else None
            if scale is not None:
                used.add(scale.name)
            layers.append(Layer(layer.name, _batch_norm(layer, scale), eps=layer.eps))
        elif layer.kind in ("Convolution", "InnerProduct"):
            weight = layer.blobs[0]
            if layer.kind == "InnerProduct":
                weight = weight.reshape(weight.shape[-2:])
            tensors = {"weight": _tensor(weight)}
            if len(layer.blobs) > 1:
                tensors["bias"] = _tensor(layer.blobs[1].reshape(-1))
            layers.append(Layer(layer.name, tensors))
        else:
            kind = layer.kind or "of an unknown kind"
            raise ProtobufError(f"layer {layer.name!r} ({kind}) holds weights that no network here has")
    return layers


def _batch_norm(layer: _CaffeLayer, scale: _CaffeLayer | None) -> dict[str, Tensor]:
    if len(layer.blobs) != 3 or layer.blobs[2].size != 1:
        raise ProtobufError(f"layer {layer.name!r}: a BatchNorm keeps mean, variance and a factor")
    total = float(layer.blobs[2].reshape(-1)[0])
    factor = 1 / total if total else 0.0  # as Caffe's batch_norm_layer.cpp
    mean, variance = (blob.reshape(-1) * factor for blob in layer.blobs[:2])
    size = mean.size
    gamma = scale.blobs[0].reshape(-1) if scale else np.ones(size)
    beta = scale.blobs[1].reshape(-1) if scale and len(scale.blobs) > 1 else np.zeros(size)
    named_arrays = {"weight": gamma, "bias": beta, "running_mean": mean, "running_var": variance}
    if any(array.size != size for array in named_arrays.values()):
        raise ProtobufError(f"layer {layer.name!r}: batch norm and its scale differ in width")
    return {leaf: _tensor(array) for leaf, array in named_arrays.items()}


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32).copy())


def _text(value: Value) -> str:
    return bytes(message(value)).decode("utf-8", "replace")
