"""Edits: functions from network to network. Names stay; what was one shared block stays one.

All are maps over the tree: `rewrite` visits every node once, children first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from dataclasses import replace as with_fields
from typing import TypeVar

from convatlas.define.combinators import Children, Combinator, Gate, Residual, Sequential, Towers
from convatlas.define.elaborate import elaborate
from convatlas.define.network import Network
from convatlas.define.operations import (
    LRN,
    RBF,
    BatchNorm,
    Conv,
    DepthwiseConv,
    Linear,
    Node,
    Operation,
    PadShortcut,
    TableConv,
)
from convatlas.define.shape import Shape, ShapeError, show

N = TypeVar("N", bound=Network)
Rule = Callable[[Node], Node | None]


def rewrite(network: N, rule: Rule) -> N:
    """Apply `rule` to every node, children first; None drops the row. Heads are rewritten too."""
    seen: dict[int, tuple[Node, Node | None]] = {}  # the old node is kept, so that its id stays its own

    def visit(node: Node) -> Node | None:
        if id(node) not in seen:
            new = node
            if isinstance(node, Combinator):
                children = visit_all(node.children)
                if any(a is not b for (_, a), (_, b) in zip(children, node.children, strict=False)) or len(
                    children
                ) != len(node.children):
                    new = node.with_children(children)
            seen[id(node)] = node, rule(new)
        return seen[id(node)][1]

    def visit_all(children: Children) -> Children:
        visited = ((name, visit(child)) for name, child in children)
        return tuple((name, child) for name, child in visited if child is not None)

    return network.replaced(rows=visit_all(network.children), aux=visit_all(network.aux))


def classifier(rows: Children) -> str | None:
    """Dotted path of the row that makes the classes: the last convolution, linear or RBF layer in series."""
    for name, node in reversed(rows):
        if isinstance(node, Conv | Linear | RBF):
            return name
        if isinstance(node, Sequential | Towers):
            inner = classifier(node.children)
            if inner is not None:
                return f"{name}.{inner}"
        elif isinstance(node, Combinator):
            return None
    return None


def _at(rows: Children, path: str, change: Callable[[Node], Node]) -> Children:
    """`rows` with the node at `path` changed."""
    name, _, rest = path.partition(".")

    def changed(child: Node) -> Node:
        if not rest:
            return change(child)
        assert isinstance(child, Combinator)  # `classifier` gave the path
        return child.with_children(_at(child.children, rest, change))

    return tuple((n, changed(child) if n == name else child) for n, child in rows)


def _on_classifiers(network: N, change: Callable[[Node], Node]) -> N:
    """Change the classifier of the network and of each auxiliary head."""

    def in_series(rows: Children, where: str) -> Children:
        path = classifier(rows)
        if path is None:
            raise ShapeError(
                "no classifier found: the rows end in no convolution, linear or RBF layer", where or "network"
            )
        return _at(rows, path, change)

    heads = []
    for row, head in network.aux:
        if not isinstance(head, Combinator):
            heads.append((row, change(head)))
        else:
            heads.append((row, head.with_children(in_series(head.children, f"aux.{row}"))))
    return network.replaced(rows=in_series(network.children, ""), aux=tuple(heads))


def with_classes(network: N, classes: int) -> N:
    """Give the classifier, and each auxiliary head's, `classes` outputs."""
    if classes < 1:
        raise ValueError(f"classes: {classes}; expected at least 1")

    def change(node: Node) -> Node:
        if isinstance(node, RBF):
            if node.width == classes:
                return node
            raise ShapeError(
                f"the RBF output has a fixed code for each of its {node.width} classes and cannot have {classes}; use lenet5"
            )
        return with_fields(node, width=classes)  # type: ignore[type-var]

    return _on_classifiers(network, change)


def with_input(network: N, shape: Shape) -> N:
    """Mean another input size; ShapeError names the row where the network cannot take it, and a size that it can."""
    changed = network.replaced(input=tuple(shape))
    try:
        elaborate(changed)
    except ShapeError as error:
        raise ShapeError(f"{error.message}. {_sizes_that_do(network, changed)}", error.path) from None
    return changed


def _sizes_that_do(network: Network, changed: Network) -> str:
    """What would work in place of the input of `changed`, which does not."""
    channels, *size = changed.input
    if len(size) != 2:
        return f"{network.name or 'The network'} means an input of {show(network.input)}"
    hints = []
    if network.aux and _can_be(changed.replaced(aux=())):
        heads = "head" if len(network.aux) == 1 else "heads"
        hints.append(
            f"at {show(changed.input)} it works without its auxiliary {heads} (without_aux, --no-aux)"
        )
    least = min(size)
    square = next(
        (n for n in range(least, least + 400) if _can_be(changed.replaced(input=(channels, n, n)))), None
    )
    if square is not None:
        hints.append(f"the next size that works is {show((channels, square, square))}")
    hints.append(f"the paper's is {show(network.input)}")
    text = "; ".join(hints)
    return text[:1].upper() + text[1:]


def _can_be(network: Network) -> bool:
    try:
        elaborate(network)
    except ShapeError:
        return False
    return True


_MULTIPLIERS = tuple(n / 8 for n in range(1, 17))


def scale_width(network: N, alpha: float, round_to: int = 1) -> N:
    """Multiply every width by `alpha`, rounded to multiples of `round_to`; the classifiers keep their classes.

    With `round_to` above 1 the rounding is MobileNet's: to the nearest multiple, never below 90 % of the
    exact width. Each width is scaled by itself: MobileNetV2's release instead multiplies the expansion by six after
    rounding the bottleneck, which differs by a few channels. ShapeError names the row whose groups no longer divide its width.
    """
    if not alpha > 0:
        raise ValueError(f"width multiplier {alpha}; expected a number above 0")
    if round_to < 1:
        raise ValueError(f"round_to {round_to}; expected at least 1")
    try:
        return _scaled(network, alpha, round_to)
    except ShapeError as error:
        if error.path == "TableConv":
            raise
        words = error.message.partition("; give the block")[
            0
        ]  # that would be another network, not a wider one
        raise ShapeError(f"{words}. {_widths_that_do(network, alpha, round_to)}", error.path) from None


def _scaled(network: N, alpha: float, round_to: int) -> N:
    def rounded(width: int) -> int:
        exact = width * alpha
        near = max(round_to, int(exact + round_to / 2) // round_to * round_to)
        return near + round_to if near < 0.9 * exact else near

    def rule(node: Node) -> Node:
        if isinstance(node, TableConv):
            raise ShapeError(
                "its widths are fixed by the connection table and cannot be scaled; use lenet5", "TableConv"
            )
        if isinstance(node, Conv | Linear | PadShortcut):
            return with_fields(node, width=rounded(node.width))
        return node

    def width_of(rows: Children) -> list[int]:
        path = classifier(rows)
        node = Sequential(**dict(rows))[path] if path else None
        return [node.width] if isinstance(node, Conv | Linear) else []

    if alpha == 1:
        return network
    scaled = rewrite(network, rule)
    classes = width_of(network.children)
    if classes:
        scaled = with_classes(scaled, classes[0])
    elaborate(scaled)  # says which row cannot be, before anything is built on it
    return scaled


def _widths_that_do(network: Network, alpha: float, round_to: int) -> str:
    """What would work in place of a width multiplier that leaves a group or a sum indivisible."""
    found = []
    for other in sorted(_MULTIPLIERS, key=lambda m: abs(m - alpha)):
        try:
            _scaled(network, other, round_to)
        except ShapeError:
            continue
        found.append(other)
        if len(found) == 2:
            break
    if not found:
        return f"Width multiplier {alpha:g} cannot be, nor can any multiple of an eighth up to 2"
    return f"Width multiplier {alpha:g} cannot be; nearest multiples of an eighth that can: {', '.join(f'{m:g}' for m in sorted(found))}"


def without_shortcuts(network: N) -> N:
    """Take every residual sum away, keeping its body: the plain network of the ResNet paper, names unchanged."""

    def rule(node: Node) -> Node:
        if isinstance(node, Residual):
            return Sequential(**{name: child for name, child in node.children if name != "shortcut"})
        return node

    return rewrite(network, rule)


def replace(network: N, old: type[Operation] | Operation, new: type[Operation] | Operation) -> N:
    """Put `new` wherever `old` (a kind, or one exact operation) stands.

    A `new` that is a kind takes over the settings that it shares with the old one (kernel, stride, width...).
    The rows keep their names.
    """

    def rule(node: Node) -> Node:
        if not (isinstance(node, old) if isinstance(old, type) else node == old):
            return node
        if not isinstance(new, type):
            return new
        assert isinstance(node, Operation)
        known = {f.name for f in fields(new)}  # type: ignore[arg-type]
        shared = {name: value for name, value in node.settings().items() if name in known}
        try:
            return new(**shared)
        except TypeError as error:
            raise ValueError(
                f"replace: {new.__name__} needs settings that {type(node).__name__} has not ({error}); give an instance"
            ) from None

    return rewrite(network, rule)


def without_aux(network: N) -> N:
    """Take the auxiliary heads away."""
    return network.replaced(aux=())


def without_normalization(network: N) -> N:
    """Take batch and local response norms away; a layer without bias that fed a batch norm gets one."""

    def gives_bias(node: Node) -> Node:
        if isinstance(node, Conv | DepthwiseConv | Linear) and not node.bias:
            return with_fields(node, bias=True)
        return node

    def rule(node: Node) -> Node | None:
        if isinstance(node, BatchNorm | LRN):
            return None
        return node

    def biases(node: Node) -> Node:
        if not isinstance(node, Sequential | Gate | Towers):
            return node
        return node.with_children(_biased(node.children))

    def _biased(rows: Children) -> Children:
        after = [child for _, child in rows[1:]] + [None]
        return tuple(
            (name, gives_bias(child) if isinstance(follower, BatchNorm) else child)
            for (name, child), follower in zip(rows, after, strict=True)
        )

    biased = rewrite(network, biases)
    return rewrite(biased.replaced(rows=_biased(biased.children), aux=biased.aux), rule)
