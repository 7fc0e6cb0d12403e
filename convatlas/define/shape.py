"""Shapes, and the error that every impossible one becomes.

A shape is that of one image, without the batch: ``(C, H, W)`` for feature maps, ``(C,)`` for a vector.
"""

from __future__ import annotations

from convatlas.errors import MisuseError

Shape = tuple[int, ...]


class ShapeError(MisuseError):
    """A shape that cannot be: says the row's path, what came, what was expected and what to do.

    `path` is the dotted name of the row, as in the table and the state dict.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.message = message
        self.path = path


def show(shape: Shape) -> str:
    """Print a shape as the papers do: ``64x56x56`` or ``4096``."""
    return "x".join(map(str, shape))


def parse(text: str) -> Shape:
    """Read ``3x224x224`` (or ``3,224,224``), the form that `show` prints; ValueError says what is wrong."""
    parts = text.lower().replace("×", "x").replace(",", "x").split("x")
    if not all(part.strip().isdigit() and int(part) > 0 for part in parts) or len(parts) not in (1, 3):
        raise ValueError(f"input shape {text!r}: expected channels x height x width, such as 3x224x224")
    return tuple(int(part) for part in parts)
