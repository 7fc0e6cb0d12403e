"""`convatlas export`: write a network for other programs, proven equal before it gets its name."""

from __future__ import annotations

import argparse

from convatlas.cli import options

HELP = "Write ONNX, OpenVINO, torch.export, TorchScript or safetensors; proven in its own runtime, or not written."
EXAMPLES = """\
  convatlas export runs/digits --to onnx -o digits.onnx
  convatlas export squeezenet1_1 --weights squeezenet1_1.pth --to onnx --uint8-input nhwc -o s.onnx
  convatlas export resnet50_v1_5 --weights torchvision --to openvino --precision int8 --images photos/ -o r50.xml
"""
TARGETS = ("onnx", "openvino", "torch-export", "torchscript", "safetensors")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "target", metavar="RUN_OR_NAME", help="a run's folder, a weights file, or a network with --weights"
    )
    options.weights(parser)
    parser.add_argument(
        "--preprocess", metavar="P", help="torchvision, caffe, tf, or fields such as tf,resize=292,crop=256"
    )
    parser.add_argument("--to", choices=TARGETS, required=True, help="the format")
    options.precision(parser, default="float32")
    options.out(parser, "FILE", required=True, text="the file to write")
    parser.add_argument(
        "--images",
        nargs="+",
        default=[],
        metavar="PATH",
        help="photos to prove the file on; int8 is calibrated on them",
    )
    parser.add_argument(
        "--uint8-input", choices=("nhwc", "nchw"), nargs="?", const="nhwc", metavar="LAYOUT",
        help="the normalization goes into the graph: pixels 0..255 as nhwc (default) or nchw go in",
    )  # fmt: skip
    parser.add_argument("--opset", type=int, metavar="N", help="of ONNX (default: 17)")
    options.as_json(parser, "print what was written and proven as JSON")


def run(args: argparse.Namespace) -> int:
    """Export, and say what was proven."""
    from pathlib import Path

    from convatlas.errors import MisuseError
    from convatlas.inference.export.onnx_opset import OPSET

    if args.opset is not None and args.to != "onnx":
        raise MisuseError(f"--opset is ONNX's; {args.to} has none")
    precision = "float32" if args.precision == "auto" else args.precision
    from convatlas.inference.export import export
    from convatlas.inference.pictures import pictures
    from convatlas.weights.classifier import open_classifier

    photos = (
        [p.data if p.data is not None else Path(p.name) for p in pictures(args.images)] if args.images else []
    )
    classifier = open_classifier(args.target, args.weights, preprocess=args.preprocess)
    done = export(
        classifier,
        args.out,
        args.to,
        precision=precision,
        images=photos,
        uint8_input=args.uint8_input,
        opset=args.opset or OPSET,
    )
    for note in (*classifier.notes, *done.notes):
        options.say(f"{classifier.name}: {note}")
    if args.json:
        options.print_json(done.to_dict())
        return 0
    kind = "photos" if done.real else "random images"
    print(*done.paths, sep="\n")
    options.say(
        f"proven on {done.proof.images} {kind} at batch {' and '.join(map(str, done.proof.batches))}: "
        f"logits within {done.proof.logit_difference:.1e}, probabilities within {done.proof.probability_difference:.1e}, "
        f"top-1 equal on {done.proof.agreement:.1%}"
    )
    return 0
