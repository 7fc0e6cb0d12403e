"""The whole-batch arithmetic of an `Augmentation`, on the device that trains."""

from __future__ import annotations

import torch
from torch import Tensor

from convatlas.data.augmentation import Augmentation
from convatlas.data.color import apply_color, color_map
from convatlas.data.mixing import cutmix, cutout, mixup, soft
from convatlas.data.pixels import normalize
from convatlas.data.rand_augment import rand_augment
from convatlas.data.warp import flips, mirrored, random_affine, random_shift
from convatlas.define.preprocessing import Preprocessing
from convatlas.errors import MisuseError

_UNIT = {
    1: Preprocessing(mean=(0.0,), std=(1.0,), channel_order="grey"),
    3: Preprocessing(mean=(0.0,) * 3, std=(1.0,) * 3),
}


def augment(
    images: Tensor,
    labels: Tensor,
    augmentation: Augmentation,
    generator: torch.Generator,
    preprocessing: Preprocessing | None = None,
    classes: int | None = None,
    components: Tensor | None = None,
    out: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Augment a batch and make it floats: bytes (N, C, H, W) to float32 of the same shape, and its labels.

    preprocessing: normalizes; None leaves 0..1. Labels stay int64 (N,), or become float (N, classes) where mixup or
    cutmix mixes them. components: of `color_components`, for pca_noise; ImageNet's by default. All random numbers
    come from `generator`, which is on the images' device (`batch_generator`). Channels last goes in and comes out.
    out: memory that the result may take, as in `normalize`.
    """
    a = augmentation
    if a.padding:
        images = random_shift(images, a.padding, generator)
    own = _UNIT[images.shape[1]] if preprocessing is None else preprocessing
    mirror = flips(images, a.flip, generator) if a.flip else None
    if not (a.colors or a.warps or a.rand_augment):  # bytes become floats, mirrored on the way
        values = normalize(images, own, out, exact=False, mirror=mirror)
    else:
        values = images if mirror is None else mirrored(images, mirror)
        values = normalize(_changed(values, a, generator, components), own, out, exact=False)
    if a.cutout:
        values = cutout(values, a.cutout, generator)
    if a.mixup or a.cutmix:
        if classes is None:
            raise MisuseError("mixup and cutmix make soft labels: the number of classes is needed")
        return _mixed(values, soft(labels, classes), a, generator)
    return values, labels


def _changed(
    values: Tensor, a: Augmentation, generator: torch.Generator, components: Tensor | None
) -> Tensor:
    """What changes shape or color, on values 0..255."""
    if a.warps:
        values = random_affine(values.to(torch.float32), a, generator)
    if a.rand_augment:
        values = rand_augment(values.to(torch.float32), a.rand_augment, a.rand_magnitude, generator)
    color = color_map(values, a, generator, components) if values.shape[1] == 3 else None
    return values if color is None else apply_color(values.to(torch.float32), *color)


def _mixed(
    values: Tensor, targets: Tensor, a: Augmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """One of the two a batch, where both are asked for."""
    if a.mixup and a.cutmix:
        first = torch.rand((), device=values.device, generator=generator) < 0.5
        mixed, mixed_targets = mixup(values, targets, a.mixup, generator)
        cut, cut_targets = cutmix(values, targets, a.cutmix, generator)
        # chosen on the device: asking which one it is would stop a GPU's queue
        return torch.where(first, mixed, cut), torch.where(first, mixed_targets, cut_targets)
    if a.mixup:
        return mixup(values, targets, a.mixup, generator)
    return cutmix(values, targets, a.cutmix, generator)
