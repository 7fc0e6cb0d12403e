"""The root of a definition: named rows in series, auxiliary heads, the input that the paper means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from convatlas.define.combinators import Children, Combinator, check_rows
from convatlas.define.operations import Node
from convatlas.define.shape import Shape

INITS = ("lecun_1998", "lecun", "gaussian", "alexnet", "xavier", "he", "he_fan_in", "truncated_normal")


class Network(Combinator):
    """A whole network, as the paper's table: the keyword is a row's first column, the call its others.

    `input` is (channels, height, width) as the paper has it; `aux` maps a row's name to the head that branches
    off after it in training; `init` names the paper's rule for initial weights (see `modules.initialize`).
    """

    __slots__ = ("aux", "init", "input", "name")
    aux: Children
    init: str
    input: Shape
    name: str

    def __init__(
        self,
        *,
        input: Shape,
        aux: Mapping[str, Node] | None = None,
        init: str = "he",
        name: str = "",
        rows: Children = (),
        **named_rows: Node,
    ) -> None:
        children = check_rows("Network", {**dict(rows), **named_rows})
        heads = check_rows("Network", dict(aux or {}))
        missing = [row for row, _ in heads if row not in dict(children)]
        if missing:
            raise ValueError(
                f"auxiliary head after {missing[0]!r}: no such row; rows: {', '.join(n for n, _ in children)}"
            )
        if init not in INITS:
            raise ValueError(f"init {init!r}; expected one of {', '.join(INITS)}")
        self._set(children=children, aux=heads, init=init, name=name, input=tuple(input))

    @property
    def rows(self) -> Children:
        """(name, node) of the top rows, in order."""
        return self.children

    def replaced(
        self,
        *,
        rows: Children | None = None,
        aux: Children | None = None,
        input: Shape | None = None,
        name: str | None = None,
    ) -> Self:
        """The same network but for what is given; subclasses keep what else they carry."""
        return type(self)(
            input=self.input if input is None else input,
            aux=dict(self.aux if aux is None else aux),
            init=self.init,
            name=self.name if name is None else name,
            rows=self.children if rows is None else rows,
        )

    def with_children(self, children: Children) -> Self:
        return self.replaced(rows=children)

    def settings(self) -> dict[str, object]:
        return {"input": self.input, "aux": dict(self.aux), "init": self.init, "name": self.name}

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_network, (type(self), self.children, self.aux, self.input, self.init, self.name)


def _rebuild_network(
    kind: type[Network], rows: Children, aux: Children, input: Shape, init: str, name: str
) -> Network:
    return kind(rows=rows, aux=dict(aux), input=input, init=init, name=name)


def repeat(name: str, count: int, node: Node, start: int = 1) -> dict[str, Node]:
    """`count` equal rows, named name1, name2...: ``Sequential(**repeat("block", 3, block))``.

    One node stands in all the rows: definitions are values, and a shared one is elaborated once.
    """
    return {f"{name}{i}": node for i in range(start, start + count)}
