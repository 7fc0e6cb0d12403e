"""What evaluate, predict and explain share: opening a classifier and, if asked, its fastest form."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.cli import options
from convatlas.errors import MisuseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from convatlas.weights.classifier import Classifier


def add_source(parser: argparse.ArgumentParser) -> None:
    """--weights --preprocess --device."""
    options.weights(parser)
    parser.add_argument(
        "--preprocess",
        metavar="P",
        help="torchvision, caffe, tf, or fields such as tf,resize=292,crop=256 (default: what the weights say)",
    )
    options.device(parser)


def add(parser: argparse.ArgumentParser) -> None:
    """--weights --preprocess --device --fast --precision --explain."""
    add_source(parser)
    parser.add_argument(
        "--fast", action="store_true", help="find the fastest form of the network for this machine first"
    )
    options.precision(parser, default="float32")
    parser.add_argument(
        "--explain",
        action="store_true",
        help="with --fast or --precision: show every form that was tried, its speed, its error, why it was or was not taken",
    )


def opened(
    target: str,
    args: argparse.Namespace,
    *,
    batch: int,
    sample: Callable[[Classifier], Tensor | None] | None = None,
    say: bool = True,
) -> Classifier:
    """The classifier that `target` and the options name; its notes are told on stderr.

    sample: some of the user's pictures as the network takes them, which a faster form is checked and calibrated on.
    """
    from convatlas.modules.device import pick_device
    from convatlas.weights.classifier import open_classifier

    if args.explain and not args.fast and args.precision == "float32":
        raise MisuseError("--explain tells how a faster form was chosen: add --fast, or --precision auto")
    device = pick_device(args.device)
    if (Path(target) / "classic.safetensors").is_file():
        from convatlas.evaluation.classic.model import FILE, open_baseline

        _refuse_options_of_networks(target, args)
        return open_baseline(Path(target) / FILE, device)
    classifier = open_classifier(target, args.weights, preprocess=args.preprocess, device=device)
    if args.fast or args.precision != "float32":
        classifier = _faster(classifier, args, batch, sample(classifier) if sample else None)
    for note in classifier.notes if say else ():
        options.say(f"{classifier.name}: {note}")
    return classifier


def _refuse_options_of_networks(target: str, args: argparse.Namespace) -> None:
    """What has no layers cannot be made faster; to pass over the wish in silence would look as if it had been met."""
    asked = {"--fast": args.fast, "--precision": args.precision != "float32"}
    asked |= {"--weights": args.weights is not None, "--preprocess": args.preprocess is not None}
    if wrong := [option for option, given in asked.items() if given]:
        raise MisuseError(
            f"{target}: a classical baseline, which has no layers: {', '.join(wrong)} would change nothing; "
            "leave it out, or name the baseline in a command of its own"
        )


def _faster(
    classifier: Classifier, args: argparse.Namespace, batch: int, images: Tensor | None
) -> Classifier:
    import torch

    from convatlas.inference import optimize

    precision = "auto" if args.fast and args.precision == "float32" else args.precision
    example = torch.zeros(batch, *classifier.network.input, device=classifier.device)
    found = optimize(classifier.model, example, precision=precision, accuracy_data=images)
    if args.explain:
        options.say(str(found.report))
    taken = found.report.taken
    note = f"runs as {taken.plan}" if taken else f"runs as it is, in float32: {found.report.refusal}"
    return classifier.answering_by(found, note)
