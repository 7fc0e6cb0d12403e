"""`convatlas show NAME`: the card of a network and its layer table, or its source."""

from __future__ import annotations

import argparse
import re
import textwrap
from typing import TYPE_CHECKING

from convatlas.cli import options

if TYPE_CHECKING:
    from convatlas.api import CatalogueNetwork
    from convatlas.define.facts import Accuracy, Claim, Paper

HELP = "Show one network: what was published about it, and its layer table with shapes and costs."
EXAMPLES = """\
  convatlas show googlenet                      facts and table; repeated blocks are folded
  convatlas show resnet152 --depth 1            the stages alone (2: their blocks, and so on)
  convatlas show mobilenet_v1 --width 0.5 --input 3x160x160 --classes 10
  convatlas show lenet5 --code > lenet5.py      an equivalent module that imports torch alone
  convatlas show vgg16 --json                   every operation, for scripts
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    options.network(parser)
    options.edits(parser)
    parser.add_argument(
        "--depth", type=options.count, metavar="N", help="open N levels of blocks and fold nothing"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--code", action="store_true", help="print the equivalent stand-alone module file instead"
    )
    options.as_json(what)


def run(args: argparse.Namespace) -> int:
    """Print the card and the table, or the source, or JSON."""
    network = options.edited(args)
    if args.code:
        from convatlas.source import module_source

        print(module_source(network), end="")
    elif args.json:
        options.print_json(network.summary() | {"layers": [layer.to_dict() for layer in network.table()]})
    else:
        from convatlas.drawing import terminal

        width = terminal.terminal_width()
        print(card(network, width or 100))
        print()
        print(network.table().text(depth=args.depth, width=width, color=terminal.wants_color()))
        print("field: size/stride@start of the pixels of the input that one output sees")
    return 0


def card(network: CatalogueNetwork, width: int = 100) -> str:
    """What was published, apart from what is computed, as text of at most `width` columns."""
    from convatlas.analysis.table import totals
    from convatlas.define import elaborate

    facts, placed = network.facts, elaborate(network)
    found, paper = totals(placed), facts.paper
    arxiv = f", arXiv {paper.arxiv}" if paper.arxiv else ""
    aux = f" (and {found.aux_parameters:,} in auxiliary heads)" if found.aux_parameters else ""
    rows = [
        ("paper", f"{paper.title}. {paper.authors}. {when(paper)}{arxiv}"),
        ("new", facts.new),
        ("parameters", f"{found.parameters:,}{aux}, {_size(found.bytes)} in float32"),
        ("mult-adds", f"{found.mult_adds:,} for one image of {'x'.join(map(str, network.input))}"),
        ("depth", f"{found.depth} layers with weights on the longest path"),
        ("memory", f"{_size(found.peak_bytes)} of activations at most at once, batch 1"),
        *(("published", accuracy(result)) for result in facts.accuracies),
        *(("claim", claim(result)) for result in facts.claims),
        *(("note", text) for text in facts.deviations),
    ]
    lines = [f"{facts.title}  ({network.name}, {network.year})"]
    last = ""
    for name, text in rows:
        head = f"{name if name != last else '':<12}"
        lines.append(textwrap.fill(text, width, initial_indent=head, subsequent_indent=" " * 12))
        last = name
    return "\n".join(lines)


def _size(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB" if count >= 2**20 else f"{count / 2**10:.0f} KiB"


def when(paper: Paper) -> str:
    """Where and when a paper appeared; the year once, and arXiv only by its number."""
    if paper.venue == "arXiv":
        return str(paper.year)
    return paper.venue if re.search(r"\b(19|20)\d\d\b", paper.venue) else f"{paper.venue}, {paper.year}"


def accuracy(result: Accuracy) -> str:
    """A published result in words, with its protocol and source."""
    figures = [
        f"top-{k} {result.kind} {value:g} %"
        for k, value in ((1, result.top1), (5, result.top5))
        if value is not None
    ]
    recalled = "; quoted from memory" if result.checked == "recalled" else ""
    return f"{', '.join(figures)} ({result.dataset}; {result.protocol}; {result.source}{recalled})"


def claim(result: Claim) -> str:
    """A number that the paper prints, and whether it comes out."""
    reason = f": {result.reason}" if result.reason else ""
    return f"{result.quantity} {result.value} ({result.place}), {result.verdict}{reason}"
