"""Decoded photos that are kept for the next epoch, within one budget for the whole process."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Hashable

import numpy as np

from convatlas import machine


class Store:
    """Pixels by key, while there is room; what is in stays in, so that an epoch finds the same as the last."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._kept: dict[Hashable, np.ndarray] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> np.ndarray | None:
        """What was kept, or None."""
        return self._kept.get(key)

    def keep(self, key: Hashable, pixels: np.ndarray) -> bool:
        """Take it in, if there is room for it. The first that does not fit closes the store: nearly full is full."""
        with self._lock:
            if key in self._kept:
                return True
            if pixels.nbytes > self.room:
                self.room = 0
                return False
            self.room -= pixels.nbytes
            self._kept[key] = pixels
            return True


_stores: weakref.WeakKeyDictionary[object, Store] = weakref.WeakKeyDictionary()


def store_of(dataset: object, share: float = 1.0) -> Store:
    """The store of a data set, one for all loaders of it: those of progressive resizing decode a photo once.

    share: of a quarter of the memory that is free now; one over the number of processes on a machine.
    """
    store = _stores.get(dataset)
    if store is None:
        _stores[dataset] = store = Store(int(free_memory() / 4 * share))
    return store


def free_memory() -> int:
    """Bytes that this process could use without pushing others out; 4 GB where the system does not say."""
    free = machine.memory()[1]
    if free is not None:
        return free
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 4 << 30
