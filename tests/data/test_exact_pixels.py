"""The fast exact reading gives Pillow's pixels: on real photos, and on files that are odd."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

np = pytest.importorskip("numpy", reason="pictures are arrays; numpy is not installed")

from convatlas.data.decode import exact_pixels  # noqa: E402
from convatlas.data.images import ImageError, read_image  # noqa: E402
from convatlas.data.pixels import crop_pixels  # noqa: E402
from convatlas.define.preprocessing import NAMED  # noqa: E402


def test_other_sizes_and_filters_are_pillows_too(shared_data: Path) -> None:
    base = NAMED["torchvision"]
    others = [
        dataclasses.replace(base, interpolation="bicubic", resize=320, crop=288),
        dataclasses.replace(base, resize=600, crop=400),
        dataclasses.replace(base, resize=(131, 97), crop=None),
    ]
    for path in sorted((shared_data / "photos/imagenet-sample").iterdir())[::25]:
        data = path.read_bytes()
        for p in others:
            assert np.array_equal(exact_pixels(data, path.name, p), crop_pixels(read_image(data), p)), (
                path,
                p,
            )


@pytest.mark.parametrize("folder", ["photos/imagenet-sample", "odd-images", "photos/ants-bees/train/ants"])
@pytest.mark.parametrize("name", ["torchvision", "caffe"])
def test_a_jpeg_is_read_to_the_bit_as_pillow_reads_it(folder: str, name: str, shared_data: Path) -> None:
    files = sorted(path for path in (shared_data / folder).iterdir() if path.suffix != ".tsv")[:60]
    assert files
    for path in files:
        data = path.read_bytes()
        try:
            expected = crop_pixels(read_image(data, path.name), NAMED[name])
        except ImageError:
            with pytest.raises(ImageError):
                exact_pixels(data, path.name, NAMED[name])
            continue
        assert np.array_equal(exact_pixels(data, path.name, NAMED[name]), expected), path.name
