"""Values that came from a file or a script, held against the annotations of a dataclass. Standard library only."""

from __future__ import annotations

import math
import reprlib
import types
import typing
from collections.abc import Mapping
from functools import cache

from convatlas.errors import MisuseError

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", dict: "an object"}


def check_fields(owner: type, values: Mapping[str, object], where: str) -> None:
    """MisuseError on a value that is not of its field's type; names that are no fields are not looked at.

    Checked are bool, int, float (a whole number will do), str, dict, tuples and lists of them (one stands for the
    other, as in JSON), and None beside them. Numbers within tuples and lists are finite.
    """
    hints = _hints(owner)
    for name, value in values.items():
        if name in hints and not _fits(value, hints[name]):
            raise MisuseError(
                f"{where}: {name} should be {words(hints[name])}, received {reprlib.repr(value)}"
            )


def words(hint: object) -> str:
    """A type for a person."""
    kind = typing.get_origin(hint) or hint
    if kind in (tuple, list):
        inner = typing.get_args(hint)[0]
        return "whole numbers" if inner is int else "numbers" if inner is float else "a list"
    if isinstance(hint, types.UnionType):
        return " or ".join("nothing" if h is type(None) else words(h) for h in typing.get_args(hint))
    return _WORDS.get(typing.cast("type", kind), str(hint))


@cache
def _hints(owner: type) -> dict[str, object]:
    return typing.get_type_hints(owner)


def _fits(value: object, hint: object) -> bool:
    if hint in (bool, str, dict):
        return isinstance(value, typing.cast("type", hint))
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is type(None):
        return value is None
    if isinstance(hint, types.UnionType):
        return any(_fits(value, h) for h in typing.get_args(hint))
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is dict:
        return isinstance(value, dict)
    if origin in (tuple, list):
        if not isinstance(value, tuple | list) or (
            origin is tuple and Ellipsis not in inner and len(value) != len(inner)
        ):
            return False
        return all(_fits(v, inner[0]) and (not isinstance(v, float) or math.isfinite(v)) for v in value)
    return True
