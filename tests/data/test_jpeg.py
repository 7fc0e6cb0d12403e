"""The header of a JPEG is read as libjpeg-turbo reads it, and a JPEG that is cut is the top of the whole."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from convatlas.data import decode
from convatlas.data.decode import crop_resize, decode_crop, decode_whole
from convatlas.data.images import ImageError
from convatlas.data.jpeg import cut, read_frame


def noise(height: int, width: int, seed: int = 0, *, grey: bool = False) -> np.ndarray:
    """Pixels with edges and grain, so that every row differs from the next."""
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (height, width) if grey else (height, width, 3), dtype=np.uint8)


def written(pixels: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", **options)
    return out.getvalue()


def top(data: bytes, rows: int) -> np.ndarray:
    frame = read_frame(data)
    assert frame is not None
    assert frame.one_pass
    return simplejpeg.decode_jpeg(cut(data, frame, rows), fastdct=True, fastupsample=True, strict=False)


def test_sizes_are_those_that_libjpeg_turbo_reads(shared_data: Path) -> None:
    paths = sorted((shared_data / "photos/imagenet-sample").iterdir())
    assert len(paths) == 250
    for path in paths:
        data = path.read_bytes()
        frame = read_frame(data)
        assert frame is not None, path.name
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
        assert frame[:3] == (height, width, 1 if space == "Gray" else 3), path.name


@pytest.mark.parametrize("number", [3, 5, 7])
def test_the_orientation_is_that_of_the_exif_data(shared_data: Path, number: int) -> None:
    frame = read_frame((shared_data / f"odd-images/hopper_orientation_{number}.jpg").read_bytes())
    assert frame is not None
    assert frame.orientation == number


def test_photos_that_are_cut_are_the_top_of_the_whole(shared_data: Path) -> None:
    cuts = 0
    for path in sorted((shared_data / "photos/imagenet-sample").iterdir())[::10]:
        data = path.read_bytes()
        frame = read_frame(data)
        assert frame is not None
        if frame.one_pass:
            whole = simplejpeg.decode_jpeg(data, fastdct=True, fastupsample=True)
            for rows in (1, frame.height // 3, frame.height - 1):
                assert np.array_equal(top(data, rows), whole[:rows]), path.name
            cuts += 1
    assert cuts >= 20


@given(
    st.integers(1, 70), st.integers(1, 70), st.sampled_from([0, 1, 2]), st.booleans(), st.integers(0, 3), st.data(),
)  # fmt: skip
def test_any_cut_of_any_kind_is_the_top_of_the_whole(
    height: int, width: int, subsampling: int, grey: bool, restart: int, draw: st.DataObject
) -> None:
    options = {} if grey else {"subsampling": subsampling}
    data = written(noise(height, width, grey=grey), quality=90, restart_marker_blocks=restart, **options)
    rows = draw.draw(st.integers(1, height))
    whole = simplejpeg.decode_jpeg(data, fastdct=True, fastupsample=True)
    assert np.array_equal(top(data, rows), whole[:rows])


def test_a_crop_is_the_same_as_from_the_whole_picture(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    turbo = decode._turbo

    def watched(data: bytes, *args: object, **options: object) -> np.ndarray:
        pixels = turbo(data, *args, **options)  # type: ignore[arg-type]
        asked.append(len(pixels))
        return pixels

    monkeypatch.setattr(decode, "_turbo", watched)
    for path in sorted((shared_data / "photos/ants-bees/train/bees").iterdir())[:12]:
        data = path.read_bytes()
        whole = decode_whole(data, path.name)
        assert whole is not None
        for box in ((10, 20, 100, 90), (0, 0, whole.shape[1], whole.shape[0]), (3, len(whole) - 50, 60, 50)):
            one, two = np.zeros((2, 64, 48, 3), np.uint8)
            decode_crop(data, lambda w, h, box=box: box, one, path.name)
            assert asked[-1] == (110 if box[1] == 20 else len(whole))
            crop_resize(whole, box, two)
            assert np.array_equal(one, two), (path.name, box)


def test_a_large_picture_is_decoded_at_a_half_and_cut() -> None:
    yy, xx = np.mgrid[:1300, :1400]
    smooth = np.stack([yy * 255 // 1300, xx * 255 // 1400, (yy + xx) * 255 // 2700], -1).astype(np.uint8)
    data = written(smooth, quality=95)
    box = (200, 100, 800, 600)
    one, two = np.zeros((2, 200, 200, 3), np.uint8)
    decode_crop(data, lambda w, h: box, one, "")
    crop_resize(smooth, box, two)
    assert np.abs(one.astype(int) - two).max() <= 4


def test_progressive_and_broken_off_pictures_are_not_cut() -> None:
    pixels = noise(64, 64)
    progressive = read_frame(written(pixels, progressive=True))
    assert progressive is not None
    assert not progressive.one_pass
    data = written(pixels)
    for part in (data[:-2], data[: len(data) // 2]):
        frame = read_frame(part)
        assert frame is not None
        assert not frame.one_pass
        with pytest.raises(ImageError):  # though the crop itself may be whole
            decode_crop(part[: len(part) // 2], lambda w, h: (0, 0, 8, 8), np.zeros((8, 8, 3), np.uint8), "x")
    padded = read_frame(data + bytes(10))
    assert padded is not None
    assert padded.one_pass


@given(st.binary(max_size=60))
def test_noise_is_no_frame_and_never_crashes(data: bytes) -> None:
    read_frame(b"\xff\xd8" + data)
    assert read_frame(b"\x89" + data) is None


@given(st.data())
def test_a_damaged_header_is_read_or_refused_and_never_crashes(draw: st.DataObject) -> None:
    data = bytearray(written(noise(16, 16)))
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, 650))] = draw.draw(st.integers(0, 255))
    read_frame(bytes(data[: draw.draw(st.integers(0, len(data)))]))
