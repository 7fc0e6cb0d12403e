"""A digit is read off a photo: either polarity, any size, off-centre, textured, drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from convatlas.data.digit import digit_image, find_ink
from convatlas.data.loader import Loader
from convatlas.data.sets import TensorSet
from convatlas.data.sources import open_data
from convatlas.errors import MisuseError


def photographed(ink: np.ndarray, side: int, dark: bool, texture: float, seed: int) -> Image.Image:
    """Ink (H, W) 0..255 on a larger page somewhere, with uneven light and grain."""
    rng = np.random.default_rng(seed)
    small = np.asarray(Image.fromarray(ink).resize((side, side), Image.Resampling.BICUBIC)) / 255
    height, width = (int(side * rng.uniform(1.2, 2.2)) for _ in range(2))
    top, left = rng.integers(0, height - side), rng.integers(0, width - side)
    page = np.zeros((height, width))
    page[top : top + side, left : left + side] = small
    light = 1 + texture * (np.linspace(-0.15, 0.15, width)[None] + np.linspace(-0.1, 0.1, height)[:, None])
    grey = (rng.uniform(180, 240) * (1 - page) + rng.uniform(20, 90) * page) * light
    grey += texture * rng.normal(0, 6, grey.shape)
    return Image.fromarray(np.clip(grey if dark else 255 - grey, 0, 255).astype(np.uint8))


def nearest(train: TensorSet, images: torch.Tensor) -> torch.Tensor:
    """The label of the nearest training picture: no network of ours decides this test."""
    (known, labels) = next(iter(Loader(train, len(train), 32).epoch()))
    distance = torch.cdist(images.flatten(1).float(), known.flatten(1).float())
    return labels[distance.argmin(1)]


@pytest.mark.parametrize("dark", [True, False])
@pytest.mark.parametrize(("side", "texture"), [(28, 0.0), (60, 1.0), (300, 1.0)])
def test_photos_of_mnist_digits_are_read_as_the_digits_are(
    shared_data: Path, dark: bool, side: int, texture: float
) -> None:
    source = open_data("mnist", shared_data)
    train, test = source.train.subset(range(8000)), source.test.subset(range(24))
    photos = torch.stack(
        [digit_image(photographed(test.images[i, 0].numpy(), side, dark, texture, i)) for i in range(24)]
    )
    itself, _ = next(iter(Loader(test, 24, 32).epoch()))
    right, limit = ((nearest(train, x) == test.labels).sum() for x in (photos, itself))
    assert right >= limit - 2
    assert (photos.float() - itself.float()).abs().mean() < 18  # of 255; the grey edges of strokes differ


@pytest.mark.parametrize("dark", [True, False])
def test_photos_of_the_bundled_digits_are_read(dark: bool) -> None:
    source = open_data("digits")
    test = source.test.subset(range(40))
    photos = [
        digit_image(photographed(test.images[i, 0].numpy(), 120, dark, 1.0, i), "digits") for i in range(40)
    ]
    assert (nearest(source.train, torch.stack(photos)) == test.labels).sum() >= 34


def test_drawn_strokes_are_centred_by_their_mass_in_a_box_of_20() -> None:
    # LeCun et al. 1998, III.A: 20x20 box, centre of mass in the middle of the field
    page = Image.new("RGB", (640, 480), (235, 230, 220))
    ImageDraw.Draw(page).line([(420, 60), (430, 200), (415, 330)], fill=(30, 30, 120), width=9)
    image = digit_image(page)[0].float()
    rows, columns = image.sum(1), image.sum(0)
    places = torch.arange(32) + 0.5
    assert float((rows * places).sum() / rows.sum()) == pytest.approx(16, abs=0.6)
    assert float((columns * places).sum() / columns.sum()) == pytest.approx(16, abs=0.6)
    assert int((rows > 0).sum()) in (19, 20, 21)
    assert image.max() == 255


def test_a_fine_pen_does_not_fade_away() -> None:
    page = Image.new("L", (2000, 2000), 250)
    ImageDraw.Draw(page).ellipse([500, 400, 1500, 1600], outline=20, width=16)
    image = digit_image(page)[0]
    assert (image > 128).sum() > 60


def test_blots_and_the_frames_edge_are_left_out() -> None:
    page = Image.new("L", (400, 400), 220)
    draw = ImageDraw.Draw(page)
    draw.line([(200, 120), (200, 280)], fill=20, width=24)
    draw.ellipse([60, 60, 66, 66], fill=20)
    draw.line([(0, 395), (400, 399)], fill=60, width=6)
    rows, columns = np.nonzero(find_ink(page) > 0.5)
    assert rows.min() >= 44  # 120 of 400 is 48 of 160
    assert rows.max() <= 116
    assert columns.max() - columns.min() < 16


@pytest.mark.parametrize(
    "page", [Image.new("L", (50, 40), 255), Image.new("RGB", (1, 900)), Image.new("L", (1, 1))]
)
def test_a_page_without_ink_is_black(page: Image.Image) -> None:
    assert int(digit_image(page).sum()) == 0
    assert digit_image(page, "digits").shape == (1, 32, 32)


def test_an_unknown_style_is_misuse() -> None:
    with pytest.raises(MisuseError, match="mnist, digits"):
        digit_image(Image.new("L", (5, 5)), "emnist")
