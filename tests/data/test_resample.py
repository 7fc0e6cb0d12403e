"""Resizing of a crop alone is Pillow's resizing of the whole, bit for bit."""

from __future__ import annotations

import pytest

np = pytest.importorskip("numpy", reason="pictures are arrays; numpy is not installed")
pytest.importorskip("torch", reason="the sums are torch's, which is not installed")

from hypothesis import assume, given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from PIL import Image  # noqa: E402

from convatlas.data.resample import FILTERS, across_first, resize_crop  # noqa: E402

sides = st.integers(1, 90)


@given(st.data(), st.sampled_from(sorted(FILTERS)), st.integers(0, 2**32 - 1))
def test_any_part_at_any_size_is_what_pillow_gives(data: st.DataObject, name: str, seed: int) -> None:
    width, height, new_width, new_height = (data.draw(sides) for _ in range(4))
    assume(across_first((width, height), (new_width, new_height)))
    left, top = data.draw(st.integers(0, new_width - 1)), data.draw(st.integers(0, new_height - 1))
    right, bottom = (
        data.draw(st.integers(left + 1, new_width)),
        data.draw(st.integers(top + 1, new_height)),
    )
    # dark and light beside each other: bicubic overshoots there
    pixels = np.random.default_rng(seed).choice(
        np.array([0, 1, 127, 128, 254, 255], np.uint8), (height, width, 4)
    )
    whole = Image.fromarray(np.ascontiguousarray(pixels[:, :, :3]))
    whole = whole.resize((new_width, new_height), Image.Resampling[name.upper()])
    expected = np.asarray(whole)[top:bottom, left:right]
    found = resize_crop(pixels, height, (new_width, new_height), (left, top, right, bottom), name)
    assert np.array_equal(found, expected)


def test_rows_below_the_part_need_not_be_there() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 200, 4), dtype=np.uint8)
    box = (0, 0, 40, 40)
    whole = resize_crop(pixels, 300, (80, 120), box, "bilinear")
    assert np.array_equal(resize_crop(pixels[:110], 300, (80, 120), box, "bilinear"), whole)
