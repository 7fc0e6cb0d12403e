"""`convatlas benchmark`: networks on this machine, against their peers, in alternating rounds."""

from __future__ import annotations

import argparse
from pathlib import Path

from convatlas.cli import options
from convatlas.errors import MisuseError

HELP = "Time networks on this machine, against their peers, in alternating rounds."
EXAMPLES = """\
  convatlas benchmark resnet50_v1_5                                   ours at its fastest, batch 1 and 32
  convatlas benchmark resnet50_v1_5 --against torchvision,openvino    the same structure elsewhere
  convatlas benchmark mobilenet_v2 --precision float32,bf16,int8 --images photos/ -o report.svg
"""
AGAINST = ("torchvision", "timm", "eager", "onnxruntime", "openvino")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "networks", metavar="NETWORK", nargs="+", help="a name of the catalogue: convatlas list"
    )
    parser.add_argument("--against", default="", metavar="A,B", help=f"peers: {', '.join(AGAINST)}")
    parser.add_argument("--batch", default="1,32", metavar="N,M", help="images at a time (default: 1,32)")
    parser.add_argument(
        "--precision", default="auto", metavar="P,Q", help="of auto, float32, bf16, int8 (default: auto)"
    )
    options.device(parser)
    parser.add_argument(
        "--images",
        nargs="+",
        default=[],
        metavar="PATH",
        help="photos to calibrate and to compare on; int8 needs them",
    )
    parser.add_argument(
        "--rounds", type=options.count, default=15, metavar="N", help="calls of each (default: 15)"
    )
    parser.add_argument(
        "--seconds",
        type=options.fraction,
        default=60.0,
        metavar="S",
        help="of timing a network and batch, at most (default: 60)",
    )
    options.out(parser, "FILE", text="also write .svg (a picture) or .json")
    options.as_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and show; 1 if nothing of ours ran, 130 if Ctrl-C stopped it."""
    against = _words(args.against, AGAINST, "--against")
    precisions = _words(args.precision, options.PRECISIONS, "--precision")
    batches = [_count(text) for text in _split(args.batch)]
    if args.out is not None and args.out.suffix not in {".svg", ".json"}:
        raise MisuseError(f"-o {args.out}: the picture is .svg, the figures are .json")
    from convatlas.inference.benchmark import show
    from convatlas.inference.benchmark.measure import Request, measure
    from convatlas.inference.pictures import pictures
    from convatlas.modules.device import pick_device

    photos = [Path(picture.name) for picture in pictures(args.images)] if args.images else []
    request = Request(
        args.networks,
        against,
        batches,
        precisions,
        pick_device(args.device),
        args.rounds,
        args.seconds,
        photos,
        options.say,
    )
    result = measure(request)
    if args.json:
        options.print_json(show.as_dict(result))
    else:
        print(show.table(result))
    if args.out is not None:
        options.write(
            args.out, show.picture(result) if args.out.suffix == ".svg" else _json(show.as_dict(result))
        )
    if result.stopped:
        options.say("convatlas: stopped by Ctrl-C; what had been measured until then is kept")
        return 130
    return 0 if any(line.problem is None for line in result.lines if line.contender == "convatlas") else 1


def _json(value: object) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _words(text: str, known: tuple[str, ...], option: str) -> list[str]:
    words = list(dict.fromkeys(_split(text)))
    wrong = [word for word in words if word not in known]
    if wrong:
        raise MisuseError(f"{option}: unknown {', '.join(wrong)}; there are {', '.join(known)}")
    return words


def _count(text: str) -> int:
    try:
        return options.count(text)
    except argparse.ArgumentTypeError as error:
        raise MisuseError(f"--batch: {error}") from None
