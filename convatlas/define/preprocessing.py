"""How a picture becomes a network's input: part of the weights, as much as the numbers in them.

Standard library only; the pixel arithmetic itself is in `convatlas.data.pixels`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from convatlas.errors import MisuseError

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "box", "lanczos")
CHANNEL_ORDERS = ("rgb", "bgr", "grey")
LARGEST = 10_000  # pixels a side: a picture of more than that squared is taken for a bomb


@dataclass(frozen=True)
class Preprocessing:
    """Resize, crop, channel order and normalization, in this order.

    resize: pixels of the short side, the long side becoming int(resize * long / short); a pair (height, width)
        resizes to exactly that, aspect ratio lost; None leaves the size alone.
    crop: side of the centre crop, or (height, width); its corner is int(round((size - crop) / 2)), and what lies
        outside of the picture is black. None leaves the picture whole.
    scale: what the values 0..255 are divided by before mean and std: 255 (torchvision), 1 (Caffe), 127.5 (TF).
    mean, std: subtracted, then divided by, one a channel, in `channel_order`.
    """

    resize: int | tuple[int, int] | None = 256
    crop: int | tuple[int, int] | None = 224
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    channel_order: str = "rgb"
    scale: float = 255.0

    def __post_init__(self) -> None:
        if self.interpolation not in INTERPOLATIONS:
            raise MisuseError(
                f"preprocessing: interpolation {self.interpolation!r} is none of {INTERPOLATIONS}"
            )
        if self.channel_order not in CHANNEL_ORDERS:
            raise MisuseError(
                f"preprocessing: channel_order {self.channel_order!r} is none of {CHANNEL_ORDERS}"
            )
        if not _is_number(self.scale) or not self.scale > 0:
            raise MisuseError(
                f"preprocessing: scale is the divisor (255, 127.5 or 1), received {self.scale!r}"
            )
        for name in ("mean", "std"):
            values = getattr(self, name)
            if not isinstance(values, (tuple, list)) or not all(map(_is_number, values)):
                raise MisuseError(
                    f"preprocessing: {name} is a finite number a channel, as 0.5:0.5:0.5, received {values!r:.80}"
                )
            values = tuple(map(float, values))
            if len(values) != self.channels:
                raise MisuseError(
                    f"preprocessing: {name} has {len(values)} values, channel_order {self.channel_order!r} needs {self.channels}"
                )
            object.__setattr__(self, name, values)
        if min(self.std) <= 0:
            raise MisuseError(f"preprocessing: std must be above zero, received {self.std}")
        for name in ("resize", "crop"):
            object.__setattr__(self, name, _size(name, getattr(self, name)))

    @property
    def channels(self) -> int:
        return 1 if self.channel_order == "grey" else 3

    def with_size(self, height: int, width: int | None = None) -> Preprocessing:
        """The same for an input of another size; the margin that the crop leaves is kept in proportion.

        256 / 224 at 128 gives 146, as TF-slim and timm have it.
        """
        width = height if width is None else width
        crop = height if height == width else (height, width)
        if self.resize is None:
            return dataclasses.replace(self, crop=crop)
        if isinstance(self.resize, tuple):
            return dataclasses.replace(self, resize=(height, width), crop=crop)
        old = self.crop if self.crop is not None else self.resize
        old_side = min(old) if isinstance(old, tuple) else old
        return dataclasses.replace(self, resize=max(height, width) * self.resize // old_side, crop=crop)

    def to_dict(self) -> dict[str, object]:
        """What JSON can carry; `from_dict` takes it back."""
        fields = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, object]) -> Preprocessing:
        """An unknown key raises MisuseError: a misspelt `mean` must not become the default silently."""
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(fields) - known)
        if unknown:
            raise MisuseError(
                f"preprocessing: unknown {', '.join(unknown)}; known: {', '.join(sorted(known))}"
            )
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    """Whether it is a number to compute with: neither NaN nor infinity, which JSON of Python's lets pass."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")


def _size(name: str, value: object) -> int | tuple[int, int] | None:
    if value is None:
        return None
    sides = value if isinstance(value, (tuple, list)) and len(value) == 2 else (value,)
    found = [v for v in sides if isinstance(v, int) and not isinstance(v, bool) and 0 < v <= LARGEST]
    if len(found) == len(sides):
        return (found[0], found[1]) if len(found) == 2 else found[0]
    raise MisuseError(
        f"preprocessing: {name} is a number of pixels up to {LARGEST:,}, (height, width) or None, received {value!r:.80}"
    )


# LeCun et al. 1998, II.B: white background -0.1 and black foreground 1.175, here for light ink on dark:
# x / 255 * 1.275 - 0.1. It makes the mean of the paper's inputs roughly 0 and their variance roughly 1.
NAMED: dict[str, Preprocessing] = {
    "torchvision": Preprocessing(),
    "caffe": Preprocessing(mean=(104.0, 117.0, 123.0), std=(1.0, 1.0, 1.0), channel_order="bgr", scale=1.0),
    "tf": Preprocessing(mean=(1.0, 1.0, 1.0), std=(1.0, 1.0, 1.0), scale=127.5),
    "cifar": Preprocessing(resize=None, crop=32),
    "digit": Preprocessing(
        resize=None, crop=32, mean=(0.1 / 1.275,), std=(1.0 / 1.275,), channel_order="grey", scale=255.0
    ),
}


def named(name: str) -> Preprocessing:
    """The usual preprocessing of a library, by its name; MisuseError with the names there are."""
    if name not in NAMED:
        raise MisuseError(f"unknown preprocessing {name!r}; there are {', '.join(NAMED)}")
    return NAMED[name]
