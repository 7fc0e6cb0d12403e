"""Receptive field: which rows and columns of the input one output value can see.

Exact on any series-parallel tree: in series fields compose, in parallel the union's hull is taken. Padding lies
outside the input, so a field may start at a negative row and reach past the end.
"""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.define import (
    AdaptiveAvgPool,
    Concat,
    Dense,
    Elaborated,
    Flatten,
    Gate,
    GlobalAvgPool,
    GlobalMaxPool,
    Operation,
    Placed,
    Residual,
)


@dataclass(frozen=True, slots=True)
class Axis:
    """Along one axis, in input rows: extent of a field, distance between neighbours' fields, first row of the first.

    Output i sees rows start + i * stride up to, not including, start + i * stride + size.
    """

    size: int = 1
    stride: int = 1
    start: int = 0

    def then(self, later: Axis) -> Axis:
        """The field of `later` applied to what has this field."""
        return Axis(
            self.size + (later.size - 1) * self.stride,
            self.stride * later.stride,
            self.start + later.start * self.stride,
        )

    def hull(self, other: Axis) -> Axis:
        """The smallest field that covers both; strides are equal where branches can be joined."""
        start = min(self.start, other.start)
        end = max(self.start + self.size, other.start + other.size)
        return Axis(end - start, max(self.stride, other.stride), start)


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """Fields along the vertical and the horizontal axis; they differ behind 1x7 and 7x1 kernels only."""

    vertical: Axis = Axis()
    horizontal: Axis = Axis()

    def then(self, later: ReceptiveField) -> ReceptiveField:
        """See `Axis.then`."""
        if later is POINT:  # most operations look at no neighbors
            return self
        return ReceptiveField(self.vertical.then(later.vertical), self.horizontal.then(later.horizontal))

    def hull(self, other: ReceptiveField) -> ReceptiveField:
        """See `Axis.hull`."""
        return ReceptiveField(self.vertical.hull(other.vertical), self.horizontal.hull(other.horizontal))

    def to_dict(self) -> dict[str, int | list[int]]:
        """size, stride, start: a number where both axes agree, [vertical, horizontal] where they differ."""
        pairs = {
            name: (getattr(self.vertical, name), getattr(self.horizontal, name))
            for name in ("size", "stride", "start")
        }
        return {name: v if v == h else [v, h] for name, (v, h) in pairs.items()}


POINT = ReceptiveField()


class Fields:
    """Receptive fields of one elaborated network; work on shared blocks is done once."""

    def __init__(self) -> None:
        self._relative: dict[int, ReceptiveField] = {}

    def relative(self, placed: Placed) -> ReceptiveField:
        """Field of `placed`'s output on its own input."""
        known = self._relative.get(id(placed))
        if known is None:
            known = self._relative[id(placed)] = self._find(placed)
        return known

    def _find(self, placed: Placed) -> ReceptiveField:
        node = placed.node
        if isinstance(node, Operation):
            return _of_operation(node, placed)
        children = dict(placed.children)
        match node:
            case Concat():
                return _union([self.relative(child) for child in children.values()])
            case Gate():
                return POINT.hull(self._series(placed))
            case Residual():
                shortcut = self.relative(children["shortcut"]) if "shortcut" in children else POINT
                both = shortcut.hull(self.relative(children["body"]))
                return both.then(self.relative(children["then"])) if "then" in children else both
            case Dense():
                seen = POINT  # what is joined so far
                for step in children.values():
                    seen = seen.hull(seen.then(self.relative(step)))
                return seen
        return self._series(placed)

    def _series(self, placed: Placed) -> ReceptiveField:
        field = POINT
        for _, child in placed.children:
            field = field.then(self.relative(child))
        return field

    def walk(self, placed: Placed, before: ReceptiveField = POINT) -> list[ReceptiveField]:
        """Fields, on the network's input, of every operation in order; `before` is the field of what comes in."""
        node = placed.node
        if isinstance(node, Operation):
            return [before.then(self.relative(placed))]
        fields: list[ReceptiveField] = []
        here = before
        for name, child in placed.children:
            if isinstance(node, Concat) or (isinstance(node, Residual) and name != "then"):
                incoming = before
            elif isinstance(node, Residual):
                incoming = _union([before.then(self.relative(c)) for n, c in placed.children if n != "then"])
                incoming = incoming if node.shortcut is not None else incoming.hull(before)
            else:
                incoming = here
            after = incoming.then(self.relative(child))
            fields += [after] if isinstance(child.node, Operation) else self.walk(child, incoming)
            here = here.hull(after) if isinstance(node, Dense) else after
        return fields


def _union(fields: list[ReceptiveField]) -> ReceptiveField:
    first, *rest = fields
    for field in rest:
        first = first.hull(field)
    return first


def _of_operation(node: Operation, placed: Placed) -> ReceptiveField:
    if isinstance(node, Flatten | GlobalAvgPool | GlobalMaxPool) and len(placed.input) == 3:
        _, height, width = placed.input
        return ReceptiveField(Axis(size=height), Axis(size=width))
    if isinstance(node, AdaptiveAvgPool):
        return ReceptiveField(*map(_even, node.spans(placed.input), placed.input[1:]))
    windows = node.windows(placed.input)
    if windows is None:
        return POINT
    rows, columns = windows
    field = ReceptiveField(
        Axis(rows.span, rows.stride, -rows.before), Axis(columns.span, columns.stride, -columns.before)
    )
    return POINT if field == POINT else field


def _even(spans: tuple[tuple[int, int], ...], whole: int) -> Axis:
    """The smallest field at an even stride in which every one of these windows lies: 5 by 3 for 14 rows to 4."""
    stride = max(1, whole // len(spans))
    start = min(first - i * stride for i, (first, _) in enumerate(spans))
    return Axis(max(last - i * stride for i, (_, last) in enumerate(spans)) - start, stride, start)


def receptive_field(elaborated: Elaborated) -> ReceptiveField:
    """Field of the network's output on its input."""
    return Fields().relative(elaborated.body)
