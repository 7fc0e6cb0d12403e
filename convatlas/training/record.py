"""What recipe.json must hold for a run to be gone on with, or its data to be opened again."""

from __future__ import annotations

import typing

from convatlas.errors import MisuseError
from convatlas.training.fields import check_fields
from convatlas.training.plan import Plan
from convatlas.training.recipe import Recipe


class Opened(typing.TypedDict):
    """What `open_data` takes to open a run's data again, with the same split."""

    spec: str
    root: str | None
    seed: int
    test_share: float


class _Data(typing.TypedDict):
    """What is read again of a source's record."""

    classes: int
    train: int
    test: int
    fingerprint: str


class _Record(typing.TypedDict):
    """What is read again of recipe.json."""

    network: str
    definition: dict[str, object]
    data: dict[str, object]
    chosen_on: str
    seed: int
    recipe: dict[str, object]
    plan: dict[str, object]
    versions: dict[str, object]


def check_record(found: object) -> None:
    """MisuseError where recipe.json is not what `fit` writes."""
    _check_object(_Record, found, "the record of a run")
    record = typing.cast("dict[str, dict[str, object]]", found)
    _check_object(_Data, record["data"], "data")
    if opened := record["data"].get("opened"):  # a source that Python made was not opened
        _check_object(Opened, opened, "data.opened")
    check_seed(typing.cast("int", record["seed"]))
    Recipe.from_dict(record["recipe"])
    Plan.from_dict(record["plan"])


def _check_object(kind: type, found: object, where: str) -> None:
    if not isinstance(found, dict):
        raise MisuseError(f"{where} should be a JSON object")
    if missing := [name for name in kind.__annotations__ if name not in found]:
        raise MisuseError(f"{where} has no {', '.join(missing)}")
    check_fields(kind, found, where)


def check_seed(seed: int) -> None:
    """MisuseError where torch cannot begin with this number."""
    if not -(1 << 63) <= seed < 1 << 64:
        raise MisuseError(f"--seed must be -2^63 to 2^64 - 1, received {seed}")
