"""A claim of a paper that computation contradicts is on the network's card, with both values and the reason."""

from __future__ import annotations

import pytest

import convatlas as ca
from convatlas.cli.show import card


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("name", ca.names())
def test_a_card_shows_what_is_claimed_what_is_computed_and_why_they_differ(name: str) -> None:
    network = ca.network(name)
    shown = words(card(network))
    for claim in network.facts.claims:
        assert words(claim.value) in shown
        if claim.verdict != "reproduced":
            assert claim.verdict in {"contradicted", "imprecise"}
            assert claim.reason
            assert words(f"{claim.verdict}: {claim.reason}") in shown
    assert f"{network.parameters:,}" in shown
    assert f"{network.mult_adds:,}" in shown


def test_there_are_contradicted_claims_to_show() -> None:
    found = [c for name in ca.names() for c in ca.network(name).facts.claims if c.verdict == "contradicted"]
    assert len(found) >= 10
