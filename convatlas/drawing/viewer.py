"""From the tree to a view: equal blocks folded, rows that only group opened, blocks put on cards."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from convatlas.define import Combinator, Concat, Dense, Gate, Operation, Placed, Residual, Sequential, Towers
from convatlas.drawing.boxing import boxed
from convatlas.drawing.folding import Folder, Run, layers
from convatlas.drawing.view import Bus, Card, Closed, Item, Loop, Part, Skip, Split, View

COMB_UP_TO = 12  # dense blocks of more steps are drawn with a bus: a comb of their arcs is a gray square


class Viewer:
    """Makes views. `depth` None folds equal blocks and opens all; a number opens that many levels, folds nothing."""

    def __init__(
        self, depth: int | None = None, *, comb: bool = False, breaks: frozenset[str] = frozenset()
    ) -> None:
        self._depth = depth
        self._comb = comb or depth is not None
        self._breaks = breaks
        self._folder = Folder()

    def trunk(self, placed: Placed, path: str = "") -> list[tuple[str, Item]]:
        """The top of a figure: (top row's name, item) in series."""
        found: list[tuple[str, Part | Item]] = []
        for run in self._runs(placed):
            paths = tuple(f"{path}.{name}" if path else name for name in run.names)
            found += [(run.names[-1], item) for item in self._row(run.placed, paths, card=True)]
        return _lanes_joined(boxed(found))

    def inside(self, placed: Sequence[Placed], paths: Sequence[str]) -> View:
        """What stands inside a node (the same node of several folded blocks), without a card of its own."""
        return tuple(
            item for _, item in boxed([("", item) for item in self._open(placed, paths, card=False)])
        )

    def _runs(self, placed: Placed, *, names: bool = True) -> list[Run]:
        if self._depth is not None:
            return [Run((name,), (child,)) for name, child in placed.children]
        breaks = self._breaks if names else frozenset()
        return self._folder.runs(
            placed.children, breaks=breaks, least=1 if isinstance(placed.node, Dense) else 2
        )

    def _row(self, placed: Sequence[Placed], paths: Sequence[str], *, card: bool) -> list[Part | Item]:
        """One row or a run of equal ones; `card` asks for a card around a block."""
        node = placed[0].node
        if isinstance(node, Operation):
            return [Part(tuple(paths), tuple(placed))]
        single = layers(node) <= 1 and isinstance(node, Sequential)
        if self._depth is not None and level(paths[0]) >= self._depth and not single:
            return [Closed(paths[0], placed[0])]
        if isinstance(node, Dense) and len(placed) == 1:
            found = self._dense(placed, paths)
            if len(found) == 1 and isinstance(found[0], Card):
                return found  # one card for the block and its steps
        if (card and self._is_block(placed[0])) or _folds(placed, paths):
            return [
                Card(
                    _run_name(paths),
                    tuple(paths),
                    self.inside(placed, paths),
                    tuple(placed),
                    placed[-1].output,
                )
            ]
        return self._open(placed, paths, card=card)

    def _is_block(self, placed: Placed) -> bool:
        """Whether a row is one block to a reader: a join, or a series around a single join."""
        if not isinstance(placed.node, Sequential):
            return True
        if not _joins(placed.node):
            few = sum(layers(child.node) > 1 for _, child in placed.children) < 2
            return layers(placed.node) > 1 and few and _steps_down(placed) < 2
        runs = self._runs(placed, names=False)
        joins = [run for run in runs if _joins(run.placed[0].node)]
        if len(joins) != 1 or joins[0].count > 1:
            return False
        if any(layers(run.placed[0].node) > 1 for run in runs if run is not joins[0]):
            return False  # a stage of blocks, of which only one has a join
        return len(placed.children) > 1 or self._is_block(joins[0].placed[0])

    def _open(self, placed: Sequence[Placed], paths: Sequence[str], *, card: bool) -> list[Part | Item]:
        """The content of a node, as a series of items."""
        first = placed[0]
        children = dict(first.children)

        def child(name: str) -> View:
            inner = [p[name] for p in placed]
            return tuple(
                item
                for _, item in boxed(
                    [("", x) for x in self._row(inner, [f"{p}.{name}" for p in paths], card=False)]
                )
            )

        match first.node:
            case Operation():
                return [Part(tuple(paths), tuple(placed))]
            case Concat():
                return [Split(tuple(child(name) for name in children), placed[-1].output)]
            case Towers():
                lane = self._series(placed, paths)
                return [Split((lane,) * first.node.count, placed[-1].output, lanes=True)]
            case Residual():
                notes = _notes([p.node for p in placed if isinstance(p.node, Residual)])
                skip = Skip(
                    child("body"),
                    child("shortcut") if "shortcut" in children else None,
                    placed[-1]["body"].output,
                    notes,
                )
                then = [p["then"] for p in placed] if "then" in children else []
                return [skip, *(self._row(then, [f"{p}.then" for p in paths], card=False) if then else [])]
            case Dense():
                return self._dense(placed, paths)
            case Gate():
                return [Loop(self._series(placed, paths), placed[-1].output)]
        found: list[Part | Item] = []
        for names in self._children(placed, fold=card):
            inner = [p[name] for p in placed for name in names]
            found += self._row(inner, [f"{path}.{name}" for path in paths for name in names], card=card)
        if layers(first.node) == 1 and all(isinstance(item, Part) for item in found):
            # A convolution with its own norm keeps it, also where the norm comes first.
            return [item for _, item in boxed([("", item) for item in found])]
        return found

    def _series(self, placed: Sequence[Placed], paths: Sequence[str]) -> View:
        found: list[tuple[str, Part | Item]] = []
        for names in self._children(placed, fold=False):
            inner = [p[name] for p in placed for name in names]
            where = [f"{path}.{name}" for path in paths for name in names]
            found += [("", item) for item in self._row(inner, where, card=False)]
        return tuple(item for _, item in boxed(found))

    def _children(self, placed: Sequence[Placed], *, fold: bool) -> list[tuple[str, ...]]:
        """Names of the first block's rows, run by run; inside a card nothing folds again."""
        if len(placed) > 1 or not fold:
            return [(name,) for name, _ in placed[0].children]
        return [run.names for run in self._runs(placed[0], names=False)]

    def _dense(self, placed: Sequence[Placed], paths: Sequence[str]) -> list[Part | Item]:
        """Folded steps as one card with a bus; opened ones as a comb."""
        first = placed[0]
        if self._comb and len(first.children) <= COMB_UP_TO:
            steps = [self._view([child], [f"{paths[0]}.{name}"]) for name, child in first.children]
            return [Bus(tuple(steps), first.output)]
        found: list[Part | Item] = []
        channels = first.input[0]
        for run in self._runs(first, names=False):
            where = tuple(f"{paths[0]}.{name}" for name in run.names)
            grown = list(dict.fromkeys(p.output[0] for p in run.placed))
            channels += sum(p.output[0] for p in run.placed)
            output = (channels, *first.input[1:])
            growth = f"{grown[0]}" if len(grown) == 1 else f"{grown[0]}…{grown[-1]}"
            bus = Bus((self.inside(run.placed, where),), output, growth)
            found.append(Card(_run_name(where), where, (bus,), run.placed, output) if run.count > 1 else bus)
        return found

    def _view(self, placed: Sequence[Placed], paths: Sequence[str]) -> View:
        return tuple(item for _, item in boxed([("", x) for x in self._row(placed, paths, card=False)]))


def _lanes_joined(items: Sequence[tuple[str, Item]]) -> list[tuple[str, Item]]:
    """Towers that follow each other as one: what a lane gives is what the same lane takes next."""
    out: list[tuple[str, Item]] = []
    for row, item in items:
        last = out[-1][1] if out else None
        if isinstance(last, Card) and isinstance(item, Card) and _is_lanes(last) and _is_lanes(item):
            one, other = last.inner[0], item.inner[0]
            assert isinstance(one, Split)
            assert isinstance(other, Split)
            if len(one.branches) == len(other.branches):
                lanes = zip(one.branches, other.branches, strict=True)
                split = Split(tuple((*a, *b) for a, b in lanes), other.output, lanes=True)
                name = f"{last.name}, {item.name}"
                out[-1] = (
                    row,
                    Card(name, (last.paths[0],), (split,), (*last.placed, *item.placed), item.output),
                )
                continue
        out.append((row, item))
    return out


def _is_lanes(card: Card) -> bool:
    return (
        len(card.inner) == 1 and isinstance(card.inner[0], Split) and card.inner[0].lanes and card.count == 1
    )


def _steps_down(placed: Placed) -> int:
    """How often the resolution changes on the way through a series: a stem changes it often, a block once."""
    places = [placed.input[1:], *(child.output[1:] for _, child in placed.children)]
    return sum(a != b for a, b in pairwise(places))


def level(path: str) -> int:
    """How deep a row stands, the words of a residual block left out: 2 for conv3.block1, 3 for its conv2."""
    return sum(name not in {"body", "shortcut", "then"} for name in path.split("."))


def _folds(placed: Sequence[Placed], paths: Sequence[str]) -> bool:
    """Whether several rows here are siblings that fold (and not the same row of blocks folded further out)."""
    parents = {path.rpartition(".")[0] for path in paths}
    return len(placed) > 1 and len(parents) == 1


def _joins(node: object) -> bool:
    """Whether a node is, or holds, a combinator that joins: anything but series of operations."""
    if not isinstance(node, Combinator):
        return False
    return not isinstance(node, Sequential) or any(_joins(child) for _, child in node.children)


def _run_name(paths: Sequence[str]) -> str:
    if len(paths) == 1:
        return paths[0]
    first, last = paths[0].rpartition(".")[2], paths[-1].rpartition(".")[2]
    same = _beginning(first, last).rstrip("0123456789")
    return f"{paths[0]}–{last[len(same) :] or last}"


def _beginning(one: str, other: str) -> str:
    """The longest text that both begin with."""
    length = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    return one[:length]


def _notes(blocks: Sequence[Residual]) -> tuple[str, ...]:
    notes = []
    if any(block.scale != 1 for block in blocks):
        notes.append("× " + _range([block.scale for block in blocks]))
    if any(block.survival != 1 for block in blocks):
        notes.append("p " + _range([block.survival for block in blocks]))
    return tuple(notes)


def _range(values: Sequence[float]) -> str:
    first, last = f"{values[0]:.3g}", f"{values[-1]:.3g}"
    return first if first == last else f"{first}…{last}"
