"""What a network sees of a picture file, before its numbers are normalized."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from convatlas.data.decode import exact_pixels
from convatlas.data.images import Source, label, read_bytes, read_image
from convatlas.define.preprocessing import Preprocessing


def seen_pixels(
    source: Source,
    shape: tuple[int, ...],
    preprocessing: Preprocessing,
    provenance: Mapping[str, object] | None = None,
    name: str | None = None,
) -> np.ndarray:
    """The uint8 pixels (H, W, C) of a file or its bytes for a network of input `shape` (C, H, W). Raises ImageError.

    A network of grey pictures was trained on digits: a photo of one is brought to the form of the set that
    `provenance` names, MNIST where it names none.
    """
    name = label(source, name)
    data = read_bytes(source, name)
    channels, height, width = shape
    if channels != 1:
        return exact_pixels(data, name, preprocessing)
    from convatlas.data.digit import digit_image

    trained_on = (provenance or {}).get("data")
    style = "digits" if isinstance(trained_on, dict) and trained_on.get("name") == "digits" else "mnist"
    pixels = digit_image(read_image(data, name), style)
    if pixels.shape[1:] != (height, width):
        smooth = torch.nn.functional.interpolate(
            pixels[None].float(), (height, width), mode="bilinear", antialias=True
        )
        pixels = smooth[0].byte()
    return pixels.permute(1, 2, 0).numpy()
