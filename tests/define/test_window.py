"""Windows and padding rules, against the definitions in words and against torch where it has the rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convatlas.define.window import window


@pytest.mark.parametrize(
    ("kernel", "start"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (6, 2), (7, 3)]
)  # the row of the kernel that lies on the first row of the input: (H-2)/2 for even H, (H-1)/2 for odd H
def test_same_starts_where_the_start_point_rule_says(kernel: int, start: int) -> None:
    assert start == ((kernel - 2) // 2 if kernel % 2 == 0 else (kernel - 1) // 2)
    assert window(10, kernel, 1, "same").before == start


@given(st.integers(1, 50), st.integers(1, 9))
def test_same_at_stride_1_keeps_the_size_and_both_rules_agree(n: int, kernel: int) -> None:
    ours, tensorflow = window(n, kernel, 1, "same"), window(n, kernel, 1, "same_tf")
    assert ours.output == tensorflow.output == n
    assert (ours.before, ours.after) == (tensorflow.before, tensorflow.after)


@given(st.integers(1, 50), st.integers(1, 9), st.integers(1, 5))
def test_both_same_rules_give_n_over_stride_outputs_rounded_up(n: int, kernel: int, stride: int) -> None:
    for rule in ("same", "same_tf"):
        assert window(n, kernel, stride, rule).output == -(-n // stride)


def test_the_two_same_rules_differ_at_a_stride() -> None:
    """224 rows, 3x3, stride 2, as MobileNet: TensorFlow pads the bottom alone, the start-point rule the top as well."""
    tensorflow, ours = window(224, 3, 2, "same_tf"), window(224, 3, 2, "same")
    assert (tensorflow.before, tensorflow.after) == (0, 1)
    assert ours.before == 1


@given(st.integers(1, 30), st.integers(1, 9))
def test_full_counts_every_position_that_touches_the_input(n: int, kernel: int) -> None:
    assert window(n, kernel, 1, "full").output == n + kernel - 1


@given(st.integers(1, 30), st.integers(1, 9), st.integers(1, 4))
def test_valid_counts_the_positions_inside(n: int, kernel: int, stride: int) -> None:
    assert max(0, window(n, kernel, stride, "valid").output) == len(range(0, n - kernel + 1, stride))


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 5), st.integers(0, 3))
def test_ceil_mode_is_that_of_torch(n: int, kernel: int, stride: int, padding: int) -> None:
    torch = pytest.importorskip("torch", reason="compares with torch, which is not installed")
    if 2 * padding > kernel or n + 2 * padding < kernel:
        return
    pooled = torch.nn.functional.max_pool1d(torch.zeros(1, 1, n), kernel, stride, padding, ceil_mode=True)
    assert window(n, kernel, stride, padding, ceil=True).output == pooled.shape[2]
