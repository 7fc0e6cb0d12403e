"""Fine-tuning on a folder of photos: `convatlas train --weights` against a plain full fine-tune of 20 epochs.

Fixed before any run: both begin from the same weights, see the same split, and are judged by their last weights on
the same pictures, prepared alike. The plain script is the usual tutorial's: random resized crop and flip a sample
with Pillow in a DataLoader, float32, SGD 0.9 with lr 0.001 falling by ten at two thirds, batch 32, all rows train
from the first step, 20 epochs, tested after each. Ours is the default recipe, timed from opening the folder to the
last score, evaluations included. Runs alternate; the claim holds if the mean accuracy over the seeds is no lower
and the time is a fifth.

    python benchmarks/finetune.py DIR --weights squeezenet1_1.pth [--network squeezenet1_1] [--seeds 5] [--plain-seeds 5]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from training_common import ROOT, load, report, spread

from convatlas.data import FileSet, open_data
from convatlas.data import load as load_picture
from convatlas.data.pixels import normalize
from convatlas.define.preprocessing import Preprocessing
from convatlas.networks import catalogue
from convatlas.recipes import default
from convatlas.training.finetune import begin
from convatlas.training.fit import fit


class Photos(Dataset):  # type: ignore[type-arg]
    """A folder of photos as the tutorial reads it: open, crop, resize, flip, normalize, one at a time."""

    def __init__(self, files: FileSet, preprocessing: Preprocessing, side: int, *, train: bool) -> None:
        self.files, self.preprocessing, self.side, self.train = files, preprocessing, side, train

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.files.paths[index], int(self.files.labels[index])
        if not self.train:
            return load_picture(path, self.preprocessing), label
        import numpy as np

        image = Image.open(path).convert("RGB")
        area = image.width * image.height
        for _ in range(10):
            part = area * float(torch.empty(1).uniform_(0.08, 1))
            ratio = float(torch.empty(1).uniform_(-0.2877, 0.2877).exp())
            w, h = round((part * ratio) ** 0.5), round((part / ratio) ** 0.5)
            if w <= image.width and h <= image.height:
                break
        else:
            w = h = min(image.size)
        left = int(torch.randint(0, image.width - w + 1, ()))
        top = int(torch.randint(0, image.height - h + 1, ()))
        image = image.resize(
            (self.side, self.side), Image.Resampling.BILINEAR, (left, top, left + w, top + h)
        )
        if torch.rand(()) < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(image, np.uint8)).permute(2, 0, 1)
        return normalize(pixels[None], self.preprocessing)[0], label


def plain(folder: Path, weights: str, network: str, seed: int, epochs: int) -> tuple[float, float]:
    """(seconds, accuracy) of the tutorial's script."""
    began = time.perf_counter()
    source = open_data(str(folder))
    start = begin(catalogue.network(network), source, weights, default(network, str(folder), weights=True))
    assert start.model is not None
    assert start.preprocessing is not None
    torch.manual_seed(seed)
    model, side = start.model, start.network.input[1]
    assert isinstance(source.train, FileSet)
    assert isinstance(source.test, FileSet)
    training = DataLoader(Photos(source.train, start.preprocessing, side, train=True), 32, shuffle=True)
    testing = DataLoader(Photos(source.test, start.preprocessing, side, train=False), 32)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [epochs * 2 // 3])
    top1 = 0.0
    for _ in range(epochs):
        model.train()
        for x, y in training:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            top1 = sum(int((model(x).argmax(1) == y).sum()) for x, y in testing) / len(source.test)
    return time.perf_counter() - began, top1


def ours(folder: Path, weights: str, network: str, seed: int) -> tuple[float, float, str]:
    """(seconds, accuracy of the last weights, plan)."""
    began = time.perf_counter()
    source = open_data(str(folder))
    recipe = dataclasses.replace(default(network, str(folder), weights=True), select="last")
    start = begin(catalogue.network(network), source, weights, recipe)
    outcome = fit(start, source, recipe, seed=seed)
    return time.perf_counter() - began, float(outcome.summary["top1"]), str(outcome.summary["plan"])


def main() -> None:
    """Run in turns and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--network", default="squeezenet1_1")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--plain-seeds", type=int, default=5)
    parser.add_argument("--plain-epochs", type=int, default=20)
    args = parser.parse_args()
    keep = ROOT / f"runs/finetune-{args.folder.name}.jsonl"
    keep.parent.mkdir(parents=True, exist_ok=True)
    found = [json.loads(x) for x in keep.read_text().splitlines()] if keep.exists() else []

    def note(**line: object) -> None:
        line["load"] = load()
        found.append(line)
        print(line, flush=True)
        with keep.open("a") as file:
            file.write(json.dumps(line) + "\n")

    for seed in range(max(args.seeds, args.plain_seeds)):
        if seed < args.seeds and not any(x["kind"] == "ours" and x["seed"] == seed for x in found):
            seconds, top1, plan = ours(args.folder, args.weights, args.network, seed)
            note(kind="ours", seed=seed, seconds=seconds, top1=top1, plan=plan)
        if seed < args.plain_seeds and not any(x["kind"] == "plain" and x["seed"] == seed for x in found):
            seconds, top1 = plain(args.folder, args.weights, args.network, seed, args.plain_epochs)
            note(kind="plain", seed=seed, seconds=seconds, top1=top1)
    lines = [
        f"{args.network} on {args.folder.name}. Protocol: the docstring of `benchmarks/finetune.py`.",
        "",
    ]
    by = {k: [x for x in found if x["kind"] == k] for k in ("ours", "plain")}
    for kind, runs in by.items():
        if runs:
            lines.append(
                f"- {kind}: mean accuracy **{statistics.mean(100 * x['top1'] for x in runs):.2f} %** "
                f"{[round(100 * x['top1'], 2) for x in runs]}; seconds {spread([x['seconds'] for x in runs])}"
            )
    pairs = [p["seconds"] / o["seconds"] for o in by["ours"] for p in by["plain"] if o["seed"] == p["seed"]]
    if pairs:
        lines.append(f"- plain over ours, of the same turn: **{spread(pairs)}**")
    lines += ["", "```", *(json.dumps(x) for x in found), "```"]
    report(f"finetune-{args.folder.name}", f"Fine-tuning {args.network} on {args.folder.name}", lines)


if __name__ == "__main__":
    main()
