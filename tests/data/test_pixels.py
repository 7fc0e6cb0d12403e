"""A picture becomes the same numbers as in the libraries whose weights are used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from convatlas.data.pixels import centre_box, crop_pixels, normalize, preprocess, resized
from convatlas.define.preprocessing import NAMED, Preprocessing, named
from convatlas.errors import MisuseError


def test_the_short_side_becomes_256_and_the_long_side_is_cut_not_rounded() -> None:
    # reference.json: "short side to 256 (long side int(256*long/short))"
    assert resized((500, 375), 256) == (341, 256)
    assert resized((375, 500), 256) == (256, 341)
    assert resized((333, 500), 256) == (256, 384)
    assert resized((100, 80), (60, 30)) == (30, 60)
    assert resized((7, 9), None) == (7, 9)


def test_the_crop_begins_at_the_rounded_half() -> None:
    # int(round((size - 224) / 2)), and Python rounds halves to even: 341 - 224 = 117 gives 58, 343 gives 60
    assert centre_box((341, 256), 224) == (58, 16, 282, 240)
    assert centre_box((343, 256), 224)[0] == 60


def test_values_are_divided_by_scale_then_mean_and_deviation_in_the_order_of_the_channels() -> None:
    image = Image.new("RGB", (224, 224), (10, 20, 30))
    assert preprocess(image, named("caffe"))[:, 0, 0].tolist() == [30 - 104, 20 - 117, 10 - 123]
    assert preprocess(image, named("tf"))[:, 0, 0].tolist() == pytest.approx(
        [10 / 127.5 - 1, 20 / 127.5 - 1, 30 / 127.5 - 1]
    )
    expected = [
        (v / 255 - m) / s
        for v, m, s in zip((10, 20, 30), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)
    ]
    assert preprocess(image, named("torchvision"))[:, 0, 0].tolist() == pytest.approx(expected, abs=1e-6)


def test_lenets_inputs_run_from_minus_a_tenth_to_1_175() -> None:
    # LeCun et al. 1998, II.B: background -0.1, foreground 1.175
    digit = named("digit")
    assert preprocess(Image.new("RGB", (32, 32), "black"), digit).unique().item() == pytest.approx(
        -0.1, abs=1e-6
    )
    assert preprocess(Image.new("RGB", (32, 32), "white"), digit).unique().item() == pytest.approx(
        1.175, abs=1e-6
    )
    assert preprocess(Image.new("RGB", (28, 28), "white"), digit).shape == (1, 32, 32)


def test_tf_slim_crops_128_out_of_146() -> None:
    # reference.json: "short side to 146 ... centre crop 128"
    p = named("tf").with_size(128)
    assert (p.resize, p.crop) == (146, 128)


@pytest.mark.parametrize("size", [(1, 30_000), (30_000, 1), (1, 1), (30_000, 400), (2, 3)])
def test_extreme_shapes_become_an_input_without_a_giant_between(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, (200, 100, 50))
    pixels = crop_pixels(image, named("torchvision"))
    assert pixels.shape == (224, 224, 3)
    assert pixels[112, 112].tolist() == [200, 100, 50]


def test_the_middle_alone_is_resized_to_the_same_pixels_as_the_whole(shared_data: Path) -> None:
    # 16 times the crop's area is where the shortcut begins; just there both can be made
    with Image.open(min((shared_data / "photos/imagenet-sample").glob("*.JPEG"))) as photo:
        strip = photo.convert("RGB").resize((1600, 80))
    whole = np.asarray(strip.resize((20 * 256, 256), Image.Resampling.BILINEAR)).astype(int)
    left = round((20 * 256 - 224) / 2)
    part = crop_pixels(strip, named("torchvision")).astype(int)
    assert np.abs(part - whole[16:240, left : left + 224]).max() <= 1


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 20),
    st.integers(1, 20),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_normalizing_rows_is_normalizing_pixels(
    h: int, w: int, n: int, k: int, flip: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, 3, h, w), dtype=torch.uint8, generator=generator)
    if flip:
        images = images.contiguous(memory_format=torch.channels_last)
    p = Preprocessing(mean=(0.1, 0.2, k / 20), std=(0.3, 0.2, 0.1))
    plain = (images.float() / 255 - torch.tensor(p.mean).view(1, 3, 1, 1)) / torch.tensor(p.std).view(
        1, 3, 1, 1
    )
    out = torch.empty_like(plain, memory_format=torch.channels_last)
    assert torch.equal(normalize(images, p), plain)
    assert normalize(images, p, out) is out
    assert torch.equal(out, plain)


def test_a_large_photo_is_normalized_as_a_small_one() -> None:
    images = torch.randint(0, 256, (3, 3, 224, 224), dtype=torch.uint8).contiguous(
        memory_format=torch.channels_last
    )
    whole = normalize(images, NAMED["torchvision"])
    assert torch.equal(whole[:, :, :32, :32], normalize(images[:, :, :32, :32], NAMED["torchvision"]))


def test_a_preprocessing_survives_json() -> None:
    for p in (*NAMED.values(), Preprocessing(resize=(3, 4), crop=None, interpolation="bicubic")):
        assert Preprocessing.from_dict(json.loads(json.dumps(p.to_dict()))) == p


@pytest.mark.parametrize(
    "fields",
    [{"meen": [1, 2, 3]}, {"scale": True}, {"scale": 0}, {"mean": (1, 2)}, {"std": (0, 1, 1)}, {"crop": 0}, {"crop": 2.5},
     {"channel_order": "gbr"}, {"interpolation": "cubic"}, {"scale": float("nan")}, {"scale": "x"}, {"mean": "abc"},
     {"mean": ["a", "b", "c"]}, {"mean": None}, {"std": [float("nan")] * 3}, {"crop": 99_999_999}, {"resize": (True, 4)}],
)  # fmt: skip
def test_a_preprocessing_that_cannot_be_is_misuse(fields: dict[str, object]) -> None:
    with pytest.raises(MisuseError, match="preprocessing"):
        Preprocessing.from_dict(fields)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(MisuseError, match="torchvision, caffe, tf"):
        named("cafe")
