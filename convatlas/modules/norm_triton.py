"""What norm_kernels.c is to a CPU: batch norm with what follows it on a GPU, two readings and one writing of a layer.

Values are (rows, channels), channels last; float32 or bf16, sums in float32. A kernel adds up deviations by part of the
rows, a small one brings the parts together in a fixed order (the same bits each time), a third goes over all values.
torch's CUDA builds bring Triton, which compiles these when they are first run; it needs a C compiler for its launchers.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

# values a program looks at in one go, channels of them at most
_TILE, _WIDTH = 4096, 128
# programs for the sums: a few for each of a large GPU's multiprocessors
_PROGRAMS = 528


def forward(
    x: Tensor, residual: Tensor | None, y: Tensor, weight: Tensor, bias: Tensor, eps: float,
    clamp: tuple[int, float], found: Tensor, running: tuple[Tensor, Tensor], momentum: float,
) -> None:  # fmt: skip
    """Write y, the batch's mean and 1 / deviation into `found` (2, C), and move the running statistics."""
    rows, channels = x.numel() // x.shape[1], x.shape[1]
    grid, shape = _grid(rows, channels)
    parts, per = _parts(rows, channels)
    sums = torch.empty(parts, 2, channels, device=x.device)
    _sums[(parts, grid[1])](x, sums, rows, channels, per, **shape, num_warps=8)
    _statistics[(grid[1],)](
        x, sums, found, *running, rows, channels, parts, eps, momentum, WIDTH=shape["WIDTH"], num_warps=1
    )
    kind, top = clamp
    _apply[grid](
        x, x if residual is None else residual, y, found, weight, bias, rows, channels, top,
        **shape, CLAMP=kind, RESIDUAL=residual is not None, num_warps=8,
    )  # fmt: skip


def try_out() -> None:
    """Run the forward kernels once on the current device; what Triton raises says why they cannot be had."""
    x = torch.ones(2, 4, 2, 2, device="cuda").to(memory_format=torch.channels_last)
    one, found = torch.ones(4, device="cuda"), torch.empty(2, 4, device="cuda")
    forward(
        x,
        None,
        torch.empty_like(x),
        one,
        one,
        1e-5,
        (1, float("inf")),
        found,
        (one.clone(), one.clone()),
        0.1,
    )


def backward(
    dy: Tensor, other: Tensor | None, x: Tensor, y: Tensor | None, weight: Tensor, bias: Tensor, found: Tensor,
    clamp: tuple[int, float], dx: Tensor, into: Tensor | None, gradients: Tensor,
) -> None:  # fmt: skip
    """Write dx, the gradients of weight and bias into `gradients` (2, C), and into `into` that of the residual.

    dy and other are two gradients of y, to be added up. y: needed where there is a residual, else made again from x.
    """
    rows, channels = x.numel() // x.shape[1], x.shape[1]
    grid, shape = _grid(rows, channels)
    parts, per = _parts(rows, channels)
    kind, top = clamp
    kept = into if into is not None else dx if other is not None else None
    sums = torch.empty(parts, 2, channels, device=x.device)
    factors = torch.empty(3, channels, device=x.device)
    how = {**shape, "CLAMP": kind, "FROM_Y": y is not None, "num_warps": 8}
    seen = x if y is None else y
    _gradient_sums[(parts, grid[1])](
        dy, dy if other is None else other, x, seen, dx if kept is None else kept, found, weight, bias, sums,
        rows, channels, per, top, **how, OTHER=other is not None, KEEP=kept is not None,
    )  # fmt: skip
    _factors[(grid[1],)](
        sums, found, weight, gradients, factors, rows, channels, parts, WIDTH=shape["WIDTH"], num_warps=1
    )
    if kept is not None:  # the clamp's work is done
        how |= {"CLAMP": 0, "FROM_Y": False}
    _gradient[grid](
        dy if kept is None else kept, x, seen, dx, found, weight, bias, factors, rows, channels, top, **how
    )


def _grid(rows: int, channels: int) -> tuple[tuple[int, int], dict[str, int]]:
    """(programs along the rows, along the channels), and the shape of a tile."""
    width = min(triton.next_power_of_2(channels), _WIDTH)
    height = _TILE // width
    return (triton.cdiv(rows, height), triton.cdiv(channels, width)), {"HEIGHT": height, "WIDTH": width}


def _parts(rows: int, channels: int) -> tuple[int, int]:
    """Into how many parts the rows are cut for the sums, and the rows of one: whole tiles."""
    (tiles, across), shape = _grid(rows, channels)
    each = triton.cdiv(tiles, max(1, _PROGRAMS // across))
    return triton.cdiv(tiles, each), each * shape["HEIGHT"]


@triton.jit
def _passes(v, top, CLAMP: tl.constexpr):
    """Whether the clamp gives its input out as it is; what is no number is nowhere clamped, as in torch."""
    number = v == v  # noqa: PLR0124
    inside = v > 0.0
    if CLAMP == 2:
        inside = inside & (v < top)
    return inside | (number == 0)


@triton.jit
def _sums(x, sums, rows, channels, per, HEIGHT: tl.constexpr, WIDTH: tl.constexpr):
    part, c = tl.program_id(0), tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    # deviations from some value of the channel: squares of a large mean would swallow a small variance
    center = tl.load(x + c, mask=c < channels, other=0.0).to(tl.float32)
    first = tl.zeros([HEIGHT, WIDTH], tl.float32)
    second = tl.zeros([HEIGHT, WIDTH], tl.float32)
    for start in range(part * per, tl.minimum((part + 1) * per, rows), HEIGHT):
        row = (start + tl.arange(0, HEIGHT)).to(tl.int64)
        mask = (row < rows)[:, None] & (c < channels)[None, :]
        v = tl.load(x + row[:, None] * channels + c[None, :], mask=mask, other=0.0).to(tl.float32)
        d = tl.where(mask, v - center[None, :], 0.0)
        first += d
        second += d * d
    tl.store(sums + part * 2 * channels + c, tl.sum(first, 0), mask=c < channels)
    tl.store(sums + (part * 2 + 1) * channels + c, tl.sum(second, 0), mask=c < channels)


@triton.jit
def _statistics(
    x, sums, found, running_mean, running_variance, rows, channels, parts, eps, momentum, WIDTH: tl.constexpr
):
    c = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    mask = c < channels
    s = tl.zeros([WIDTH], tl.float32)
    q = tl.zeros([WIDTH], tl.float32)
    for part in range(parts):
        s += tl.load(sums + part * 2 * channels + c, mask=mask, other=0.0)
        q += tl.load(sums + (part * 2 + 1) * channels + c, mask=mask, other=0.0)
    away = s / rows
    variance = q / rows - away * away
    variance = tl.where(variance < 0.0, 0.0, variance)
    mean = away + tl.load(x + c, mask=mask, other=0.0).to(tl.float32)
    tl.store(found + c, mean, mask=mask)
    tl.store(found + channels + c, 1.0 / tl.sqrt(variance + eps), mask=mask)
    old = tl.load(running_mean + c, mask=mask, other=0.0)
    tl.store(running_mean + c, old + momentum * (mean - old), mask=mask)
    old = tl.load(running_variance + c, mask=mask, other=0.0)
    unbiased = variance * (rows / (rows - 1.0))
    tl.store(running_variance + c, old + momentum * (unbiased - old), mask=mask)


@triton.jit
def _apply(
    x, residual, y, found, weight, bias, rows, channels, top,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr, CLAMP: tl.constexpr, RESIDUAL: tl.constexpr,
):  # fmt: skip
    row = (tl.program_id(0) * HEIGHT + tl.arange(0, HEIGHT)).to(tl.int64)
    c = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    mask = (row < rows)[:, None] & (c < channels)[None, :]
    at = row[:, None] * channels + c[None, :]
    mean = tl.load(found + c, mask=c < channels, other=0.0)
    scale = tl.load(found + channels + c, mask=c < channels, other=0.0) * tl.load(
        weight + c, mask=c < channels, other=0.0
    )
    shift = tl.load(bias + c, mask=c < channels, other=0.0)
    v = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
    v = (v - mean[None, :]) * scale[None, :] + shift[None, :]
    if RESIDUAL:
        v += tl.load(residual + at, mask=mask, other=0.0).to(tl.float32)
    if CLAMP > 0:
        v = tl.where(v < 0.0, 0.0, v)
    if CLAMP == 2:
        v = tl.where(v > top, top, v)
    tl.store(y + at, v.to(y.dtype.element_ty), mask=mask)


@triton.jit
def _before_clamp(
    g, v, at, c, mask, seen, scale, mean, shift, top, CLAMP: tl.constexpr, FROM_Y: tl.constexpr
):
    """The gradient before the clamp, from that after it; v: x at this place."""
    if CLAMP > 0:
        if FROM_Y:
            out = tl.load(seen + at, mask=mask, other=0.0).to(tl.float32)
        else:
            out = (v - mean[None, :]) * scale[None, :] + shift[None, :]
        g = tl.where(_passes(out, top, CLAMP), g, 0.0)
    return g


@triton.jit
def _gradient_sums(
    dy, other, x, seen, kept, found, weight, bias, sums, rows, channels, per, top,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr, CLAMP: tl.constexpr, FROM_Y: tl.constexpr, OTHER: tl.constexpr,
    KEEP: tl.constexpr,
):  # fmt: skip
    part, c = tl.program_id(0), tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    mean = tl.load(found + c, mask=c < channels, other=0.0)
    scale = tl.load(found + channels + c, mask=c < channels, other=0.0) * tl.load(
        weight + c, mask=c < channels, other=0.0
    )
    shift = tl.load(bias + c, mask=c < channels, other=0.0)
    first = tl.zeros([HEIGHT, WIDTH], tl.float32)
    second = tl.zeros([HEIGHT, WIDTH], tl.float32)
    for start in range(part * per, tl.minimum((part + 1) * per, rows), HEIGHT):
        row = (start + tl.arange(0, HEIGHT)).to(tl.int64)
        mask = (row < rows)[:, None] & (c < channels)[None, :]
        at = row[:, None] * channels + c[None, :]
        v = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
        g = tl.load(dy + at, mask=mask, other=0.0).to(tl.float32)
        if OTHER:
            g += tl.load(other + at, mask=mask, other=0.0).to(tl.float32)
        g = _before_clamp(g, v, at, c, mask, seen, scale, mean, shift, top, CLAMP, FROM_Y)
        if KEEP:
            tl.store(kept + at, g.to(kept.dtype.element_ty), mask=mask)
        first += g
        second += tl.where(mask, g * (v - mean[None, :]), 0.0)
    tl.store(sums + part * 2 * channels + c, tl.sum(first, 0), mask=c < channels)
    tl.store(sums + (part * 2 + 1) * channels + c, tl.sum(second, 0), mask=c < channels)


@triton.jit
def _factors(sums, found, weight, gradients, factors, rows, channels, parts, WIDTH: tl.constexpr):
    c = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    mask = c < channels
    s = tl.zeros([WIDTH], tl.float32)
    q = tl.zeros([WIDTH], tl.float32)
    for part in range(parts):
        s += tl.load(sums + part * 2 * channels + c, mask=mask, other=0.0)
        q += tl.load(sums + (part * 2 + 1) * channels + c, mask=mask, other=0.0)
    inverse = tl.load(found + channels + c, mask=mask, other=0.0)
    k = tl.load(weight + c, mask=mask, other=0.0) * inverse
    tl.store(gradients + c, q * inverse, mask=mask)
    tl.store(gradients + channels + c, s, mask=mask)
    tl.store(factors + c, k, mask=mask)
    tl.store(factors + channels + c, -k * inverse * inverse * q / rows, mask=mask)
    tl.store(factors + 2 * channels + c, -k * s / rows, mask=mask)


@triton.jit
def _gradient(
    dy, x, seen, dx, found, weight, bias, factors, rows, channels, top,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr, CLAMP: tl.constexpr, FROM_Y: tl.constexpr,
):  # fmt: skip
    row = (tl.program_id(0) * HEIGHT + tl.arange(0, HEIGHT)).to(tl.int64)
    c = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    mask = (row < rows)[:, None] & (c < channels)[None, :]
    at = row[:, None] * channels + c[None, :]
    mean = tl.load(found + c, mask=c < channels, other=0.0)
    scale = tl.load(found + channels + c, mask=c < channels, other=0.0) * tl.load(
        weight + c, mask=c < channels, other=0.0
    )
    shift = tl.load(bias + c, mask=c < channels, other=0.0)
    k = tl.load(factors + c, mask=c < channels, other=0.0)
    slope = tl.load(factors + channels + c, mask=c < channels, other=0.0)
    level = tl.load(factors + 2 * channels + c, mask=c < channels, other=0.0)
    v = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
    g = tl.load(dy + at, mask=mask, other=0.0).to(tl.float32)
    g = _before_clamp(g, v, at, c, mask, seen, scale, mean, shift, top, CLAMP, FROM_Y)
    d = g * k[None, :] + (v - mean[None, :]) * slope[None, :] + level[None, :]
    tl.store(dx + at, d.to(dx.dtype.element_ty), mask=mask)
