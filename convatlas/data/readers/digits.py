"""The 1,797 handwritten digits that come with the package: 13 writers, 8x8, enlarged to 32x32. Not MNIST.

Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998: 32x32
bitmaps, counted in blocks of 4x4, which gives 8x8 values of 0..16. This is the test part of that set, in the order
in which scikit-learn ships it; the writers are not told, so a split by writer is not possible.
"""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from convatlas.data.sets import TensorSet
from convatlas.data.sources import DataSource
from convatlas.data.splits import stratified


def raw_digits() -> tuple[np.ndarray, np.ndarray]:
    """Values 0..16 uint8 (1797, 8, 8), and labels uint8 (1797,)."""
    with resources.files("convatlas.data").joinpath("digits.npz").open("rb") as file:
        arrays = np.load(file, allow_pickle=False)
        return arrays["images"], arrays["labels"]


def enlarge(blocks: Tensor) -> Tensor:
    """Block counts 0..16 (N, 8, 8) to uint8 (N, 1, 32, 32), ink bright; the 32x32 that the blocks were counted in."""
    grey = blocks.to(torch.float32)[:, None] * (255 / 16)
    return (
        F.interpolate(grey, size=(32, 32), mode="bicubic", align_corners=False)
        .round_()
        .clamp_(0, 255)
        .to(torch.uint8)
    )


def open_digits(seed: int = 0, test_share: float = 0.2) -> DataSource:
    """The bundled digits; the split is by `seed` and is recorded."""
    blocks, labels = raw_digits()
    images = enlarge(torch.from_numpy(blocks))
    whole = TensorSet(images, torch.from_numpy(labels), tuple("0123456789"), "digits")
    train, test = stratified(labels.tolist(), test_share, seed)
    return DataSource(
        "digits",
        whole.subset(train),
        whole.subset(test),
        whole.classes,
        "UCI optical digits (Alpaydin & Kaynak 1998), 1,797 of 8x8 enlarged to 32x32; not MNIST",
        {
            "by": "stratified",
            "seed": seed,
            "test_share": test_share,
            "test_indices": json.loads(json.dumps(test)),
        },
    )
