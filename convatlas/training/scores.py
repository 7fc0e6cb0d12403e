"""Exact sums over a set: loss, top-1, top-5, and the confusion matrix. No mean of means."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.data.loader import Loader
from convatlas.training.step import Stepper


@dataclass(frozen=True)
class Scores:
    """Of `images` pictures: mean loss, shares right within the first and first five guesses; rows are true classes.

    Of no pictures there is neither loss nor share: None.
    """

    images: int
    loss: float | None
    top1: float | None
    top5: float | None
    confusion: Tensor
    wrong: tuple[tuple[int, int, float], ...]  # (index in the set, predicted class, its probability)


@torch.no_grad()
def evaluate(stepper: Stepper, loader: Loader, classes: int, model: nn.Module | None = None) -> Scores:
    """Score the stepper's model, or another of the same network, on what a loader gives.

    In distributed training each worker scores its shard and the sums are added: the result is that of one worker.
    """
    net = stepper.evaluated if model is None else model
    was = net.training
    net.eval()
    device = stepper.device
    sums = torch.zeros(4, dtype=torch.float64, device=device)  # loss, right, right in five, images
    confusion = torch.zeros(classes * classes, dtype=torch.int64, device=device)
    wrong: list[tuple[int, int, float]] = []
    for images, labels, indices in loader.batches(0):
        if not len(images):
            continue
        logits = stepper.logits(images, net)
        five = logits.topk(min(5, classes), 1).indices
        hit = five == labels[:, None]
        loss = F.cross_entropy(logits, labels, reduction="none").double().sum()
        sums += torch.stack(
            [loss, hit[:, 0].sum().double(), hit.any(1).sum().double(), loss.new_tensor(len(labels))]
        )
        confusion += torch.bincount(labels * classes + five[:, 0], minlength=classes * classes)
        # all at once: a GPU is asked three times a batch, not three times a mistake
        rows = (~hit[:, 0]).nonzero().flatten()
        guessed = five[rows, 0]
        sure = logits[rows].softmax(1).gather(1, guessed[:, None])[:, 0]
        wrong += zip(indices[rows.cpu()].tolist(), guessed.tolist(), sure.tolist(), strict=True)
    net.train(was)
    if torch.distributed.is_available() and torch.distributed.is_initialized() and loader.world > 1:
        torch.distributed.all_reduce(sums)
        torch.distributed.all_reduce(confusion)
        gathered: list[list[tuple[int, int, float]]] = [[] for _ in range(loader.world)]
        torch.distributed.all_gather_object(gathered, wrong)
        wrong = sorted(w for part in gathered for w in part)
    count = int(sums[3])
    means: list[float | None] = (sums[:3] / count).tolist() if count else [None] * 3
    return Scores(count, means[0], means[1], means[2], confusion.view(classes, classes).cpu(), tuple(wrong))
