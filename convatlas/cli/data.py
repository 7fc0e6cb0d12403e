"""`convatlas data`: check, pack and preview what a network will learn from."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.cli import options
from convatlas.errors import MisuseError

if TYPE_CHECKING:
    from convatlas.data.check import Check

Actions = argparse._SubParsersAction  # noqa: SLF001  argparse has no public name for it

HELP = "Check a folder of photos, pack it into shards, see what the augmentations do."
EXAMPLES = """\
  convatlas data check photos/                       what is broken, double or out of balance; exit 1 if anything is broken
  convatlas data check photos/ -o check.html         the same as a page with pictures
  convatlas data pack photos/ -o shards/ --size 256  resized tar shards; started again, it goes on
  convatlas data pack photos/ -o shards/ --format ppm  pixels as they are: eight times the space, and nothing to decode
  convatlas data preview photos/ -o preview.svg      each augmentation on some of the photos
  convatlas data preview mnist --data-root mnist/ --size 32 -o preview.svg
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the three actions."""
    actions = parser.add_subparsers(dest="action", metavar="check | pack | preview", required=True)
    check = _action(actions, "check", "read everything once and report what is wrong")
    check.add_argument("folder", metavar="DIR", type=Path)
    options.out(check, "FILE.html", text="write a page with figures and pictures")
    pack = _action(actions, "pack", "resize and pack into tar shards (WebDataset form)")
    pack.add_argument("data", metavar="DIR", help="a folder of class folders, a list or a CSV")
    options.out(pack, "SHARDS", required=True, text="the folder of the shards")
    pack.add_argument(
        "--size", type=options.count, default=256, metavar="N", help="short side at most (default: 256)"
    )
    pack.add_argument(
        "--format",
        choices=("jpeg", "ppm"),
        default="jpeg",
        help="ppm: pixels as they are, eight times the space, read without decoding (default: jpeg)",
    )
    pack.add_argument("--quality", type=options.count, metavar="Q", help="of the JPEGs (default: 90)")
    pack.add_argument(
        "--per-shard",
        type=options.count,
        default=1000,
        metavar="N",
        help="pictures in a shard (default: 1000)",
    )
    options.seed(pack)
    preview = _action(actions, "preview", "a picture of what each augmentation does")
    preview.add_argument("data", metavar="DATA", help="what --data takes elsewhere")
    preview.add_argument("--data-root", metavar="DIR", type=Path, help="where known sets lie")
    preview.add_argument(
        "--size", type=options.count, metavar="N", help="side of the input (default: 32 or 224)"
    )
    options.seed(preview)
    options.out(preview, "FILE.svg|png|pdf", text="where to write (default: preview.svg)")
    for action in (check, pack):
        action.add_argument(
            "--workers", type=options.count, metavar="N", help="threads (default: one a core)"
        )
    for action in (check, pack, preview):
        options.as_json(action)


def _action(actions: Actions, name: str, text: str) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=text)
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run one action."""
    return {"check": _check, "pack": _pack, "preview": _preview}[args.action](args)


def _check(args: argparse.Namespace) -> int:
    from convatlas.data.check import check_folder
    from convatlas.data.check_page import check_page

    result = check_folder(args.folder, args.workers, _progress("read"))
    if args.json:
        options.print_json(result.to_dict())
    else:
        _print_findings(result)
    if args.out:  # last, so that what was found is told also where the page cannot be written
        options.write(args.out, check_page(result))
        options.say(f"the page: {args.out}")
    return 0 if result.good else 1


def _print_findings(result: Check) -> None:
    from convatlas.data.check_page import summary

    print(summary(result))
    for part, counts in result.classes.items():
        print(f"{part}: " + ", ".join(f"{name} {n}" for name, n in list(counts.items())[:20]))
    for path, reason in result.broken:
        print(f"broken: {path}: {reason}")
    for kind, groups in (("duplicates", result.duplicates), ("near duplicates", result.near_duplicates)):
        for group in groups:
            print(f"{kind}: {', '.join(group)}")
    for text in result.problems:
        print(f"problem: {text}")
    for text in result.warnings:
        print(f"warning: {text}")


def _pack(args: argparse.Namespace) -> int:
    from convatlas.data.pack import pack
    from convatlas.data.sources import open_data

    if args.format == "ppm" and args.quality is not None:
        raise MisuseError("--quality is of JPEGs: --format ppm keeps pixels as they are")
    quality = None if args.format == "ppm" else 90 if args.quality is None else args.quality
    if quality is not None and not 1 <= quality <= 100:
        raise MisuseError(f"--quality {args.quality}: a JPEG's quality runs from 1 to 100")
    source = open_data(args.data, seed=args.seed)
    packed = pack(
        source,
        args.out,
        size=args.size,
        quality=quality,
        per_shard=args.per_shard,
        seed=args.seed,
        workers=args.workers,
        progress=_progress("packed"),
    )
    for path, reason in packed.skipped:
        options.say(f"left out: {path}: {reason}")
    facts = {
        "out": str(packed.out),
        "shards": packed.shards,
        "resumed": packed.resumed,
        "pictures": packed.pictures,
        "bytes": packed.bytes,
        "skipped": [{"path": p, "reason": r} for p, r in packed.skipped],
    }
    if args.json:
        options.print_json(facts)
    else:
        again = f" ({packed.resumed} were there)" if packed.resumed else ""
        print(
            f"{packed.pictures:,} pictures in {packed.shards} shards{again}, {packed.bytes / 1e6:,.1f} MB: {packed.out}"
        )
    return 1 if packed.skipped else 0


def _preview(args: argparse.Namespace) -> int:
    from convatlas.data.preview import preview, shown
    from convatlas.data.sets import TensorSet
    from convatlas.data.sources import open_data
    from convatlas.drawing.files import check_format, write

    out = args.out or Path("preview.svg")
    check_format(out)  # before the work, not after
    source = open_data(args.data, args.data_root, args.seed)
    size = args.size or (source.train.images.shape[2] if isinstance(source.train, TensorSet) else 224)
    out.parent.mkdir(parents=True, exist_ok=True)
    write(preview(source.train, size, seed=args.seed), out)
    if args.json:
        options.print_json({"out": str(out), "size": size, "augmentations": list(shown(size))})
    else:
        print(out)
    return 0


def _progress(verb: str) -> Callable[[int, int], None] | None:
    """A line that counts, ten times a second at most, where a person looks on."""
    if not sys.stderr.isatty():
        return None
    last = 0.0

    def show(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done == total or now - last > 0.1:
            last = now
            print(
                f"\r{verb} {done:,} of {total:,}",
                end="\n" if done == total else "",
                file=sys.stderr,
                flush=True,
            )

    return show
