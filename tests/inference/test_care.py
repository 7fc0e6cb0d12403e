"""Which of several tries is taken: one that answers all alike, else the nearest, if it is near enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from convatlas.inference import care
from convatlas.inference.care import half_way, refine_until_it_agrees
from convatlas.inference.engines import Engine, Plan, Runner, Workbench
from convatlas.inference.images import evidence
from convatlas.inference.search import Search

IMAGES = 200  # one half calibrates, the other checks; a refined plan is judged on both
PLAIN = Plan("misses", "int8", 1, 1)


class Misses(Engine):
    """Answers as the model does, but for so many of the images as a plan is told to miss, by its layers in float32."""

    name = "misses"
    refines = ("int8",)

    def __init__(self, missed: dict[int, int]) -> None:
        self.missed = missed
        self.made: list[Plan] = []

    def precisions(self, device: torch.device) -> tuple[str, ...]:
        return ("int8",)

    def prepare(self, bench: Workbench, plan: Plan) -> Callable[[int], Runner]:
        self.made.append(plan)
        count = self.missed[plan.exact] if plan.refined else 50

        def run(images: Tensor) -> Tensor:
            logits = bench.model(images).clone()
            wrong = images[:, 0, 0, 0] < count  # an image's first value is its number
            logits[wrong] = logits[wrong].roll(1, 1)
            return logits

        return lambda _batch: run


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, int]], tuple[Search, list[Plan]]]:
    """A search after the plain plan and its refined ones were tried; and the plans that were made."""

    def after(missed: dict[int, int]) -> tuple[Search, list[Plan]]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 5)).eval()
        images = torch.rand(IMAGES, 3, 4, 4)
        # calibration has the even places, the check the odd ones: numbers are spread over both
        images[:, 0, 0, 0] = torch.arange(IMAGES)
        one = Misses(missed)
        monkeypatch.setattr("convatlas.inference.search.engine", lambda _name: one)
        finer: Sequence[Plan] = [replace(PLAIN, refined=True, exact=n) for n in missed]
        monkeypatch.setattr(care, "finer_plans", lambda *_: finer)
        monkeypatch.setattr(Workbench, "sensitivity", lambda *_: None)
        found = Search(model, images[:4], "int8", mode="latency", engines=[])
        found.bounds = {p: replace(b, difference=1.0) for p, b in found.bounds.items()}
        found.begin(evidence(images, images[:4], IMAGES // 2))
        assert not found.attempt(PLAIN)
        one.made.clear()
        refine_until_it_agrees(found, one, PLAIN)
        return found, one.made

    return after


def taken(search: Search) -> list[int]:
    return [plan.exact for plan in search.passed]


def test_the_first_that_answers_all_alike_is_taken_and_no_more_are_tried(
    search: Callable[[dict[int, int]], tuple[Search, list[Plan]]],
) -> None:
    found, made = search({1: 1, 2: 0, 3: 0})
    assert taken(found) == [2]
    assert [p.exact for p in made] == [1, 2]


def test_the_nearest_is_taken_where_none_answers_all_alike(
    search: Callable[[dict[int, int]], tuple[Search, list[Plan]]],
) -> None:
    """Of 200, int8's bound lets 4 differ, half of them is 2."""
    found, _ = search({1: 6, 3: 2, 6: 2, 12: 3})
    assert taken(found) == [3]  # of two alike the one with fewer layers in float32
    rows = [row for row in found.report.rows if row.plan.exact == 3]
    assert [row.outcome for row in rows] == [""]  # one row a plan
    assert any("99.00%" in note for note in found.report.notes)


def test_none_is_taken_that_misses_more_than_half_of_what_the_bound_lets_differ(
    search: Callable[[dict[int, int]], tuple[Search, list[Plan]]],
) -> None:
    """3 of 200 are within the bound of 98 %: after several tries that is not enough."""
    found, _ = search({1: 6, 3: 3})
    assert taken(found) == []


def test_images_of_the_calibration_count_too(
    search: Callable[[dict[int, int]], tuple[Search, list[Plan]]],
) -> None:
    """Image 0 is one of the calibration's: on the check's alone this plan would answer all alike."""
    found, made = search({1: 1, 2: 0})
    assert [p.exact for p in made] == [1, 2]
    assert taken(found) == [2]


def test_half_way_is_half_of_the_misses() -> None:
    assert half_way(0.98) == pytest.approx(0.99)
    assert half_way(1.0) == 1.0
