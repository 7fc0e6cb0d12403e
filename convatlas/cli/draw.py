"""`convatlas draw NAME -o FILE`: the figure of a network."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.cli import options

if TYPE_CHECKING:
    from convatlas.api import CatalogueNetwork
    from convatlas.define.facts import Facts

HELP = "Draw a network as a textbook would print it: blocks and wires, or feature maps as volumes."
EXAMPLES = """\
  convatlas draw googlenet -o googlenet.svg            equal blocks folded, light and dark by the viewer's choice
  convatlas draw resnet50 -o r.png --horizontal        a funnel on a slide (PNG and PDF: pip install 'convatlas[png,pdf]')
  convatlas draw densenet121 -o d.svg --depth 1        each row a box (2: opened one level, and so on)
  convatlas draw resnet50 -o b.svg --row conv3.block1  one block alone, with the shape on every wire
  convatlas draw alexnet -o a.pdf --kind volumes       the picture of the AlexNet paper
  convatlas draw lenet5 -o l.svg --lang zh --theme dark
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    options.network(parser)
    options.out(parser, "FILE", required=True, text="where to write: .svg, .png or .pdf")
    options.edits(parser)
    look = parser.add_argument_group("the figure")
    look.add_argument(
        "--depth", type=options.count, metavar="N", help="open N levels of blocks and fold nothing"
    )
    look.add_argument("--row", metavar="ROW", help="that row alone, large, as conv3.block1")
    look.add_argument(
        "--kind", choices=("blocks", "volumes"), default="blocks", help="what to draw (default: blocks)"
    )
    look.add_argument("--horizontal", action="store_true", help="from left to right instead of downwards")
    look.add_argument(
        "--theme",
        choices=("auto", "light", "dark"),
        default="auto",
        help="auto follows the viewer in an SVG, and is light in PNG and PDF (default: auto)",
    )
    look.add_argument(
        "--lang", choices=("en", "zh"), default="en", help="language of the labels (default: en)"
    )
    options.as_json(parser, "print what was written as JSON")


def run(args: argparse.Namespace) -> int:
    """Draw, and say where."""
    from convatlas.drawing.figure import draw

    network = options.edited(args)
    path: Path = draw(
        network,
        args.out,
        facts=facts_of(network, args),
        depth=args.depth,
        row=args.row,
        kind=args.kind,
        horizontal=args.horizontal,
        theme=args.theme,
        lang=args.lang,
    )
    if args.json:
        options.print_json({"network": network.name, "file": str(path), "bytes": path.stat().st_size})
    else:
        options.say(f"{network.name} drawn to {path}")
    return 0


def facts_of(network: CatalogueNetwork, args: argparse.Namespace) -> Facts:
    """The published facts; of a changed network the title says the change, and the paper's accuracy is not its own."""
    changes = []
    if args.width is not None:
        changes.append(f"width × {args.width:g}")
    if args.classes is not None:
        changes.append(f"{args.classes} classes")
    if args.input is not None:
        changes.append("input " + " × ".join(map(str, args.input)))
    facts = network.facts
    if not changes:
        return facts
    return replace(facts, title=f"{facts.title}, {', '.join(changes)}", accuracies=())
