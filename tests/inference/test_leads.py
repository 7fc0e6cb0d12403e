"""How many images to expect changed, told by how far leads move: against counts of many."""

from __future__ import annotations

import pytest
import torch

from convatlas.inference.graph.leads import changed_by, density, expected_changes, leads


def test_a_lead_is_over_the_best_of_the_others() -> None:
    logits = torch.tensor([[1.0, 4.0, 3.0], [2.0, 0.0, -1.0]])
    assert leads(logits).tolist() == [1.0, 2.0]
    assert leads(logits, torch.tensor([2, 1])).tolist() == [-1.0, -2.0]


def test_of_evenly_dense_leads_those_change_that_are_smaller_than_the_move() -> None:
    known = torch.linspace(0, 1, 1001)
    assert density(known) == pytest.approx(1.0)
    assert changed_by(torch.full((8,), -0.03), known) == pytest.approx(0.03)
    assert changed_by(torch.full((8,), 0.03), known) == 0.0  # leads that grow change nothing
    assert changed_by(torch.full((8,), -9.0), known) == 1.0  # a share


@pytest.mark.parametrize("error", [0.02, 0.05, 0.15])
def test_some_images_tell_what_a_count_of_many_shows(error: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(200_000, 10) * 3
    answers = logits + error * torch.randn_like(logits)
    counted = float((logits.argmax(1) != answers.argmax(1)).float().mean())
    told = [
        expected_changes(logits[i : i + 64], answers[i : i + 64], leads(logits[i : i + 128]))
        for i in range(0, 12_800, 128)
    ]
    assert torch.tensor(told).median() == pytest.approx(counted, rel=0.15)
    # one count of 64 images is off by its own size at such shares; two thirds of these are within a third
    near = [abs(t / counted - 1) < 1 / 3 for t in told]
    assert sum(near) > 60


def test_equal_logits_are_a_lead_of_nothing() -> None:
    known = leads(torch.zeros(16, 4))
    assert changed_by(torch.full((16,), -1e-3), known) == 1.0
    assert changed_by(torch.zeros(16), known) == 0.0
