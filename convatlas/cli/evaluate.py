"""`convatlas evaluate`: the accuracy of trained networks, alone or together, under a stated protocol."""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas.cli import classifiers, options
from convatlas.errors import MisuseError

if TYPE_CHECKING:
    from convatlas.data.sets import Dataset
    from convatlas.data.sources import DataSource
    from convatlas.evaluation.evaluate import Report

HELP = "Measure the accuracy of a trained network: top-1, top-5, per class, under a stated protocol."
EXAMPLES = """\
  convatlas evaluate runs/demo                             on the test part of what it was trained on
  convatlas evaluate runs/demo --data mnist --data-root mnist/
  convatlas evaluate vgg16 --weights torchvision --data imagenet/val --protocol dense:256+384+512
  convatlas evaluate alexnet --weights alexnet.caffemodel --data val/ --protocol ten-crop
  convatlas evaluate runs/a runs/b --ensemble --data photos/ --out report.html
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "targets",
        metavar="RUN_OR_NAME",
        nargs="+",
        help="run folders, weights files, or networks with --weights",
    )
    options.data(parser)
    parser.add_argument(
        "--split",
        choices=("test", "train", "all"),
        help="which part (default: the test part, all where there is none)",
    )
    classifiers.add(parser)
    parser.add_argument(
        "--protocol",
        default="center",
        metavar="P",
        help="center, flip, ten-crop, dense:256+384+512 (default: center)",
    )
    parser.add_argument(
        "--ensemble", action="store_true", help="average the probabilities of all that are named"
    )
    options.batch(parser, default=32)
    parser.add_argument(
        "--per-class", action="store_true", help="also print recall and precision of every class"
    )
    options.out(
        parser, "FILE.html", text="write a page with the confusion matrix and the scores of every class"
    )
    options.as_json(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate each target, or all together, and print what was found."""
    from convatlas.evaluation.evaluate import evaluate, sample
    from convatlas.evaluation.protocols import parse

    protocol = parse(args.protocol)
    data = functools.cache(lambda: _dataset(args))  # opened after the weights, whose errors come first
    opened = [
        classifiers.opened(target, args, batch=args.batch, sample=lambda c: sample(c, data()))
        for target in args.targets
    ]
    dataset = data()
    groups = [opened] if args.ensemble else [[one] for one in opened]
    reports = []
    for group in groups:
        with _progress() as progress:
            reports.append(evaluate(group, dataset, protocol, batch=args.batch, progress=progress))
    if args.json:
        documents = [_document(report, per_class=args.per_class) for report in reports]
        options.print_json(documents[0] if len(documents) == 1 else documents)
    else:
        print("\n\n".join(_text(report, per_class=args.per_class) for report in reports))
    if args.out is not None:
        from convatlas.evaluation.page import report_page

        options.write(args.out, report_page(reports))
        options.say(f"{args.out}")
    return 0


def _dataset(args: argparse.Namespace) -> Dataset:
    from convatlas.data import open_data

    part = args.split or "test"
    trained = _seen_by(args.targets, args.data) if args.data is not None and args.split is None else None
    if trained is not None:
        options.say(
            f"{args.data}: {trained} was trained on it, so its own test part is scored; --split all takes all"
        )
        source = _reopened(trained, args.data_root)
    elif args.data is not None:
        source = open_data(args.data, args.data_root)
        if args.split is None and source.split.get("by") == "stratified" and args.data != "digits":
            part = (
                "all"  # the split is ours, for training; a set that is named to be scored has no other part
            )
    else:
        source = _reopened(args.targets[0], args.data_root)
    for note in source.notes:
        options.say(note)
    chosen = {"test": source.test, "train": source.train}.get(part)
    if chosen is not None and not len(chosen):
        if args.split is not None:
            raise MisuseError(f"--split {part}: {source.name} has no {part} part; --split all takes all")
        options.say(f"{source.name} has no test part: all of it is scored, also what it was trained on")
        chosen = None
    return source.whole() if chosen is None else chosen


def _reopened(target: str, root: Path | None) -> DataSource:
    """A run's data with the run's own split; a warning where it is no longer what the run was trained on."""
    from convatlas.data import open_data

    data = _trained_on(target)
    opened = data["opened"]
    source = open_data(
        opened["spec"], root or opened["root"], opened["seed"], test_share=opened["test_share"]
    )
    if data.get("fingerprint") not in (None, source.record()["fingerprint"]):
        options.say(
            f"warning: {opened['spec']} has changed since {target} was trained on it, so it comes apart otherwise: pictures "
            "that it learned by heart may be among those scored. Restore the data, or score it on pictures of their own: "
            "--data"
        )
    return source


def _seen_by(targets: list[str], data: str) -> str | None:
    """The first of the runs that was trained on this very folder or list; None where none was.

    Scored on all of it, such a run would be asked about pictures that it learned by heart.
    """
    if not Path(data).exists():
        return None
    for target in targets:
        try:
            spec = Path(_trained_on(target)["opened"]["spec"])
        except MisuseError:
            continue
        if spec.exists() and spec.samefile(data):
            return target
    return None


def _trained_on(target: str) -> dict[str, Any]:
    """What a run's record says of its data: `opened` has what opens it again, with the split that it had."""
    record = Path(target) / "recipe.json"
    try:
        data = json.loads(record.read_text(encoding="utf-8"))["data"]
        opened = data["opened"]
        kinds = {"spec": str, "root": str | None, "seed": int, "test_share": int | float}
        odd = [name for name, kind in kinds.items() if not isinstance(opened[name], kind)]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise MisuseError(
            "--data: on what? Only a run's folder knows what it was trained on; name a set or a folder"
        ) from None
    if odd or not (0 <= opened["test_share"] < 1 and abs(opened["seed"]) < 1 << 63):
        raise MisuseError(
            f"{record}: what it says of the data cannot be ({opened!r:.200}); name the set or the folder with --data"
        )
    found: dict[str, Any] = data
    return found


def _document(report: Report, *, per_class: bool) -> dict[str, object]:
    document = report.to_dict()
    if per_class:
        document["per_class"] = report.scores.per_class()
    return document


def _text(report: Report, *, per_class: bool) -> str:
    scores = report.scores
    lines = [
        f"{' + '.join(report.networks)} on {report.data}",
        f"  protocol  {report.protocol}",
        f"  top-1     {scores.top1:.2%}  ({scores.top1_count} of {scores.images})",
    ]
    if scores.five_say:
        lines.append(f"  top-5     {scores.top5:.2%}  ({scores.top5_count} of {scores.images})")
    lines += [
        f"  {report.seconds:.1f} s, {report.images_per_second:.0f} images per second",
    ]
    if report.skipped:
        lines.append(f"  {len(report.skipped)} could not be read:")
        lines += [f"    {path}: {reason}" for path, reason in report.skipped]
    if per_class:
        rows = scores.per_class()
        width = max(len(str(row["class"])) for row in rows)
        lines.append(f"  {'class':<{width}}  images  recall  precision")
        for row in rows:
            precision = "-" if row["precision"] is None else f"{row['precision']:.1%}"
            lines.append(
                f"  {row['class']:<{width}}  {row['images']:>6}  {row['recall']:>6.1%}  {precision:>9}"
            )
    return "\n".join(lines)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("evaluating")
        yield lambda done, total: bar.update(task, completed=done, total=total)
