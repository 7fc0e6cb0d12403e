"""`convatlas import NAME FILE -o OUT.safetensors`: a published checkpoint becomes ours."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from convatlas.cli import options

if TYPE_CHECKING:
    from convatlas.weights import Checkpoint

HELP = "Turn a checkpoint of torchvision, timm, Keras, TensorFlow Lite or Caffe into a ConvAtlas file."
EXAMPLES = """\
  convatlas import resnet50_v1_5 resnet50-0676ba61.pth -o resnet50.safetensors
  convatlas import mobilenet_v1_x0_25@128 mobilenet_v1_0.25_128.tflite -o mobilenet.safetensors
  convatlas import vgg16 vgg16.weights.h5 -o vgg16.safetensors         (pip install 'convatlas[keras]')
  convatlas import squeezenet1_1 squeezenet.caffemodel -o s.safetensors --fold-input      BGR weights for RGB photos
  convatlas import resnet20 model.th -o r.safetensors --classes 100 --preprocess resize=none,crop=32
  convatlas import resnet18 torchvision -o resnet18.safetensors        fetched from its official address
"""
SOURCES = ("auto", "torchvision", "timm", "keras", "caffe", "tflite", "convatlas", "torch")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    options.network(parser)
    parser.add_argument(
        "file", metavar="FILE", help="the checkpoint: a file, a URL, or torchvision, timm, keras"
    )
    options.out(parser, "OUT", required=True, text="the file to write, OUT.safetensors")
    options.edits(parser)
    group = parser.add_argument_group("how to read it")
    group.add_argument(
        "--source",
        choices=SOURCES,
        default="auto",
        help="whose convention it follows (default: told from the file)",
    )
    group.add_argument(
        "--preprocess",
        metavar="P",
        help="what the weights want to see, where the source's usual is not it: torchvision, caffe, tf, or fields on"
        " top of one, as tf,resize=292 or mean=0.5:0.5:0.5,channel_order=bgr",
    )
    group.add_argument(
        "--fold-input", action="store_true", help="turn BGR weights so that they take RGB photos"
    )
    options.as_json(parser, "print what was found as JSON")


def run(args: argparse.Namespace) -> int:
    """Read, match, write, and say what was found."""
    from convatlas.weights import open_checkpoint, resolve, save_weights
    from convatlas.weights.classifier import parse_preprocessing

    network = options.edited(args)
    path = resolve(args.file, args.network)
    preprocessing = None if args.preprocess is None else parse_preprocessing(args.preprocess)
    found = open_checkpoint(
        path, network, args.source, preprocessing=preprocessing, fold_input=args.fold_input
    )
    written = save_weights(
        args.out,
        found.state_dict,
        network=found.network,
        preprocessing=found.preprocessing,
        classes=found.classes,
        scores=found.scores,
        provenance=found.provenance,
    )
    facts = report(found) | {"out": str(written)}
    if args.json:
        options.print_json(facts)
        return 0
    options.say(
        f"{args.network}: {facts['tensors']} tensors, {facts['parameters']:,} parameters of {found.source}, every"
        f" one of the file used and every one of the network filled; written to {written}"
    )
    for note in found.notes:
        options.say(f"  {note}")
    return 0


def report(found: Checkpoint) -> dict[str, object]:
    """What was found, for a script."""
    return {
        "network": found.network.name,
        "input": list(found.network.input),
        "source": found.source,
        "tensors": len(found.state_dict),
        "parameters": found.parameters,
        "classes": None if found.classes is None else len(found.classes),
        "preprocessing": found.preprocessing.to_dict(),
        "notes": list(found.notes),
        "scores": dict(found.scores),
    }
