"""`convatlas predict`: name what is in pictures."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from convatlas.cli import classifiers, options

if TYPE_CHECKING:
    from convatlas.inference.predict import Prediction

    Show = Callable[[Prediction], None]

_SOON_OVER = 32  # pictures
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

HELP = (
    "Name what is in pictures: files, folders, patterns, URLs, or - for standard input. What cannot be read is named in its "
    "place and the rest goes on: the exit code is 0 where any could be read, 1 where none could, 2 where nothing was tried."
)
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
    with _printer([picture.name for picture in found], as_json=args.json) as show:
        for prediction in predict(classifier, found, top=args.top, batch=args.batch):
            done += 1
            failed += prediction.error is not None
            show(prediction)
    if failed or done > 1:
        options.say(f"{done - failed} read, {failed} could not be read" if failed else f"{done} read")
    return 1 if failed == done else 0


@contextmanager
def _printer(names: list[str], *, as_json: bool) -> Iterator[Show]:
    """What prints a prediction: a table that grows above a progress bar on a terminal, plain lines elsewhere.

    The bar is on stderr where stdout goes into a file or a pipe, and absent where nobody looks or it is soon over.
    """
    table = sys.stdout.isatty() and not as_json
    if len(names) < _SOON_OVER or not (table or (sys.stderr.isatty() and not sys.stdout.isatty())):
        if table:
            yield lambda prediction: print(_row(prediction, _width(names)), flush=True)
        else:
            yield lambda prediction: _print(prediction, as_json=as_json)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=not table), transient=True) as bar:
        task, width = bar.add_task("predicting", total=len(names)), _width(names)

        def show(prediction: Prediction) -> None:
            if table:
                bar.console.out(_row(prediction, width)[: bar.console.width], highlight=False)
            else:
                _print(prediction, as_json=as_json)
            bar.advance(task)

        yield show


def _print(prediction: Prediction, *, as_json: bool) -> None:
    if as_json:
        options.print_json(prediction.to_dict(), indent=None)
    else:
        print(_line(prediction), flush=True)


def _line(prediction: Prediction) -> str:
    """For programs: fields between tabs, the path as it was given but for control characters; JSON has those."""
    path = _in_line(prediction.path)
    if prediction.error is not None:
        return f"{path}\tcannot be read: {_in_line(prediction.error)}"
    return f"{path}\t" + "  ".join(f"{_in_line(g.label)} {g.probability:.1%}" for g in prediction.guesses)


def _row(prediction: Prediction, width: int) -> str:
    """For eyes: columns, a long path by its end."""
    path = _in_line(prediction.path)
    path = path if len(path) <= width else "…" + path[1 - width :]
    if prediction.error is not None:
        return f"{path:<{width}}  cannot be read: {_in_line(prediction.error)}"
    cells = (f"{g.probability:>6.1%} {_in_line(g.label):<18}" for g in prediction.guesses)
    return f"{path:<{width}}  {'  '.join(cells)}".rstrip()


def _in_line(text: str) -> str:
    """Control characters spelled out: a name may hold what would begin a line, or command a terminal."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _width(names: list[str]) -> int:
    return min(36, max(len(_in_line(name)) for name in names))
