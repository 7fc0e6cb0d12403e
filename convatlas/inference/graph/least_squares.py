"""Weights rounded so that a layer's answers stay, not each weight: what one loses, the others of its filter make up.

Hassibi and Stork, "Optimal Brain Surgeon", 1993; Frantar et al., "GPTQ", 2022, §3.3: the inputs' covariance H says how
weights can stand in for each other. They are rounded one after the other, and the error of each, times its row of the
Cholesky factor of the inverse of H, is taken off those still to come. What is left on average is taken off the bias
(Nagel et al., "Data-Free Quantization", 2019, §4.2), so H may be of inputs about their mean.

Published MobileNet 0.25: int8 weights alone leave 198 of 250 answers as they were when each goes to its nearest, and
240 so; bf16 weights 238 and 249.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

# places of the maps that are looked at, at least; four a weight of the filter where that is more
PLACES = 16384
# filters longer than this are not rounded so: their covariance would take gigabytes
LONGEST = 5000
# share of the mean variance that is added to each, against inputs that never vary
DAMPING = 0.01
_BLOCK = 128

# (position of the weight in its filter, values (filters,)) to the nearest values of the grid
Rounding = Callable[[Tensor, int], Tensor]


def patches(x: Tensor, weight: Tensor, settings: dict[str, Any], generator: torch.Generator) -> Tensor:
    """What the filters see, at random places: (groups, n, weights a filter), of x (N, C, H, W) or (N, features)."""
    if weight.dim() == 2:
        return x.reshape(1, -1, weight.shape[1])
    (kh, kw), (sh, sw), (dh, dw) = weight.shape[2:], settings["stride"], settings["dilation"]
    ph, pw = settings["padding"]
    x = F.pad(x, (pw, pw, ph, ph))
    rows = (x.shape[2] - dh * (kh - 1) - 1) // sh + 1
    columns = (x.shape[3] - dw * (kw - 1) - 1) // sw + 1
    total = len(x) * rows * columns
    most = max(PLACES, 4 * weight[0].numel())
    place = torch.arange(total) if total <= most else torch.randperm(total, generator=generator)[:most]
    image, place = place // (rows * columns), place % (rows * columns)
    y = (place // columns * sh)[:, None] + torch.arange(kh) * dh
    z = (place % columns * sw)[:, None] + torch.arange(kw) * dw
    seen = x[image[:, None, None], :, y[:, :, None], z[:, None, :]]  # (n, kh, kw, C)
    groups = int(settings["groups"])
    split = seen.reshape(len(seen), kh, kw, groups, -1).permute(3, 0, 4, 1, 2)
    return split.reshape(groups, len(seen), -1)


def round_layer(weight: Tensor, bias: Tensor | None, seen: Tensor, grid: str) -> tuple[Tensor, Tensor]:
    """Weights (width, ...) on the grid, "bf16" or "int8", and the bias (width,) that goes with them; seen: `patches`.

    In bf16 the bias is a value of bf16, too, and the weights make up for what it loses; beside int8 it stays float32.
    """
    groups = len(seen)
    filters = weight.double().reshape(groups, len(weight) // groups, -1)
    biases = (torch.zeros(len(weight)) if bias is None else bias).double().reshape(groups, -1)
    weights, moved = [], []
    for own, shift, inputs in zip(filters, biases, seen.double(), strict=True):
        mean = inputs.mean(0)
        rounding = to_bf16 if grid == "bf16" else to_int8(own)
        if own.shape[1] <= LONGEST:
            centered = inputs - mean
            covariance = centered.T @ centered / len(inputs)
            wanted = own
            if grid == "bf16":
                lost = shift - to_bf16(shift, 0)
                stand_in = torch.linalg.solve(damped(covariance) + torch.outer(mean, mean), mean)
                wanted = own + torch.outer(lost, stand_in)
            new = compensated(wanted, covariance, rounding)
        else:
            new = torch.stack([rounding(column, i) for i, column in enumerate(own.T)], 1)
        weights.append(new)
        exact = shift + (own - new) @ mean
        moved.append(to_bf16(exact, 0) if grid == "bf16" else exact)
    return torch.cat(weights).reshape(weight.shape).to(weight), torch.cat(moved).to(weight)


def to_bf16(values: Tensor, _position: int) -> Tensor:
    """To the nearest of bf16."""
    return values.bfloat16().to(values)


def to_int8(filters: Tensor) -> Rounding:
    """To the nearest of 255 steps between minus and plus the largest of each filter (width, weights).

    The largest itself stays, so that a quantizer that comes later finds the same steps.
    """
    size, largest = filters.abs().max(1)
    step = (size / 127).clamp_min(1e-30)

    def rounding(values: Tensor, position: int) -> Tensor:
        nearest = (values / step).round().clamp(-127, 127) * step
        return torch.where(largest == position, filters[:, position], nearest)

    return rounding


def damped(covariance: Tensor) -> Tensor:
    """With a little more variance for every input."""
    result = covariance.clone()
    result.diagonal().add_(DAMPING * covariance.diagonal().mean() + 1e-12)
    return result


def compensated(filters: Tensor, covariance: Tensor, rounding: Rounding) -> Tensor:
    """Filters (width, weights) rounded one weight after the other, the later ones making up for the earlier."""
    length = filters.shape[1]
    own = damped(covariance)
    order = own.diagonal().argsort(descending=True)  # the ones that matter most have most others left
    own, left = own[order][:, order], filters[:, order].clone()
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(own))
    factor = torch.linalg.cholesky(inverse, upper=True)
    result = torch.empty_like(left)
    for begin in range(0, length, _BLOCK):
        end = min(begin + _BLOCK, length)
        errors = torch.zeros(len(left), end - begin, dtype=left.dtype)
        for i in range(begin, end):
            result[:, i] = rounding(left[:, i], int(order[i]))
            error = (left[:, i] - result[:, i]) / factor[i, i]
            left[:, i + 1 : end] -= error[:, None] * factor[i, i + 1 : end]
            errors[:, i - begin] = error
        left[:, end:] -= errors @ factor[begin:end, end:]
    return result[:, order.argsort()]
