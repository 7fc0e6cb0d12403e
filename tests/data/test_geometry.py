"""Crops lie in the picture, have the shape they should, and are spread as the papers say."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from convatlas.data.augmentation import Augmentation
from convatlas.data.geometry import resized_box, training_box
from convatlas.data.randomness import Draws

SIDES = st.integers(1, 3000)


@given(
    SIDES,
    SIDES,
    st.sampled_from(["center", "random", "resized", "jitter"]),
    st.integers(1, 300),
    st.integers(0, 99),
)
def test_every_crop_lies_in_its_picture(width: int, height: int, crop: str, size: int, index: int) -> None:
    augmentation = Augmentation(crop=crop, short_side=(256, 512) if crop == "jitter" else None)
    left, top, w, h = training_box(width, height, (size, size), augmentation, Draws(0, 0, index))
    assert left >= 0
    assert top >= 0
    assert 1 <= w <= width - left
    assert 1 <= h <= height - top


def test_areas_are_uniform_and_ratios_log_uniform_where_nothing_is_rejected() -> None:
    boxes = [resized_box(10_000, 10_000, (0.08, 0.5), (3 / 4, 4 / 3), Draws(0, 0, i)) for i in range(4000)]
    areas = np.array([w * h / 1e8 for _, _, w, h in boxes])
    ratios = np.array([math.log(w / h) for _, _, w, h in boxes])
    assert abs(areas.mean() - 0.29) < 0.006  # the standard error is 0.0019
    assert areas.min() > 0.0799
    assert areas.max() < 0.5001
    assert abs(ratios.mean()) < 0.009
    assert np.abs(ratios).max() <= math.log(4 / 3) + 1e-3


def test_a_strip_falls_back_to_its_middle() -> None:
    # torchvision's RandomResizedCrop: the whole height, a width of the largest ratio
    assert resized_box(3000, 30, (0.9, 1.0), (3 / 4, 4 / 3), Draws(0, 0, 0)) == (1480, 0, 40, 30)


def test_alexnets_crop_is_224_of_256() -> None:
    # Krizhevsky et al. 2012, §4.1: random 224 x 224 patches of 256 x 256 images
    boxes = [
        training_box(256, 256, (224, 224), Augmentation(crop="random"), Draws(0, 0, i)) for i in range(2000)
    ]
    assert {(w, h) for _, _, w, h in boxes} == {(224, 224)}
    assert {left for left, _, _, _ in boxes} == set(range(33))


def test_vggs_jitter_takes_224_of_a_short_side_between_256_and_512() -> None:
    # Simonyan & Zisserman 2015, §3.1: S from [256, 512]
    augmentation = Augmentation(crop="jitter", short_side=(256, 512))
    sides = {training_box(512, 512, (224, 224), augmentation, Draws(0, 0, i))[2] for i in range(3000)}
    assert min(sides) == 224 * 512 // 512
    assert max(sides) == 448
