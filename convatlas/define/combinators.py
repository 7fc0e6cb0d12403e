"""The combinators: how operations are joined. All are series-parallel, which covers every network here.

A combinator is an immutable, ordered list of named children. The names are the rows' names in the table,
the figure and the state dict, so they are Python identifiers, fixed by the author from the paper.
"""

from __future__ import annotations

from typing import Self

from convatlas.define.operations import Node

Children = tuple[tuple[str, Node], ...]


def check_rows(owner: str, rows: dict[str, object]) -> Children:
    """Rows as an immutable tuple; TypeError or ValueError names the one that is no node or no name."""
    for name, node in rows.items():
        if not isinstance(node, Node):
            raise TypeError(
                f"{owner}: row {name!r} is {node!r}; expected an operation or a combinator (an instance, not its class)"
            )
        if not name.isidentifier() or name.startswith("_"):
            raise ValueError(
                f"{owner}: {name!r} cannot name a row; expected a Python identifier such as conv1"
            )
    return tuple(rows.items())  # type: ignore[arg-type]


class Combinator(Node):
    """A node with named children. Equal when of one kind with equal children and settings."""

    __slots__ = ("children",)
    children: Children

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"a {type(self).__name__} is a value: use the edits of convatlas.define to make another"
        )

    __delattr__ = __setattr__  # type: ignore[assignment]

    def with_children(self, children: Children) -> Self:
        """The same combinator, settings kept, over other children."""
        return type(self)(**dict(children))

    def settings(self) -> dict[str, object]:
        """What it is told besides its children, where it differs from the default."""
        return {}

    def __getitem__(self, path: str) -> Node:
        """The node at a dotted path: ``block["body.conv1"]``."""
        name, _, rest = path.partition(".")
        for child_name, child in self.children:
            if child_name == name:
                return child[rest] if rest else child  # type: ignore[index]
        raise KeyError(f"no row {name!r}; rows here: {', '.join(n for n, _ in self.children)}")

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other):
            return NotImplemented
        assert isinstance(other, Combinator)
        return self.children == other.children and self.settings() == other.settings()

    def __hash__(self) -> int:
        return hash((type(self), self.children))

    def __repr__(self) -> str:
        parts = [f"{k}={v!r}" for k, v in (*self.children, *self.settings().items())]
        return f"{type(self).__name__}({', '.join(parts)})"

    # copy, deepcopy and pickle must go through the constructor: attributes cannot be set from outside
    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.children, self.settings())


def _rebuild(kind: type[Combinator], children: Children, settings: dict[str, object]) -> Combinator:
    return kind(**dict(children), **settings)


class Sequential(Combinator):
    """Children one after another; without children, the identity."""

    __slots__ = ()

    def __init__(self, **rows: Node) -> None:
        self._set(children=check_rows(type(self).__name__, dict(rows)))


class Separable(Sequential):
    """A `Sequential` that its paper counts as one layer: depthwise and pointwise (Chollet 2016)."""

    __slots__ = ()


class Concat(Combinator):
    """Branches side by side on one input, their channels joined in order (Inception towers, Fire, ShuffleNet)."""

    __slots__ = ()

    def __init__(self, **branches: Node) -> None:
        if len(branches) < 2:
            raise ValueError("Concat needs two branches or more")
        self._set(children=check_rows("Concat", dict(branches)))


class Dense(Combinator):
    """Steps of which each sees the input and all outputs before it, joined; gives all of them joined (Huang et al. 2016)."""

    __slots__ = ()

    def __init__(self, **steps: Node) -> None:
        self._set(children=check_rows("Dense", dict(steps)))


class Gate(Combinator):
    """Rows in series whose output, one value a channel, multiplies the input (squeeze and excite, Hu et al. 2017)."""

    __slots__ = ()

    def __init__(self, **rows: Node) -> None:
        self._set(children=check_rows("Gate", dict(rows)))


class Towers(Combinator):
    """Rows on `count` separate lanes, each with its share of the channels: AlexNet's two GPUs.

    Widths are those of all lanes together. It lowers to convolutions of `count` times as many groups.
    """

    __slots__ = ("count",)
    count: int

    def __init__(self, count: int, /, **rows: Node) -> None:
        self._set(children=check_rows("Towers", dict(rows)), count=count)

    def with_children(self, children: Children) -> Self:
        return type(self)(self.count, **dict(children))

    def settings(self) -> dict[str, object]:
        return {"count": self.count}

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_towers, (self.count, self.children)


def _rebuild_towers(count: int, children: Children) -> Towers:
    return Towers(count, **dict(children))


class Residual(Combinator):
    """shortcut(x) + scale * body(x), then `then` (He et al. 2015; `scale`: Szegedy et al. 2016).

    `shortcut` None is the identity. `survival` is the probability that the body is kept for a mini-batch in
    training; at test the body is scaled by it (Huang et al. 2016, stochastic depth).
    """

    __slots__ = ("scale", "survival")
    scale: float
    survival: float

    def __init__(
        self,
        body: Node,
        shortcut: Node | None = None,
        then: Node | None = None,
        scale: float = 1.0,
        survival: float = 1.0,
    ) -> None:
        if not 0 < survival <= 1:
            raise ValueError(f"Residual: survival {survival}; expected a probability in (0, 1]")
        rows = {"body": body, "shortcut": shortcut, "then": then}
        children = check_rows("Residual", {name: node for name, node in rows.items() if node is not None})
        self._set(children=children, scale=scale, survival=survival)

    def with_children(self, children: Children) -> Self:
        return type(self)(**dict(children), scale=self.scale, survival=self.survival)

    def settings(self) -> dict[str, object]:
        return {k: v for k, v in (("scale", self.scale), ("survival", self.survival)) if v != 1}

    @property
    def body(self) -> Node:
        """What is added to the shortcut."""
        return self["body"]

    @property
    def shortcut(self) -> Node | None:
        """The projection, or None for the identity."""
        return dict(self.children).get("shortcut")

    @property
    def then(self) -> Node | None:
        """What follows the sum, or None."""
        return dict(self.children).get("then")


COMBINATORS: tuple[type[Combinator], ...] = (Sequential, Separable, Concat, Dense, Gate, Towers, Residual)
