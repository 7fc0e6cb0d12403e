"""Threads that share the machine by taking a core each, instead of each asking for all of them."""

from __future__ import annotations

import threading

import torch

_lock = threading.Lock()


def own_cores(count: int = 1) -> None:
    """Let this thread compute on `count` cores, whatever other threads have: an initializer for a pool of threads."""
    with _lock:
        # a thread's first call takes the process's number: before ours is set, not after
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        # torch also notes the number for threads to come: another thread writes down what it was
        other = threading.Thread(target=torch.set_num_threads, args=(before,))
        other.start()
        other.join()
