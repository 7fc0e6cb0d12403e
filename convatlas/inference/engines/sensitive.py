"""Which layers of an int8 model lose most, and the model with those left in floating point.

A network's answers suffer from a few layers: the first, which sees the images' own range, the last, narrow ones.
Each layer alone is put back, and what that brings the answers nearer to float32 on the calibration images is its rank.
Nothing is calibrated again: a layer goes back by its own weights, its own bias, and its unquantized input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

# images of the calibration that rank the layers
RANKED_ON = 48
_LAYERS = {"Convolution", "GroupConvolution", "MatMul"}

Answer = Callable[[Any, Tensor], Tensor]


def layers(model: Any) -> dict[str, Any]:
    """The operations with constant weights, by name, in order."""
    return {
        op.get_friendly_name(): op
        for op in model.get_ordered_ops()
        if op.get_type_name() in _LAYERS and _constant_of(op.input_value(1)) is not None
    }


def rank(quantized: Any, source: Any, images: Tensor, answer: Answer) -> list[str]:
    """Names of the layers, the one whose return to float brings most first; `answer` runs a model on images."""
    images = images[:RANKED_ON]
    expected = answer(source, images)
    left = {
        name: _distance(expected, answer(put_back(quantized, source, [name]), images))
        for name in layers(quantized)
    }
    return sorted(left, key=lambda name: left[name])


def put_back(quantized: Any, source: Any, names: Iterable[str]) -> Any:
    """A copy of the int8 model in which the layers of these names compute in floating point."""
    from openvino import opset13

    model = quantized.clone()
    originals = layers(source)
    now = layers(model)
    for name in names:
        op, original = now[name], originals[name]
        op.input(0).replace_source_output(_unquantized(op.input_value(0)))
        op.input(1).replace_source_output(opset13.constant(_constant_of(original.input_value(1))).output(0))
        _restore_bias(op, original, opset13)
    model.validate_nodes_and_infer_types()
    return model


def _unquantized(value: Any) -> Any:
    """The value before it was quantized, for this reader alone; also where quantizers stand before a join or a pooling."""
    from openvino import opset14

    node = value.get_node()
    kind = node.get_type_name()
    if kind == "FakeQuantize":
        return _unquantized(node.input_value(0))
    if kind not in {"Concat", "MaxPool", "ReduceMean"}:
        return value
    now = [node.input_value(i) for i in range(node.get_input_size())]
    before = [_unquantized(v) for v in now]
    if all(a.get_node() == b.get_node() for a, b in zip(now, before, strict=True)):
        return value
    settings = node.get_attributes()
    if kind == "Concat":
        return opset14.concat(before, settings["axis"]).output(0)
    if kind == "ReduceMean":
        return opset14.reduce_mean(before[0], before[1], keep_dims=settings["keep_dims"]).output(0)
    names = (
        "strides",
        "dilations",
        "pads_begin",
        "pads_end",
        "rounding_type",
        "auto_pad",
        "index_element_type",
        "axis",
    )
    known = {name: settings[name] for name in names if name in settings}
    return opset14.max_pool(before[0], kernel_shape=settings["kernel"], **known).output(0)


def _restore_bias(op: Any, original: Any, opset: Any) -> None:
    """The bias correction was for the quantized layer."""
    mine, theirs = _sum_after(op), _sum_after(original)
    if mine is None or theirs is None:
        return
    mine.input(1).replace_source_output(opset.constant(_constant_of(theirs.input_value(1))).output(0))


def _sum_after(op: Any) -> Any | None:
    """The addition of a constant that alone reads the operation."""
    readers = list(op.output(0).get_target_inputs())
    if len(readers) != 1:
        return None
    node = readers[0].get_node()
    is_bias = node.get_type_name() == "Add" and _constant_of(node.input_value(1)) is not None
    return node if is_bias else None


def _constant_of(value: Any) -> Any | None:
    """The numbers of a constant, a reshaped constant or a dequantized one; None for what depends on the images."""
    node = value.get_node()
    kind = node.get_type_name()
    if kind == "Constant":
        return node.get_data()
    if kind in {"Reshape", "Convert", "FakeQuantize", "Multiply", "Subtract"}:
        found = _constant_of(node.input_value(0))
        if found is not None and kind == "Reshape":
            return found.reshape(list(value.get_shape()))
        return found
    return None


def _distance(expected: Tensor, got: Tensor) -> float:
    """Kullback-Leibler divergence of the classes, mean over the images (n, classes)."""
    p, q = expected.log_softmax(1), got.log_softmax(1)
    return float(torch.sum(p.exp() * (p - q), 1).mean())
