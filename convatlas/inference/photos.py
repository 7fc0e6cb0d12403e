"""A folder of the user's pictures as the images that a faster form of a network is checked and calibrated on."""

from __future__ import annotations

import os
from collections import Counter

import numpy as np
import torch
from torch import Tensor, nn

from convatlas.data.images import ImageError
from convatlas.data.pixels import normalize
from convatlas.data.seen import seen_pixels
from convatlas.define.preprocessing import Preprocessing, named
from convatlas.errors import MisuseError
from convatlas.inference.pictures import pictures, spread


def photos(
    path: str | os.PathLike[str], model: nn.Module, example: Tensor, limit: int
) -> tuple[Tensor, list[str]]:
    """Up to `limit` pictures under `path`, spread evenly, as the model takes them (n, C, H, W); and what to know of them.

    They are prepared as the model's weights say (`model.preprocessing`), as torchvision does where they say nothing.
    MisuseError where none can be read.
    """
    found = pictures([os.fspath(path)])
    shape = tuple(example.shape[1:])
    preprocessing, notes = _preprocessing(model, shape)
    kept: list[np.ndarray] = []
    wrong: Counter[str] = Counter()
    for picture in spread(found, limit):
        try:
            kept.append(seen_pixels(picture.read(), shape, preprocessing, None, picture.name))
        except ImageError as error:
            wrong[error.reason] += 1
    reasons = "; ".join(f"{count} {reason}" for reason, count in wrong.items())
    if not kept:
        raise MisuseError(
            f"accuracy_data: none of the {len(found)} pictures of {os.fspath(path)} can be read ({reasons})"
        )
    if wrong:
        notes.append(f"accuracy_data: left out: {reasons}")
    pixels = torch.from_numpy(np.stack(kept)).permute(0, 3, 1, 2)
    return normalize(pixels.to(example.device), preprocessing), notes


def _preprocessing(model: nn.Module, shape: tuple[int, ...]) -> tuple[Preprocessing, list[str]]:
    known = getattr(model, "preprocessing", None)
    if isinstance(known, Preprocessing):
        return known.with_size(*shape[1:]), []
    name = "torchvision" if shape[0] == 3 else "digit"
    note = (
        f"accuracy_data: prepared as for {name}; the model does not say what its weights want "
        "(load_checkpoint and create_model(weights=) note it)"
    )
    return named(name).with_size(*shape[1:]), [note]
