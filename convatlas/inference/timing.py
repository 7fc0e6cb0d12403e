"""Time several functions against each other: in rounds, one after the other, so that a busy minute meets all alike."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch

Key = TypeVar("Key", bound=Hashable)
# a call of fewer seconds is short: it takes its turn several times in a row
SHORT = 0.1
MOST_A_TURN = 6


@dataclass(frozen=True)
class Timing:
    """Seconds of each call that was counted."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def typical(self) -> float:
        """Median of the faster half: what the code takes when nobody else is busy, on a machine where somebody is."""
        ordered = sorted(self.seconds)
        return statistics.median(ordered[: (len(ordered) + 1) // 2])

    @property
    def best(self) -> float:
        return min(self.seconds)

    @property
    def worst(self) -> float:
        return max(self.seconds)

    def percentile(self, percent: float) -> float:
        """Nearest-rank percentile."""
        ordered = sorted(self.seconds)
        return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def once(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, waiting for the device before and after."""
    _wait(device)
    start = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - start


def turn(call: Callable[[], object], device: torch.device, expected: float) -> list[float]:
    """Seconds of the calls of one turn in a round; `expected`: what one takes, about.

    Where a call is short, several in a row, and one before them that is not counted: it meets cold caches, and the
    threads of who ran before, which spin for milliseconds (batch 1 came out at half its speed without it).
    """
    if expected > SHORT:
        return [once(call, device)]
    once(call, device)
    return [once(call, device) for _ in range(min(MOST_A_TURN, max(2, int(SHORT / max(expected, 1e-9)))))]


def in_rounds(
    calls: Mapping[Key, Callable[[], object]],
    device: torch.device,
    *,
    seconds: float,
    least: int = 3,
    most: int = 50,
    expected: Mapping[Key, float] | None = None,
) -> dict[Key, Timing]:
    """Give each a turn a round, the order turned every other round, until the time is used up.

    expected: seconds of a call, about; measured in a warm-up round where they are not given.
    """
    if expected is None:
        expected = {key: min(once(call, device) for _ in range(2)) for key, call in calls.items()}
    samples: dict[Key, list[float]] = {key: [] for key in calls}
    start = time.perf_counter()
    for number in range(most):
        order = list(calls.items())
        for key, call in order if number % 2 == 0 else reversed(order):
            samples[key] += turn(call, device, expected[key])
        if number + 1 >= least and time.perf_counter() - start > seconds:
            break
    return {key: Timing(tuple(values)) for key, values in samples.items()}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
