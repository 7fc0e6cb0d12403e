"""Read TensorFlow Lite classifiers: float32, float16 and quantized weights, in the order of the graph.

Batch norm is folded into the convolutions there; what is left of it are their biases. Quantized weights
become float again: (q - zero point) * scale, a scale for the tensor or one a channel.
Field numbers: tensorflow/lite/schema/schema.fbs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from convatlas.weights.flatbuffer import FlatBufferError, Table
from convatlas.weights.foreign import Foreign, Layer
from convatlas.weights.header import WeightsError

# fmt: off
TYPES = {0: "<f4", 1: "<f2", 2: "<i4", 3: "<u1", 4: "<i8", 7: "<i2", 9: "<i1", 10: "<f8"}
CONV, DEPTHWISE, DEQUANTIZE, LINEAR = 3, 4, 6, 9       # BuiltinOperator
# fmt: on
MAX_BYTES = 2**31  # a flatbuffer cannot be larger: its offsets are signed 32 bits


@dataclass(frozen=True)
class _Graph:
    """The first subgraph of a model, and the buffers that its tensors point to."""

    data: memoryview
    model: Table

    @cached_property
    def buffers(self) -> list[Table]:
        return list(self.model.tables(4))

    @cached_property
    def subgraph(self) -> Table:
        return next(self.model.tables(2))

    @cached_property
    def tensors(self) -> list[Table]:
        return list(self.subgraph.tables(0))

    @cached_property
    def operators(self) -> list[tuple[int, Table]]:
        """(built-in operator, the operator's table), in order of computation."""
        codes = [
            max(code.integer(0, "<b"), code.integer(3))  # the byte was outgrown; newer files have both
            for code in self.model.tables(1)
        ]
        return [(codes[op.integer(0, "<I")], op) for op in self.subgraph.tables(3)]

    @cached_property
    def unpacked(self) -> dict[int, int]:
        """Tensor made by DEQUANTIZE -> the constant that it is made from (float16 files)."""
        return {op.integers(2)[0]: op.integers(1)[0] for code, op in self.operators if code == DEQUANTIZE}

    def constant(self, index: int) -> np.ndarray | None:
        """A constant tensor as float32 in its own layout; None for -1 and for what is computed."""
        if index == -1:
            return None
        tensor = self.tensors[self.unpacked.get(index, index)]
        raw = self._bytes(self.buffers[tensor.integer(2, "<I")])
        if not len(raw):
            return None
        shape, kind = tensor.integers(0), tensor.integer(1, "<b")
        if kind not in TYPES:
            raise FlatBufferError(f"tensor {tensor.text(3)!r} has the unknown type {kind}")
        dtype = np.dtype(TYPES[kind])
        if min(shape, default=1) < 0 or int(np.prod(shape, dtype=object)) * dtype.itemsize != len(raw):
            raise FlatBufferError(f"tensor {tensor.text(3)!r} of shape {shape} in {len(raw)} bytes")
        values = np.frombuffer(raw, dtype).reshape(shape)
        return self._scaled(values, tensor.table(4)) if dtype.kind in "iu" else values.astype(np.float32)

    def _bytes(self, buffer: Table) -> memoryview:
        start, size = buffer.integer(1, "<Q"), buffer.integer(2, "<Q")
        if start > 1:  # files above 2 GB keep data behind the flatbuffer; 0 and 1 mean "not so"
            if start + size > len(self.data):
                raise FlatBufferError(f"a buffer at {start} reaches past the end")
            return self.data[start : start + size]
        return buffer.bytes(0)

    @staticmethod
    def _scaled(values: np.ndarray, quantization: Table | None) -> np.ndarray:
        scale = np.array(quantization.floats(2) if quantization else (), np.float64)
        if not scale.size:
            raise FlatBufferError("integer weights without a scale")
        assert quantization is not None
        zero = np.array(quantization.integers(3, "<q") or [0] * scale.size, np.float64)
        if scale.size > 1:
            axis = quantization.integer(6)
            if not 0 <= axis < values.ndim or values.shape[axis] != scale.size or zero.size != scale.size:
                raise FlatBufferError(f"{scale.size} scales along axis {axis} of {values.shape}")
            along = [1] * values.ndim
            along[axis] = scale.size
            scale, zero = scale.reshape(along), zero.reshape(along)
        return ((values.astype(np.float64) - zero) * scale).astype(np.float32)


def read_tflite(path: Path) -> Foreign:
    """Convolutions and linear layers of a .tflite file in order; raises WeightsError for a broken one."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise WeightsError(f"{path}: {path.stat().st_size} bytes; a .tflite file has at most {MAX_BYTES}")
        data = memoryview(path.read_bytes())
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    if bytes(data[4:8]) != b"TFL3":
        raise WeightsError(f"{path}: not a TensorFlow Lite file: no TFL3 in its first bytes")
    try:
        graph = _Graph(data, Table.root(data))
        layers = tuple(_layers(graph))
        shape = graph.tensors[graph.subgraph.integers(1)[0]].integers(0)
    except (FlatBufferError, IndexError, StopIteration, RuntimeError, struct.error) as error:
        raise WeightsError(f"{path}: a broken or hostile TensorFlow Lite file: {error}") from error
    if not layers:
        raise WeightsError(f"{path}: a TensorFlow Lite file without convolution or linear layer")
    size = (shape[3], shape[1], shape[2]) if len(shape) == 4 and min(shape[1:]) > 0 else None
    return Foreign("tflite", layers, folded=True, input=size)


def _layers(graph: _Graph) -> list[Layer]:
    found: list[Layer] = []
    made = 0
    for code, op in graph.operators:
        if code not in (CONV, DEPTHWISE, LINEAR):
            continue
        inputs = op.integers(1)
        if made > 8 * len(graph.data):
            raise FlatBufferError("its operators use the same weights again and again")
        weight = graph.constant(inputs[1])
        if weight is None or weight.ndim != (2 if code == LINEAR else 4):
            raise FlatBufferError(f"operator {len(found)} has no constant weights of the right rank")
        bias = graph.constant(inputs[2]) if len(inputs) > 2 else None
        name = graph.tensors[inputs[1]].text(3) or f"operator{len(found)}"
        options = op.table(4)
        windowed = options is not None and code != LINEAR
        made += weight.nbytes
        tensors = {"weight": _weight(code, weight)}
        if bias is not None:
            tensors["bias"] = torch.from_numpy(bias.reshape(-1).copy())
        found.append(
            Layer(
                name,
                tensors,
                stride=options.integer(2) if windowed and options else None,
                padding=("same_tf", "valid")[min(1, options.integer(0, "<b"))]
                if windowed and options
                else None,
            )
        )
    return found


def _weight(code: int, weight: np.ndarray) -> Tensor:
    if code == CONV:  # (out, height, width, in)
        weight = weight.transpose(0, 3, 1, 2)
    elif code == DEPTHWISE:  # (1, height, width, channels * multiplier)
        weight = weight.transpose(3, 0, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(weight).copy())
