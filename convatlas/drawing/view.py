"""What a figure shows, before it is laid out: boxes, joins and cards, each with the rows that it stands for."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.define import Operation, Placed, Shape


@dataclass(frozen=True)
class Part:
    """One operation as it stands in one row, or in the same row of several folded blocks."""

    paths: tuple[str, ...]
    placed: tuple[Placed, ...]

    @property
    def operation(self) -> Operation:
        """The operation; of folded blocks the first one's."""
        node = self.placed[0].node
        assert isinstance(node, Operation)
        return node

    @property
    def output(self) -> tuple[int, ...]:
        """Shape that comes out, of the last block folded here."""
        return self.placed[-1].output


@dataclass(frozen=True)
class Box:
    """An operation with what rides on it: strips before and behind."""

    parts: tuple[Part, ...]
    main: int  # which of the parts the box is about


@dataclass(frozen=True)
class Split:
    """Branches side by side, joined by a concat bar; `lanes` of them are towers that share the channels."""

    branches: tuple[View, ...]
    output: Shape
    lanes: bool = False


@dataclass(frozen=True)
class Skip:
    """A body with a shortcut around it, added."""

    body: View
    shortcut: View | None
    output: Shape
    notes: tuple[str, ...]  # scale and survival, where they are not 1


@dataclass(frozen=True)
class Loop:
    """A gate: its branch multiplies what passes."""

    inner: View
    output: Shape


@dataclass(frozen=True)
class Bus:
    """Dense steps: each joins what it makes to what came in. Several `steps` are drawn as a comb.

    `growth` is how many channels a step adds, in words.
    """

    steps: tuple[View, ...]
    output: Shape
    growth: str = ""


@dataclass(frozen=True)
class Card:
    """A named block; `count` is how many rows it stands for."""

    name: str
    paths: tuple[str, ...]
    inner: View
    placed: tuple[Placed, ...]
    output: Shape

    @property
    def count(self) -> int:
        """How many rows the card stands for."""
        return len(self.paths)


@dataclass(frozen=True)
class Closed:
    """A block that is not opened: its name and what comes out."""

    path: str
    placed: Placed


def output_of(item: Item) -> Shape:
    """Shape that an item gives; of folded blocks the last one's."""
    if isinstance(item, Box):
        return item.parts[-1].output
    return item.placed.output if isinstance(item, Closed) else item.output


Item = Box | Split | Skip | Loop | Bus | Card | Closed
View = tuple[Item, ...]  # in series; empty is the identity
