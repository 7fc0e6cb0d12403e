"""How many images to expect changed, told by how far leads move: against counts of many."""

from __future__ import annotations

import pytest
import torch

from convatlas.inference.graph.leads import changed_by, clear, density, expected_changes, leads


def test_a_lead_is_over_the_best_of_the_others() -> None:
    logits = torch.tensor([[1.0, 4.0, 3.0], [2.0, 0.0, -1.0]])
    assert leads(logits).tolist() == [1.0, 2.0]
    assert leads(logits, torch.tensor([2, 1])).tolist() == [-1.0, -2.0]


def test_of_evenly_dense_leads_those_change_that_are_smaller_than_the_move() -> None:
    known = torch.linspace(0, 1, 1001)
    assert density(known) == pytest.approx(1.0)
    assert changed_by(torch.full((1001,), -0.03), known, known) == pytest.approx(0.03)
    assert changed_by(torch.full((1001,), 0.03), known, known) == 0.0  # leads that grow change nothing
    assert changed_by(torch.full((1001,), -9.0), known, known) == 1.0  # a share
    assert changed_by(torch.zeros(0), torch.zeros(0), torch.zeros(0)) == 0.0


@pytest.mark.parametrize("error", [0.02, 0.05, 0.15])
@pytest.mark.parametrize("shrink", [1.0, 0.9, 0.5])
def test_some_images_tell_what_a_count_of_many_shows(error: float, shrink: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(200_000, 10) * 3
    answers = shrink * logits + error * torch.randn_like(logits)
    counted = float((logits.argmax(1) != answers.argmax(1)).float().mean())
    told = [
        expected_changes(logits[i : i + 64], answers[i : i + 64], logits[i + 64 : i + 128])
        for i in range(0, 12_800, 128)
    ]
    # at such shares most counts of 64 images are off by all of it or more
    near = [abs(t / counted - 1) < 1 / 2 for t in told]
    assert torch.tensor(told).median() == pytest.approx(counted, rel=0.15)
    assert sum(near) > 70


def test_without_other_images_and_with_two_classes_it_tells_as_well() -> None:
    """Of fewer than 32 images none are kept apart: `others` is empty. Two classes have one lead."""
    torch.manual_seed(0)
    logits = torch.randn(16, 2) * 3
    answers = logits + 0.05 * torch.randn_like(logits)
    told = expected_changes(logits, answers, logits[:0])
    assert told == expected_changes(logits, answers)
    assert 0 < told < 0.1


def test_leads_that_are_gone_change_everything() -> None:
    torch.manual_seed(0)
    logits = torch.randn(64, 10)
    assert expected_changes(logits, -logits) == 1.0


@pytest.mark.parametrize("factor", [0.9, 0.99, 1.1])
def test_logits_that_all_shrink_change_no_answer(factor: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(64, 10) * 3
    assert expected_changes(logits, factor * logits) < 1e-4


def test_ties_of_float32_may_fall_either_way() -> None:
    torch.manual_seed(0)
    logits = torch.randn(64, 5) * 3
    logits[:20] = 1.0
    logits[:20, 0] += 2e-7
    assert int((~clear(logits)).sum()) == 20
    answer = logits + 1e-6 * torch.randn_like(logits)
    assert expected_changes(logits, answer) < 1e-4
    assert expected_changes(logits[:20], answer[:20]) == 0.0
