"""Memory that a thread uses again and again: fresh pages cost as much as a tenth of a decode."""

from __future__ import annotations

import threading

import numpy as np


class Scratch(threading.local):
    """A thread's pieces of memory, by name: what was in one is lost when it is asked for again."""

    def __init__(self) -> None:
        self._pieces: dict[str, np.ndarray] = {}

    def room(self, name: str, count: int, kind: type[np.generic] = np.uint8) -> np.ndarray:
        """Values (count,), not set; always of one `kind` for a name."""
        memory = self._pieces.get(name)
        if memory is None or memory.size < count:
            memory = self._pieces[name] = np.empty(count + count // 4, kind)
        return memory[:count]
