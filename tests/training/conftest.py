"""A small network and a small set that it can learn in a second."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="training runs on torch, which is not installed")

from convatlas.data.sets import TensorSet  # noqa: E402
from convatlas.data.sources import DataSource  # noqa: E402
from convatlas.define import BatchNorm, Conv, Flatten, Linear, MaxPool, Network, ReLU  # noqa: E402


def bars(count: int, seed: int) -> TensorSet:
    """Horizontal against vertical bars in noise, grey 12x12: what a network of two layers learns at once."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 60, (count, 1, 12, 12), generator=generator)
    labels = torch.arange(count) % 2
    for i, at in enumerate(torch.randint(2, 10, (count,), generator=generator).tolist()):
        if labels[i]:
            images[i, 0, at] += 180
        else:
            images[i, 0, :, at] += 180
    return TensorSet(images.to(torch.uint8), labels, ("vertical", "horizontal"), "bars")


@pytest.fixture
def source() -> DataSource:
    train, test = bars(96, 1), bars(40, 2)
    return DataSource("bars", train, test, train.classes, "bars in noise")


@pytest.fixture
def network() -> Network:
    """Convolution, batch norm, ReLU, pooling, linear: enough to meet every kind of parameter and buffer."""
    return Network(
        input=(1, 12, 12), name="tiny",
        conv=Conv(6, 3, bias=False), norm=BatchNorm(), relu=ReLU(), pool=MaxPool(2), flatten=Flatten(), fc=Linear(2),
    )  # fmt: skip
