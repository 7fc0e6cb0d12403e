"""A pool's threads take a core each; everyone else's number of cores stays what it was."""

from __future__ import annotations

import _thread
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

torch = pytest.importorskip("torch", reason="the threads are torch's, which is not installed")

from convatlas.data.threads import core_pool  # noqa: E402


def test_a_pool_has_its_own_number_of_cores_and_nobody_else() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with core_pool(2, "one") as one, core_pool(2, "two", 2) as two:
            for _ in range(3):
                assert set(one.map(lambda _: torch.get_num_threads(), range(4))) == {1}
                assert set(two.map(lambda _: torch.get_num_threads(), range(4))) == {2}
        assert torch.get_num_threads() == 3
        with core_pool(2, "one") as one, core_pool(2, "two", 2) as two:
            for _ in range(3):
                assert set(one.map(lambda _: torch.get_num_threads(), range(4))) == {1}
                assert set(two.map(lambda _: torch.get_num_threads(), range(4))) == {2}
        assert torch.get_num_threads() == 3
        with ThreadPoolExecutor(1) as later:
            assert later.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(before)


def test_a_pool_that_is_stopped_while_it_begins_leaves_no_thread_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped, set_cores = threading.Event(), torch.set_num_threads

    def set_and_stop(cores: int) -> None:
        set_cores(cores)
        if threading.current_thread() is not threading.main_thread():
            _thread.interrupt_main()  # Ctrl-C
            stopped.wait(60)  # not before it was heard

    before = torch.get_num_threads()
    monkeypatch.setattr(torch, "set_num_threads", set_and_stop)
    with pytest.raises(KeyboardInterrupt):
        core_pool(1, "stopped")
    stopped.set()
    for thread in threading.enumerate():
        if thread.name.startswith("stopped"):
            thread.join(20)
            assert not thread.is_alive()
    assert torch.get_num_threads() == before
