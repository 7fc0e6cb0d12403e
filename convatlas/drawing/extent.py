"""Rectangles on paper of what a scene holds: for the sheet's size, and for the test that nothing overlaps."""

from __future__ import annotations

from collections.abc import Iterable

from convatlas.drawing.scene import Band, Bar, Box, Circle, Dot, Frame, Text, Thing, Wire
from convatlas.drawing.svg import Paper

Rect = tuple[float, float, float, float]  # x, y, width, height


def rect_of(thing: Thing, paper: Paper) -> Rect:
    """The rectangle that a thing takes on paper; a wire's is that of all its points."""
    match thing:
        case Text():
            return paper.text_rect(thing)
        case Circle():
            return paper.rect(thing.u - thing.r, thing.v - thing.r, thing.u + thing.r, thing.v + thing.r)
        case Dot():
            return paper.rect(thing.u, thing.v, thing.u, thing.v)
        case Wire():
            us, vs = [p[0] for p in thing.points], [p[1] for p in thing.points]
            return paper.rect(min(us), min(vs), max(us), max(vs))
    return paper.rect(thing.u0, thing.v0, thing.u1, thing.v1)


def texts_of(thing: Thing) -> tuple[Text, ...]:
    """The texts that belong to a thing."""
    match thing:
        case Text():
            return (thing,)
        case Bar():
            return (thing.text,)
        case Band():
            return (thing.text,) if thing.text else ()
        case Box() | Frame():
            return thing.texts
    return ()


def extent(things: Iterable[Thing], paper: Paper) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of all things and their texts."""
    rects = []
    for thing in things:
        rects.append(rect_of(thing, paper))
        rects += [paper.text_rect(text) for text in texts_of(thing)]
    return (
        min(r[0] for r in rects),
        min(r[1] for r in rects),
        max(r[0] + r[2] for r in rects),
        max(r[1] + r[3] for r in rects),
    )
