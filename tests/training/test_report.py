"""A run's page speaks to a person."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="training runs on torch, which is not installed")

from convatlas.training.report import curves, facts, losses


def test_the_result_is_in_words_with_units() -> None:
    summary = {
        "top1": 0.9972,
        "top1_last": None,
        "waiting": 0.0185,
        "images_per_second": 1234.5,
        "seconds": 9.04,
    }
    assert facts(summary, 10) == [
        ("top-1", "99.72%"),
        ("top-1 after the last epoch", "not tested"),
        ("of it waiting for pictures", "1.85%"),
        ("speed of training", "1,234 images a second"),
        ("time in all", "9.0 s"),
    ]


@pytest.mark.parametrize(("classes", "shown"), [(2, False), (5, False), (6, True)])
def test_top_5_of_five_classes_is_no_result(classes: int, shown: bool) -> None:
    assert ("top-5" in dict(facts({"top1": 0.5, "top5": 1.0}, classes))) == shown


def test_an_epoch_without_a_score_is_no_point_of_a_curve() -> None:
    line: dict[str, object] = {"epoch": 1, "train_loss": 0.5, "train_top1": 0.75, "loss": None, "top1": None}
    for draw in (curves, losses):
        assert "training" in draw([line])
        assert ">test<" not in draw([line])
        assert ">test<" in draw([line, {**line, "epoch": 2, "loss": 0.5, "top1": 0.5}])
