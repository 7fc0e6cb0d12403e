"""A runner for batches of any size: cut into tiles, handed to one or several copies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from convatlas.data.threads import core_pool
from convatlas.inference.engines import Plan, Runner, Unsuitable

# sizes of batch for which a runner is kept; each may hold a compiled copy
KEPT = 6
# times that a runner is made anew where it answers wrongly: OpenVINO 2026.4 packs the weights of int8 models for two
# streams at once, and every second to sixth model comes out as garbage, for good
TRIES = 8

Proof = Callable[[Runner, int], str | None]


class Tiled:
    """Callable: float32 images (n, C, H, W), any n >= 1, to logits (n, classes).

    prove: says what is wrong with a runner for so many images, None if nothing; each new one is asked about.
    """

    def __init__(self, make: Callable[[int], Runner], plan: Plan, prove: Proof | None = None) -> None:
        self.plan, self.prove = plan, prove
        self._make = make
        self._met: set[int] = set()
        self._runners: dict[int, Runner] = {}
        self._lock = threading.Lock()
        self._pool = core_pool(plan.instances, "convatlas", plan.threads) if plan.instances > 1 else None

    def __call__(self, images: Tensor) -> Tensor:
        size = self.plan.tile or -(-len(images) // self.plan.instances)
        pieces = (images,) if len(images) <= size else images.split(size)
        if len(pieces) == 1 or self._pool is None:
            found = [self._run(piece) for piece in pieces]
        else:
            found = list(self._pool.map(self._run, pieces))
        self._met.update(map(len, pieces))
        return found[0] if len(found) == 1 else torch.cat(found)

    def _run(self, piece: Tensor) -> Tensor:
        count = len(piece)
        with self._lock:
            size = count
            if count not in self._runners:
                # the rest of a set comes once: filled up, instead of a copy compiled for it; and so if enough are kept
                larger = [s for s in self._runners if s > count]
                if larger and (count not in self._met or len(self._runners) >= KEPT):
                    size = min(larger)
                elif len(self._runners) >= KEPT:
                    size = max(self._runners)
            if size not in self._runners:
                self._runners[size] = self._proven(size)
            run = self._runners[size]
        if size == count:
            return run(piece)
        if size > count:
            filling = piece[-1:].expand(size - count, *piece.shape[1:])
            return run(torch.cat([piece, filling]))[:count]
        return torch.cat([self._run(part) for part in piece.split(size)])

    def _proven(self, size: int) -> Runner:
        """A new runner, made again where it answers wrongly; Unsuitable if it goes on to."""
        problem = None
        for _ in range(TRIES):
            run = self._make(size)
            if self.prove is None or run in self._runners.values():
                return run
            with ThreadPoolExecutor(self.plan.instances) as pool:  # each copy answers
                found = pool.map(self.prove, [run] * self.plan.instances, [size] * self.plan.instances)
                problem = next((text for text in found if text is not None), None)
            if problem is None:
                return run
        raise Unsuitable(f"made {TRIES} times for {size} images, wrong every time: {problem}")
