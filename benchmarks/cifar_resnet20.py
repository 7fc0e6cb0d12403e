"""ResNet-20 on `cifar10-jpeg` with a GPU: our recipe against the paper's long run by a plain loop.

Fixed before the runs that count: both learn from the 50,000 pictures and are judged by their last weights on the 10,000
test pictures, the same preprocessing. The set is CIFAR-10 after lossy JPEG, not CIFAR-10: no figure here compares with
the paper's 91.25 %.

- The plain long run is the paper's recipe (He et al. 2016, section 4.2; `resnet-cifar`), in float32 (TF32 convolutions,
  torch's default). Its accuracy is found by that recipe through our trainer, in float32 too: the same arithmetic, in less
  time. Its time is that of a plain loop: torch's modules one by one, channels first, torch.optim.SGD; the median of
  several stretches of steps, times the number of steps, and an evaluation an epoch. Its pictures lie on the GPU and are
  cropped and flipped there by whole batches, which flatters it: a DataLoader would be slower.
- Ours is `convatlas train resnet20 --data cifar10-jpeg --epochs N` from the opened data to the last score.

The claim holds if our mean accuracy is no lower and our time is a tenth.

    python benchmarks/cifar_resnet20.py --root sets/cifar10-jpeg [--epochs 60] [--seeds 3] [--long-seeds 1]
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from training_common import report, spread

from convatlas.data import open_data
from convatlas.data.augment import augment
from convatlas.data.loader import Loader
from convatlas.data.sources import DataSource
from convatlas.define.preprocessing import Preprocessing
from convatlas.modules import build
from convatlas.modules.device import pick_device
from convatlas.networks import catalogue
from convatlas.recipes import default, recipe
from convatlas.training.fit import fit
from convatlas.training.recipe import Recipe
from convatlas.training.suit import preprocessing_for

NETWORK = catalogue.network("resnet20")


def train(source: DataSource, chosen: Recipe, seed: int) -> tuple[float, float, str]:
    """(seconds, test accuracy of the last weights, plan)."""
    began = time.perf_counter()
    outcome = fit(NETWORK, source, dataclasses.replace(chosen, select="last"), seed=seed)
    return time.perf_counter() - began, float(outcome.summary["top1"]), str(outcome.summary["plan"])


class PlainLoop:
    """The paper's run as a script has it."""

    def __init__(self, source: DataSource, chosen: Recipe, preprocessing: Preprocessing) -> None:
        self.device, self.preprocessing, self.recipe = pick_device("auto"), preprocessing, chosen
        self.model = build(NETWORK).to(self.device)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=chosen.lr, momentum=chosen.momentum, weight_decay=chosen.weight_decay
        )
        size = NETWORK.input[1:]
        self.training = Loader(source.train, chosen.batch, size, True, device=self.device)
        self.testing = Loader(source.test, 1000, size, device=self.device)
        self.generator = torch.Generator(self.device)

    def steps(self, count: int) -> float:
        """Seconds a step."""
        self.model.train()
        torch.backends.cudnn.benchmark = True
        torch.cuda.synchronize() if torch.cuda.is_available() else None
        start = time.perf_counter()
        for _, (images, labels) in zip(range(count), self.training.epoch(0), strict=False):
            x, y = augment(images, labels, self.recipe.augmentation, self.generator, self.preprocessing)
            loss = F.cross_entropy(self.model(x.contiguous()), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        torch.cuda.synchronize() if torch.cuda.is_available() else None
        return (time.perf_counter() - start) / count

    @torch.no_grad()
    def test(self) -> float:
        """Seconds of an evaluation."""
        self.model.eval()
        start, right = time.perf_counter(), 0
        for images, labels in self.testing.epoch(0):
            x, _ = augment(images, labels, dataclasses.replace(self.recipe.augmentation, padding=0, flip=0.0),
                           self.generator, self.preprocessing)  # fmt: skip
            right += int((self.model(x.contiguous()).argmax(1) == labels).sum())
        return time.perf_counter() - start


def main() -> None:
    """Train, time and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--epochs", type=int, nargs="*", default=[60])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--long-seeds", type=int, default=1)
    parser.add_argument("--long-epochs", type=int, help="other than the paper's, to try the script")
    args = parser.parse_args()
    source = open_data("cifar10-jpeg", root=args.root)
    usual = recipe("resnet-cifar")
    if args.long_epochs:
        usual = dataclasses.replace(usual, epochs=args.long_epochs)
    plain = PlainLoop(source, usual, preprocessing_for(NETWORK, source))
    plain.steps(20), plain.test()
    stretches, tests = [], []
    long: list[tuple[float, float, str]] = []
    ours: dict[int, list[tuple[float, float, str]]] = {n: [] for n in args.epochs}
    for seed in range(max(args.seeds, args.long_seeds)):
        stretches += [plain.steps(60) for _ in range(2)]
        tests.append(plain.test())
        for epochs in args.epochs if seed < args.seeds else ():
            ours[epochs].append(
                train(source, dataclasses.replace(default("resnet20", "cifar10-jpeg"), epochs=epochs), seed)
            )
            print(f"ours, {epochs} epochs, seed {seed}: {ours[epochs][-1]}", flush=True)
        if seed < args.long_seeds:
            long.append(train(source, dataclasses.replace(usual, precision="float32", compile="off"), seed))
            print(f"the long run, seed {seed}: {long[-1]}", flush=True)
    steps = usual.epochs * (len(source.train) // usual.batch)
    slow = steps * statistics.median(stretches) + usual.epochs * statistics.median(tests)
    lines = [
        (
            f"- the paper's recipe, {usual.epochs} epochs, {steps:,} steps: {', '.join(f'{100 * t:.2f}' for _, t, _ in long)} % "
            f"(n = {len(long)}). The plain loop: {spread([1e3 * s for s in stretches])} ms a step, "
            f"{spread(tests)} s a test: **{slow:.0f} s** in all. Through our trainer ({long[0][2] if long else 'not run'}): "
            f"{spread([s for s, _, _ in long]) if long else '-'} s."
        )
    ]
    for epochs, found in ours.items():
        if not found:
            continue
        seconds, scores = [s for s, _, _ in found], [100 * t for _, t, _ in found]
        lines.append(
            f"- ours, {epochs} epochs: mean **{statistics.mean(scores):.2f} %** ({', '.join(f'{s:.2f}' for s in scores)}), "
            f"{spread(seconds)} s: **{slow / statistics.median(seconds):.1f} times** as fast as the plain long run. {found[0][2]}"
        )
    report("cifar-resnet20", "ResNet-20 on cifar10-jpeg with a GPU", lines)


if __name__ == "__main__":
    main()
