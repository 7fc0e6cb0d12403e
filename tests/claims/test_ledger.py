"""The ledger: verdicts are those of the reference, and what can be computed comes out as the verdict says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from convatlas import cli
from convatlas.claims import ledger
from convatlas.claims.claim import Claim, Verdict, printed, prints
from convatlas.errors import MisuseError

EXPECTED = json.loads((Path(__file__).parents[1] / "expected/claims.json").read_text(encoding="utf-8"))
ALL = [
    pytest.param(document, place, claim, id=f"{document.key}-{place}-{claim.quantity[:40]}")
    for document in ledger.ALL
    for place, claim in enumerate(document.claims)
]
COMPUTED = [p for p in ALL if p.values[2].check]  # type: ignore[union-attr]


def test_every_claim_of_the_reference_is_there_with_its_verdict() -> None:
    found = {document.key: [claim.verdict for claim in document.claims] for document in ledger.DOCUMENTS}
    assert found == {key: [verdict for verdict, _ in claims] for key, claims in EXPECTED.items()}
    # counted in the reference's own heading
    assert ledger.counts(*ledger.DOCUMENTS) == {
        "reproduced": 85, "contradicted": 29, "imprecise": 19, "source_agrees": 18, "unverified": 3, "garbled": 1,
    }  # fmt: skip


@pytest.mark.parametrize(("document", "place", "claim"), COMPUTED)
def test_a_computed_claim_comes_out_as_its_verdict_says(
    document: ledger.Document, place: int, claim: Claim
) -> None:
    answer = ledger.answer(claim)
    assert answer is not None
    if claim.verdict == "reproduced":
        assert answer.agrees, answer.text
    if claim.verdict in {"contradicted", "garbled"}:
        assert not answer.agrees, answer.text
        assert claim.why or answer.text != claim.value
    if claim.verdict == "imprecise":
        assert claim.why or not answer.agrees
    assert claim.verdict not in {"source_agrees", "unverified"}, "what can be computed needs no source"


@pytest.mark.parametrize(("document", "place", "claim"), COMPUTED)
def test_the_reference_computes_the_same_numbers(document: ledger.Document, place: int, claim: Claim) -> None:
    if document.key == "papers":
        return
    answer = ledger.answer(claim)
    assert answer is not None
    ours = {int(n.replace(",", "")) for n in re.findall(r"\d{1,3}(?:,\d{3})+", f"{answer.text} {claim.why}")}
    assert set(EXPECTED[document.key][place][1]) <= ours


def test_every_reproduced_claim_is_computed() -> None:
    assert [
        c.quantity for d in ledger.ALL for c in d.claims if c.verdict == "reproduced" and c.check is None
    ] == []


def test_what_is_not_computed_names_its_source_or_says_that_there_is_none() -> None:
    for document in ledger.ALL:
        for claim in document.claims:
            if claim.check is None:
                assert claim.source or (claim.verdict == "unverified" and claim.why), claim.quantity


def test_no_claim_stands_twice_in_a_document() -> None:
    for document in ledger.ALL:
        told = [(claim.quantity, claim.value) for claim in document.claims]
        assert len(set(told)) == len(told)


def test_printed_numbers_have_a_unit_and_a_last_digit() -> None:
    assert printed("60 thousand") == (60_000, 1000)
    assert printed("about 1.8e9 mult-adds") == (1.8e9, 1e8)
    assert printed("138,357,544") == (138_357_544, 1)
    assert printed("0.27 M parameters") == (270_000, 10_000)
    with pytest.raises(ValueError, match="no number"):
        printed("all")


def test_a_number_agrees_when_rounded_or_cut_and_not_otherwise() -> None:
    assert prints("138 M", 138_357_544)
    assert prints("290", 290.68)  # cut
    assert prints("291", 290.68)  # rounded
    assert not prints("292", 290.68)
    assert not prints("289", 290.68)
    assert not prints("5 M", 6_998_552)


def test_the_command_prints_contradictions_with_both_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["claims", "--contradicted", "--document", "classic-networks"]) == 0
    out = capsys.readouterr()
    assert "5 million, 12 times fewer than AlexNet" in out.out
    assert "6,998,552; 8.7 times fewer" in out.out
    assert "reproduced  " not in out.out
    assert "14 claims" in out.err


def test_the_command_gives_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["claims", "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert len(lines) == 155 + len(ledger.PAPERS.claims)
    for line in lines:
        assert list(line) == [
            "document",
            "place",
            "quantity",
            "claimed",
            "verdict",
            "computed",
            "agrees",
            "source",
            "reason",
        ]
        assert line["agrees"] is not False or line["verdict"] != "reproduced"


def test_an_unknown_document_is_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MisuseError, match="there are: cv-tricks"):
        ledger.document("bishop")
    assert cli.main(["claims", "--document", "bishop"]) == 2
    assert "unknown document 'bishop'" in capsys.readouterr().err


def test_a_verdict_is_one_of_the_six() -> None:
    kinds: set[Verdict] = {claim.verdict for document in ledger.ALL for claim in document.claims}
    assert kinds <= {"reproduced", "contradicted", "imprecise", "source_agrees", "unverified", "garbled"}
