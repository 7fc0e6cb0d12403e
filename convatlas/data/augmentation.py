"""What is done to pictures in training, as one value that a recipe can carry, and the whole-batch arithmetic of it.

Where a crop is taken from is decided a sample (`convatlas.data.geometry`), because photos differ in size; all else
acts on a batch of bytes (N, C, H, W) on the device that trains.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from convatlas.errors import MisuseError

CROPS = ("center", "random", "resized", "jitter")


@dataclass(frozen=True)
class Augmentation:
    """Every field is off by default. Names and defaults of the arithmetic are the papers'.

    crop: how a photo becomes the input's size. `center`; `random`: short side to 8/7 of the input, then anywhere
        (AlexNet: 224 out of 256); `resized`: a part of `area` of the picture, of an aspect `ratio`, resized
        (Inception); `jitter`: short side drawn from `short_side`, then anywhere (VGG: 256..512 for 224).
    padding: zeros around a small picture before a random crop of its own size (ResNet's 4 on CIFAR).
    flip: probability of a left-right flip.
    pca_noise: deviation of AlexNet's noise along the principal components of color (the paper: 0.1).
    brightness, contrast, saturation: a factor drawn from 1 - value .. 1 + value. hue: a turn of -value .. value.
    rotate: degrees either way; translate, shear: a share of the side; zoom: a factor 1 - value .. 1 + value.
    rand_augment: how many operations a picture gets, with `rand_magnitude` of 10 (Cubuk et al. 2020).
    cutout: side of a grey square put anywhere (DeVries & Taylor 2017: 16 on CIFAR-10).
    mixup, cutmix: the Beta's alpha (Zhang et al. 2018; Yun et al. 2019); labels become soft.
    label_smoothing belongs to the objective, not here.
    """

    crop: str = "center"
    area: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    short_side: tuple[int, int] | None = None
    padding: int = 0
    flip: float = 0.0
    pca_noise: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    rotate: float = 0.0
    translate: float = 0.0
    shear: float = 0.0
    zoom: float = 0.0
    rand_augment: int = 0
    rand_magnitude: float = 9.0
    cutout: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        if self.crop not in CROPS:
            raise MisuseError(f"augmentation: crop {self.crop!r} is none of {', '.join(CROPS)}")
        if self.crop == "jitter" and self.short_side is None:
            raise MisuseError("augmentation: crop 'jitter' needs short_side, such as (256, 512)")
        for name, low, high in _LIMITS:
            if not _within(value := getattr(self, name), low, high, name in _WHOLE):
                kind = "a whole number" if name in _WHOLE else "a number"
                raise MisuseError(
                    f"augmentation: {name} is {kind} from {low:g} to {high:g}, received {value!r}"
                )
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if value is None and name == "short_side":
                continue
            pair = tuple(value) if isinstance(value, (tuple, list)) else ()
            if (
                len(pair) != 2
                or not all(_within(v, low, high, name in _WHOLE) for v in pair)
                or pair[0] > pair[1]
            ):
                raise MisuseError(
                    f"augmentation: {name} is two{' whole' if name in _WHOLE else ''} numbers, the smaller first, from "
                    f"{low:g} to {high:g}, received {value!r}"
                )
            object.__setattr__(self, name, pair)

    @property
    def warps(self) -> bool:
        """Whether pictures are turned, moved, sheared or zoomed."""
        return bool(self.rotate or self.translate or self.shear or self.zoom)

    @property
    def colors(self) -> bool:
        """Whether colors change."""
        return bool(self.pca_noise or self.brightness or self.contrast or self.saturation or self.hue)

    def to_dict(self) -> dict[str, object]:
        """What JSON can carry: only what differs from the defaults."""
        return {
            f.name: list(v) if isinstance(v := getattr(self, f.name), tuple) else v
            for f in dataclasses.fields(self)
            if getattr(self, f.name) != f.default
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, object]) -> Augmentation:
        """An unknown key raises MisuseError."""
        if not isinstance(fields, Mapping):
            raise MisuseError(f"augmentation: expected its fields by name, received {fields!r}")
        known = [f.name for f in dataclasses.fields(cls)]
        unknown = sorted(set(fields) - set(known))
        if unknown:
            raise MisuseError(f"augmentation: unknown {', '.join(unknown)}; known: {', '.join(known)}")
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})  # type: ignore[arg-type]


_LIMITS: tuple[tuple[str, float, float], ...] = (
    ("padding", 0, 512), ("flip", 0, 1), ("pca_noise", 0, 10), ("brightness", 0, 1), ("contrast", 0, 1),
    ("saturation", 0, 1), ("hue", 0, 1), ("rotate", 0, 360), ("translate", 0, 1), ("shear", 0, 10), ("zoom", 0, 0.99),
    ("rand_augment", 0, 100), ("rand_magnitude", 0, 10), ("cutout", 0, 65_536), ("mixup", 0, 1000), ("cutmix", 0, 1000),
)  # fmt: skip
_RANGES: tuple[tuple[str, float, float], ...] = (
    ("area", 1e-4, 1),
    ("ratio", 0.01, 100),
    ("short_side", 1, 65_536),
)
_WHOLE = ("padding", "rand_augment", "cutout", "short_side")


def _within(value: object, low: float, high: float, whole: bool) -> bool:
    """Whether it is a number from `low` to `high`; NaN is not."""
    kinds = (int,) if whole else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high
