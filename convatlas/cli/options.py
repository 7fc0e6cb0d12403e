"""Options that mean the same in every command, declared once.

Each function adds one option (or one group that belongs together) to a parser. A command takes those it
needs; its own options stand in its own file.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.errors import ConvAtlasError, MisuseError

if TYPE_CHECKING:
    from convatlas.api import CatalogueNetwork

Parser = argparse.ArgumentParser
PRECISIONS = ("auto", "float32", "bf16", "int8")
DEVICES = ("auto", "cpu", "cuda", "mps")


def shape(text: str) -> tuple[int, int, int]:
    """Read 3x192x192 (or 192: three channels of that size; or 192x160: three channels)."""
    try:
        numbers = tuple(int(part) for part in text.lower().replace("×", "x").replace(",", "x").split("x"))
    except ValueError:
        numbers = ()
    if len(numbers) == 1:
        numbers = (3, numbers[0], numbers[0])
    elif len(numbers) == 2:
        numbers = (3, *numbers)
    if len(numbers) != 3 or min(numbers) < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a size; write channels x height x width: 3x192x192"
        )
    return numbers[0], numbers[1], numbers[2]


def count(text: str) -> int:
    """Read a whole number of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return number


def fraction(text: str) -> float:
    """Read a finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def factor(text: str) -> float:
    """Read a factor of widths: above 0, and no more than a machine could hold of any network."""
    number = fraction(text)
    if number > 1000:
        raise argparse.ArgumentTypeError(
            f"{text!r} times as wide is more than can be built; 1000 is the most"
        )
    return number


def pictured(text: str) -> tuple[int, int, int]:
    """Read a size of pictures, which have one channel or three."""
    size = shape(text)
    if size[0] not in (1, 3):
        raise argparse.ArgumentTypeError(
            f"{text!r}: pictures have 3 channels, or 1 where they are grey; write 3x{size[1]}x{size[2]}"
        )
    return size


def device_name(text: str) -> str:
    """Check that it is a kind of device that computes: torch has others, as `meta`, which does not."""
    if text.partition(":")[0] not in DEVICES:
        raise argparse.ArgumentTypeError(f"{text!r}: no such device; {', '.join(DEVICES)}, or cuda:1")
    return text


def network(parser: Parser) -> None:
    """NETWORK: a name of the catalogue."""
    parser.add_argument("network", metavar="NETWORK", help="a name of the catalogue: convatlas list")


def edits(parser: Parser) -> None:
    """--input --classes --width --no-aux: the network at another input size, class count or width, without heads."""
    group = parser.add_argument_group("the network, changed")
    group.add_argument("--input", type=shape, metavar="CxHxW", help="another input size, as 3x192x192")
    group.add_argument("--classes", type=count, metavar="N", help="another number of classes")
    group.add_argument("--width", type=factor, metavar="ALPHA", help="all widths times this, as 0.5")
    group.add_argument(
        "--no-aux",
        action="store_true",
        help="without the auxiliary heads, which some input sizes are too small for",
    )


def edited(args: argparse.Namespace) -> CatalogueNetwork:
    """The network that NETWORK, --input, --classes, --width and --no-aux ask for."""
    from convatlas import api

    return api.network(
        args.network, input=args.input, classes=args.classes, width=args.width, aux=not args.no_aux
    )


def data(parser: Parser, default: str | None = None, required: bool = False) -> None:
    """--data --data-root: which images."""
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data",
        metavar="DATA",
        default=default,
        required=required,
        help="digits, mnist, fashion-mnist, cifar10, cifar100, imagenet, or a folder of class folders, a CSV, a list, "
        "tar shards (files, or http://...)" + (f" (default: {default})" if default else ""),
    )
    group.add_argument(
        "--data-root", metavar="DIR", type=Path, help="where known sets lie or are downloaded to"
    )


def weights(parser: Parser) -> None:
    """--weights: a run folder, a file, an address, or a library's name."""
    parser.add_argument(
        "--weights", metavar="W", help="a run folder, a file, a URL, or torchvision, timm, keras"
    )


def device(parser: Parser) -> None:
    """--device: where to compute."""
    parser.add_argument(
        "--device",
        type=device_name,
        default="auto",
        metavar="D",
        help="auto, cpu, cuda, cuda:1, mps (default: the fastest there is)",
    )


def precision(parser: Parser, default: str = "auto") -> None:
    """--precision: with how many bits to compute."""
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=default,
        help=f"arithmetic to compute in (default: {default})",
    )


def batch(parser: Parser, default: int | None = None) -> None:
    """--batch: images at a time."""
    parser.add_argument(
        "--batch",
        type=count,
        default=default,
        metavar="N",
        help=f"images at a time{f' (default: {default})' if default else ''}",
    )


def seed(parser: Parser) -> None:
    """--seed: the random numbers."""
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="start of the random numbers (default: 0)"
    )


def out(parser: Parser, metavar: str = "PATH", required: bool = False, text: str = "where to write") -> None:
    """-o/--out: where the result goes."""
    parser.add_argument("-o", "--out", type=Path, metavar=metavar, required=required, help=text)


def as_json(parser: argparse._ActionsContainer, text: str = "print JSON") -> None:
    """--json: the same facts, for a script."""
    parser.add_argument("--json", action="store_true", help=text)


def print_json(value: object, indent: int | None = 2) -> None:
    """Write JSON to stdout: UTF-8, and never NaN, which is not JSON. indent=None gives one line."""
    import json

    try:
        text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    except ValueError as error:
        raise MisuseError(f"a result is not a finite number: {error}") from error
    # half a surrogate pair is a byte of a file's name that is no UTF-8; \\udc.. is how JSON has it, and Python's escape too
    print(text.encode("utf-8", "backslashreplace").decode("utf-8"), flush=indent is None)


def write(path: Path, text: str) -> None:
    """Write the file that --out names, whole or not at all: what stood there is lost only to what takes its place."""
    from convatlas.training.checkpoint import write_text

    try:
        if path.exists() and not path.is_file():  # a pipe or a device keeps its place
            path.write_text(text, encoding="utf-8")
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path.resolve(), text)
    except OSError as error:
        raise ConvAtlasError(
            f"{path}: cannot be written: {error.strerror or error}; what stood there is unharmed"
        ) from error


def say(text: str) -> None:
    """Talk to the person: stderr, so that stdout stays data."""
    print(text, file=sys.stderr, flush=True)
