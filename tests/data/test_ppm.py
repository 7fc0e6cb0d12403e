"""Pixels as they are: what is packed so is read as Pillow reads it, bit for bit, and what is broken is named."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from convatlas.cli import main
from convatlas.data import Augmentation, Loader
from convatlas.data.decode import crop_resize, decode_crop, decode_whole
from convatlas.data.geometry import training_box
from convatlas.data.images import ImageError, read_image
from convatlas.data.pack import pack
from convatlas.data.pixels import resized
from convatlas.data.ppm import ppm_bytes, ppm_pixels
from convatlas.data.randomness import Draws
from convatlas.data.sets import FileSet
from convatlas.data.sources import open_data


def picture(width: int, height: int) -> Image.Image:
    generator = np.random.default_rng(width * 1000 + height)
    return Image.fromarray(generator.integers(0, 256, (height, width, 3), np.uint8))


@given(st.integers(1, 40), st.integers(1, 40))
def test_pixels_come_back_and_pillow_reads_and_writes_the_same(width: int, height: int) -> None:
    image = picture(width, height)
    data = ppm_bytes(image)
    pixels = ppm_pixels(data)
    assert pixels is not None
    np.testing.assert_array_equal(pixels, np.asarray(image))
    np.testing.assert_array_equal(pixels, np.asarray(read_image(data)))
    written = io.BytesIO()
    image.save(written, "PPM")
    assert written.getvalue() == data


def test_other_forms_of_it_go_through_pillow() -> None:
    commented = b"P6\n# by a scanner\n2 1\n255\n" + bytes(range(6))
    deep = b"P6\n1 1\n65535\n" + bytes(6)
    two = ppm_bytes(picture(2, 2)) * 2  # a file may hold several, one after the other
    for data in (commented, deep, two, b"P6\n0 4\n255\n", b"P5\n2 1\n255\n\1\2"):
        assert ppm_pixels(data) is None
    first = decode_whole(two, "two.ppm")
    assert first is not None
    np.testing.assert_array_equal(first, np.asarray(picture(2, 2)))
    whole = decode_whole(commented, "scan.ppm")
    assert whole is not None
    assert whole.ravel().tolist() == list(range(6))
    grey = decode_whole(ppm_bytes(picture(5, 3)), "grey", 1)
    assert grey is not None
    np.testing.assert_array_equal(grey[:, :, 0], np.asarray(picture(5, 3).convert("L")))


def test_one_that_is_cut_short_is_named() -> None:
    data = ppm_bytes(picture(8, 8))[:-1]
    assert ppm_pixels(data) is None
    with pytest.raises(ImageError, match=r"short\.ppm: truncated"):
        decode_crop(data, lambda w, h: (0, 0, w, h), np.empty((4, 4, 3), np.uint8), "short.ppm")


def test_nothing_is_decoded_or_copied() -> None:
    data = ppm_bytes(picture(8, 8))
    whole = decode_whole(data, "own")
    assert whole is not None
    assert not whole.flags.writeable
    assert np.shares_memory(whole, np.frombuffer(data, np.uint8))


def test_a_bomb_is_refused_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convatlas.data.ppm.MAX_PIXELS", 63)
    monkeypatch.setattr("convatlas.data.images.MAX_PIXELS", 63)
    with pytest.raises(ImageError, match="bomb"):
        decode_whole(ppm_bytes(picture(8, 8)), "bomb.ppm")


def test_where_there_is_no_compiler_torch_gets_memory_that_it_may_write_to(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr("convatlas.data.decode.resize", lambda *_: False)
    image, out = picture(40, 30), np.empty((12, 12, 3), np.uint8)
    decode_crop(ppm_bytes(image), lambda w, h: (0, 0, w, h), out, "wide.ppm")
    wanted = np.empty_like(out)
    crop_resize(np.array(image), (0, 0, 40, 30), wanted)
    np.testing.assert_array_equal(out, wanted)
    assert not recwarn.list


def test_a_run_notices_that_other_pictures_were_packed(tmp_path: Path) -> None:
    found = []
    for number in (0, 1):
        for name in ("a", "b"):
            folder = tmp_path / f"{number}/{name}"
            folder.mkdir(parents=True)
            for i in range(3):
                picture(20, 30 + i).rotate(90 * number).resize((20, 20)).save(folder / f"{i}.png")
        out = tmp_path / f"packed{number}"
        pack(open_data(tmp_path / str(number)), out, quality=None)
        found.append(open_data(out).record()["fingerprint"])
    assert found[0] != found[1]


@pytest.fixture
def folder(shared_data: Path, tmp_path: Path) -> Path:
    """Some ants and bees."""
    for name in ("ants", "bees"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for path in sorted((shared_data / "photos/ants-bees/train" / name).glob("*.jpg"))[:6]:
            shutil.copyfile(path, tmp_path / "photos" / name / path.name)
    return tmp_path / "photos"


def test_shards_of_pixels_hold_the_photos_and_give_the_loader_its_crops(folder: Path, tmp_path: Path) -> None:
    source = open_data(folder)
    packed = pack(source, tmp_path / "raw", size=96, quality=None)
    assert (packed.pictures, packed.skipped) == (12, [])
    assert isinstance(source.train, FileSet)
    wanted = {}
    for i in range(len(source.train)):
        image = read_image(source.train.read(i))
        small = image.resize(resized(image.size, 96), Image.Resampling.BICUBIC)
        wanted[small.tobytes()] = int(source.train.labels[i])
    raw = open_data(tmp_path / "raw").train
    assert isinstance(raw, FileSet)
    images = [read_image(raw.read(i)) for i in range(len(raw))]
    assert {image.tobytes(): int(label) for image, label in zip(images, raw.labels, strict=True)} == wanted

    augmentation = Augmentation(crop="resized")
    batch = next(Loader(raw, 4, 48, True, augmentation, seed=3, hold_bytes=0).batches())
    for pixels, index in zip(batch.images, batch.indices.tolist(), strict=True):
        own, out = np.asarray(images[index]), np.empty((48, 48, 3), np.uint8)
        draws = Draws(3, 0, index)
        crop_resize(own, training_box(own.shape[1], own.shape[0], (48, 48), augmentation, draws), out)
        np.testing.assert_array_equal(pixels.permute(1, 2, 0).numpy(), out)


def test_the_command_writes_them_and_says_what_does_not_go_together(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "raw"
    assert main(["data", "pack", str(folder), "-o", str(out), "--size", "64", "--format", "ppm"]) == 0
    assert len(open_data(out).whole()) == 12
    assert (
        main(["data", "pack", str(folder), "-o", str(out), "--size", "64"]) == 2
    )  # the same folder as JPEGs
    assert "other options" in capsys.readouterr().err
    both = ["data", "pack", str(folder), "-o", str(tmp_path / "x"), "--format", "ppm", "--quality", "80"]
    assert main(both) == 2
    assert "--quality is of JPEGs" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
