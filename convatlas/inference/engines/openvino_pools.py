"""Pools that round up, said to OpenVINO in the form that its int8 knows.

Its reader of torch modules makes of `ceil_mode=True` the rounding "ceil_torch" of opset 14, which OpenVINO 2026.4 leaves
in float32, and with it the conversions before and the layer after: of int8 SqueezeNet 1.1, where three pools round up,
a third of the time. The older "ceil" differs only in that it keeps a last window that lies in the padding alone.
"""

from __future__ import annotations

from typing import Any


def say_plainly(model: Any) -> int:
    """Replace, in place, the pools that round up where both roundings are the same; how many that were."""
    from openvino import opset1

    count = 0
    for op in model.get_ordered_ops():
        kind = op.get_type_name()
        if kind not in {"MaxPool", "AvgPool"}:
            continue
        had = op.get_attributes()
        if had["rounding_type"] != "ceil_torch" or not _same(had, mean=kind == "AvgPool"):
            continue
        window = had["strides"], had["pads_begin"], had["pads_end"], had["kernel"]
        if kind == "AvgPool":
            new = opset1.avg_pool(op.input_value(0), *window, True, "ceil", had["auto_pad"])
        elif set(had["dilations"]) == {1} and not op.output(1).get_target_inputs():
            new = opset1.max_pool(op.input_value(0), *window, "ceil", had["auto_pad"])
        else:
            continue
        new.set_friendly_name(op.get_friendly_name())
        for reader in op.output(0).get_target_inputs():
            reader.replace_source_output(new.output(0))
        count += 1
    if count:
        model.validate_nodes_and_infer_types()
    return count


def _same(had: dict[str, Any], *, mean: bool) -> bool:
    """Whether no window can begin behind the input, whatever its size, and no mean counts what is not there.

    The last window that rounding up adds begins less than kernel - stride before the padding's end.
    """
    if mean and any([*had["pads_begin"], *had["pads_end"]]):
        return False
    sizes = zip(had["pads_end"], had["kernel"], had["strides"], strict=True)
    return all(padding <= kernel - stride for padding, kernel, stride in sizes)
