"""What a row makes of a picture: its maps, the most excited ones first."""

from __future__ import annotations

import torch
from torch import Tensor

from convatlas.explain.subject import Subject, run


def feature_maps(subject: Subject, x: Tensor, rows: list[str]) -> dict[str, Tensor]:
    """Row -> (C, H, W)."""
    with torch.inference_mode():
        _, caught = run(subject.model, x, rows)
    return {row: caught[row][0].float().cpu() for row in rows}


def most_excited(maps: Tensor, count: int) -> list[int]:
    """Channels of (C, H, W) by their largest activation; ties in order."""
    peaks = maps.flatten(1).amax(1)
    order: list[int] = peaks.argsort(descending=True, stable=True).tolist()
    return order[:count]
