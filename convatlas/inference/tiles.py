"""A runner for batches of any size: cut into tiles, handed to one or several copies."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
from torch import Tensor

from convatlas.data.threads import core_pool
from convatlas.inference.engines import Plan, Runner

# sizes of batch for which a runner is kept; each may hold a compiled copy
KEPT = 6


class Tiled:
    """Callable: float32 images (n, C, H, W), any n >= 1, to logits (n, classes)."""

    def __init__(self, make: Callable[[int], Runner], plan: Plan) -> None:
        self.plan = plan
        self._make = make
        self._runners: dict[int, Runner] = {}
        self._lock = threading.Lock()
        self._pool = core_pool(plan.instances, "convatlas", plan.threads) if plan.instances > 1 else None

    def __call__(self, images: Tensor) -> Tensor:
        size = self.plan.tile or -(-len(images) // self.plan.instances)
        pieces = images.split(size)
        if len(pieces) == 1:
            return self._run(pieces[0])
        if self._pool is None:
            return torch.cat([self._run(piece) for piece in pieces])
        return torch.cat(list(self._pool.map(self._run, pieces)))

    def _run(self, piece: Tensor) -> Tensor:
        count = len(piece)
        with self._lock:
            size = count
            if count not in self._runners and len(self._runners) >= KEPT:
                # enough copies are kept: fill up to one of them, or cut further
                size = min((s for s in self._runners if s >= count), default=max(self._runners))
            if size not in self._runners:
                self._runners[size] = self._make(size)
            run = self._runners[size]
        if size == count:
            return run(piece)
        if size > count:
            filling = piece[-1:].expand(size - count, *piece.shape[1:])
            return run(torch.cat([piece, filling]))[:count]
        return torch.cat([self._run(part) for part in piece.split(size)])
