"""Pixels as they are, in a PPM (P6, 8 bits): a picture that is read without decoding, at eight times the space of a JPEG."""

from __future__ import annotations

import re

import numpy as np
from PIL import Image

from convatlas.data.images import MAX_PIXELS

# without the comments that the format allows: Pillow reads those files
_HEADER = re.compile(rb"P6\s(\d{1,9})\s(\d{1,9})\s255\s")


def ppm_bytes(image: Image.Image) -> bytes:
    """An RGB picture as a PPM."""
    return b"P6\n%d %d\n255\n" % image.size + image.tobytes()


def ppm_pixels(data: bytes) -> np.ndarray | None:
    """The pixels (H, W, 3) of a PPM, a read-only view of `data`; None for what is not just one such picture, whole."""
    header = _HEADER.match(data)
    if header is None:
        return None
    width, height = int(header[1]), int(header[2])
    if not 0 < width * height <= MAX_PIXELS or len(data) - header.end() != width * height * 3:
        return None
    return np.frombuffer(data, np.uint8, offset=header.end()).reshape(height, width, 3)
