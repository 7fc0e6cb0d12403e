"""The page of the ledger: what textbooks and papers say, with the values computed when the page is made."""

from __future__ import annotations

from typing import Any

from convatlas.claims import ledger
from convatlas.claims.claim import VERDICTS

_MARKS = {
    "reproduced": "✓", "contradicted": "✗", "imprecise": "≈", "source_agrees": "✓", "unverified": "?", "garbled": "✗",
}  # fmt: skip


def page() -> str:
    """The whole page, in Markdown."""
    total = ledger.counts(*ledger.DOCUMENTS)
    own = ledger.counts(ledger.PAPERS)
    parts = [
        "# What textbooks say, checked",
        (
            f"Every number that five documents on these networks print, {sum(total.values())} claims, and {sum(own.values())} that the "
            "papers themselves print on cost and size. The column *computed* is worked out from the definitions when this page "
            "is made, and `convatlas claims` works it out again."
        ),
        _counts(total, own),
        "## Contradicted",
        _table(
            [(d, ledger.line(d, c)) for d in ledger.ALL for c in d.claims if c.verdict == "contradicted"],
            with_document=True,
        ),
    ]
    for document in ledger.ALL:
        parts += [
            f"## {document.title}",
            f"{document.about[:1].upper()}{document.about[1:]}; `convatlas claims --document {document.key}`.",
        ]
        parts.append(_table([(document, ledger.line(document, claim)) for claim in document.claims]))
    return "\n\n".join(parts) + "\n"


def _counts(total: dict[str, int], own: dict[str, int]) -> str:
    rows = [
        f"| {_MARKS[v]} {v.replace('_', ' ')} | {words} | {total.get(v, 0)} | {own.get(v, 0)} |"
        for v, words in VERDICTS.items()
    ]
    return "| verdict | means | documents | papers |\n|---|---|---:|---:|\n" + "\n".join(rows)


def _table(rows: list[tuple[ledger.Document, dict[str, Any]]], *, with_document: bool = False) -> str:
    first = "| where " if with_document else ""
    lines = [
        f"{first}| | claim | claimed | computed, or source | why |",
        f"{'|---' if with_document else ''}|---|---|---|---|---|",
    ]
    for document, line in rows:
        place = f" ({line['place']})" if line["place"] else ""
        cells = [
            *([document.key] if with_document else []),
            _MARKS[line["verdict"]], line["quantity"] + place, line["claimed"], line["computed"] or line["source"], line["reason"],
        ]  # fmt: skip
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)
