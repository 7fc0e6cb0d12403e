"""`convatlas estimate`: memory and time that a network will take, before anything is run."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from convatlas.cli import options
from convatlas.errors import MisuseError

if TYPE_CHECKING:
    from convatlas.analysis.devices import Rates
    from convatlas.analysis.estimate import Bytes, Estimate, Time

HELP = "Estimate the memory and the time that a network takes, in training and in inference."
EXAMPLES = """\
  convatlas estimate resnet50 --batch 32                    on this machine, measured once a day
  convatlas estimate resnet50 --batch 256 --device gpu:A100 --precision bf16
  convatlas estimate vgg16 --device gpu:H200 --data 1.28M --epochs 90
  convatlas estimate mobilenet_v1 --input 3x160x160 --device gpu:T4 --json
"""
SGD = "SGD with momentum"


def images(text: str) -> int:
    """Read a number of images: 50000, 50k, 1.28M."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKmM]?)", text.strip().replace(",", ""))
    number = round(float(match[1]) * {"": 1, "k": 1e3, "m": 1e6}[match[2].lower()]) if match else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of images; write 50000, 50k or 1.28M")
    return number


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    options.network(parser)
    options.batch(parser, 32)
    parser.add_argument(
        "--device", default="cpu", metavar="D", help="cpu (this one) or gpu:NAME, as gpu:H200 (default: cpu)"
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "bf16"),
        default="float32",
        help="arithmetic to compute in (default: float32)",
    )
    parser.add_argument(
        "--data", type=images, metavar="N", help="training images, as 50000 or 1.28M: time of an epoch"
    )
    parser.add_argument(
        "--epochs",
        type=options.count,
        metavar="N",
        help="passes over them (default: 90, where --data is given)",
    )
    options.edits(parser)
    options.as_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the estimate."""
    from convatlas.analysis.estimate import estimate

    if args.epochs and not args.data:
        raise MisuseError("--epochs needs --data, the number of training images, as 1.28M")
    network = options.edited(args)
    rates = device(args.device)
    found = estimate(
        network, rates, batch=args.batch, precision=args.precision, images=args.data, epochs=(args.epochs or 90) if args.data else None
    )  # fmt: skip
    if args.json:
        options.print_json(found.to_dict() | {"source": rates.source})
    else:
        print(text(found, rates))
    return 0


def device(name: str) -> Rates:
    """The rates of `cpu`, this machine, measured once a day, or of a GPU by its data sheet."""
    from convatlas.analysis.devices import GPUS, Rates, gpu

    kind, _, model = name.partition(":")
    if kind == "gpu" and model:
        return gpu(model)
    if name != "cpu":
        raise MisuseError(
            f"unknown device {name!r}; there are: cpu, {', '.join(f'gpu:{key}' for key in GPUS)}"
        )
    import torch

    from convatlas.inference.ceiling import ceiling
    from convatlas.machine import machine

    found = ceiling(torch.device("cpu"))
    arithmetic = {"float32": found.float32} | ({"bf16": found.bf16} if found.bf16 else {})
    source = f"measured here: {found.float32 / 1e9:.0f} G mult-adds/s of a matrix product, {found.copy / 1e9:.1f} GB/s of a copy, {found.threads} threads"
    return Rates(
        found.device, arithmetic, found.copy, 1e-5, machine().memory_bytes, source, attained=(0.6, 0.7)
    )


def text(found: Estimate, rates: Rates) -> str:
    """The estimate as a few lines."""
    lines = [
        f"{found.network} on {found.device}, batch {found.batch}, {found.precision}",
        *_part(
            "training", found.training, found.training_time, found.batch, found.largest_training_batch, SGD
        ),
        *_part(
            "inference", found.inference, found.inference_time, found.batch, found.largest_inference_batch, ""
        ),
    ]
    if found.epoch_seconds is not None:
        whole = found.epoch_seconds * (found.epochs or 1)
        lines.append(
            f"{'epoch':<12}{_span(found.epoch_seconds)} for {found.images:,} images; {found.epochs} epochs: {_span(whole)}, if the images come fast enough"
        )
    share = f"{rates.attained[0]:.0%} of its arithmetic, {rates.attained[1]:.0%} of its memory traffic, {rates.launch_seconds * 1e6:g} µs an operation"
    lines.append(f"{'reckoned':<12}{share}; {rates.source}")
    return "\n".join(lines)


def _part(title: str, used: Bytes, time: Time, batch: int, largest: int | None, optimizer: str) -> list[str]:
    parts = [
        ("weights", used.weights),
        ("gradients", used.gradients),
        (f"{optimizer}", used.optimizer),
        ("activations", used.activations),
    ]
    memory = ", ".join(f"{name} {_mib(count)}" for name, count in parts if count)
    shares = ", ".join(f"{name} {share:.0%}" for name, share in time.shares.items())
    return [
        f"{title:<12}{_mib(used.total)}: {memory}",
        f"{'':<12}{_seconds(time.seconds / batch)} an image, {batch / time.seconds:,.0f} images/s; limited by {time.limit} ({shares})",
        f"{'':<12}"
        + (
            "largest batch that fits: unknown, for so is the memory"
            if largest is None
            else "not even one image fits"
            if not largest
            else f"largest batch that fits: {largest:,}"
        ),
    ]


def _mib(count: int) -> str:
    return f"{count / 2**30:,.2f} GiB" if count >= 2**30 else f"{count / 2**20:,.1f} MiB"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} µs"


def _span(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
