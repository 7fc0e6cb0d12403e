"""A JPEG's crop, bit for bit as Pillow decodes and resizes it, without the parts that the crop does not show."""

from __future__ import annotations

import numpy as np
import simplejpeg

from convatlas.data.images import MAX_PIXELS
from convatlas.data.jpeg import cut, read_frame
from convatlas.data.pixels import centre_box, resized
from convatlas.data.resample import FILTERS, across_first, plan, resize_crop
from convatlas.data.scratch import Scratch
from convatlas.define.preprocessing import Preprocessing

# rows that are decoded below the last one that is used: smooth upsampling of color looks one row down
_BELOW = 2
# a cut that saves less than this is not worth the copy of the file
_WORTH_A_CUT = 0.97


_scratch = Scratch()


def crop_of_jpeg(data: bytes, preprocessing: Preprocessing) -> np.ndarray | None:
    """The uint8 pixels (H, W, 3) that Pillow's decoding, resizing and cropping give; None for what it is not made for.

    Made for upright JPEGs in grey or color, an antialiasing filter of `resample`, a crop within the picture, and
    pictures that are not very tall.
    """
    p, frame = preprocessing, read_frame(data)
    if (
        frame is None
        or frame.orientation != 1
        or frame.components not in (1, 3)
        or frame.height * frame.width > MAX_PIXELS
        or p.interpolation not in FILTERS
        or p.channel_order == "grey"
    ):
        return None
    size = resized((frame.width, frame.height), p.resize)
    box = (0, 0, *size) if p.crop is None else centre_box(size, p.crop)
    inside = min(box[:2]) >= 0 and box[2] <= size[0] and box[3] <= size[1]
    if not inside or not across_first((frame.width, frame.height), size):
        return None
    rows = plan(frame.height, size[1], box[1], box[3] - box[1], p.interpolation).stop + _BELOW
    short = frame.one_pass and rows < _WORTH_A_CUT * frame.height
    memory = _scratch.room("pixels", (rows if short else frame.height) * frame.width * 4)
    try:
        pixels = simplejpeg.decode_jpeg(
            cut(data, frame, rows) if short else data,
            "RGBX",
            fastdct=False,
            fastupsample=False,
            buffer=memory,
            strict=not short,
        )
    except ValueError:
        return None
    return resize_crop(pixels, frame.height, size, box, p.interpolation)
