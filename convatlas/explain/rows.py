"""Which rows of a definition have maps to look at, and which of them a method takes when none is named."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from convatlas.define import (
    LRN,
    AdaptiveAvgPool,
    AvgPool,
    Dropout,
    Elaborated,
    MaxPool,
    Placed,
    Sequential,
    Subsampling,
)
from convatlas.define.combinators import Towers
from convatlas.define.shape import show
from convatlas.errors import MisuseError

_THINS = (MaxPool, AvgPool, AdaptiveAvgPool, Subsampling, Dropout, LRN)


def find_row(elaborated: Elaborated, name: str) -> Placed:
    """The row of this dotted name, with maps (C, H, W); MisuseError offers the nearest names."""
    known = dict(_everything(elaborated.body))
    if name not in known:
        near = difflib.get_close_matches(name, known, n=4, cutoff=0.4)
        there = ", ".join(near) if near else ", ".join(row for row, _ in elaborated.rows)
        raise MisuseError(
            f"--row {name}: {elaborated.network.name or 'the network'} has no such row; "
            f"{'nearest' if near else 'its top rows'}: {there} (convatlas show prints them all)"
        )
    placed = known[name]
    if len(placed.output) != 3:
        last = cam_row(elaborated)
        raise MisuseError(
            f"--row {name}: it gives {show(placed.output)}, numbers without a place in the picture, so there is no map "
            f"to show; the last row with maps is {last}"
        )
    return placed


def cam_row(elaborated: Elaborated) -> str:
    """Where Grad-CAM looks: the last maps, of more than one pixel, before pooling takes the places away.

    Selvaraju et al. 2017, §3: the last convolutional layer has the best of high-level meaning and detailed place.
    """
    rows = [path for path, placed in _with_maps(elaborated) if not isinstance(placed.node, _THINS)]
    if not rows:
        raise MisuseError(
            f"{elaborated.network.name or 'the network'} has no row of maps larger than one pixel"
        )
    return _lifted(elaborated, rows[-1])


def rows_by_resolution(elaborated: Elaborated, most: int = 5) -> list[str]:
    """The last row at each size of map, coarser ones last: a walk through the depth of the network."""
    last: dict[tuple[int, ...], str] = {}
    for path, placed in _with_maps(elaborated):
        if not isinstance(placed.node, _THINS):
            last[placed.output[1:]] = path
    return [_lifted(elaborated, path) for path in last.values()][-most:]


def unbranched(elaborated: Elaborated, row: str) -> list[str] | None:
    """Paths of the operations from the input up to and with `row`, or None where branches stand among them."""
    paths = []
    for path, placed in _series("", elaborated.body):
        if placed.children and not isinstance(placed.node, Sequential):
            return None
        paths.append(path)
        if path == row or _lifted_contains(elaborated, row, path):
            return paths
    return None  # the row stands inside of a branch


def _lifted_contains(elaborated: Elaborated, row: str, path: str) -> bool:
    """Whether `path` is the last operation of the series that `row` names."""
    while "." in path:
        parent, _, name = path.rpartition(".")
        if elaborated[parent].children[-1][0] != name:
            return False
        path = parent
        if path == row:
            return True
    return False


def _everything(placed: Placed, path: str = "") -> Iterator[tuple[str, Placed]]:
    for name, child in placed.children:
        here = f"{path}.{name}" if path else name
        yield here, child
        yield from _everything(child, here)


def _series(path: str, placed: Placed) -> Iterator[tuple[str, Placed]]:
    """What stands in series on the main path: operations, and combinators with branches as one."""
    for name, child in placed.children:
        here = f"{path}.{name}" if path else name
        if isinstance(child.node, (Sequential, Towers)):
            yield from _series(here, child)
        else:
            yield here, child


def _with_maps(elaborated: Elaborated) -> Iterator[tuple[str, Placed]]:
    for path, placed in _series("", elaborated.body):
        if len(placed.output) != 3 or max(placed.output[1:]) < 2:
            return
        yield path, placed


def _lifted(elaborated: Elaborated, path: str) -> str:
    """The outermost row that ends with this one: `conv5` and not `conv5.block3.then`."""
    while "." in path:
        parent, _, name = path.rpartition(".")
        if elaborated[parent].children[-1][0] != name:
            return path
        path = parent
    return path
