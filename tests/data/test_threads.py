"""A pool's threads take a core each; everyone else's number of cores stays what it was."""

from __future__ import annotations

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
