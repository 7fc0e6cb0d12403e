"""Fine-tuning on a folder of photos: `convatlas train --weights` against a plain full fine-tune of 20 epochs.

Fixed before the runs that count: both begin from the same weights, see the same split, and are judged by their last
weights on the same test pictures, prepared alike. The plain script is the usual tutorial's: a new classifier as torch
makes one, random resized crop and flip a sample with Pillow in a DataLoader with two workers, float32, SGD 0.9 whose
learning rate falls by ten at two thirds, batch 32, all rows train from the first step, 20 epochs, tested after each.
Its learning rate, 0.001, is the tutorial's and was not tuned; our recipe was chosen on a part of the ants-and-bees training set
that was held out, with one seed, never on a test set. Ours is the default
recipe, from opening the folder to the last score, measuring of plans and evaluations included.

Ours begins a new class as the old class that its photos look most like (convatlas/training/inherit.py). Ants, bees and
imagenette's ten are among ImageNet's thousand: no set could be kinder to that. `--fresh` adds runs without it.

Accuracy and time are gathered apart, since one needs many runs and the other a machine that does nothing else. A run
is a process. A turn of timing is a whole run of ours and `--plain-epochs-timed` epochs of the plain script with their
tests; what the plain script takes is its start, once, and 20 times its median epoch. The claim holds if our mean
accuracy over the seeds is no lower and the time is a fifth.

    python benchmarks/finetune.py DIR --weights squeezenet1_1.pth --accuracy 5     any machine, any load
    python benchmarks/finetune.py DIR --weights squeezenet1_1.pth --turns 3        nothing else on the machine
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from training_common import ROOT, load, report, spread

from convatlas.data import FileSet, open_data
from convatlas.data import load as load_picture
from convatlas.data.pixels import normalize
from convatlas.define.edits import classifier
from convatlas.define.preprocessing import Preprocessing
from convatlas.networks import catalogue
from convatlas.recipes import default
from convatlas.training.finetune import begin
from convatlas.training.fit import fit

KEPT = ROOT / "runs/finetune.jsonl"
EPOCHS = 20
CALLED = {"ours": "ours", "fresh": "ours with a head from nothing", "plain": "plain"}
PLAIN_LR = 0.001


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


def plain(folder: Path, weights: str, network: str, seed: int, epochs: int, lr: float) -> dict[str, object]:
    """The tutorial's script, and how long its start and each epoch took."""
    began = time.perf_counter()
    source = open_data(str(folder))
    start = begin(catalogue.network(network), source, weights, default(network, str(folder), weights=True))
    assert start.model is not None
    assert start.preprocessing is not None
    torch.manual_seed(seed)
    model, side = start.model, start.preprocessing.crop
    assert isinstance(side, int)
    last = model.get_submodule(classifier(start.network.rows) or "")
    assert isinstance(last, nn.Conv2d | nn.Linear)
    last.reset_parameters()  # as torch makes a new layer
    assert isinstance(source.train, FileSet)
    assert isinstance(source.test, FileSet)
    training, testing = (
        DataLoader(
            Photos(part, start.preprocessing, side, train=part is source.train), 32, shuffle=part is source.train,
            num_workers=2, persistent_workers=True,
        )
        for part in (source.train, source.test)
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [EPOCHS * 2 // 3])
    top1, times = 0.0, [time.perf_counter() - began]
    for _ in range(epochs):
        began = time.perf_counter()
        model.train()
        for x, y in training:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            top1 = sum(int((model(x).argmax(1) == y).sum()) for x, y in testing) / len(source.test)
        times.append(time.perf_counter() - began)
    return {"epochs": epochs, "lr": lr, "top1": top1, "start": times[0], "epoch_seconds": times[1:]}


def ours(folder: Path, weights: str, network: str, seed: int, *, fresh: bool) -> dict[str, object]:
    """The default recipe, judged by its last weights. fresh: nothing of the old classifier is taken."""
    began = time.perf_counter()
    source = open_data(str(folder))
    usual = default(network, str(folder), weights=True)
    recipe = dataclasses.replace(usual, select="last", inherit=not fresh)
    start = begin(catalogue.network(network), source, weights, recipe)
    outcome = fit(start, source, recipe, seed=seed)
    summary = outcome.summary
    ends = [float(line["seconds"]) for line in outcome.history]  # type: ignore[arg-type]
    return {
        "epochs": recipe.epochs, "top1": summary["top1"], "seconds": time.perf_counter() - began,
        "epoch_seconds": [b - a for a, b in itertools.pairwise(ends)], "first_epoch_ends": ends[0], "plan": summary["plan"],
        "waiting": summary["waiting"],
    }  # fmt: skip


def note(line: dict[str, object]) -> None:
    """Keep a run for the report, whatever comes after it."""
    line["load"] = load()
    print(line, flush=True)
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    with KEPT.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def kept() -> list[dict[str, object]]:
    """All runs so far."""
    return [json.loads(x) for x in KEPT.read_text(encoding="utf-8").splitlines()] if KEPT.exists() else []


def one(args: argparse.Namespace, kind: str, seed: int, purpose: str) -> None:
    """A run in a process of its own: training sets the allocator of its process, which would help the other kind."""
    command = [
        sys.executable,
        __file__,
        str(args.folder),
        "--weights",
        args.weights,
        "--network",
        args.network,
    ]
    command += ["--run", kind, "--seed", str(seed), "--purpose", purpose, "--plain-lr", str(args.plain_lr)]
    command += ["--plain-epochs-timed", str(args.plain_epochs_timed)]
    subprocess.run(command, check=True)


def lines_of(folder: str, runs: list[dict[str, object]]) -> list[str]:
    """What a folder's runs say."""
    lines = [f"## {folder}", ""]
    own = [x for x in runs if x["folder"] == folder]
    means = {}
    for kind in ("ours", "fresh", "plain"):
        found = [100 * float(x["top1"]) for x in own if x["kind"] == kind and x["purpose"] == "accuracy"]  # type: ignore[arg-type]
        if found:
            means[kind] = statistics.mean(found)
            deviation = f", deviation {statistics.stdev(found):.2f}" if len(found) > 1 else ""
            lines.append(
                f"- {CALLED[kind]}: mean accuracy **{means[kind]:.2f} %** of {len(found)} seeds{deviation}: "
                f"{', '.join(f'{x:.2f}' for x in found)}"
            )
    timed = {k: [x for x in own if x["kind"] == k and x["purpose"] == "time"] for k in ("ours", "plain")}
    if timed["ours"] and timed["plain"]:
        totals = [float(x["seconds"]) for x in timed["ours"]]  # type: ignore[arg-type]
        epochs = [e for x in timed["plain"] for e in x["epoch_seconds"]]  # type: ignore[attr-defined]
        starts = statistics.median(float(x["start"]) for x in timed["plain"])  # type: ignore[arg-type]
        whole = starts + EPOCHS * statistics.median(epochs)
        per = [e for x in timed["ours"] for e in x["epoch_seconds"]]  # type: ignore[attr-defined]
        ratios = [
            (float(p["start"]) + EPOCHS * statistics.median(p["epoch_seconds"])) / float(o["seconds"])  # type: ignore[arg-type]
            for o, p in zip(timed["ours"], timed["plain"], strict=False)
        ]
        lines += [
            f"- ours: seconds a run {spread(totals)}; an epoch with its test {spread(per)}",
            f"- plain: seconds an epoch with its test {spread(epochs)}; {EPOCHS} epochs and the start: {whole:.0f}",
            f"- plain over ours, turn by turn: **{spread(ratios)}**",
        ]
    return [*lines, ""]


def main() -> None:
    """Run what is asked for, and report all that was kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--network", default="squeezenet1_1")
    parser.add_argument(
        "--accuracy", type=int, default=0, metavar="SEEDS", help="runs of each kind for accuracy"
    )
    parser.add_argument("--turns", type=int, default=0, help="turns of timing")
    parser.add_argument("--plain-epochs-timed", type=int, default=2)
    parser.add_argument("--plain-lr", type=float, default=PLAIN_LR)
    parser.add_argument(
        "--fresh", action="store_true", help="for accuracy, also ours with a head from nothing"
    )
    parser.add_argument("--run", choices=list(CALLED), help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--purpose", default="accuracy", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        same = (args.folder, args.weights, args.network, args.seed)
        epochs = EPOCHS if args.purpose == "accuracy" else args.plain_epochs_timed
        if args.run == "plain":
            found = plain(*same, epochs, args.plain_lr)
        else:
            found = ours(*same, fresh=args.run == "fresh")
        note(
            {
                "folder": args.folder.name,
                "kind": args.run,
                "purpose": args.purpose,
                "seed": args.seed,
                **found,
            }
        )
        return
    there = {(x["folder"], x["kind"], x["purpose"], x["seed"]) for x in kept()}
    for purpose, count in (("accuracy", args.accuracy), ("time", args.turns)):
        for seed in range(count):
            for kind in CALLED:
                if kind == "fresh" and not (args.fresh and purpose == "accuracy"):
                    continue
                if (args.folder.name, kind, purpose, seed) not in there:
                    one(args, kind, seed, purpose)
    runs = kept()
    text = [f"{args.network}. Protocol: the docstring of `benchmarks/finetune.py`.", ""]
    for folder in dict.fromkeys(str(x["folder"]) for x in runs):
        text += lines_of(folder, runs)
    report(
        "finetune",
        f"Fine-tuning {args.network}",
        [*text, "All runs:", "", "```", *map(json.dumps, runs), "```"],
    )


if __name__ == "__main__":
    main()
