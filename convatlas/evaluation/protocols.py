"""How a picture is shown to a network when it is scored: published accuracies mean nothing without it.

center    one crop of the middle, as the weights' preprocessing says
flip      the same and its mirror image, probabilities averaged
ten-crop  four corners and the middle of the 256x256 patch, and their mirror images (Krizhevsky et al. 2012, §4.1)
dense     the whole picture at one or more scales, mirrored too, the classifier as convolutions
(Simonyan & Zisserman 2014, §3.2): dense:256, dense:256+384+512
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.define.preprocessing import Preprocessing
from convatlas.errors import MisuseError

NAMES = ("center", "flip", "ten-crop", "dense")


@dataclass(frozen=True)
class Protocol:
    """A protocol by its name; `scales` are the short sides of the dense one."""

    name: str = "center"
    scales: tuple[int, ...] = ()

    def describe(self, preprocessing: Preprocessing) -> str:
        """The protocol in words, as a paper would state it."""
        p = preprocessing
        crop = p.crop if not isinstance(p.crop, tuple) else f"{p.crop[0]}x{p.crop[1]}"
        resize = (
            f"of pictures resized to {p.resize} on the short side"
            if isinstance(p.resize, int)
            else "of the picture"
        )
        return {
            "center": f"single center crop of {crop} {resize}",
            "flip": f"center crop of {crop} {resize}, and its mirror image",
            "ten-crop": f"ten crops of {crop} {resize}: corners and center, mirrored",
            "dense": f"dense evaluation at scales {', '.join(map(str, self.scales))}, mirrored",
        }[self.name]

    def patch(self, preprocessing: Preprocessing) -> Preprocessing:
        """What is read from the file, of which `views` makes crops."""
        if self.name != "ten-crop":
            return preprocessing
        side = preprocessing.resize
        if not isinstance(side, int):
            raise MisuseError(
                "ten-crop needs pictures larger than the crop: preprocessing with a resize, such as resize=256"
            )
        return dataclasses.replace(preprocessing, crop=side)

    def views(self, images: Tensor, crop: tuple[int, int]) -> list[Tensor]:
        """The crops of a batch (N, C, H, W), each (N, C, *crop), to be averaged."""
        if self.name == "center":
            return [images]
        if self.name == "flip":
            return [images, images.flip(3)]
        corners = five_crops(images, crop)
        return [*corners, *(view.flip(3) for view in corners)]


def five_crops(images: Tensor, crop: tuple[int, int]) -> list[Tensor]:
    """Top left, top right, bottom left, bottom right and middle."""
    rows, columns = crop
    bottom, right = images.shape[2] - rows, images.shape[3] - columns
    if min(bottom, right) < 0:
        raise MisuseError(f"crops of {rows}x{columns} do not fit into {images.shape[2]}x{images.shape[3]}")
    places = [(0, 0), (0, right), (bottom, 0), (bottom, right), (round(bottom / 2), round(right / 2))]
    return [images[:, :, y : y + rows, x : x + columns] for y, x in places]


def parse(text: str) -> Protocol:
    """Read a protocol's name, with its scales for the dense one; MisuseError lists what there is."""
    name, _, scales = text.partition(":")
    if name not in NAMES:
        raise MisuseError(f"unknown protocol {text!r}; there are {', '.join(NAMES)} (dense:256+384+512)")
    if name != "dense":
        if scales:
            raise MisuseError(f"protocol {text!r}: only dense has scales")
        return Protocol(name)
    try:
        sides = tuple(int(side) for side in (scales or "256").split("+"))
    except ValueError:
        raise MisuseError(f"protocol {text!r}: scales are numbers of pixels, as dense:256+384+512") from None
    return Protocol(name, sides)


def mean_probability(logits: list[Tensor]) -> Tensor:
    """The mean of the views' softmax, in float32."""
    return torch.stack([one.float().softmax(1) for one in logits]).mean(0)
