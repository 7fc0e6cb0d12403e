"""Sliding windows along one axis: where a kernel starts, how much padding it reads, how many outputs it gives.

Two rules bear the name "same", and published weights depend on which:

- ``"same"``, the start-point rule: the kernel's row (H-2)/2 (even H) or (H-1)/2 (odd H) lies on the first
  row of the input, so what padding is uneven goes to the bottom and right. Outputs at 0, stride, 2 stride...
- ``"same_tf"``, TensorFlow's rule: as many outputs, ceil(n / stride), but the padding is what the last window
  needs, split in two halves with the odd one at the end. It depends on the input's size.

They agree at stride 1, and differ at a stride wherever the last window does not need all the padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Padding = int | tuple[int, int] | Literal["same", "same_tf", "valid", "full"]
RULES = ("same", "same_tf", "valid", "full")


@dataclass(frozen=True, slots=True)
class Window:
    """One axis of a convolution or pooling, on an input of a known size.

    `before` and `after` are the rows of padding that the windows can read (after < 0 never occurs);
    `span` is the kernel's extent with its dilation; `output` is the number of positions.
    """

    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    output: int

    @property
    def span(self) -> int:
        """Rows between the first and the last tap, both included."""
        return (self.kernel - 1) * self.dilation + 1


def fixed_padding(rule: int | str, span: int) -> tuple[int, int] | None:
    """Padding (before, after) that holds at every input size, or None for `same_tf`, which has none."""
    if isinstance(rule, int):
        return rule, rule
    if rule == "valid":
        return 0, 0
    if rule == "full":
        return span - 1, span - 1
    if rule == "same":
        return (span - 1) // 2, span // 2
    return None


def tf_padding(n: int, span: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME for an input of n rows: the padding of the last window, its odd row at the end."""
    total = max(0, (-(-n // stride) - 1) * stride + span - n)
    return total // 2, total - total // 2


def window(
    n: int, kernel: int, stride: int, rule: int | str, *, dilation: int = 1, ceil: bool = False
) -> Window:
    """Place windows on n rows; `output` <= 0 where the kernel is larger than the padded input.

    `ceil` is the pooling layers' ceil mode as Caffe and torch have it: a last, partial window counts if it
    starts inside the input or its leading padding.
    """
    span = (kernel - 1) * dilation + 1
    before, after = fixed_padding(rule, span) or tf_padding(n, span, stride)
    free = n + before + after - span
    output = free // stride + 1
    if ceil and free % stride and output * stride < n + before:
        output += 1
        after = (output - 1) * stride + span - n - before
    return Window(kernel, stride, dilation, before, after, output)
