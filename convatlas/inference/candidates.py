"""Which ways to run a model are worth a try: engine, precision, copies, threads, tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from convatlas.errors import MisuseError
from convatlas.inference.engines import Engine, Plan
from convatlas.inference.engines.base import PRECISIONS

MODES = ("auto", "latency", "throughput")
# images that one copy takes at a time: few enough that a layer's output stays in the processor's cache
TILE = 4


def wanted_precisions(precision: str) -> tuple[str, ...]:
    """The precisions that the request allows."""
    if precision == "auto":
        return PRECISIONS
    if precision not in PRECISIONS:
        raise MisuseError(f"unknown precision {precision!r}; there are auto, {', '.join(PRECISIONS)}")
    return (precision,)


def base_plans(engine: Engine, precisions: Sequence[str], device: torch.device, threads: int) -> list[Plan]:
    """One plan a precision: one copy on all threads, the batch whole."""
    able = engine.precisions(device)
    return [Plan(engine.name, p, 1, threads) for p in precisions if p in able]


def parallel_plans(plan: Plan, batch: int, device: torch.device, threads: int) -> list[Plan]:
    """The same with other tiles, and with one copy a thread, which saves them waiting for each other."""
    if device.type != "cpu" or plan.engine in {"eager", "inductor"} or batch == 1:
        return []
    if batch <= TILE:
        return [replace(plan, instances=threads, threads=1)] if threads > 1 else []
    if threads == 1:
        return [replace(plan, tile=TILE)]
    # one copy with all threads gains nothing from tiles: it was at best 1.1 times slower than one copy a thread
    copies = replace(plan, instances=threads, threads=1)
    return [copies, replace(copies, tile=TILE)]
