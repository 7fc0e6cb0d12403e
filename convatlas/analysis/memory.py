"""Memory of activations for one image, in bytes: all that a forward pass writes, and the most that lives at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from convatlas.define import Concat, Dense, Elaborated, Gate, Operation, Placed, Residual
from convatlas.define.operations import Dropout, Flatten, ReLU, ReLU6, Slice


@dataclass(frozen=True, slots=True)
class Memory:
    """`written_bytes`: every tensor that the forward pass makes, about what training must keep for the backward pass.

    `peak_bytes`: the most that is alive at one moment of an eager forward pass in inference, input included.
    In-place activations write nothing. Weights are not counted.
    """

    written_bytes: int
    peak_bytes: int


_FREE = (ReLU, ReLU6, Dropout, Flatten, Slice)  # in place, switched off at test, or a view


def activation_memory(elaborated: Elaborated, *, bytes_per_value: int = 4) -> Memory:
    """Memory of activations at batch 1; `bytes_per_value` is 4 for float32, 2 for bfloat16."""
    written, peak = _Memory().of(elaborated.body)
    image = math.prod(elaborated.input)
    return Memory(written * bytes_per_value, (image + peak) * bytes_per_value)


class _Memory:
    """(values written, most values alive besides the input) of a placed node; shared nodes once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, int]] = {}

    def of(self, placed: Placed) -> tuple[int, int]:
        if id(placed) not in self._known:
            self._known[id(placed)] = self._find(placed)
        return self._known[id(placed)]

    def _find(self, placed: Placed) -> tuple[int, int]:
        node, out = placed.node, math.prod(placed.output)
        if isinstance(node, Operation):
            return (0, 0) if isinstance(node, _FREE) else (out, out)
        match node:
            case Concat():
                return self._side_by_side(placed, out)
            case Residual():
                return self._residual(placed, out)
            case Dense():
                return self._dense(placed, out)
            case Gate():
                written, peak = self._series(placed)
                return written + out, max(peak, out + placed.output[0])
        return self._series(placed)

    def _series(self, placed: Placed) -> tuple[int, int]:
        written = peak = 0
        held = 0  # the running value, once it is no longer the caller's input
        for _, child in placed.children:
            child_written, child_peak = self.of(child)
            written += child_written
            peak = max(peak, held + child_peak)
            if child_written:
                held = math.prod(child.output)
        return written, peak

    def _side_by_side(self, placed: Placed, out: int) -> tuple[int, int]:
        written = peak = held = 0
        for _, child in placed.children:
            child_written, child_peak = self.of(child)
            written += child_written
            peak = max(peak, held + child_peak)
            held += math.prod(child.output) if child_written else 0
        return written + out, max(peak, held + out)

    def _residual(self, placed: Placed, out: int) -> tuple[int, int]:
        children = dict(placed.children)
        written = held = peak = 0
        if "shortcut" in children:
            written, peak = self.of(children["shortcut"])
            held = math.prod(children["shortcut"].output) if written else 0
        body_written, body_peak = self.of(children["body"])
        then_written, then_peak = self.of(children["then"]) if "then" in children else (0, 0)
        total = math.prod(children["body"].output)
        peak = max(peak, held + body_peak, held + 2 * total, total + then_peak)
        return written + body_written + total + then_written, peak

    def _dense(self, placed: Placed, out: int) -> tuple[int, int]:
        written = peak = held = 0
        for _, step in placed.children:
            step_written, step_peak = self.of(step)
            joined = math.prod(step.input)
            written += step_written + joined
            peak = max(peak, held + joined + step_peak)
            held += math.prod(step.output)
        return written + out, max(peak, held + out)
