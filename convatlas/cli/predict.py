"""`convatlas predict`: name what is in pictures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from convatlas.cli import classifiers, options

if TYPE_CHECKING:
    from convatlas.inference.predict import Prediction

HELP = "Name what is in pictures: files, folders, patterns, URLs, or - for standard input."
EXAMPLES = """\
  convatlas predict runs/demo digit.png                    with the weights of a run
  convatlas predict squeezenet1_1 --weights squeezenet1_1.pth photos/
  convatlas predict runs/ants 'holiday/**/*.jpg' --top 3 --json
  cat photo.jpg | convatlas predict runs/ants -            a picture, or paths one a line
  convatlas predict resnet50 --weights torchvision photos/ --fast
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "target", metavar="RUN_OR_NAME", help="a run's folder, a weights file, or a network with --weights"
    )
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", help="a picture, a folder, a pattern, a URL, or -"
    )
    classifiers.add(parser)
    parser.add_argument(
        "--top", type=options.count, default=5, metavar="K", help="guesses a picture (default: 5)"
    )
    options.batch(parser, default=16)
    options.as_json(parser, "print a JSON object a line")


def run(args: argparse.Namespace) -> int:
    """Predict, print as results come, and count what could not be read; 1 if nothing could."""
    from convatlas.inference.pictures import pictures
    from convatlas.inference.predict import predict, sample

    found = pictures(args.paths)
    classifier = classifiers.opened(
        args.target, args, batch=min(args.batch, len(found)), sample=lambda c: sample(c, found)
    )
    failed = done = 0
    for prediction in _watched(predict(classifier, found, top=args.top, batch=args.batch), len(found)):
        done += 1
        failed += prediction.error is not None
        if args.json:
            options.print_json(prediction.to_dict(), indent=None)
        else:
            print(_line(prediction), flush=True)
    if failed or done > 1:
        options.say(f"{done - failed} read, {failed} could not be read" if failed else f"{done} read")
    return 1 if failed == done else 0


def _line(prediction: Prediction) -> str:
    if prediction.error is not None:
        return f"{prediction.path}\tcannot be read: {prediction.error}"
    return prediction.path + "\t" + "  ".join(f"{g.label} {g.probability:.1%}" for g in prediction.guesses)


def _watched(predictions: Iterator[Prediction], total: int) -> Iterator[Prediction]:
    """The same, with a progress bar on stderr where a person looks and stdout goes elsewhere."""
    if total < 32 or not sys.stderr.isatty() or sys.stdout.isatty():
        yield from predictions
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(predictions, "predicting", total=total, console=Console(stderr=True))
