"""Published and recommended runs, one function each; the names by which `--recipe` knows them."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from convatlas.errors import MisuseError
from convatlas.recipes import fast
from convatlas.training.recipe import Recipe

RECIPES: dict[str, Callable[[], Recipe]] = {
    "fast-digits": fast.digits,
    "fast-mnist": fast.mnist,
    "fast-cifar": fast.cifar,
    "fast-imagenet": fast.imagenet,
    "fast-photos": fast.photos,
    "fine-tune": fast.finetune,
}

_BY_DATA = {
    "digits": "fast-digits",
    "mnist": "fast-mnist",
    "fashion-mnist": "fast-mnist",
    "cifar10": "fast-cifar",
    "cifar100": "fast-cifar",
    "cifar10-jpeg": "fast-cifar",
    "imagenet": "fast-imagenet",
}


def recipe(name: str) -> Recipe:
    """The recipe of this name; MisuseError with the nearest names."""
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=3, cutoff=0.4)
        raise MisuseError(
            f"unknown recipe {name!r}; {'nearest: ' + ', '.join(near) if near else 'there are: ' + ', '.join(RECIPES)}"
        )
    return RECIPES[name]()


def default(network: str, data: str, *, weights: bool = False) -> Recipe:
    """The recommended recipe for a network on data; `weights` says that it begins with trained ones."""
    if weights:
        return RECIPES["fine-tune"]()
    return RECIPES[_BY_DATA.get(data, "fast-photos")]()
