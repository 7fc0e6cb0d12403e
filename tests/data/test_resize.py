"""The resize in C: Pillow's antialiased bilinear within the one rounding at its end, whatever lies between the rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from convatlas.data import decode
from convatlas.data.resize import kernels, resize

compiled = pytest.mark.skipif(kernels().library is None, reason=f"no compiled kernel: {kernels().problem}")


def exact(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pillow's, on floats: no rounding between its passes. torch's in float64 is wrong for pictures of one column."""
    planes = [Image.fromarray(pixels[:, :, c].astype(np.float32)) for c in range(pixels.shape[2])]
    made = [plane.resize(size[::-1], Image.Resampling.BILINEAR) for plane in planes]
    return np.stack([np.array(plane) for plane in made], 2)


@compiled
@given(
    height=st.integers(1, 90), width=st.integers(1, 90), channels=st.sampled_from([1, 3]), rows=st.integers(1, 50),
    columns=st.integers(1, 50), margin=st.integers(0, 9), seed=st.integers(0, 9),
)  # fmt: skip
def test_it_is_pillows_to_the_rounding(
    height: int, width: int, channels: int, rows: int, columns: int, margin: int, seed: int
) -> None:
    whole = np.random.default_rng(seed).integers(
        0, 256, (height + margin, width + margin, channels), np.uint8
    )
    part = whole[margin:, margin // 2 : margin // 2 + width]
    # one byte more behind: nothing may be written there
    room = np.full(rows * columns * channels + 1, 77, np.uint8)
    out = room[:-1].reshape(rows, columns, channels)
    assert resize(part, out)
    assert np.abs(out - exact(part, (rows, columns))).max() <= 0.501
    assert room[-1] == 77


@compiled
@pytest.mark.parametrize("value", [0, 1, 128, 255])
def test_one_color_stays_that_color(value: int) -> None:
    pixels = np.full((311, 173, 3), value, np.uint8)
    for size in ((224, 224), (31, 400), (500, 20)):
        out = np.empty((*size, 3), np.uint8)
        assert resize(pixels, out)
        assert (out == value).all()


@compiled
def test_what_it_is_not_for_is_refused_and_goes_the_usual_way() -> None:
    pixels, out = np.zeros((8, 9, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)
    assert not resize(pixels[::-1], out)
    assert not resize(pixels[:, ::2], out)
    assert not resize(pixels[:, :0], out)
    assert not resize(pixels.astype(np.float32), out)  # type: ignore[arg-type]
    assert not resize(pixels, np.zeros((8, 8, 3), np.uint8)[::2, ::2])
    assert not resize(pixels, np.zeros((4, 4, 1), np.uint8))
    assert not resize(np.zeros((1, 70_000, 3), np.uint8), out)  # floats would lose count


def test_without_a_compiler_a_crop_is_the_same_to_a_grey_level(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (120, 150, 3), np.uint8)
    outs = [np.empty((64, 64, 3), np.uint8) for _ in range(2)]
    decode.crop_resize(pixels, (10, 20, 110, 90), outs[0])
    monkeypatch.setattr(decode, "resize", lambda *_: False)
    decode.crop_resize(pixels, (10, 20, 110, 90), outs[1])
    assert np.abs(outs[0].astype(int) - outs[1]).max() <= 1
