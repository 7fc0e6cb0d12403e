"""`convatlas list`: the catalogue."""

from __future__ import annotations

import argparse
from typing import Any

from convatlas import api
from convatlas.cli import options
from convatlas.errors import MisuseError
from convatlas.networks import catalogue

HELP = "Print the catalogue, in order of publication."
EXAMPLES = """\
  convatlas list                       all networks with what they cost
  convatlas list --family resnet       one family (several: --family vgg resnet)
  convatlas list --names               names only, one a line, for scripts
  convatlas list --json                one list of objects
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--family", nargs="+", metavar="F", help=f"only these families: {', '.join(catalogue.families())}"
    )
    parser.add_argument("--names", action="store_true", help="names only, one a line")
    options.as_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the lines asked for."""
    families = catalogue.families()
    for family in args.family or ():
        if family not in families:
            raise MisuseError(f"unknown family {family!r}; there are: {', '.join(families)}")
    names = [
        name for name in catalogue.names() if not args.family or catalogue.entry(name).family in args.family
    ]
    if args.names:
        print("\n".join(names))
        return 0
    lines = [api.network(name).summary() for name in names]
    if args.json:
        options.print_json(lines)
    else:
        print(_table(lines))
        options.say(f"{len(lines)} networks; convatlas show NAME has more of each")
    return 0


def _table(lines: list[dict[str, Any]]) -> str:
    from convatlas.drawing import terminal

    header = ["name", "year", "title", "input", "classes", "parameters", "mult-adds", "depth"]
    rows = [
        [
            line["name"],
            str(line["year"]),
            line["title"],
            "x".join(map(str, line["input"])),
            str(line["classes"]),
            f"{line['parameters']:,}",
            f"{line['mult_adds']:,}",
            str(line["depth"]),
        ]
        for line in lines
    ]
    return terminal.aligned(
        header,
        rows,
        right=(3, 4, 5, 6, 7),
        width=terminal.terminal_width(),
        color=terminal.wants_color(),
        flexible=2,
    )
