"""Pools of threads that share the machine by taking some cores each, instead of each asking for all of them."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import torch


def core_pool(threads: int, name: str, cores: int = 1) -> ThreadPoolExecutor:
    """A pool of `threads` threads, all running, in each of which torch computes on `cores` cores.

    Everyone else's number of cores stays what it is.
    """
    before = torch.get_num_threads()
    ready = threading.Barrier(threads + 1)

    def begin() -> None:
        torch.get_num_threads()  # a thread's first call takes the process's number: before ours is set, not after
        torch.set_num_threads(cores)  # of this thread; but torch also notes it for threads to come
        with contextlib.suppress(threading.BrokenBarrierError):
            ready.wait()

    pool = ThreadPoolExecutor(threads, name, begin)
    try:
        for _ in range(threads):  # a thread is made for each: none is idle before all are ready
            pool.submit(lambda: None)
        ready.wait()
    except (
        BaseException
    ):  # stopped: threads that wait for each other would hold up the end of the process for ever
        ready.abort()
        pool.shutdown(wait=False)
        raise
    finally:
        torch.set_num_threads(before)
    return pool
