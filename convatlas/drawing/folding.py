"""Which neighbors in the tree are the same block again. Nothing is guessed: the fold is the tree's own nesting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from convatlas.define import Combinator, Node, Operation, Placed, Residual
from convatlas.drawing.kinds import carries

# Fields that may differ between blocks that fold: figures list them.
_WIDTHS = frozenset({"width", "codes", "table", "multiplier"})
Signature = tuple[object, ...]


@dataclass(frozen=True)
class Run:
    """One row, or several in a row that are the same block: their names, and each as it stands."""

    names: tuple[str, ...]
    placed: tuple[Placed, ...]

    @property
    def count(self) -> int:
        """How many rows the run stands for."""
        return len(self.names)

    @property
    def name(self) -> str:
        """block2 for one row, block2–block4 for several."""
        return self.names[0] if self.count == 1 else f"{self.names[0]}–{self.names[-1]}"


class Folder:
    """Finds runs; remembers the signature of what it has seen, so that shared blocks are read once."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Placed, Signature]] = {}

    def runs(
        self,
        children: Sequence[tuple[str, Placed]],
        *,
        exact: bool = False,
        breaks: frozenset[str] = frozenset(),
        least: int = 2,
    ) -> list[Run]:
        """`children` with equal neighbors folded: blocks of `least` layers or more, of the same structure.

        `exact` asks for equal definitions, else widths may differ; shapes may differ in their channels only.
        A run ends after a row named in `breaks`.
        """
        runs: list[tuple[list[str], list[Placed]]] = []
        for name, placed in children:
            last = runs[-1] if runs else None
            if (
                last
                and last[0][-1] not in breaks
                and self._same(last[1][-1], placed, exact=exact, least=least)
            ):
                last[0].append(name)
                last[1].append(placed)
            else:
                runs.append(([name], [placed]))
        return [Run(tuple(names), tuple(placed)) for names, placed in runs]

    def _same(self, one: Placed, other: Placed, *, exact: bool, least: int) -> bool:
        if isinstance(one.node, Operation) or layers(one.node) < least:
            return False
        if one.input[1:] != other.input[1:] or one.output[1:] != other.output[1:]:
            return False
        if one.node is other.node or one.node == other.node:
            return True
        return not exact and self.signature(one) == self.signature(other)

    def signature(self, placed: Placed) -> Signature:
        """Structure of what stands here, without widths, residual scale and survival."""
        found = self._seen.get(id(placed))
        if found is None:
            found = self._seen[id(placed)] = (placed, self._read(placed))
        return found[1]

    def _read(self, placed: Placed) -> Signature:
        node = placed.node
        if isinstance(node, Operation):
            settings = tuple((name, value) for name, value in node.settings().items() if name not in _WIDTHS)
            return (type(node).__name__, settings)
        settings = () if isinstance(node, Residual) else tuple(_plain(node))
        return (
            type(node).__name__,
            settings,
            tuple((name, self.signature(child)) for name, child in placed.children),
        )


def _plain(node: Node) -> Iterator[tuple[str, object]]:
    assert isinstance(node, Combinator)
    yield from (
        (name, value) for name, value in node.settings().items() if isinstance(value, int | float | str)
    )


def layers(node: Node) -> int:
    """Convolutions and linear layers in a node's tree."""
    if isinstance(node, Operation):
        return int(carries(node))
    assert isinstance(node, Combinator)
    return sum(layers(child) for _, child in node.children)
