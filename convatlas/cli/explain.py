"""`convatlas explain`: see what a network looks at."""

from __future__ import annotations

import argparse

from convatlas.cli import classifiers, options

HELP = (
    "See what a network looks at: filters, feature maps, deconvnet, occlusion, saliency, Grad-CAM, and more."
)
EXAMPLES = """\
  convatlas explain runs/demo digit.png -o out/
  convatlas explain squeezenet1_1 --weights squeezenet1_1.pth photo.jpg -o out/
  convatlas explain vgg16 --weights torchvision photo.jpg -o out/ --method deconvnet,grad-cam
  convatlas explain runs/ants photo.jpg -o out/ --method maps --row fire5
  convatlas explain resnet50 --weights torchvision -o out/ --method maximize --class toucan
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    # photos may be none, and may stand before and after options: argparse needs to be told
    parser.parse_args = parser.parse_intermixed_args  # type: ignore[method-assign]
    parser.add_argument(
        "target", metavar="RUN_OR_NAME", help="a run's folder, a weights file, or a network with --weights"
    )
    parser.add_argument("photos", metavar="PHOTO", nargs="*", help="pictures to look at")
    options.out(parser, "DIR", required=True, text="folder for the pictures and explain.html")
    parser.add_argument(
        "--method",
        metavar="M,M",
        default="",
        help="filters, maps, deconvnet, occlusion, saliency, guided, grad-cam, maximize (default: all)",
    )
    parser.add_argument(
        "--row",
        metavar="ROW",
        help="maps, deconvnet, grad-cam and maximize look at this row (convatlas show)",
    )
    parser.add_argument("--unit", type=_index, metavar="N", help="one channel of --row, from 0")
    parser.add_argument(
        "--class",
        dest="of_class",
        metavar="C",
        help="a class's name or number (default: what the network says)",
    )
    parser.add_argument("--png", action="store_true", help="write PNG instead of SVG")
    classifiers.add_source(parser)
    options.batch(parser, default=32)
    options.seed(parser)
    parser.add_argument(
        "--steps", type=options.count, default=160, metavar="N", help="steps of maximize (default: 160)"
    )
    parser.add_argument(
        "--patch",
        type=options.count,
        metavar="N",
        help="side of occlusion's square in pixels (default: 50 of 224)",
    )
    parser.add_argument(
        "--stride", type=options.count, metavar="N", help="pixels between its places (default: 14 of 224)"
    )
    options.as_json(parser)


def run(args: argparse.Namespace) -> int:
    """Explain, and print where the page lies; 1 if a photo could not be read."""
    from convatlas.explain import Asked, explain
    from convatlas.explain.subject import class_index
    from convatlas.modules.device import pick_device
    from convatlas.weights.classifier import open_classifier

    classifier = open_classifier(
        args.target, args.weights, preprocess=args.preprocess, device=pick_device(args.device)
    )
    for note in classifier.notes:
        options.say(f"{classifier.name}: {note}")
    asked = Asked(
        row=args.row,
        index=None if args.of_class is None else class_index(classifier.classes, args.of_class),
        unit=args.unit,
        patch=args.patch,
        stride=args.stride,
        steps=args.steps,
        seed=args.seed,
        batch=args.batch,
    )
    methods = [name.strip() for name in args.method.split(",") if name.strip()]
    found = explain(
        classifier,
        args.photos,
        args.out,
        methods,
        asked,
        ending="png" if args.png else "svg",
        say=options.say,
    )
    if args.json:
        options.print_json(found)
    else:
        print(found["page"])
    return 1 if found["skipped"] else 0


def _index(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a channel's number, from 0")
    return int(text)
