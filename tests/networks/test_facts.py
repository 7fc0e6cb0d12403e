"""What was published stands beside every network, as the papers and releases print it."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from convatlas.networks import catalogue

EXPECTED = json.loads(
    (Path(__file__).resolve().parents[1] / "expected/networks.json").read_text(encoding="utf-8")
)
REFERENCE = [name for name in EXPECTED if not name.startswith("not_in_the_catalogue")]


@pytest.mark.parametrize("name", catalogue.names())
def test_each_network_has_its_paper_and_a_sentence_of_what_was_new(name: str) -> None:
    facts = catalogue.facts(name)
    assert facts.title
    assert facts.new.endswith(".")
    assert facts.paper.year <= catalogue.ENTRIES[name].year
    assert all(deviation.endswith((".", ")")) for deviation in facts.deviations)


@pytest.mark.parametrize("name", REFERENCE)
def test_the_paper_is_the_references(name: str) -> None:
    paper = catalogue.facts(name).paper
    authors = (
        unicodedata.normalize("NFKD", paper.authors).encode("ascii", "ignore").decode()
    )  # the reference has no ´
    assert [paper.title, authors, paper.year, paper.venue, paper.arxiv] == EXPECTED[name]["paper"]


@pytest.mark.parametrize("name", REFERENCE)
def test_accuracies_are_the_references(name: str) -> None:
    found = [[a.kind, a.top1, a.top5] for a in catalogue.facts(name).accuracies]
    assert [a for a in EXPECTED[name].get("accuracies", []) if a not in found] == []


@pytest.mark.parametrize("name", REFERENCE)
def test_each_accuracy_says_its_protocol_and_source(name: str) -> None:
    for accuracy in catalogue.facts(name).accuracies:
        assert accuracy.dataset
        assert accuracy.protocol
        assert accuracy.source
        assert accuracy.kind in {"error", "accuracy"}
        assert accuracy.checked in {"seen", "recalled"}
        assert all(0 < figure < 100 for figure in (accuracy.top1, accuracy.top5) if figure is not None)


@pytest.mark.parametrize("name", REFERENCE)
def test_claims_and_deviations_stand_where_the_reference_has_any(name: str) -> None:
    facts, expected = catalogue.facts(name), EXPECTED[name]
    assert bool(facts.claims) >= bool(expected.get("claims"))
    assert bool(facts.deviations) >= bool(expected.get("gotchas", 0))


@pytest.mark.parametrize("name", catalogue.names())
def test_a_claim_that_is_not_reproduced_says_why(name: str) -> None:
    for claim in catalogue.facts(name).claims:
        assert claim.verdict in {"reproduced", "contradicted", "imprecise"}
        assert claim.place
        assert claim.verdict == "reproduced" or claim.reason
