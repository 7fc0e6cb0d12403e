"""`convatlas train`: one command from pictures to a network, in a folder that a crash cannot take."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from convatlas.cli import options
from convatlas.errors import MisuseError

HELP = "Train a network on digits, on a known set, or on your photos."
EXAMPLES = """\
  convatlas train lenet5                                    read handwriting, in seconds
  convatlas train lenet5 --data mnist --data-root sets/     the real MNIST
  convatlas train resnet20 --data cifar10 --epochs 20 --out runs/c10
  convatlas train resnet20 --data cifar10 --out runs/c10 --resume     go on where it stopped
  convatlas train squeezenet1_1 --data photos/ --weights squeezenet1_1.pth    your own classes
  convatlas train resnet50 --data imagenet --recipe resnet-imagenet --lr 0.05 --set flip=0
  convatlas train hog+svm --data mnist --limit 10000        what networks replaced, on the same data
  torchrun --nproc-per-node 4 -m convatlas train resnet50 --data imagenet --out runs/r50
"""

# these have an option of the same name that all commands share, or are no business of a command line
_NOT_FLAGS = {"name", "source", "augmentation", "batch", "precision", "epochs"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options: the shared ones, then one for each field of a recipe."""
    from convatlas.data.augmentation import Augmentation
    from convatlas.recipes import RECIPES
    from convatlas.training.recipe import Recipe

    options.network(parser)
    options.data(parser, default="digits")
    options.weights(parser)
    parser.add_argument(
        "--input", type=options.pictured, metavar="CxHxW", help="another input size, as 3x192x192"
    )
    parser.add_argument("--width", type=options.factor, metavar="ALPHA", help="all widths times this, as 0.5")
    options.out(parser, "DIR", text="the run's folder (default: runs/NETWORK-DATA-N)")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in --out; start it where there is none"
    )
    options.device(parser)
    parser.add_argument("--seed", type=int, metavar="S", help="start of the random numbers (default: 0)")
    parser.add_argument(
        "--limit",
        type=options.count,
        metavar="N",
        help="classical baselines: so many training pictures at most",
    )
    parser.add_argument("--log", choices=["tensorboard"], help="event files beside the metrics")
    options.as_json(parser, "print the summary as JSON")
    pictures = ", ".join(field.name for field in dataclasses.fields(Augmentation))
    group = parser.add_argument_group(
        "the recipe", f"every field can be changed; --set reaches those of the augmentation: {pictures}"
    )
    group.add_argument(
        "--recipe",
        metavar="NAME",
        help=f"the default is the one for this network and data; {', '.join(RECIPES)}",
    )
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="any field, as --set flip=0.5",
        dest="settings",
    )
    for field in dataclasses.fields(Recipe):
        if field.name in _NOT_FLAGS - {"batch", "precision", "epochs"}:
            continue
        flag = "--" + field.name.replace("_", "-")
        text = str(field.metadata.get("help", "")).replace("%", "%%")
        if isinstance(field.default, bool):
            group.add_argument(
                flag, nargs="?", const="on", metavar="on|off", help=text, dest=f"recipe_{field.name}"
            )
        else:
            group.add_argument(flag, metavar=field.name[:1].upper(), help=text, dest=f"recipe_{field.name}")


def settings(args: argparse.Namespace) -> dict[str, str]:
    """The recipe fields that the user wrote, as text."""
    found: dict[str, str] = {}
    for item in args.settings:
        name, equals, value = item.partition("=")
        if not equals:
            raise MisuseError(f"--set {item}: write a field and its value, as --set flip=0.5")
        found[name.strip()] = value.strip()
    for name, value in vars(args).items():
        if name.startswith("recipe_") and value is not None:
            found[name.removeprefix("recipe_")] = value
    return found


def run(args: argparse.Namespace) -> int:
    """Train, and print where the result lies."""
    if "+" in args.network:
        return _classic(args)
    if args.limit is not None:
        raise MisuseError(
            "--limit is for classical baselines such as hog+svm; a network takes all training pictures"
        )
    from convatlas.recipes.job import train

    outcome = train(
        args.network,
        args.data,
        data_root=args.data_root,
        weights=args.weights,
        recipe=args.recipe,
        settings=settings(args),
        input=args.input,
        width=args.width,
        out=args.out,
        resume=args.resume,
        device=args.device,
        seed=args.seed,
        tensorboard=args.log == "tensorboard",
    )
    if outcome is None:  # a worker that is not the first
        return 0
    if args.json:
        options.print_json(outcome)
    else:
        print(Path(str(outcome["weights"])).parent / "report.html")
    return 0


def _classic(args: argparse.Namespace) -> int:
    """Fit hog+svm and its like."""
    from convatlas.recipes.classic import refuse, train

    refuse(
        {"--weights": args.weights, "--width": args.width, "--resume": args.resume, "--recipe": args.recipe}
        | {f"--{name}": value for name, value in settings(args).items()}
    )
    outcome = train(
        args.network,
        args.data,
        data_root=args.data_root,
        out=args.out,
        input=args.input,
        limit=args.limit,
        seed=args.seed or 0,
    )
    if args.json:
        options.print_json(outcome)
    else:
        print(Path(str(outcome["weights"])).parent / "report.html")
    return 0
