"""ImageNet's 1,000 classes in the order of every published network: sorted by WordNet id. Standard library only."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def _rows() -> tuple[tuple[str, str], ...]:
    text = files("convatlas.weights").joinpath("imagenet.txt").read_text(encoding="utf-8")
    return tuple((wnid, name) for wnid, _, name in (line.partition(" ") for line in text.splitlines()))


def imagenet_wnids() -> tuple[str, ...]:
    """WordNet ids by class index: n01440764 is class 0."""
    return tuple(wnid for wnid, _ in _rows())


def imagenet_classes() -> tuple[str, ...]:
    """Short English names by class index; two are shared by two classes (crane, maillot), the ids tell them apart."""
    return tuple(name for _, name in _rows())
