"""Max-pooling in C: torch's values to the bit, of every window that torch has."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convatlas.inference.engines import pooling
from convatlas.inference.engines.pooling import kernels, pooled
from convatlas.native import Native

compiled = pytest.mark.skipif(kernels().library is None, reason=f"no compiled kernel: {kernels().problem}")


@compiled
@given(
    n=st.integers(1, 3), channels=st.sampled_from([1, 3, 16, 70]), size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)), stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    pad=st.tuples(st.integers(0, 2), st.integers(0, 2)), ceil=st.booleans(), low=st.booleans(), threads=st.integers(1, 2),
)  # fmt: skip
def test_values_are_torchs(
    n: int, channels: int, size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int],
    ceil: bool, low: bool, threads: int,
) -> None:  # fmt: skip
    padding = [min(p, k // 2) for p, k in zip(pad, kernel, strict=True)]
    kernel = tuple(min(k, s + 2 * p) for k, s, p in zip(kernel, size, padding, strict=True))  # type: ignore[assignment]
    padding = [min(p, k // 2) for p, k in zip(padding, kernel, strict=True)]
    if any(s + 2 * p < k for s, k, p in zip(size, kernel, padding, strict=True)):
        return
    x = torch.randn(n, channels, *size).to(torch.bfloat16 if low else torch.float32)
    x = x.to(memory_format=torch.channels_last)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        mine = pooled(
            x, kernel=list(kernel), stride=list(stride), padding=padding, dilation=[1, 1], ceil=ceil
        )
    finally:
        torch.set_num_threads(before)
    assert torch.equal(mine, torch.max_pool2d(x, kernel, stride, padding, 1, ceil))
    assert mine.is_contiguous(memory_format=torch.channels_last)


@compiled
def test_what_is_no_number_stays_none() -> None:
    x = torch.randn(1, 8, 6, 6).to(memory_format=torch.channels_last)
    x[0, 3, 2, 2] = math.nan
    x[0, 4] = -math.inf
    y = pooled(x, kernel=[3, 3], stride=[2, 2], padding=[1, 1], dilation=[1, 1], ceil=False)
    torch.testing.assert_close(y, torch.max_pool2d(x, 3, 2, 1), equal_nan=True)
    assert y[0, 3].isnan().any() and (y[0, 4] == -math.inf).all()


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_without_the_kernel_torch_does_it(kind: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooling, "kernels", lambda: Native(None, "no compiler"))
    x = torch.randn(2, 5, 7, 7).to(kind)
    y = pooled(x, kernel=[2, 2], stride=[2, 2], padding=[0, 0], dilation=[1, 1], ceil=True)
    assert torch.equal(y, torch.max_pool2d(x, 2, 2, 0, 1, ceil_mode=True))
