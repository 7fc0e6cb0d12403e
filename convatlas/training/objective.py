"""What is minimized: cross-entropy, with smoothed or mixed labels, and the auxiliary heads' share of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from convatlas.training.recipe import Recipe


def loss_of(logits: Tensor, aux: Sequence[Tensor], labels: Tensor, recipe: Recipe) -> Tensor:
    """Mean loss of a batch, a scalar. logits: (N, classes); labels: int64 (N,) or soft float (N, classes).

    Each auxiliary head adds `aux_loss_weight` of its own loss (Szegedy et al. 2015, section 5: 0.3).
    """
    loss = F.cross_entropy(logits.float(), labels, label_smoothing=recipe.label_smoothing)
    for head in aux:
        loss = loss + recipe.aux_loss_weight * F.cross_entropy(
            head.float(), labels, label_smoothing=recipe.label_smoothing
        )
    return loss


def right(logits: Tensor, labels: Tensor) -> Tensor:
    """How many are right, an int64 scalar; of a mixed label, its larger part counts."""
    if labels.ndim == 2:
        labels = labels.argmax(1)
    return (logits.argmax(1) == labels).sum(dtype=torch.int64)
