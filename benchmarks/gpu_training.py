"""Training steps on one GPU: ours against torchvision's and timm's own, in one run, in turns.

Each library's step is that of its own training script, on pictures that are already on the GPU:

- torchvision: references/classification/train.py, with --amp (float16 and GradScaler), and without (its default).
  Channels first, torch.optim.SGD, pictures that are floats already.
- timm: train.py --amp --amp-dtype bfloat16 --channels-last: autocast, its own "sgd" (Nesterov), bytes normalized by its
  loader's arithmetic.
- ours: the trainer's step on bytes with the plan that it measures (`choose`), the optimizer included.

The bound: what must move through memory if each layer reads its inputs and writes its outputs once in bf16, a convolution
three times (forward, and its two gradients), a batch norm with its ReLU and shortcut in the passes of
norm_triton.py (two readings and one writing forward, four and one backward), divided by the speed of a copy on this
card. Turns of half a second alternate; a ratio is of two neighbours in time, the figure their median.

    python benchmarks/gpu_training.py [--networks resnet18:256 resnet50_v1_5:256] [--turns 5] [--compile auto]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from training_common import report, spread

from convatlas.define import BatchNorm, Conv, elaborate
from convatlas.define.elaborate import Placed
from convatlas.define.preprocessing import Preprocessing
from convatlas.inference.benchmark.models import make as peer
from convatlas.inference.ceiling import ceiling
from convatlas.modules import build
from convatlas.networks import catalogue
from convatlas.training.measure import choose
from convatlas.training.optimizer import make, take_step
from convatlas.training.recipe import Recipe
from convatlas.training.step import Moment, Stepper

CUDA = torch.device("cuda")
IN_TIMM = {"resnet50_v1_5": "resnet50"}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Step = Callable[[], None]


def torchvision_step(name: str, images: Tensor, labels: Tensor, *, amp: bool) -> Step:
    """One iteration of train_one_epoch, without its meters."""
    model = peer("torchvision", name).to(CUDA).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    scaler = torch.amp.GradScaler("cuda") if amp else None
    criterion = nn.CrossEntropyLoss()
    floats = images.float().div_(255).contiguous()

    def step() -> None:
        with torch.amp.autocast("cuda", enabled=amp):
            loss = criterion(model(floats), labels)
        optimizer.zero_grad()
        if scaler is None:
            loss.backward()
            optimizer.step()
        else:
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()

    return step


def timm_step(name: str, images: Tensor, labels: Tensor, *, compiled: bool = False) -> Step:
    """One iteration of its train_one_epoch: autocast in bf16, channels last, its own optimizer and prefetcher's arithmetic."""
    from timm.optim import create_optimizer_v2

    model = peer("timm", IN_TIMM.get(name, name)).to(CUDA).to(memory_format=torch.channels_last).train()
    optimizer = create_optimizer_v2(model, opt="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4)
    run = torch.compile(model) if compiled else model
    mean, std = (
        torch.tensor([255 * v for v in values], device=CUDA).view(1, 3, 1, 1) for values in (MEAN, STD)
    )
    criterion = nn.CrossEntropyLoss()

    def step() -> None:
        x = images.float().sub_(mean).div_(std).contiguous(memory_format=torch.channels_last)
        with torch.amp.autocast("cuda", dtype=torch.bfloat16):
            loss = criterion(run(x), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def our_step(name: str, images: Tensor, labels: Tensor, compile_: str) -> tuple[Step, str, dict[str, float]]:
    """The trainer's step on bytes, the plan that it chose, and what each plan gave."""
    model = build(catalogue.network(name)).to(CUDA).train()
    recipe = Recipe(batch=len(images), lr=0.1, weight_decay=1e-4, compile=compile_)
    preprocessing = Preprocessing(mean=MEAN, std=STD)
    # as many pictures as a run of ImageNet's: what compiling takes would not count
    plan, measured = choose(model, recipe, preprocessing, 1000, CUDA, images, labels, 90 * 1_281_167)
    stepper = Stepper(model, recipe, plan, preprocessing, 1000, CUDA)
    for task in stepper.tasks:
        task.train()
    optimizer = make(model, recipe)

    def step() -> None:
        stepper.gradients(images, labels, Moment(0, 0, 0))
        take_step(optimizer)

    return step, plan.describe(), measured


def turn(step: Step, images: int, seconds: float = 0.5) -> float:
    """Images a second."""
    torch.cuda.synchronize()
    start, count = time.perf_counter(), 0
    while count < 4 or time.perf_counter() - start < seconds:
        step()
        count += 1
        if count % 4 == 0:
            torch.cuda.synchronize()
    torch.cuda.synchronize()
    return count * images / (time.perf_counter() - start)


def leaves(placed: Placed) -> Iterator[Placed]:
    """The layers of a row, in order."""
    if placed.children:
        for _, child in placed.children:
            yield from leaves(child)
    else:
        yield placed


def least_bytes(name: str) -> int:
    """Bytes that a training step moves for each picture, as the head of this file counts them."""
    total = 0
    for _, row in elaborate(catalogue.network(name)).rows:
        for layer in leaves(row):
            reads, writes = (
                2 * s[0] * s[1] * s[2] if len(s) == 3 else 2 * s[0] for s in (layer.input, layer.output)
            )
            if isinstance(layer.node, Conv):
                total += (reads + writes) + 2 * (reads + writes)
            elif isinstance(layer.node, BatchNorm):
                total += 3 * reads + 5 * reads
    return total


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="*", default=["resnet18:256", "resnet50_v1_5:256"])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument(
        "--compile", default="off", choices=("auto", "off"), help="let ours consider torch.compile"
    )
    parser.add_argument(
        "--compiled-timm", action="store_true", help="timm with --torchcompile beside the others"
    )
    parser.add_argument("--name", default="gpu-training")
    args = parser.parse_args()
    torch.backends.cudnn.benchmark = True  # as all three scripts have it
    top = ceiling(CUDA)
    lines = [
        (
            f"{top.device}: a copy moves {top.copy / 1e12:.2f} TB/s, a bf16 product {2e-12 * (top.bf16 or 0):.0f} TFLOP/s. "
            f"{args.turns} turns of half a second each."
        ),
        "",
        "| network, batch | step | images/s | ours is faster, of neighbours |",
        "| --- | --- | --- | --- |",
    ]
    plans: list[str] = []
    for case in args.networks:
        name, batch = case.split(":")
        torch.manual_seed(0)
        images = torch.randint(0, 256, (int(batch), 3, 224, 224), dtype=torch.uint8, device=CUDA)
        images = images.contiguous(memory_format=torch.channels_last)
        labels = torch.randint(0, 1000, (int(batch),), device=CUDA)
        own, plan, measured = our_step(name, images, labels, args.compile)
        steps = {
            "ours": own,
            "torchvision --amp": torchvision_step(name, images, labels, amp=True),
            "torchvision": torchvision_step(name, images, labels, amp=False),
            "timm --amp --amp-dtype bfloat16 --channels-last": timm_step(name, images, labels),
        }
        if args.compiled_timm:
            steps["timm, the same with --torchcompile"] = timm_step(name, images, labels, compiled=True)
        rates: dict[str, list[float]] = {kind: [] for kind in steps}
        for step in steps.values():
            for _ in range(3):
                step()
        for _ in range(args.turns):
            for kind, step in steps.items():
                rates[kind].append(turn(step, int(batch)))
        for kind, found in rates.items():
            ratios = [a / b for a, b in zip(rates["ours"], found, strict=True)]
            said = (
                ""
                if kind == "ours"
                else f"**{statistics.median(ratios):.2f}** [{min(ratios):.2f} to {max(ratios):.2f}]"
            )
            lines.append(f"| {name}, {batch} | {kind} | {spread(found)} | {said} |")
        rate = statistics.median(rates["ours"])
        bound = top.copy / least_bytes(name)
        work = 3 * elaborate(catalogue.network(name)).mult_adds * rate / (top.bf16 or 1)
        plans += [
            "",
            f"{name}: ours ran as {plan}. {least_bytes(name) / 1e6:.0f} MB a picture must move: at most {bound:,.0f} images/s; "
            f"ours reaches **{rate / bound:.0%}** of that bound, and {work:.0%} of the product's rate. Plans measured, images/s "
            "of forward and backward: "
            + "; ".join(f"{kind} {value:,.0f}" for kind, value in measured.items())
            + ".",
        ]
        print("\n".join([*lines[-len(steps) :], *plans[-1:]]), flush=True)
        report(args.name, "Training steps on one GPU", [*lines, *plans])
        del steps, own, images
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
