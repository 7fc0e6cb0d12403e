"""Which ways to run a model are worth a try: engine, precision, copies, threads, tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from convatlas.errors import MisuseError
from convatlas.inference.engines import Engine, Plan
from convatlas.inference.engines.base import PRECISIONS
from convatlas.inference.graph.sensitivity import Sensitivity

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


def finer_plans(plan: Plan, found: Sensitivity, agreement: float) -> list[Plan]:
    """The plan refined, then with layers left in float32, each with a better prospect of this share of equal answers.

    A number of layers is tried if the share of changed answers to be expected is what the bound allows, half, a quarter
    and an eighth of it, and 3, 6, 12, ... between; none where all layers would be float32.
    """
    allowed = 1 - agreement
    counts = {found.spared_for(allowed * part) for part in (1, 0.5, 0.25, 0.125)}
    counts |= {3 << i for i in range(8) if min(counts) < 3 << i < max(counts)}
    if found.changed(0) <= 3 * allowed:  # an estimate: it may hold without
        counts.add(0)
    return [replace(plan, refined=True, exact=n) for n in sorted(counts) if n < len(found.names)]


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
