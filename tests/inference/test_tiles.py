"""A batch of any size is cut, spread over copies and put together in order."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from convatlas.inference.engines import Plan, Runner, Unsuitable
from convatlas.inference.tiles import KEPT, Tiled
from convatlas.inference.timing import MOST_A_TURN, SHORT, Timing, in_rounds, turn


def maker(made: list[int], threads: set[str] | None = None):
    def make(size: int):
        made.append(size)

        def run(images: Tensor) -> Tensor:
            assert len(images) == size
            if threads is not None:
                threads.add(f"{threading.current_thread().name} {torch.get_num_threads()}")
            return images.sum((1, 2, 3)).unsqueeze(1)

        return run

    return make


@pytest.mark.parametrize(
    "plan",
    [
        Plan("x", "float32"),
        Plan("x", "float32", 1, 2, 4),
        Plan("x", "float32", 2, 1),
        Plan("x", "float32", 2, 1, 4),
    ],
)
@pytest.mark.parametrize("count", [1, 4, 7, 32])
def test_answers_come_in_order_whatever_the_cut(plan: Plan, count: int) -> None:
    images = torch.randn(count, 1, 2, 2)
    assert torch.equal(Tiled(maker([]), plan)(images), images.sum((1, 2, 3)).unsqueeze(1))


def test_only_so_many_sizes_are_compiled() -> None:
    made: list[int] = []
    run = Tiled(maker(made), Plan("x", "float32"))
    for count in range(1, 30):
        images = torch.randn(count, 1, 2, 2)
        assert torch.equal(run(images), images.sum((1, 2, 3)).unsqueeze(1))
    assert len(made) <= KEPT + 1


def test_the_rest_of_a_set_is_filled_up_and_only_what_comes_again_is_compiled() -> None:
    made: list[int] = []
    run = Tiled(maker(made), Plan("x", "float32"))
    for count in (16, 16, 10):
        images = torch.randn(count, 1, 2, 2)
        assert torch.equal(run(images), images.sum((1, 2, 3)).unsqueeze(1))
    assert made == [16]
    run(torch.randn(10, 1, 2, 2))
    assert made == [16, 10]
    made.clear()
    copies = Tiled(maker(made), Plan("x", "float32", 2, 1))
    for count in (16, 10):
        copies(torch.randn(count, 1, 2, 2))
    assert made == [8]


def test_a_runner_that_answers_wrongly_is_made_again() -> None:
    """As OpenVINO's of two streams in int8, of which every few are garbage; also one made later, for another size."""
    made: list[int] = []

    def make(size: int):
        made.append(size)
        wrong = 100.0 if len(made) in {1, 3} else 0.0
        return lambda images: images.sum((1, 2, 3)).unsqueeze(1) + wrong

    def prove(run: Runner, size: int) -> str | None:
        return None if float(run(torch.zeros(size, 1, 2, 2)).abs().max()) == 0 else "it is off"

    run = Tiled(make, Plan("x", "int8", 2, 1), prove)
    for count in (8, 16):
        images = torch.randn(count, 1, 2, 2)
        assert torch.equal(run(images), images.sum((1, 2, 3)).unsqueeze(1))
    assert made == [4, 4, 8, 8]


def test_a_runner_that_is_always_wrong_is_no_candidate() -> None:
    run = Tiled(maker([]), Plan("x", "int8"), lambda _run, _size: "it is off")
    with pytest.raises(Unsuitable, match="wrong every time: it is off"):
        run(torch.randn(4, 1, 2, 2))


def test_copies_run_on_threads_of_their_own_with_one_thread_each() -> None:
    threads: set[str] = set()
    before = torch.get_num_threads()
    Tiled(maker([], threads), Plan("x", "float32", 2, 1, 1))(torch.randn(64, 1, 2, 2))
    assert threads
    assert all(name.startswith("convatlas") and name.endswith(" 1") for name in threads)
    assert torch.get_num_threads() == before


def test_rounds_alternate_and_turn_their_order() -> None:
    order: list[str] = []
    calls = {name: (lambda name=name: order.append(name)) for name in "ab"}
    expected = dict.fromkeys("ab", SHORT + 1)
    timings = in_rounds(calls, torch.device("cpu"), seconds=0, least=3, expected=expected)
    assert order == [*"ab", *"ba", *"ab"]
    assert all(len(t.seconds) == 3 for t in timings.values())


def test_a_short_call_runs_several_times_a_turn_and_once_uncounted() -> None:
    count = [0]

    def call() -> None:
        count[0] += 1

    assert len(turn(call, torch.device("cpu"), SHORT / 3.5)) == 3
    assert count == [4]
    assert len(turn(call, torch.device("cpu"), 0.0)) == MOST_A_TURN


def test_the_typical_time_is_the_median_of_the_faster_half() -> None:
    timing = Timing((5.0, 1.0, 2.0, 9.0, 3.0, 8.0))
    assert timing.typical == 2.0
    assert (timing.best, timing.worst, timing.median) == (1.0, 9.0, 4.0)
    assert timing.percentile(99) == 9.0
    assert timing.percentile(50) == 3.0
