"""Every odd picture is read right or refused with its reason; nothing crashes the run."""

from __future__ import annotations

import csv
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from convatlas.data.images import ImageError, read_bytes, read_image


def manifest(shared_data: Path) -> list[dict[str, str]]:
    with (shared_data / "odd-images/MANIFEST.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_every_odd_image_behaves_as_the_manifest_says(shared_data: Path) -> None:
    rows = manifest(shared_data)
    assert len(rows) == 36
    for row in rows:
        path = shared_data / "odd-images" / row["file"]
        expected = row["Pillow result (13.0.0)"]
        if expected == "decodes":
            image = read_image(path)
            assert image.mode == "RGB", row["file"]
            # "JPEG RGB (480, 640) frames=1 orient=1"; orientations 5 to 8 swap the sides
            size = tuple(int(n) for n in row["opened_as"].split("(")[1].split(")")[0].split(","))
            turned = row["opened_as"].split("orient=")[1] in ("5", "6", "7", "8")
            assert image.size == (size[::-1] if turned else size), row["file"]
        else:
            with pytest.raises(ImageError) as caught:
                read_image(path)
            assert row["file"] in str(caught.value)
            kind = expected.split(":")[0]
            word = {"UnidentifiedImageError": "not an image", "OSError": "truncated"}.get(kind, "bomb")
            assert word in caught.value.reason, (row["file"], caught.value.reason)


@pytest.mark.parametrize("number", [3, 5, 7])
def test_orientation_is_applied_so_that_all_turned_hoppers_are_alike(shared_data: Path, number: int) -> None:
    # the same photo saved under each orientation: upright they agree up to JPEG noise
    upright = np.asarray(read_image(shared_data / "odd-images/hopper.png").resize((64, 64)), np.float64)
    turned = read_image(shared_data / f"odd-images/hopper_orientation_{number}.jpg")
    assert np.abs(np.asarray(turned.resize((64, 64)), np.float64) - upright).mean() < 8


def test_16_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    assert np.asarray(read_image(tmp_path / "deep.png"))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_a_16_bit_tiff_keeps_its_shades(shared_data: Path) -> None:
    path = shared_data / "odd-images/16bit.r.tif"
    with Image.open(path) as image:
        deep = np.asarray(image).astype(np.int64)
    grey = np.asarray(read_image(path))[:, :, 0]
    assert np.abs(grey - deep / 257).max() <= 0.5


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[255, 0, 0, 0], [255, 0, 0, 255], [0, 0, 0, 128]]], np.uint8)).save(
        tmp_path / "a.png"
    )
    assert np.asarray(read_image(tmp_path / "a.png"))[0].tolist() == [
        [255, 255, 255],
        [255, 0, 0],
        [127, 127, 127],
    ]


def test_a_palette_with_a_transparent_entry_is_laid_over_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "p.png", transparency=0)
    assert np.asarray(read_image(tmp_path / "p.png"))[0].tolist() == [[255, 255, 255], [40, 50, 60]]


def test_a_transparent_value_of_16_bit_grey_is_white(shared_data: Path) -> None:
    path = shared_data / "odd-images/i_trns.png"
    with Image.open(path) as image:
        clear = np.asarray(image) == image.info["transparency"]
    grey = np.asarray(read_image(path))[:, :, 0]
    assert clear.any()
    assert (grey[clear] == 255).all()


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "green", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.gif").getpixel((3, 3)) == (255, 0, 0)


def test_cmyk_becomes_the_colors_it_means(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "c.jpg", quality=100)  # no cyan: red
    red, green, blue = read_image(tmp_path / "c.jpg").getpixel((8, 8))
    assert red > 240
    assert max(green, blue) < 15


@pytest.mark.parametrize("size", [(1, 5000), (30_000, 3), (1, 1)])
def test_thin_pictures_are_read(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, "navy").save(tmp_path / "thin.png")
    assert read_image(tmp_path / "thin.png").size == size


def test_an_empty_file_and_an_absent_one_say_so(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    for name, reason in (
        ("empty.jpg", "empty"),
        ("absent.jpg", "cannot be opened"),
        (".", "cannot be opened"),
    ):
        with pytest.raises(ImageError) as caught:
            read_image(tmp_path / name)
        assert reason in caught.value.reason


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_a_pipe_and_a_device_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", "/dev/zero"):
        with pytest.raises(ImageError, match="a pipe or a device, not a file"):
            read_bytes(path)


@pytest.mark.parametrize("name", ["a/\0x.jpg", "x" * 5000, "\ud800.jpg"])
def test_a_name_that_no_file_can_have_is_a_picture_that_cannot_be_read(name: str) -> None:
    with pytest.raises(ImageError, match="cannot be opened"):
        read_bytes(name)


def test_a_png_that_promises_ten_billion_pixels_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with pytest.raises(ImageError, match="bomb"):
        read_image(tmp_path / "bomb.png")


def test_a_text_chunk_that_unpacks_without_end_is_refused_or_skipped(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1 << 26), 9))
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0\x80"))
    (tmp_path / "text.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + text + pixels + chunk(b"IEND", b"")
    )
    try:
        assert read_image(tmp_path / "text.png").size == (1, 1)
    except ImageError as error:
        assert "too large" in error.reason or "bomb" in error.reason  # noqa: PT017  either is right; a crash is not


@given(st.binary(max_size=400))
def test_noise_is_refused_as_an_image_and_never_crashes(data: bytes) -> None:
    try:
        assert read_image(data).mode == "RGB"
    except ImageError as error:
        assert error.reason  # noqa: PT017


@given(st.data())
def test_a_damaged_photo_is_read_or_refused_and_never_crashes(data: st.DataObject) -> None:
    buffer = io.BytesIO()
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"]))
    gradient = np.arange(48 * 40 * 3, dtype=np.uint32).reshape(40, 48, 3) % 251
    Image.fromarray(gradient.astype(np.uint8)).save(buffer, kind)
    raw = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    for damaged in (bytes(raw), bytes(raw[:cut])):
        try:
            assert read_image(damaged).mode == "RGB"
        except ImageError as error:
            assert error.reason  # noqa: PT017


def test_the_error_keeps_its_words_across_a_process_border() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(ImageError("a.jpg", "the file is empty (0 bytes)")))
    assert (error.path, error.reason) == ("a.jpg", "the file is empty (0 bytes)")


@pytest.mark.parametrize("number", [0, 3, 2.5])
def test_a_number_is_no_file(number: object) -> None:
    """open() would take one for a file that is open already."""
    with pytest.raises(TypeError):
        read_bytes(number)  # type: ignore[arg-type]
