"""Weights rounded by least squares: on the grid, nearer to the layer's answers than each weight at its nearest."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from convatlas.inference.graph.least_squares import compensated, patches, round_layer, to_int8

SHAPES = [((6, 4, 3, 3), 1), ((8, 1, 3, 3), 8), ((8, 2, 1, 1), 2), ((6, 4, 1, 5), 1)]


def settings(groups: int, stride: int = 1, padding: int = 0) -> dict[str, object]:
    return {"stride": [stride, stride], "padding": [padding, padding], "dilation": [1, 1], "groups": groups}


def images(weight: Tensor, groups: int) -> Tensor:
    """Maps whose channels and neighbors go together, and none of which has a mean of zero, as after a ReLU."""
    coarse = torch.randn(5, weight.shape[1] * groups, 6, 6)
    mixed = torch.einsum("nchw,cd->ndhw", coarse, torch.randn(coarse.shape[1], coarse.shape[1]))
    return F.interpolate(mixed, (12, 12), mode="bilinear").relu()


def nearest(weight: Tensor, grid: str) -> Tensor:
    if grid == "bf16":
        return weight.bfloat16().float()
    step = weight.abs().flatten(1).amax(1).view(-1, 1, 1, 1) / 127
    return (weight / step).round() * step


@pytest.mark.parametrize("grid", ["bf16", "int8"])
@pytest.mark.parametrize(("shape", "groups"), SHAPES)
def test_the_layers_error_is_less_than_with_each_weight_at_its_nearest(shape, groups: int, grid: str) -> None:
    torch.manual_seed(0)
    weight, bias = torch.randn(shape), torch.randn(shape[0])
    x = images(weight, groups)
    how = settings(groups)
    rounded, moved = round_layer(weight, bias, patches(x, weight, how, torch.Generator()), grid)
    exact = F.conv2d(x, weight, bias, groups=groups)
    ours = F.conv2d(x, rounded, moved, groups=groups) - exact
    plain = F.conv2d(x, nearest(weight, grid), bias, groups=groups) - exact
    assert ours.square().mean() < plain.square().mean()
    if grid == "int8":  # there the bias is free: nothing is left on average
        assert ours.mean((0, 2, 3)).abs().max() < 1e-4


@pytest.mark.parametrize(("shape", "groups"), SHAPES)
def test_the_values_are_on_the_grid(shape, groups: int) -> None:
    torch.manual_seed(1)
    weight, bias = torch.randn(shape), torch.randn(shape[0])
    seen = patches(images(weight, groups), weight, settings(groups), torch.Generator())
    rounded, moved = round_layer(weight, bias, seen, "bf16")
    assert torch.equal(rounded, rounded.bfloat16().float())
    assert torch.equal(moved, moved.bfloat16().float())
    rounded, _ = round_layer(weight, bias, seen, "int8")
    # the steps that a quantizer finds by the largest of the filter are those that were used
    assert torch.allclose(rounded.abs().flatten(1).amax(1), weight.abs().flatten(1).amax(1))
    assert torch.allclose(nearest(rounded, "int8"), rounded, atol=1e-6)


def test_near_the_best_of_all_roundings_up_or_down() -> None:
    """Five weights: all 32 ways can be tried."""
    torch.manual_seed(2)
    filters = torch.randn(12, 5, dtype=torch.float64)
    inputs = torch.randn(400, 5, dtype=torch.float64) @ torch.randn(5, 5, dtype=torch.float64)
    covariance = inputs.T @ inputs / 400
    step = filters.abs().amax(1, keepdim=True) / 7

    def loss(rounded: Tensor) -> Tensor:
        return torch.einsum("ok,kl,ol->o", rounded - filters, covariance, rounded - filters)

    found = compensated(filters, covariance, lambda v, _i: (v / step[:, 0]).round() * step[:, 0])
    down = (filters / step).floor()
    ways = [loss((down + torch.tensor(way)) * step) for way in product((0, 1), repeat=5)]
    best, plain = torch.stack(ways).amin(0), loss((filters / step).round() * step)
    assert loss(found).sum() < 0.75 * plain.sum()
    assert loss(found).sum() < 1.2 * best.sum()


def test_inputs_that_never_vary_or_are_always_zero_do_no_harm() -> None:
    weight = torch.randn(4, 3, 1, 1)
    x = torch.cat([torch.zeros(2, 1, 5, 5), torch.full((2, 1, 5, 5), 3.0), torch.randn(2, 1, 5, 5)], 1)
    rounded, moved = round_layer(weight, None, patches(x, weight, settings(1), torch.Generator()), "int8")
    assert rounded.isfinite().all()
    exact = F.conv2d(x, weight)
    assert (F.conv2d(x, rounded, moved) - exact).abs().max() < 0.05 * exact.abs().max()
    zero = torch.zeros(2, 3, 1, 1)
    assert round_layer(zero, None, patches(x, zero, settings(1), torch.Generator()), "int8")[0].eq(0).all()


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1), (3, 2)])
def test_patches_are_what_the_convolution_sees(stride: int, padding: int) -> None:
    weight, x = torch.randn(6, 2, 3, 3), torch.randn(2, 4, 9, 7)
    how = settings(2, stride, padding)
    seen = patches(x, weight, how, torch.Generator())
    expected = F.conv2d(x, weight, stride=stride, padding=padding, groups=2)
    got = torch.einsum("gnk,gok->gno", seen, weight.reshape(2, 3, -1))
    torch.testing.assert_close(
        got.permute(1, 0, 2).reshape(2, *expected.shape[2:], 6).permute(0, 3, 1, 2), expected
    )


def test_the_largest_of_each_filter_stays() -> None:
    filters = torch.tensor([[0.3, -2.0, 0.5]], dtype=torch.float64)
    rounding = to_int8(filters)
    assert rounding(torch.tensor([-1.2], dtype=torch.float64), 1) == -2.0
    assert rounding(torch.tensor([5.0], dtype=torch.float64), 0) == pytest.approx(2.0)
