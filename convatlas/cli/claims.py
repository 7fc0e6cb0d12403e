"""`convatlas claims`: what papers and textbooks say of these networks, and what comes out."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from convatlas.claims import ledger
from convatlas.claims.claim import VERDICTS
from convatlas.cli import options

HELP = "Print what papers and textbooks claim, with the values computed afresh."
EXAMPLES = """\
  convatlas claims                          all of them, with what comes out
  convatlas claims --contradicted           those that are wrong, and why
  convatlas claims --document lecture       of one document (papers: the papers themselves)
  convatlas claims --document papers --contradicted
  convatlas claims --json                   one list of objects
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    keys = ", ".join(document.key for document in ledger.ALL)
    parser.add_argument("--document", metavar="D", help=f"only of this one: {keys}")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--contradicted", action="store_true", help="only those that are wrong")
    which.add_argument("--verdict", choices=VERDICTS, help="only those of this verdict")
    options.as_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the claims asked for."""
    documents = [ledger.document(args.document)] if args.document else ledger.ALL
    verdict = "contradicted" if args.contradicted else args.verdict
    found = [
        (document, [ledger.line(document, c) for c in document.claims if verdict in {None, c.verdict}])
        for document in documents
    ]
    if args.json:
        options.print_json([line for _, lines in found for line in lines])
        return 0
    from convatlas.drawing import terminal

    width = terminal.terminal_width() or 110
    for document, lines in found:
        if lines:
            print(f"{document.title}  ({document.about}; {document.key})\n")
            print("\n".join(block(line, width) for line in lines) + "\n")
    for group in (
        [d for d in documents if d is not ledger.PAPERS],
        [d for d in documents if d is ledger.PAPERS],
    ):
        if group:
            options.say(summary(group))
    return 0


def block(line: dict[str, Any], width: int) -> str:
    """One claim: what it says, what was claimed, what comes out, why they differ."""
    head = f"  {line['verdict']:<14}{line['quantity']}" + (f"  [{line['place']}]" if line["place"] else "")
    parts = [textwrap.fill(head, width, subsequent_indent=" " * 16)]
    rows = (
        ("claimed", line["claimed"]),
        ("computed", line["computed"]),
        ("source", line["source"]),
        ("", line["reason"]),
    )
    for name, text in rows:
        if text:
            parts.append(
                textwrap.fill(text, width, initial_indent=f"{'':<16}{name:<10}", subsequent_indent=" " * 26)
            )
    return "\n".join(parts)


def summary(documents: list[ledger.Document]) -> str:
    """How many claims of each verdict."""
    counts = ledger.counts(*documents)
    what = (
        ", ".join(document.title for document in documents)
        if len(documents) == 1
        else f"{len(documents)} documents"
    )
    return f"{sum(counts.values())} claims ({what}): " + ", ".join(
        f"{n} {verdict.replace('_', ' ')}" for verdict, n in counts.items()
    )
