"""Any picture file to an upright RGB image, or an `ImageError` that says why not.

Pillow opens; what it leaves open is decided here: EXIF orientation is applied, transparency is laid over white
(as a page shows it), 16 bits are scaled to 8 instead of clipped, an animation gives its first frame.
"""

from __future__ import annotations

import io
import os
import stat
import threading
import warnings

import numpy as np
from PIL import ExifTags, Image, ImageOps

from convatlas.errors import ConvAtlasError

Source = str | os.PathLike[str] | bytes

# Twice Pillow's own warning level, where it refuses too: a 108-megapixel phone photo is read, a bomb is not.
MAX_PIXELS = 178_956_970


class ImageError(ConvAtlasError):
    """One picture that cannot be read. path: where it came from; reason: one clause, fit for a table."""

    def __init__(self, path: str, reason: str) -> None:
        path = writable(path)
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        """Cross a process border whole."""
        return (type(self), (self.path, self.reason))


def writable(text: str) -> str:
    """A name as text that any file can carry: what is not UTF-8 in it is written with a backslash."""
    return text.encode("utf-8", "backslashreplace").decode()


def read_image(source: Source, name: str | None = None) -> Image.Image:
    """Read a file, or the bytes of one, to an RGB image.

    name: what to call it in the error where `source` is bytes. Raises ImageError, and nothing else, for whatever
    is wrong with the file: absent, empty, not an image, truncated, or larger than MAX_PIXELS when decoded.
    """
    name = label(source, name)
    data = read_bytes(source, name)
    try:
        with _quiet, Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(name, _too_large(image.width, image.height))  # noqa: TRY301 (passes the broad except)
            image.load()
            return to_rgb(_upright(image))
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(name, _reason(error, data)) from error


class _Quiet:
    """Keeps Pillow's warnings (a corrupt EXIF block, a large photo) off the terminal of a run over thousands.

    warnings.catch_warnings is not made for threads: the first to come sets the filter, the last to go takes it away.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filters: warnings.catch_warnings[None] | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._filters is not None:
                self._filters.__exit__(None, None, None)


_quiet = _Quiet()


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a regular file; OSError for all else: a pipe would be waited for, and a device has no end."""
    try:
        # unbuffered, and no Path for it: a third faster
        with open(os.fspath(path), "rb", buffering=0, opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError("a pipe or a device, not a file")
            return file.read()
    except ValueError as error:  # a name that no file can have
        raise OSError(str(error)) from error


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_bytes(source: Source, name: str | None = None) -> bytes:
    """The bytes of a file; ImageError where there is none or it is empty."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
    else:
        try:
            data = read_file(source)
        except OSError as error:
            raise ImageError(label(source, name), f"cannot be opened: {error.strerror or error}") from error
    if not data:
        raise ImageError(label(source, name), "the file is empty (0 bytes)")
    return data


def label(source: Source, name: str | None = None) -> str:
    """What a source is called in messages."""
    if name is not None:
        return name
    return (
        f"<{len(source)} bytes>" if isinstance(source, (bytes, bytearray, memoryview)) else os.fspath(source)
    )


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode to RGB: transparency over white, 16 bits and floats scaled, not clipped."""
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_to_rgb(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return _over_white(image)
    if image.mode == "RGB":
        return image.copy()  # the file behind it is closed after this
    if image.mode == "LAB":
        from PIL import ImageCms

        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        turned = ImageCms.applyTransform(image, ImageCms.buildTransform(lab, srgb, "LAB", "RGB"))
        assert turned is not None  # None is for a change in place
        return turned
    return image.convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    if image.mode in ("La", "RGBa"):  # premultiplied: Pillow converts these only to their plain twin
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    rgba = image.convert("RGBA")
    page = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return Image.alpha_composite(page, rgba).convert("RGB")


def _deep_to_rgb(image: Image.Image) -> Image.Image:
    """Grey of 16 bits, 32 bits or floats, to the range 0..255 that it means."""
    values = np.asarray(image).astype(np.float64)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not np.isfinite(low + high):
        raise ValueError("pixel values are not finite")
    if image.mode == "F" and low >= 0 and high <= 1:
        grey = values * 255
    elif image.mode == "F" and low >= 0 and high <= 255:
        grey = values
    elif low >= 0 and high <= 65535 and image.mode != "F":
        grey = values * (255 / 65535)
    else:  # a range that says nothing of itself: all that it has, dark to light
        grey = (values - low) * (255 / (high - low or 1))
    grey8 = np.rint(grey).astype(np.uint8)
    clear = image.info.get("transparency")
    if isinstance(clear, (int, float)):  # PNG's tRNS of a 16-bit grey: one value that is see-through
        grey8[values == clear] = 255
    return Image.fromarray(grey8).convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
            return image
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001  an EXIF block that cannot be read says nothing of the pixels
        return image


def _reason(error: Exception, data: bytes) -> str:
    """One clause for a table, in place of a decoder's own words."""
    if isinstance(error, Image.UnidentifiedImageError):
        return f"not an image in a format that can be read (it starts with {data[:12]!r})"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"refused as a decompression bomb: {error}"
    text = str(error) or type(error).__name__
    if "truncated" in text.lower():
        return f"truncated: {text}"
    return f"cannot be decoded: {text}"


def _too_large(width: int, height: int) -> str:
    return f"refused as a decompression bomb: {width}x{height} pixels, more than {MAX_PIXELS:,}"
