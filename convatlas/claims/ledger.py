"""The ledger: five documents that teach these networks and the papers themselves, every claim with its verdict."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from convatlas.claims import (
    classic_networks,
    cv_tricks,
    lecture_mobile,
    lecture_notes,
    lecture_tables,
    papers,
    ten_architectures,
)
from convatlas.claims.claim import VERDICTS, Answer, Claim
from convatlas.errors import MisuseError


@dataclass(frozen=True)
class Document:
    """Something that was read from end to end: `key` names it on the command line."""

    key: str
    title: str
    about: str
    claims: tuple[Claim, ...]


DOCUMENTS = (
    Document("cv-tricks", "From AlexNet to residual networks", "Koustubh, cv-tricks, in Chinese translation", cv_tricks.CLAIMS),
    Document("ten-architectures", "Illustrated: 10 CNN architectures", "Raimi Karim, in Chinese translation", ten_architectures.CLAIMS),
    Document("classic-networks", "Analysis of classic networks", "article in Chinese, 2021", classic_networks.CLAIMS),
    Document("lecture", "Convolutional neural networks", "lecture of Kuangnan Fang, in Chinese, 2022", (*lecture_tables.CLAIMS, *lecture_mobile.CLAIMS)),
    Document("lecture-notes", "Deep learning notes, lecture 6: LeNet-5 to ResNet", "louwill, in Chinese, 2018", lecture_notes.CLAIMS),
)  # fmt: skip
PAPERS = Document(
    "papers", "The papers themselves", "cost and size, as their texts and tables print them", papers.CLAIMS
)
ALL = (*DOCUMENTS, PAPERS)


def document(key: str) -> Document:
    """The document of that key; MisuseError lists the keys."""
    for found in ALL:
        if found.key == key:
            return found
    raise MisuseError(f"unknown document {key!r}; there are: {', '.join(d.key for d in ALL)}")


def counts(*documents: Document) -> dict[str, int]:
    """Claims of each verdict, in the order of `VERDICTS`."""
    found = Counter(claim.verdict for each in documents for claim in each.claims)
    return {verdict: found[verdict] for verdict in VERDICTS if found[verdict]}


def answer(claim: Claim) -> Answer | None:
    """The value, computed now; None where only a source can tell."""
    return claim.check() if claim.check else None


def line(source: Document, claim: Claim) -> dict[str, Any]:
    """A claim as the command line prints it in JSON; `agrees` is null where nothing is computed."""
    found = answer(claim)
    return {
        "document": source.key,
        "place": claim.place,
        "quantity": claim.quantity,
        "claimed": claim.value,
        "verdict": claim.verdict,
        "computed": found.text if found else None,
        "agrees": found.agrees if found else None,
        "source": claim.source,
        "reason": claim.why,
    }
