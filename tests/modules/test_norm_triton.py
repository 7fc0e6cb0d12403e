"""The GPU's fused batch norm: the same function as torch's own in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.modules import build
from convatlas.modules.norm import FusedNorm, fuse, gpu_kernels
from convatlas.networks import catalogue
from tests.modules.filling import fill

pytestmark = pytest.mark.gpu

CLAMPS = {"none": (0, math.inf), "relu": (1, math.inf), "relu6": (2, 1.5)}
LAST = torch.channels_last


def usual(
    x: Tensor, residual: Tensor | None, own: FusedNorm, clamp: str, mean: Tensor, variance: Tensor
) -> Tensor:
    y = F.batch_norm(x, mean, variance, own.weight.double(), own.bias.double(), True, own.momentum, own.eps)
    y = y if residual is None else y + residual
    return {"none": y, "relu": y.relu(), "relu6": F.hardtanh(y, 0, 1.5)}[clamp]


@pytest.mark.parametrize("clamp", list(CLAMPS))
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize(
    "shape", [(2, 3, 5, 5), (64, 16, 32, 32), (3, 200, 7, 7), (8, 2048, 7, 7), (128, 64, 56, 56)]
)
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_values_gradients_and_statistics_are_torchs(
    clamp: str, residual: bool, twice: bool, shape: tuple[int, int, int, int], kind: torch.dtype
) -> None:
    assert gpu_kernels() is not None
    made = nn.BatchNorm2d(shape[1], momentum=0.3).cuda()
    nn.init.normal_(made.weight, 1.0, 0.3)
    nn.init.normal_(made.bias)
    own = FusedNorm.of(made, CLAMPS[clamp])
    x = (torch.randn(shape, device="cuda") + 5).to(kind).to(memory_format=LAST).requires_grad_()
    other = (
        torch.randn(shape, device="cuda").to(kind).to(memory_format=LAST).requires_grad_()
        if residual
        else None
    )
    mean, variance = own.running_mean.double(), own.running_var.double()
    wide = [t.detach().double().requires_grad_() for t in (x, other) if t is not None]
    y = own(x, other)
    right = usual(wide[0], wide[1] if residual else None, own, clamp, mean, variance)
    # where rounding decides on which side of the clamp a value lies, either gradient is right
    edges = [0.0] if clamp == "relu" else [0.0, 1.5] if clamp == "relu6" else []
    near = 2.0**-7 if kind is torch.bfloat16 else 1e-5
    before = usual(wide[0], wide[1] if residual else None, own, "none", mean.clone(), variance.clone())
    sure = (
        torch.stack([(before - edge).abs() > near for edge in edges]).all(0)
        if edges
        else torch.ones_like(y).bool()
    )
    weights = [(torch.randn(shape, device="cuda") * sure).to(kind) for _ in range(1 + twice)]
    mine = torch.autograd.grad(
        [y, y.again][: 1 + twice], [t for t in (x, other, own.weight, own.bias) if t is not None], weights
    )
    theirs = torch.autograd.grad(right, [*wide, own.weight, own.bias], sum(w.double() for w in weights))
    for a, b in (
        (y, right),
        (own.running_mean, mean),
        (own.running_var, variance),
        *zip(mine, theirs, strict=True),
    ):
        error = float((a.double() - b).norm() / b.norm())
        assert error < (0.02 if kind is torch.bfloat16 else 1e-4), error
    assert int(own.num_batches_tracked) == 1


def test_a_number_that_is_none_stays_none() -> None:
    own = FusedNorm.of(nn.BatchNorm2d(16).cuda(), CLAMPS["relu"])
    x = torch.randn(4, 16, 8, 8, device="cuda").to(memory_format=LAST)
    x[1, 3, 2, 2] = math.nan
    y = own(x.requires_grad_())
    assert y[:, 3].isnan().all()
    assert y[:, [c for c in range(16) if c != 3]].isfinite().all()


def test_equal_bits_come_out_each_time() -> None:
    own = FusedNorm.of(nn.BatchNorm2d(16).cuda(), CLAMPS["relu"])
    x = torch.randn(64, 16, 32, 32, device="cuda").bfloat16().to(memory_format=LAST).requires_grad_()
    dy = torch.randn_like(x)
    first, *others = (torch.autograd.grad(own(x), [x, own.weight, own.bias], dy) for _ in range(3))
    for again in others:
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize(
    "name", ["resnet20", "resnet50", "mobilenet_v1_x0_25", "densenet40_k12", "shufflenet_v2_x0_5"]
)
def test_whole_networks_learn_as_before(name: str) -> None:
    """Against float64: no further off than torch's own operations are."""
    network = catalogue.network(name)
    x = torch.randn(8, *network.input, device="cuda")
    torch.backends.cudnn.conv.fp32_precision = "ieee"
    found = []
    try:
        for kind, rewrite in (
            (torch.float64, lambda m: m),
            (torch.float32, lambda m: m),
            (torch.float32, fuse),
        ):
            model = fill(build(network, init=False)).cuda().to(kind).train().to(memory_format=LAST)
            torch.manual_seed(0)
            rewrite(model)(x.to(kind).to(memory_format=LAST)).float().square().mean().backward()
            found.append(
                torch.cat([p.grad.double().flatten() for p in model.parameters() if p.grad is not None])
            )
    finally:
        torch.backends.cudnn.conv.fp32_precision = "tf32"
    exact, theirs, mine = found
    assert (mine - exact).norm() <= 3 * (theirs - exact).norm() + 1e-3 * exact.norm()
