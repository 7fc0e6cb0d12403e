"""Flip and normalization in one pass: other kernels, the same values."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convatlas.data import pixel_kernels
from convatlas.data.augment import augment
from convatlas.data.augmentation import Augmentation
from convatlas.data.pixels import normalize
from convatlas.define.preprocessing import NAMED, Preprocessing
from convatlas.native import Native

pytestmark = pytest.mark.skipif(
    pixel_kernels.kernels().library is None, reason=f"no compiled kernels: {pixel_kernels.kernels().problem}"
)


@given(
    n=st.integers(1, 5), side=st.tuples(st.integers(1, 40), st.integers(1, 40)), channels=st.sampled_from([1, 3]),
    threads=st.integers(1, 3), draw=st.integers(0, 99),
)  # fmt: skip
def test_bytes_become_the_floats_of_the_division_mirrored_where_chosen(
    n: int, side: tuple[int, int], channels: int, threads: int, draw: int
) -> None:
    """(pixel / 255 - mean) / deviation in float64."""
    torch.manual_seed(draw)
    images = torch.randint(0, 256, (n, *side, channels), dtype=torch.uint8).permute(0, 3, 1, 2)
    mirror = torch.rand(n) < 0.5
    own = NAMED["torchvision"] if channels == 3 else NAMED["digit"]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        found = normalize(images, own, exact=False, mirror=mirror)
    finally:
        torch.set_num_threads(before)
    mean, std = (torch.tensor(v, dtype=torch.float64).view(1, -1, 1, 1) for v in (own.mean, own.std))
    turned = torch.stack([i.flip(2) if m else i for i, m in zip(images, mirror.tolist(), strict=True)])
    expected = (turned.double() / own.scale - mean) / std
    torch.testing.assert_close(found.double(), expected, atol=2e-6, rtol=1e-6)
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize(
    "wanted", [{}, {"flip": 0.5}, {"flip": 0.5, "padding": 4}, {"flip": 0.5, "cutout": 8}]
)
def test_a_batch_is_augmented_as_without_a_compiler(
    order: str, wanted: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.randint(0, 256, (16, 48, 64, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    labels, own = torch.zeros(16, dtype=torch.int64), Augmentation(**wanted)  # type: ignore[arg-type]
    how = Preprocessing(mean=(104.0, 117.0, 123.0), std=(1.0, 2.0, 3.0), scale=1.0, channel_order=order)  # type: ignore[arg-type]

    def run() -> torch.Tensor:
        out = torch.empty(images.shape).contiguous(memory_format=torch.channels_last)
        return augment(images, labels, own, torch.Generator().manual_seed(5), how, out=out)[0]

    fast = run()
    monkeypatch.setattr(pixel_kernels, "kernels", lambda: Native(None, "no compiler"))
    torch.testing.assert_close(fast, run(), atol=1e-4, rtol=1e-6)


def test_what_the_kernel_cannot_take_goes_the_usual_way() -> None:
    """Values that are no bytes any more, and bytes that lie channels first."""
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    for other in (images, images.float()):
        assert not pixel_kernels.suits(other, torch.empty(2, 3, 8, 8), 3)
        found = normalize(other, NAMED["torchvision"], exact=False)
        torch.testing.assert_close(found, normalize(images, NAMED["torchvision"]), atol=2e-6, rtol=1e-6)
