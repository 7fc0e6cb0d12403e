"""Against torchvision's own transforms, to the bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from convatlas.data.images import read_image
from convatlas.data.pixels import preprocess
from convatlas.define.preprocessing import Preprocessing, named

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def transforms():
    """torchvision beside a CPU torch: its compiled operations are absent, which its transforms do not need."""
    original = torch.library.register_fake

    def tolerant(name, *args, **kwargs):
        if isinstance(name, str) and name.startswith("torchvision::"):
            return lambda function: function
        return original(name, *args, **kwargs)

    torch.library.register_fake = tolerant
    try:
        return pytest.importorskip("torchvision.transforms", exc_type=ImportError)
    finally:
        torch.library.register_fake = original


@pytest.mark.parametrize(
    "p",
    [named("torchvision"), named("torchvision").with_size(299), Preprocessing(resize=342, crop=299, interpolation="bicubic"),
     Preprocessing(resize=97, crop=(80, 120)), Preprocessing(resize=None, crop=400)],
)  # fmt: skip
def test_pixels_equal_torchvisions(transforms, shared_data: Path, p: Preprocessing) -> None:
    modes = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    mode = transforms.InterpolationMode(p.interpolation)
    assert mode.value in modes
    steps = [] if p.resize is None else [transforms.Resize(p.resize, mode)]
    steps += [transforms.CenterCrop(p.crop), transforms.ToTensor(), transforms.Normalize(p.mean, p.std)]
    chain = transforms.Compose(steps)
    for path in sorted((shared_data / "photos/imagenet-sample").glob("*.JPEG"))[::25]:
        image = read_image(path)
        assert torch.equal(preprocess(image, p), chain(image)), path.name
