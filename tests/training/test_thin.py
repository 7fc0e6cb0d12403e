"""Thin layers: other kernels, the same function, against torch's own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.define import AvgPool, Conv, Flatten, Linear, Network, Sequential, Tanh
from convatlas.modules import build
from convatlas.modules.share import share
from convatlas.modules.thin import PairMaxPool2d, RowsLinear, ThinBlock, thin, thin_layers
from convatlas.modules.thin_block import BAND_LIMIT, banded_block, shape_of
from convatlas.modules.thin_kernels import pair_max, pair_mean, tanh
from convatlas.networks import catalogue


def compare(own: Tensor, usual: Tensor, inputs: list[Tensor], atol: float) -> None:
    torch.testing.assert_close(own, usual, atol=atol, rtol=1e-4)
    weight = torch.randn_like(usual)
    mine = torch.autograd.grad(own, inputs, weight)
    theirs = torch.autograd.grad(usual, inputs, weight)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=atol * 10, rtol=1e-4)


ACTIVATIONS = {"none": lambda x: x, "tanh": torch.tanh, "relu": torch.relu}


@given(
    n=st.integers(1, 3), c=st.integers(1, 4), o=st.integers(1, 5), kernel=st.tuples(st.integers(1, 5), st.integers(2, 5)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)), padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    size=st.tuples(st.integers(5, 13), st.integers(5, 13)), bias=st.booleans(), pool=st.sampled_from([1, 2]),
    activation=st.sampled_from(["none", "tanh", "relu"]),
)  # fmt: skip
def test_a_banded_block_is_convolution_activation_and_mean(
    n: int, c: int, o: int, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int],
    size: tuple[int, int], bias: bool, pool: int, activation: str,
) -> None:  # fmt: skip
    torch.manual_seed(0)
    x = torch.randn(n, c, *size, dtype=torch.float64, requires_grad=True)
    w = torch.randn(o, c, *kernel, dtype=torch.float64, requires_grad=True)
    b = torch.randn(o, dtype=torch.float64, requires_grad=True) if bias else None
    usual = ACTIVATIONS[activation](F.conv2d(x, w, b, stride, padding))
    shape = shape_of(x.shape, w.shape, stride, padding, pool)
    if min(usual.shape[2:]) < pool:
        assert shape is None
        return
    assert shape is not None
    own = banded_block(x, w, b, shape, padding, activation, torch.float64)
    usual = F.avg_pool2d(usual, 2) if pool == 2 else usual
    compare(own, usual, [x, w] if b is None else [x, w, b], 1e-9)


def test_a_band_that_would_be_too_large_is_refused() -> None:
    """32 maps on 32 columns from 16 channels: (6 rows of 512) x (2 rows of 2 x 16 x 32) = 6.3 M entries with pooling."""
    assert shape_of((8, 16, 32, 32), (32, 16, 5, 5), (1, 1), (2, 2), 2) is None
    lenet = shape_of((8, 6, 14, 14), (16, 6, 5, 5), (1, 1), (0, 0), 2)
    assert lenet is not None
    assert lenet.inner * lenet.columns == 6 * 6 * 14 * 2 * 2 * 16 * 5 <= BAND_LIMIT


def test_a_block_in_bf16_stays_as_near_to_float32_as_bf16_allows() -> None:
    x, w, b = torch.randn(16, 6, 14, 14), torch.randn(16, 6, 5, 5) / 12, torch.randn(16)
    inputs = [x.requires_grad_(), w.requires_grad_(), b.requires_grad_()]
    shape = shape_of(x.shape, w.shape, (1, 1), (0, 0), 2)
    assert shape is not None
    own = banded_block(x, w, b, shape, activation="tanh").float()
    usual = F.avg_pool2d(torch.tanh(F.conv2d(x, w, b)), 2)
    torch.testing.assert_close(own, usual, atol=0.02, rtol=0.02)
    weight = torch.randn_like(usual)
    for mine, theirs in zip(
        torch.autograd.grad(own, inputs, weight), torch.autograd.grad(usual, inputs, weight), strict=True
    ):
        assert mine.dtype == torch.float32
        assert float((mine - theirs).norm() / theirs.norm()) < 0.02


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (2, 2)])
@pytest.mark.parametrize("rows", [False, True])
def test_pooling_by_two_is_torch_s(size: tuple[int, int], rows: bool) -> None:
    x = torch.randn(3, 4, *size)
    if rows:  # memory as the banded convolution leaves it
        x = x.permute(0, 2, 1, 3).contiguous().permute(0, 2, 1, 3)
    x.requires_grad_()
    compare(pair_max(x), F.max_pool2d(x, 2), [x], 1e-6)
    compare(pair_mean(x), F.avg_pool2d(x, 2), [x], 1e-6)


def test_pooling_in_bf16_rounds_as_little_as_bf16_can() -> None:
    x = torch.randn(4, 6, 28, 28)
    own = pair_mean(x.bfloat16())
    torch.testing.assert_close(own.float(), F.avg_pool2d(x, 2), atol=0.02, rtol=0.02)
    assert torch.equal(pair_max(x.bfloat16()), F.max_pool2d(x.bfloat16(), 2))


def test_tanh_in_bf16_is_the_nearest_to_tanh() -> None:
    x = torch.linspace(-6, 6, 1001).bfloat16().requires_grad_()
    assert torch.equal(tanh(x), x.float().tanh().bfloat16())


def test_the_pass_keeps_names_weights_and_function() -> None:
    model = build(catalogue.network("lenet5"))
    lowered = thin(model)
    assert {"C1.conv", "C3.conv", "S2", "S4"} <= set(thin_layers(model))
    block = lowered.get_submodule("C1.conv")
    assert isinstance(block, ThinBlock)
    assert (block.activation, block.pool) == ("tanh", 2)
    assert list(lowered.state_dict()) == list(model.state_dict())
    assert all(a is b for a, b in zip(lowered.parameters(), model.parameters(), strict=True))
    x = torch.randn(5, 1, 32, 32)
    torch.testing.assert_close(lowered(x), model(x), atol=1e-6, rtol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(lowered(x), model(x), atol=1e-6, rtol=1e-5)


def test_a_linear_layer_reads_a_block_s_memory_as_it_lies() -> None:
    rows = {"conv": Conv(4, 3), "tanh": Tanh(), "pool": AvgPool(2), "flatten": Flatten(), "fc": Linear(3)}
    model = build(Network(input=(1, 8, 10), **rows))
    lowered = thin(model)
    assert isinstance(lowered.get_submodule("fc"), RowsLinear)
    x = torch.randn(6, 1, 8, 10)
    one = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    with torch.autocast("cpu", torch.bfloat16):
        value = lowered(x)
    two = torch.autograd.grad(value.float().square().sum(), list(lowered.parameters()))
    for a, b in zip(one, two, strict=True):
        assert float((a - b).norm() / a.norm()) < 0.03
    # a memory of the usual order, as without bf16
    torch.testing.assert_close(lowered(x), model(x), atol=1e-6, rtol=1e-5)


def test_a_block_does_not_take_in_what_an_auxiliary_head_looks_at() -> None:
    head = Sequential(flatten=Flatten(), fc=Linear(3))
    rows = {"conv": Conv(4, 3), "tanh": Tanh(), "pool": AvgPool(2), "flatten": Flatten(), "fc": Linear(3)}
    plain, watched = Network(input=(1, 8, 8), **rows), Network(input=(1, 8, 8), aux={"tanh": head}, **rows)
    assert isinstance(thin(build(plain)).get_submodule("pool"), nn.Identity)
    model = build(watched)
    lowered = thin(model)
    assert not isinstance(lowered.get_submodule("tanh"), nn.Identity)
    x = torch.randn(2, 1, 8, 8)
    for mine, theirs in zip(lowered.forward_with_aux(x)[1], model.forward_with_aux(x)[1], strict=True):
        torch.testing.assert_close(mine, theirs)


def test_what_follows_a_shortcut_is_not_taken_into_a_block() -> None:
    """The activation after a sum belongs to the sum; a thin convolution inside of the body ends its own chain."""
    model = build(catalogue.network("resnet20"))
    lowered = thin(model)
    x = torch.randn(2, 3, 32, 32)
    model.eval(), lowered.eval()
    torch.testing.assert_close(lowered(x), model(x), atol=1e-5, rtol=1e-4)


def test_the_maximum_commutes_with_relu() -> None:
    model = nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(864, 3))
    lowered = thin(model)
    assert isinstance(lowered[1], PairMaxPool2d)
    x = torch.randn(4, 1, 28, 28)
    one = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    two = torch.autograd.grad(lowered(x).square().sum(), list(lowered.parameters()))
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_a_replica_shares_values_and_nothing_else() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    copy = share(model, parameters=False)
    copy(torch.randn(2, 1, 5, 5)).sum().backward()
    assert model[0].weight.grad is None
    assert torch.equal(model[1].running_mean, torch.zeros(2))
    with torch.no_grad():
        model[0].weight.add_(1)
    assert torch.equal(copy[0].weight, model[0].weight)


def test_in_bf16_the_thin_network_learns_what_the_usual_one_does() -> None:
    model = build(catalogue.network("lenet5"))
    x, y = torch.randn(64, 1, 32, 32), torch.randint(0, 10, (64,))
    plain = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
    with torch.autocast("cpu", torch.bfloat16):
        loss = F.cross_entropy(thin(model)(x).float(), y)
    lowered = torch.autograd.grad(loss, list(model.parameters()))
    for a, b in zip(plain, lowered, strict=True):
        assert F.cosine_similarity(a.flatten(), b.flatten(), 0) > 0.98
