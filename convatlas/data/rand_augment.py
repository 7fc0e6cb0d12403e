"""RandAugment (Cubuk et al. 2020): some operations out of fourteen a picture, one magnitude for all.

Magnitudes run 0..10 with the ends of AutoAugment's table (Cubuk et al. 2019, Table 6). The pictures of a batch that
drew the same operation go through it together.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from convatlas.data.warp import affine, affine_matrix

_GREY = 128.0  # what a moved picture leaves behind
Operation = Callable[[Tensor, float, Tensor], Tensor]


def rand_augment(values: Tensor, count: int, magnitude: float, generator: torch.Generator) -> Tensor:
    """Floats 0..255 (N, C, H, W) after `count` operations each; same shape and range."""
    strength = min(max(magnitude / 10, 0.0), 1.0)
    for _ in range(count):
        n = len(values)
        operation = torch.randint(len(OPERATIONS), (n,), device=values.device, generator=generator)
        sign = torch.where(torch.rand(n, device=values.device, generator=generator) < 0.5, -1.0, 1.0)
        values = values.clone()
        for number in operation.unique().tolist():
            chosen = (operation == number).nonzero()[:, 0]
            some = OPERATIONS[list(OPERATIONS)[number]](values[chosen], strength, sign[chosen])
            values[chosen] = some.clamp(0, 255)
    return values


def _identity(x: Tensor, strength: float, sign: Tensor) -> Tensor:
    return x


def _autocontrast(x: Tensor, strength: float, sign: Tensor) -> Tensor:
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return torch.where(high > low, (x - low) * (255 / (high - low).clamp(min=1)), x)


def _equalize(x: Tensor, strength: float, sign: Tensor) -> Tensor:
    """Each channel's values to their place among its values, in the whole steps of Pillow's ImageOps.equalize."""
    n, c, h, w = x.shape
    levels = x.round().clamp(0, 255).long().reshape(n * c, h * w)
    histogram = torch.zeros(n * c, 256, dtype=torch.long, device=x.device)
    histogram.scatter_add_(1, levels, torch.ones_like(levels))
    before = histogram.cumsum(1) - histogram
    brightest = histogram.gather(1, levels.max(1, keepdim=True).values)
    step = (h * w - brightest) // 255
    table = (before + step // 2) // step.clamp(min=1)
    same = torch.arange(256, device=x.device)
    table = torch.where(step > 0, table.clamp(0, 255), same)
    return table.gather(1, levels).to(x.dtype).view(n, c, h, w)


def _solarize(x: Tensor, strength: float, sign: Tensor) -> Tensor:
    return torch.where(x >= 256 * (1 - strength), 255 - x, x)


def _posterize(x: Tensor, strength: float, sign: Tensor) -> Tensor:
    step = 2 ** round(4 * strength)  # 8 bits to 4
    return torch.floor(x / step) * step


def _grey(x: Tensor) -> Tensor:
    if x.shape[1] == 1:
        return x
    return (x * torch.tensor([0.299, 0.587, 0.114], device=x.device).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _blend(x: Tensor, other: Tensor, strength: float, sign: Tensor) -> Tensor:
    return other + (x - other) * (1 + 0.9 * strength * sign).view(-1, 1, 1, 1)


def _saturation(x: Tensor, strength: float, sign: Tensor) -> Tensor:
    return _blend(x, _grey(x), strength, sign)


def _contrast(x: Tensor, strength: float, sign: Tensor) -> Tensor:
    return _blend(x, _grey(x).mean((2, 3), keepdim=True), strength, sign)


def _brightness(x: Tensor, strength: float, sign: Tensor) -> Tensor:
    return _blend(x, torch.zeros_like(x[:, :, :1, :1]), strength, sign)


def _sharpness(x: Tensor, strength: float, sign: Tensor) -> Tensor:
    kernel = torch.ones(3, 3, device=x.device)
    kernel[1, 1] = 5  # Pillow's SMOOTH
    weight = (kernel / kernel.sum()).expand(x.shape[1], 1, 3, 3)
    smooth = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), weight, groups=x.shape[1])
    return _blend(x, smooth, strength, sign)


def _move(x: Tensor, angle: Tensor, shear: tuple[Tensor, Tensor], shift: tuple[Tensor, Tensor]) -> Tensor:
    one = torch.ones_like(angle)
    return affine(x, affine_matrix(angle, *shear, one, *shift, x.shape[3] / x.shape[2]), _GREY)


def _rotate(x: Tensor, strength: float, sign: Tensor) -> Tensor:
    o = torch.zeros_like(sign)
    return _move(x, sign * math.radians(30 * strength), (o, o), (o, o))


def _shear_x(x: Tensor, strength: float, sign: Tensor) -> Tensor:
    o = torch.zeros_like(sign)
    return _move(x, o, (sign * 0.3 * strength, o), (o, o))


def _shear_y(x: Tensor, strength: float, sign: Tensor) -> Tensor:
    o = torch.zeros_like(sign)
    return _move(x, o, (o, sign * 0.3 * strength), (o, o))


def _translate_x(x: Tensor, strength: float, sign: Tensor) -> Tensor:
    o = torch.zeros_like(sign)
    return _move(x, o, (o, o), (sign * (150 / 331) * strength, o))  # 150 of 331 pixels


def _translate_y(x: Tensor, strength: float, sign: Tensor) -> Tensor:
    o = torch.zeros_like(sign)
    return _move(x, o, (o, o), (o, sign * (150 / 331) * strength))


OPERATIONS: dict[str, Operation] = {
    "identity": _identity,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "rotate": _rotate,
    "solarize": _solarize,
    "saturation": _saturation,
    "posterize": _posterize,
    "contrast": _contrast,
    "brightness": _brightness,
    "sharpness": _sharpness,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}
