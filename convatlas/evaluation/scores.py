"""Scores from probabilities: top-1, top-5, per class, confusion. Exact counts, no mean of means."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Scores:
    """Of `images` pictures: shares right in the first guess and in the first five; rows of confusion are true classes."""

    images: int
    top1_count: int
    top5_count: int
    confusion: Tensor
    classes: tuple[str, ...]

    @property
    def top1(self) -> float:
        """Share of pictures whose first guess is right."""
        return self.top1_count / max(self.images, 1)

    @property
    def five_say(self) -> bool:
        """Whether the first five guesses say anything: of five classes and fewer they are always right."""
        return len(self.classes) > 5

    @property
    def top5(self) -> float:
        """Share of pictures whose class is among the five first guesses."""
        return self.top5_count / max(self.images, 1)

    def per_class(self) -> list[dict[str, object]]:
        """Of every class that occurs: pictures, recall (share found) and precision (share right of those so called)."""
        rows = []
        called, total = self.confusion.sum(0).tolist(), self.confusion.sum(1).tolist()
        right = self.confusion.diagonal().tolist()
        for i, name in enumerate(self.classes):
            if total[i]:
                precision = right[i] / called[i] if called[i] else None
                rows.append(
                    {"class": name, "images": total[i], "recall": right[i] / total[i], "precision": precision}
                )
        return rows


def score(probabilities: Tensor, labels: Tensor, classes: tuple[str, ...]) -> Scores:
    """Scores of probabilities (or logits) (N, classes) against labels (N,)."""
    count = len(classes)
    guesses = probabilities.topk(min(5, count), 1).indices
    hit = guesses == labels[:, None]
    confusion = torch.bincount(labels * count + guesses[:, 0], minlength=count * count).view(count, count)
    return Scores(len(labels), int(hit[:, 0].sum()), int(hit.any(1).sum()), confusion, tuple(classes))
