"""Remember which candidate won, by network, device, shapes and versions; a remembered one is checked again, not timed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from convatlas._version import __version__
from convatlas.fetch import cache_dir
from convatlas.inference.engines import Engine, Plan
from convatlas.machine import machine

MOST = 500


def key(model: nn.Module, example: Tensor, engines: Iterable[Engine], settings: Iterable[object]) -> str:
    """Everything that a choice depends on, as one name: not the values of the weights, which the check sees to."""
    here = machine()
    device = torch.cuda.get_device_name(example.device) if example.device.type == "cuda" else here.processor
    parts = [
        __version__,
        type(model).__name__,
        str(model),
        [(name, tuple(value.shape)) for name, value in model.state_dict().items()],
        tuple(example.shape),
        (example.device.type, device, here.cores, here.flags, torch.get_num_threads()),
        [(e.name, e.missing() is None, e.version()) for e in engines],
        list(settings),
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def recall(name: str) -> tuple[Plan, str] | None:
    """The plan that won under this key and the table it won in, if it was met before; an unreadable cache is empty."""
    found = _read().get(name)
    fields = {field.name for field in dataclasses.fields(Plan)}
    if not isinstance(found, dict) or set(found) != {*fields, "table"}:
        return None
    table = str(found.pop("table"))
    return Plan(**found), table


def remember(name: str, plan: Plan, table: str) -> None:
    """Write the winner and its reasons down; a cache that cannot be written is no reason to fail."""
    choices = _read()
    choices.pop(name, None)
    choices[name] = {**dataclasses.asdict(plan), "table": table}
    kept = dict(list(choices.items())[-MOST:])
    path = _path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            json.dump(kept, file, indent=1)
        Path(file.name).replace(path)
    except OSError:
        return


def _path() -> Path:
    return cache_dir() / "choices.json"


def _read() -> dict[str, object]:
    try:
        found = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
