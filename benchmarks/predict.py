"""How well `predict` overlaps reading and computing: its rate against each of the two alone.

    python benchmarks/predict.py NAME WEIGHTS FOLDER [--pictures 1000] [--rounds 3] [--fast]

Three jobs alternate in one process: reading all pictures (threads, no network), computing on pictures that are in
memory, and `predict`, which does both. Reported: medians with spread, and predict's share of the slower of the two.
On a machine whose cores both jobs fill, no overlap can hide work: the share is bounded by the sum of their costs,
slower / (1 + slower / faster), which is printed too.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from convatlas.data.pixels import normalize
from convatlas.inference.pictures import pictures
from convatlas.inference.predict import predict, reader
from convatlas.weights.classifier import open_classifier


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network")
    parser.add_argument("weights")
    parser.add_argument("folder")
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--fast", action="store_true", help="the fastest form of the network")
    args = parser.parse_args()
    classifier = open_classifier(args.network, args.weights)
    found = list(itertools.islice(itertools.cycle(pictures([args.folder])), args.pictures))
    read = reader(classifier)
    held = np.stack([read(picture) for picture in found[: args.batch]])
    if args.fast:
        from convatlas.inference import optimize

        classifier = classifier.answering_by(
            optimize(classifier.model, torch.zeros(args.batch, *classifier.network.input), mode="throughput")
        )

    def decode() -> None:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for _ in pool.map(read, found, chunksize=1):
                pass

    def compute() -> None:
        images = torch.from_numpy(held).permute(0, 3, 1, 2)
        with torch.inference_mode():
            for _ in range(len(found) // args.batch):
                classifier.answer(normalize(images, classifier.preprocessing)).softmax(1)

    def both() -> None:
        for _ in predict(classifier, found, batch=args.batch):
            pass

    rates: dict[str, list[float]] = {"decode": [], "compute": [], "predict": []}
    for round_ in range(args.rounds + 1):
        for name, job in (("decode", decode), ("compute", compute), ("predict", both)):
            start = time.perf_counter()
            job()
            if round_:  # the first warms up
                rates[name].append(len(found) / (time.perf_counter() - start))
    for name, values in rates.items():
        print(f"{name:8} {statistics.median(values):7.1f} images/s  [{min(values):.1f}-{max(values):.1f}]")
    shares = [
        p / min(d, c) for d, c, p in zip(rates["decode"], rates["compute"], rates["predict"], strict=True)
    ]
    bounds = [max(d, c) / (d + c) for d, c in zip(rates["decode"], rates["compute"], strict=True)]
    print(f"predict / slower alone: {statistics.median(shares):.2f} [{min(shares):.2f}-{max(shares):.2f}]")
    print(f"bound where both fill the same cores: {statistics.median(bounds):.2f}")


if __name__ == "__main__":
    main()
