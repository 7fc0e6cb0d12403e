"""The one walk over the tree with shapes, and so the one place where shape errors come from.

Equal work is done once: a node that stands in many rows (a repeated block) on the same input shape is
elaborated to one shared `Placed`, so folds over it may remember what they found by identity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from convatlas.define.combinators import Combinator, Concat, Dense, Gate, Residual, Sequential, Towers
from convatlas.define.network import Network
from convatlas.define.operations import (
    AdaptiveAvgPool,
    AvgPool,
    BatchNorm,
    Conv,
    DepthwiseConv,
    Dropout,
    HardSigmoid,
    HardSwish,
    MaxPool,
    Node,
    Operation,
    ReLU,
    ReLU6,
    Sigmoid,
    Subsampling,
    Tanh,
)
from convatlas.define.shape import Shape, ShapeError, show


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A node where it stands: its input and output shapes, its totals, its children likewise.

    `parameters`, `statistics` and `mult_adds` include the children's. Names and paths are not here: they
    belong to the rows that share this.
    """

    node: Node
    input: Shape
    output: Shape
    children: tuple[tuple[str, Placed], ...] = ()
    parameters: int = 0
    statistics: int = 0
    mult_adds: int = 0

    def operations(self, path: str = "") -> Iterator[tuple[str, Placed]]:
        """(dotted name, operation placed), in order of computation."""
        if not isinstance(self.node, Combinator):
            yield path, self
            return
        for name, child in self.children:
            yield from child.operations(f"{path}.{name}" if path else name)

    def __getitem__(self, path: str) -> Placed:
        """What stands at a dotted path."""
        name, _, rest = path.partition(".")
        for child_name, child in self.children:
            if child_name == name:
                return child[rest] if rest else child
        raise KeyError(f"no row {name!r}; rows here: {', '.join(n for n, _ in self.children)}")


@dataclass(frozen=True, slots=True, eq=False)
class Elaborated:
    """A network with its shapes. Totals are those of the main path; auxiliary heads are apart, in `aux`."""

    network: Network
    body: Placed
    aux: tuple[tuple[str, Placed], ...] = field(default=())

    @property
    def input(self) -> Shape:
        """Shape of one image."""
        return self.body.input

    @property
    def output(self) -> Shape:
        """Shape of the logits, (classes,) in a classifier."""
        return self.body.output

    @property
    def rows(self) -> tuple[tuple[str, Placed], ...]:
        """The top rows."""
        return self.body.children

    @property
    def parameters(self) -> int:
        """Trained parameters of the main path."""
        return self.body.parameters

    @property
    def mult_adds(self) -> int:
        """Mult-adds of convolutions and linear layers for one image, main path."""
        return self.body.mult_adds

    def operations(self, *, aux: bool = False) -> Iterator[tuple[str, Placed]]:
        """Every operation with its dotted name; auxiliary heads, under ``aux.ROW``, only when asked for."""
        yield from self.body.operations()
        for row, head in self.aux if aux else ():
            yield from head.operations(f"aux.{row}")

    def __getitem__(self, path: str) -> Placed:
        """What stands at a dotted path, ``aux.ROW`` for a head."""
        if path.startswith("aux."):
            row, _, rest = path[4:].partition(".")
            head = dict(self.aux)[row]
            return head[rest] if rest else head
        return self.body[path]


def elaborate(network: Network, input_shape: Shape | None = None) -> Elaborated:
    """Walk the tree with shapes, from `input_shape` or the network's own input.

    ShapeError names the row's path, both shapes and what to do.
    """
    walk = _Walk()
    shape = tuple(input_shape or network.input)
    if len(shape) not in (1, 3) or min(shape) < 1:
        raise ShapeError(f"input {show(shape)}: expected channels x height x width, such as 3x224x224")
    body = walk.series(network, network.children, shape, "")
    after = dict(body.children)
    heads = tuple((row, walk.place(head, after[row].output, f"aux.{row}")) for row, head in network.aux)
    return Elaborated(network, body, heads)


class _Walk:
    """One elaboration: remembers what it placed, by node identity and input shape."""

    def __init__(self) -> None:
        self._placed: dict[tuple[int, Shape], Placed] = {}
        self._lanes: dict[tuple[int, int], Node] = {}  # keeps lowered nodes alive, so that ids stay theirs

    def place(self, node: Node, shape: Shape, path: str) -> Placed:
        key = (id(node), shape)
        placed = self._placed.get(key)
        if placed is None:
            placed = self._placed[key] = self._new(node, shape, path)
        return placed

    def _new(self, node: Node, shape: Shape, path: str) -> Placed:
        match node:
            case Operation():
                try:
                    output = node.output(shape)
                    return Placed(
                        node,
                        shape,
                        output,
                        (),
                        node.parameters(shape),
                        node.statistics(shape),
                        node.mult_adds(shape),
                    )
                except ShapeError as error:
                    raise ShapeError(error.message, error.path or path) from None
            case Towers():
                return self.series(node, self._lower(node, path), shape, path)
            case Sequential():
                return self.series(node, node.children, shape, path)
            case Concat():
                return self._concat(node, shape, path)
            case Residual():
                return self._residual(node, shape, path)
            case Dense():
                return self._dense(node, shape, path)
            case Gate():
                return self._gate(node, shape, path)
        raise TypeError(
            f"{path}: {type(node).__name__} is no operation and no combinator of convatlas.define"
        )

    def series(self, node: Node, rows: tuple[tuple[str, Node], ...], shape: Shape, path: str) -> Placed:
        placed, here = [], shape
        for name, child in rows:
            child_placed = self.place(child, here, f"{path}.{name}" if path else name)
            placed.append((name, child_placed))
            here = child_placed.output
        return _sum(node, shape, here, placed)

    def _concat(self, node: Concat, shape: Shape, path: str) -> Placed:
        placed = [(name, self.place(child, shape, f"{path}.{name}")) for name, child in node.children]
        first_name, first = placed[0]
        for name, other in placed[1:]:
            if other.output[1:] != first.output[1:]:
                raise ShapeError(
                    f"towers disagree: {first_name} gives {show(first.output[1:])}, {name} gives {show(other.output[1:])}; "
                    "give them the same stride and padding",
                    path,
                )
        channels = sum(child.output[0] for _, child in placed)
        return _sum(node, shape, (channels, *first.output[1:]), placed)

    def _residual(self, node: Residual, shape: Shape, path: str) -> Placed:
        body = self.place(node.body, shape, f"{path}.body")
        placed, short = [("body", body)], shape
        if node.shortcut is not None:
            shortcut = self.place(node.shortcut, shape, f"{path}.shortcut")
            placed.append(("shortcut", shortcut))
            short = shortcut.output
        if short != body.output:
            raise ShapeError(
                f"shortcut gives {show(short)}, body gives {show(body.output)}; give the block a projection shortcut "
                "of the body's width and stride",
                path,
            )
        output = body.output
        if node.then is not None:
            then = self.place(node.then, output, f"{path}.then")
            placed.append(("then", then))
            output = then.output
        return _sum(node, shape, output, placed)

    def _dense(self, node: Dense, shape: Shape, path: str) -> Placed:
        placed, here = [], shape
        for name, child in node.children:
            step = self.place(child, here, f"{path}.{name}")
            if step.output[1:] != here[1:]:
                raise ShapeError(
                    f"a dense step must keep the resolution: {name} turns {show(here)} into {show(step.output)}",
                    path,
                )
            placed.append((name, step))
            here = (here[0] + step.output[0], *here[1:])
        return _sum(node, shape, here, placed)

    def _gate(self, node: Gate, shape: Shape, path: str) -> Placed:
        inner = self.series(node, node.children, shape, path)
        if inner.output not in (shape, shape[:1], (shape[0], 1, 1)):
            raise ShapeError(
                f"the gate gives {show(inner.output)} for {show(shape)}; expected one value a channel, ({shape[0]},)",
                path,
            )
        return _sum(node, shape, shape, list(inner.children))

    def _lower(self, towers: Towers, path: str) -> tuple[tuple[str, Node], ...]:
        return tuple(
            (name, self._lane(child, towers.count, f"{path}.{name}")) for name, child in towers.children
        )

    def _lane(self, node: Node, count: int, path: str) -> Node:
        """The node that does in one go what `count` lanes do each on their share of the channels."""
        key = (id(node), count)
        if key not in self._lanes:
            self._lanes[key] = lower_lane(node, count, path)
        return self._lanes[key]


_CHANNEL_BY_CHANNEL = (
    ReLU, ReLU6, HardSwish, HardSigmoid, Sigmoid, Tanh, BatchNorm, DepthwiseConv, MaxPool, AvgPool, Subsampling,
    AdaptiveAvgPool, Dropout,
)  # fmt: skip


def lower_lane(node: Node, count: int, path: str = "") -> Node:
    """`node` of a `Towers` of `count` lanes as one node over all lanes: convolutions get `count` times the groups."""
    match node:
        case Conv():
            settings = node.settings() | {"groups": node.groups * count}
            return Conv(**settings)  # type: ignore[arg-type]
        case _ if isinstance(node, _CHANNEL_BY_CHANNEL):
            return node
        case Sequential():
            rows = tuple((name, lower_lane(child, count, f"{path}.{name}")) for name, child in node.children)
            return node.with_children(rows)
    kind = type(node).__name__
    raise ShapeError(
        f"{kind} cannot stand inside Towers; convolutions, activations, pooling, batch norm and dropout can",
        path,
    )


def _sum(node: Node, shape: Shape, output: Shape, placed: list[tuple[str, Placed]]) -> Placed:
    parameters = statistics = mult_adds = 0
    for _, child in placed:
        parameters += child.parameters
        statistics += child.statistics
        mult_adds += child.mult_adds
    return Placed(node, shape, output, tuple(placed), parameters, statistics, mult_adds)
