"""How well `predict` overlaps reading and computing: its rate against each of the two alone.

    python benchmarks/predict.py NAME WEIGHTS FOLDER [--pictures 1000] [--rounds 5] [--fast]

Four jobs alternate in one process: `predict` without its computing (reading alone), `predict` on pictures that are in
memory (computing alone), the model called on whole batches in a plain loop on all cores, and `predict`. The first two
are the very pipeline with one half taken out, so that nothing but the overlap differs. Reported: medians with spread,
and predict's share of the slower of reading and computing.
On a machine whose cores both jobs fill, no overlap can hide work: the share is bounded by the sum of their costs,
slower / (1 + slower / faster), which is printed too.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from convatlas.allocator import keep_memory
from convatlas.data.pixels import normalize
from convatlas.inference.pictures import pictures
from convatlas.inference.predict import predict, reader
from convatlas.weights.classifier import open_classifier

WHERE = "convatlas.inference.predict"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network")
    parser.add_argument("weights")
    parser.add_argument("folder")
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--fast", action="store_true", help="the fastest form of the network")
    args = parser.parse_args()
    keep_memory()  # as predict does for itself, so that all jobs have it
    classifier = open_classifier(args.network, args.weights)
    found = list(itertools.islice(itertools.cycle(pictures([args.folder])), args.pictures))
    read = reader(classifier)
    held = np.stack([read(picture) for picture in found[: args.batch]])
    if args.fast:
        from convatlas.inference import optimize

        classifier = classifier.answering_by(
            optimize(classifier.model, torch.zeros(args.batch, *classifier.network.input), mode="throughput")
        )

    def both() -> None:
        for _ in predict(classifier, found, batch=args.batch):
            pass

    def decode() -> None:
        def nothing(_: object, pixels: list[np.ndarray]) -> Tensor:
            return torch.zeros(len(pixels), len(classifier.classes))

        with mock.patch(f"{WHERE}._probabilities", nothing):
            both()

    def compute() -> None:
        turns = itertools.cycle(held)
        with mock.patch(f"{WHERE}.reader", return_value=lambda _: next(turns)):
            both()

    def plain() -> None:
        images = torch.from_numpy(held).permute(0, 3, 1, 2)
        with torch.inference_mode():
            for _ in range(len(found) // args.batch):
                classifier.answer(normalize(images, classifier.preprocessing)).softmax(1)

    rates: dict[str, list[float]] = {"reading": [], "computing": [], "plain loop": [], "predict": []}
    jobs = zip(rates, (decode, compute, plain, both), strict=True)
    for round_, (name, job) in itertools.product(range(args.rounds + 1), list(jobs)):
        start = time.perf_counter()
        job()
        if round_:  # the first warms up
            rates[name].append(len(found) / (time.perf_counter() - start))
            print(f"  {round_} {name} {rates[name][-1]:.1f}", flush=True)
    for name, values in rates.items():
        print(f"{name:10} {spread(values, '.1f')} images/s")
    rows = list(zip(rates["reading"], rates["computing"], rates["plain loop"], rates["predict"], strict=True))
    print(f"predict / slower alone:                  {spread([b / min(d, c) for d, c, _, b in rows], '.2f')}")
    print(f"predict / slower of reading, plain loop: {spread([b / min(d, p) for d, _, p, b in rows], '.2f')}")
    print(
        f"bound where both fill the same cores:    {spread([max(d, c) / (d + c) for d, c, _, _ in rows], '.2f')}"
    )


def spread(values: list[float], form: str) -> str:
    """Median [least-largest]."""
    return f"{statistics.median(values):{form}} [{min(values):{form}}-{max(values):{form}}]"


if __name__ == "__main__":
    main()
