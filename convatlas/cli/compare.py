"""`convatlas compare`: networks side by side, and the tables of the papers with computed values beside printed ones."""

from __future__ import annotations

import argparse
from pathlib import Path

from convatlas import api
from convatlas.analysis.compare import PROTOCOLS, SORTS
from convatlas.cli import options
from convatlas.drawing.comparison import Comparison
from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.networks import catalogue

HELP = "Compare networks: cost, size, memory and published accuracy, as a table or a plot."
EXAMPLES = """\
  convatlas compare vgg16 resnet50 mobilenet_v1
  convatlas compare --family resnet densenet --sort parameters
  convatlas compare --all --sort top1 --plot field.svg    accuracy over mult-adds, areas are parameters
  convatlas compare resnet50 mobilenet_v1 --input 160     at another resolution
  convatlas compare mobilenet_v1 mobilenet_v1@160 mobilenet_v1_x0_5 --markdown
  convatlas compare --table mobilenet-others              a paper's table, printed beside computed
"""
TABLE_KEYS = (
    "vgg, resnet, densenet, mobilenet-width, mobilenet-resolution, mobilenet-others, shufflenet-groups"
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "networks", nargs="*", metavar="NETWORK", help="names of the catalogue: convatlas list"
    )
    parser.add_argument(
        "--family",
        nargs="+",
        metavar="F",
        default=[],
        help=f"these families: {', '.join(catalogue.families())}",
    )
    parser.add_argument("--all", action="store_true", help="the whole catalogue")
    parser.add_argument("--table", metavar="T", help=f"a published table: {TABLE_KEYS}")
    parser.add_argument("--sort", choices=SORTS, metavar="COLUMN", help=f"order by: {', '.join(SORTS)}")
    parser.add_argument(
        "--protocol", choices=PROTOCOLS, default="single-crop",
        help="which published accuracies (default: single-crop; one protocol is shown, never a mixture)",
    )  # fmt: skip
    parser.add_argument(
        "--plot", type=Path, metavar="PATH", help="draw accuracy over mult-adds: .svg, .png or .pdf"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV")
    form.add_argument("--markdown", action="store_true", help="print Markdown")
    options.as_json(form)
    options.edits(parser)


def run(args: argparse.Namespace) -> int:
    """Print the comparison, or a published table."""
    if args.table:
        return _published(args)
    if args.plot:
        from convatlas.drawing.files import check_format

        check_format(args.plot)
    networks, code = _networks(args)
    found = api.compare(*networks, protocol=args.protocol)
    if args.sort:
        found = found.sorted(args.sort)
    if args.plot:
        _plot(found, args.plot)
    if args.json:
        options.print_json([row.to_dict() for row in found])
    elif args.csv:
        print(found.csv(), end="")
    elif args.markdown:
        print(found.markdown())
    else:
        from convatlas.drawing import terminal

        print(found.text(width=terminal.terminal_width(), color=terminal.wants_color()))
    return code


def _networks(args: argparse.Namespace) -> tuple[list[api.CatalogueNetwork], int]:
    """The networks asked for, edited; what cannot be is told, and the rest compared all the same."""
    families = catalogue.families()
    for family in args.family:
        if family not in families:
            raise MisuseError(f"unknown family {family!r}; there are: {', '.join(families)}")
    chosen = list(catalogue.names()) if args.all else [n for family in args.family for n in families[family]]
    names = list(dict.fromkeys([*args.networks, *chosen]))
    if not names:
        raise MisuseError(
            "nothing to compare: give names, --family, --all or --table (convatlas list has the names)"
        )
    networks, code = [], 0
    for name in names:
        try:
            networks.append(
                api.network(
                    name, input=args.input, classes=args.classes, width=args.width, aux=not args.no_aux
                )
            )
        except ConvAtlasError as error:
            if len(names) == 1:
                raise
            options.say(f"convatlas: {name} left out: {error}")
            code = error.exit_code
    if not networks:
        raise MisuseError("none of the networks can be so; the lines above say why")
    return networks, code


def _plot(found: Comparison, path: Path) -> None:
    from convatlas.drawing.files import write

    dataset, rows = found.plotted()
    if not rows:
        raise MisuseError(
            f"nothing to plot: none of these networks has a published top-1 accuracy ({found.protocol}); "
            "an edited network has none, and --protocol has others"
        )
    write(found.plot(), path)
    names = {row.name for row in rows}
    left = [row.name for row in found if row.name not in names]
    options.say(
        f"{path}: {len(rows)} networks on {dataset}"
        + (f"; without such a result: {', '.join(left)}" if left else "")
    )


def _published(args: argparse.Namespace) -> int:
    if args.networks or args.family or args.all or args.plot or args.sort:
        raise MisuseError("--table prints a published table as it is; it takes no networks, order or plot")
    from convatlas.claims.tables import table
    from convatlas.drawing import terminal

    found = table(args.table)
    rows = found.cells()
    if args.json:
        options.print_json({
            "table": found.key, "title": found.title, "source": found.source,
            "rows": [
                {
                    "row": title, "network": name,
                    "cells": {
                        column.title: {"printed": c.printed, "computed": c.computed or None, "agrees": c.agrees, "reason": c.why}
                        for column, c in zip(found.columns, cells, strict=True)
                    },
                }
                for title, name, cells in rows
            ],
        })  # fmt: skip
        return 0
    header = [
        "",
        *(
            title
            for column in found.columns
            for title in ([column.title, "computed"] if column.compute else [column.title])
        ),
    ]
    body, notes = [], []
    for title, _, cells in rows:
        line = [title]
        for column, cell in zip(found.columns, cells, strict=True):
            mark = {True: "", False: " *", None: ""}[cell.agrees]
            same = cell.agrees and cell.printed == cell.computed
            line += (
                [cell.printed]
                if column.compute is None
                else [cell.printed, "=" if same else f"{cell.computed}{mark}"]
            )
            if cell.why:
                notes.append(
                    f"* {title}, {column.title}: printed {cell.printed}, computed {cell.computed}: {cell.why}"
                )
        body.append(line)
    if args.csv or args.markdown:
        _plain(header, body, markdown=args.markdown)
    else:
        print(f"{found.title}  ({found.source})\n")
        for part in (range(start, min(start + 8, len(header))) for start in range(1, len(header), 8)):
            print(
                terminal.aligned(
                    ["", *(header[i] for i in part)], [[line[0], *(line[i] for i in part)] for line in body]
                )
                + "\n"
            )
        print(
            "\n".join(notes)
            + ("\n" if notes else "")
            + "=: computed exactly as printed; an empty cell: not in the table"
        )
    return 0


def _plain(header: list[str], body: list[list[str]], *, markdown: bool) -> None:
    if markdown:
        print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
        print("\n".join("| " + " | ".join(line) + " |" for line in body))
        return
    import csv
    import sys

    csv.writer(sys.stdout, lineterminator="\n").writerows([header, *body])
