"""An int8 model of OpenVINO that reads bytes, channels last, in place of floats that it rounds and orders itself.

Its own two passes take 5 to 8 % of int8 SqueezeNet 1.1 and MobileNetV2; input_bytes.c makes the same bytes in one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convatlas.inference.engines.input_bytes import Grid

LEVELS = 256


def take_bytes(model: Any) -> tuple[Any, Grid] | None:
    """The model with bytes (n, H, W, C) for its input, and how they are made; None where it does not begin by rounding.

    model: with a fixed shape. It is not changed.
    """
    import openvino
    from openvino import opset1

    own = model.clone()
    (images,) = own.get_parameters()
    readers = images.output(0).get_target_inputs()
    rounding = next(iter(readers)).get_node()
    if len(readers) != 1 or rounding.get_type_name() != "FakeQuantize" or rounding.get_levels() != LEVELS:
        return None
    ends = [value.get_node() for value in rounding.input_values()[1:]]
    if any(end.get_type_name() != "Constant" or end.get_data().size != 1 for end in ends):
        return None
    low, high, *after = (float(end.get_data().item()) for end in ends)
    grid = _grid(low, high)
    if [low, high] != after or grid is None:
        return None
    n, channels, height, width = images.get_shape()
    kind = np.int8 if grid.signed else np.uint8
    given = opset1.parameter([n, height, width, channels], kind, name=images.get_friendly_name())
    values = opset1.convert(given, "f32")
    values = opset1.multiply(values, opset1.constant(np.full((1, 1, 1, 1), grid.step, np.float32)))
    ordered = opset1.transpose(values, opset1.constant(np.array([0, 3, 1, 2])))
    for reader in rounding.output(0).get_target_inputs():
        reader.replace_source_output(ordered.output(0))
    return openvino.Model(own.get_results(), [given], own.get_friendly_name()), grid


def _grid(low: float, high: float) -> Grid | None:
    """NNCF rounds images of both signs around the middle of a byte, others from zero on; None for any other range."""
    step = (high - low) / (LEVELS - 1)
    zero = round(-low / step) if step > 0 else None
    return Grid(step, signed=zero == LEVELS // 2) if zero in {0, LEVELS // 2} else None
