"""What a laid out figure is made of: boxes, texts, wires in flow coordinates.

`u` runs with the data, `v` across it; the vertical form has u downwards and v to the right, the horizontal form
u to the right and v upwards. So one layout serves both, and a test can measure it before it is ink.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from convatlas.drawing.text import text_width
from convatlas.drawing.view import Box as BoxView
from convatlas.drawing.view import Card as CardView
from convatlas.drawing.view import Closed as ClosedView

Point = tuple[float, float]  # (u, v)


@dataclass(frozen=True)
class Text:
    """One line of text. `across` runs along v, centered on (u, v) in u; else it is level on paper in both forms.

    `anchor` says which end of the text v (across) or its paper x (level) is: start, middle or end.
    """

    u: float
    v: float
    content: str
    size: float
    anchor: str = "middle"
    color: str = "ink"
    bold: bool = False
    across: bool = True

    @property
    def width(self) -> float:
        """Upper bound of its length on paper."""
        return text_width(self.content, self.size, bold=self.bold)


@dataclass(frozen=True)
class Strip:
    """A band of a box: an operation riding on it. `part` is its index in the box's parts."""

    u0: float
    u1: float
    part: int


@dataclass(frozen=True)
class Box:
    """A box of one operation and its strips, or a closed block, with its texts."""

    u0: float
    v0: float
    u1: float
    v1: float
    view: BoxView | ClosedView
    texts: tuple[Text, ...]
    strips: tuple[Strip, ...] = ()
    lane: int = 0  # of towers; only lane 0 carries the row's id


@dataclass(frozen=True)
class Bar:
    """Where branches are joined."""

    u0: float
    v0: float
    u1: float
    v1: float
    text: Text


@dataclass(frozen=True)
class Circle:
    """A plus or a times in a circle."""

    u: float
    v: float
    sign: str
    r: float = 7.5


@dataclass(frozen=True)
class Wire:
    """A line on the grid through `points`, its turns rounded; `arrow` at its end."""

    points: tuple[Point, ...]
    arrow: bool = False
    dashed: bool = False
    bus: bool = False


@dataclass(frozen=True)
class Dot:
    """A junction of the comb."""

    u: float
    v: float


@dataclass(frozen=True)
class Frame:
    """A card behind a block. `count` above 1 shows as stacked cards; dashed for what exists in training only."""

    u0: float
    v0: float
    u1: float
    v1: float
    view: CardView | None
    texts: tuple[Text, ...]
    dashed: bool = False


@dataclass(frozen=True)
class Band:
    """The quiet background of a stage."""

    u0: float
    v0: float
    u1: float
    v1: float
    text: Text | None
    alternate: bool


Thing = Text | Box | Bar | Circle | Wire | Dot | Frame | Band


@dataclass
class Layout:
    """Things placed around an axis at v = 0, from u = 0 to u = `length`; `left` and `right` are its extents."""

    length: float = 0.0
    left: float = 0.0
    right: float = 0.0
    things: list[Thing] = field(default_factory=list)
    parts: list[tuple[float, float, Layout]] = field(default_factory=list)
    solid: bool = False  # whether a wire that comes in ends at something: it then gets an arrow

    def add(self, u: float, v: float, part: Layout) -> None:
        """Place `part` with its start at (u, v), and grow to hold it."""
        self.parts.append((u, v, part))
        self.left = max(self.left, part.left - v)
        self.right = max(self.right, part.right + v)
        self.length = max(self.length, u + part.length)

    def flat(self, du: float = 0.0, dv: float = 0.0) -> Iterator[Thing]:
        """All things, moved to where they stand."""
        for thing in self.things:
            yield moved(thing, du, dv)
        for u, v, part in self.parts:
            yield from part.flat(du + u, dv + v)


def moved(thing: Thing, du: float, dv: float) -> Thing:
    """The same thing elsewhere."""
    match thing:
        case Text() | Circle() | Dot():
            return replace(thing, u=thing.u + du, v=thing.v + dv)
        case Wire():
            return replace(thing, points=tuple((u + du, v + dv) for u, v in thing.points))
        case Bar():
            return replace(
                thing,
                u0=thing.u0 + du,
                u1=thing.u1 + du,
                v0=thing.v0 + dv,
                v1=thing.v1 + dv,
                text=replace(thing.text, u=thing.text.u + du, v=thing.text.v + dv),
            )
        case Band():
            text = thing.text and replace(thing.text, u=thing.text.u + du, v=thing.text.v + dv)
            return replace(
                thing, u0=thing.u0 + du, u1=thing.u1 + du, v0=thing.v0 + dv, v1=thing.v1 + dv, text=text
            )
        case Frame():
            texts = tuple(replace(t, u=t.u + du, v=t.v + dv) for t in thing.texts)
            return replace(
                thing, u0=thing.u0 + du, u1=thing.u1 + du, v0=thing.v0 + dv, v1=thing.v1 + dv, texts=texts
            )
    texts = tuple(replace(t, u=t.u + du, v=t.v + dv) for t in thing.texts)
    strips = tuple(replace(s, u0=s.u0 + du, u1=s.u1 + du) for s in thing.strips)
    return replace(
        thing,
        u0=thing.u0 + du,
        u1=thing.u1 + du,
        v0=thing.v0 + dv,
        v1=thing.v1 + dv,
        texts=texts,
        strips=strips,
    )
