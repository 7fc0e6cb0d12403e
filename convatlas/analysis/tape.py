"""What a forward pass does in order, and which tensors training keeps of it: the tape that autograd would write.

Follows the builder and torch's own rules of what each operation saves, so that memory can be told without torch.
Sizes are values of one image; a buffer is a tensor, and operations that work in place or on a view share one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from convatlas.define import Concat, Dense, Elaborated, Gate, Operation, Placed, Residual
from convatlas.define import operations as o
from convatlas.define.window import fixed_padding

_OWN_OUTPUT = (
    o.Conv,
    o.DepthwiseConv,
    o.TableConv,
    o.Linear,
    o.BatchNorm,
)  # a ReLU after these works in place
_VIEWS = (o.Flatten, o.Slice)
_SAVES_INPUT = (
    o.Conv, o.DepthwiseConv, o.TableConv, o.Linear, o.BatchNorm, o.MaxPool, o.AvgPool, o.Subsampling,
    o.AdaptiveAvgPool, o.HardSwish, o.HardSigmoid, o.LRN,
)  # fmt: skip
_SAVES_OUTPUT = (o.ReLU, o.ReLU6, o.Sigmoid, o.Tanh, o.Softmax)


@dataclass(slots=True)
class Step:
    """One thing computed. `reads` and `writes` in values of one image; `extra_bytes` is kept besides buffers.

    `saved` names the buffers that its backward pass needs; `passes` is how often it goes over its values (a local
    response norm is several operations).
    """

    kind: str
    reads: int
    writes: int
    saved: tuple[int, ...] = ()
    extra_bytes: int = 0
    parameters: int = 0
    mult_adds: int = 0
    passes: int = 1


@dataclass(slots=True)
class Tape:
    """Steps in order, and the size of each buffer in values of one image."""

    steps: list[Step] = field(default_factory=list)
    buffers: list[int] = field(default_factory=list)

    def buffer(self, size: int) -> int:
        """A new tensor."""
        self.buffers.append(size)
        return len(self.buffers) - 1

    def saved_values(self) -> int:
        """Values of one image that are kept from the forward pass for the backward pass."""
        return sum(self.buffers[b] for b in {b for step in self.steps for b in step.saved})

    def saved_extra_bytes(self) -> int:
        """Bytes of one image that are kept besides: places of maxima, masks, whatever the precision."""
        return sum(step.extra_bytes for step in self.steps)


def tape(elaborated: Elaborated, *, aux: bool = True) -> Tape:
    """The tape of one training step's forward pass; with `aux`, auxiliary heads too."""
    writer = _Writer()
    here = writer.tape.buffer(math.prod(elaborated.input))
    heads = dict(elaborated.aux) if aux else {}
    before: object = None
    for name, child in elaborated.rows:
        here = writer.node(child, here, inplace=isinstance(before, _OWN_OUTPUT))
        if name in heads:
            writer.node(heads[name], here)
        before = child.node
    return writer.tape


class _Writer:
    def __init__(self) -> None:
        self.tape = Tape()

    def node(self, placed: Placed, into: int, *, inplace: bool = False) -> int:
        """Write what `placed` does with the buffer `into`; the buffer that comes out."""
        match placed.node:
            case Operation():
                return self._operation(placed, into, inplace=inplace)
            case Concat():
                parts = [self.node(child, into) for _, child in placed.children]
                return self._join(parts, math.prod(placed.output))
            case Residual():
                return self._residual(placed, into)
            case Dense():
                parts = [into]
                for _, step in placed.children:
                    joined = self._join(parts, math.prod(step.input))
                    parts.append(self.node(step, joined))
                return self._join(parts, math.prod(placed.output))
            case Gate():
                gate = self._series(placed.children, into)
                out, size = self.tape.buffer(math.prod(placed.output)), math.prod(placed.output)
                self.tape.steps.append(Step("gate", size, size, (into, gate)))
                return out
        return self._series(placed.children, into)

    def _series(self, rows: Iterable[tuple[str, Placed]], into: int) -> int:
        before: object = None
        for _, child in rows:
            into = self.node(child, into, inplace=isinstance(before, _OWN_OUTPUT))
            before = child.node
        return into

    def _join(self, parts: list[int], size: int) -> int:
        self.tape.steps.append(Step("concat", size, size))
        return self.tape.buffer(size)

    def _residual(self, placed: Placed, into: int) -> int:
        children, node = dict(placed.children), placed.node
        assert isinstance(node, Residual)
        size = math.prod(children["body"].output)
        if "shortcut" in children:
            self.node(children["shortcut"], into)
        self.node(children["body"], into)
        if node.scale != 1:
            self.tape.steps.append(Step("scale", size, size))
        total = self.tape.buffer(size)
        self.tape.steps.append(Step("add", 2 * size, size))
        return self.node(children["then"], total, inplace=node.survival == 1) if "then" in children else total

    def _operation(self, placed: Placed, into: int, *, inplace: bool) -> int:
        node, read, written = placed.node, math.prod(placed.input), math.prod(placed.output)
        assert isinstance(node, Operation)
        if isinstance(node, _VIEWS):
            return into
        own = not (inplace and isinstance(node, o.ReLU | o.ReLU6))
        out = self.tape.buffer(written) if own else into
        saved = [into] if isinstance(node, _SAVES_INPUT) else [out] if isinstance(node, _SAVES_OUTPUT) else []
        if isinstance(node, o.ReLU6):
            saved = [
                into if own else self.tape.buffer(read)
            ]  # keeps its input: a copy where it works in place
        if isinstance(node, o.Conv | o.DepthwiseConv | o.TableConv | o.MaxPool | o.AvgPool) and _uneven(
            node, placed
        ):
            saved = [self.tape.buffer(read)]  # a padded copy, a little larger than this
        step = Step(
            node.kind, read, written, tuple(saved), parameters=placed.parameters, mult_adds=placed.mult_adds
        )
        match node:
            case o.MaxPool():
                step.extra_bytes = 8 * written  # torch keeps each maximum's place as int64
            case o.Dropout():
                step.extra_bytes = 4 * written
            case o.LRN():
                # squared and padded, the sum, and its power are kept beside the input
                step.saved = (*saved, *(self.tape.buffer(read) for _ in range(3)))
                step.passes = 6
            case o.Tanh() if (node.scale, node.slope) != (1, 1):
                step.saved, step.passes = (self.tape.buffer(written),), 3
            case o.RBF():
                step.saved, step.passes = (self.tape.buffer(read * written),), read
            case o.Subsampling():
                step.saved, step.passes = (into, self.tape.buffer(written)), 4
        self.tape.steps.append(step)
        return out


def _uneven(node: o.Conv | o.DepthwiseConv | o.TableConv | o.MaxPool | o.AvgPool, placed: Placed) -> bool:
    """Whether the padding differs between sides, so that torch pads a copy first."""
    windows = node.windows(placed.input)
    rules = node.padding if isinstance(node.padding, tuple) else (node.padding, node.padding)
    for window, rule in zip(windows, rules, strict=True):
        fixed = fixed_padding(rule, window.span)
        sides = (window.before, window.after) if fixed is None else fixed
        if sides[0] != sides[1]:
            return True
    return False
