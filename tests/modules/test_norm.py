"""Fused batch norm: other kernels, the same function, against torch's own in float64."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="modules are torch's, which is not installed")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from convatlas.define import (  # noqa: E402
    BatchNorm,
    Conv,
    GlobalAvgPool,
    Linear,
    Network,
    ReLU,
    Residual,
    Sequential,
    elaborate,
)  # fmt: skip
from convatlas.define.preprocessing import NAMED  # noqa: E402
from convatlas.modules import build, norm  # noqa: E402
from convatlas.modules.norm import FusedNorm, fuse, kernels, norms  # noqa: E402
from convatlas.native import Native  # noqa: E402
from convatlas.networks import catalogue  # noqa: E402
from convatlas.training.plan import Plan  # noqa: E402
from convatlas.training.recipe import Recipe  # noqa: E402
from convatlas.training.step import Moment, Stepper  # noqa: E402
from tests.modules.filling import fill  # noqa: E402
from tests.modules.test_every_network import NAMES  # noqa: E402

compiled = pytest.mark.skipif(kernels().library is None, reason=f"no compiled kernels: {kernels().problem}")
CLAMPS = {"none": (0, math.inf), "relu": (1, math.inf), "relu6": (2, 6.0)}
USUAL = {"none": lambda x: x, "relu": F.relu, "relu6": F.relu6}
LAST = torch.channels_last
SMALL = [
    name if elaborate(catalogue.network(name)).mult_adds < 1e8 else pytest.param(name, marks=pytest.mark.slow)
    for name in NAMES
]


def layer(channels: int, clamp: str) -> FusedNorm:
    """With random weights and statistics."""
    made = nn.BatchNorm2d(channels, momentum=0.3)
    nn.init.normal_(made.weight, 1.0, 0.3)
    nn.init.normal_(made.bias)
    return FusedNorm.of(made, CLAMPS[clamp])


def expected(own: FusedNorm, x: Tensor, residual: Tensor | None, clamp: str) -> tuple[Tensor, list[Tensor]]:
    """The layer in float64 by torch's operations: its output and its running statistics."""
    mean, variance = own.running_mean.double(), own.running_var.double()
    weight, bias = own.weight.double(), own.bias.double()
    y = F.batch_norm(x, mean, variance, weight, bias, training=True, momentum=own.momentum, eps=own.eps)
    return USUAL[clamp](y if residual is None else residual + y), [mean, variance]


@compiled
@given(
    n=st.integers(2, 5), channels=st.sampled_from([1, 3, 16, 17, 64, 100, 300]), side=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    clamp=st.sampled_from(list(CLAMPS)), residual=st.booleans(), twice=st.booleans(), low=st.booleans(), threads=st.integers(1, 3),
    mean=st.sampled_from([0.0, 1000.0]),
)  # fmt: skip
def test_values_gradients_and_statistics_are_torchs(
    n: int, channels: int, side: tuple[int, int], clamp: str, residual: bool, twice: bool, low: bool, threads: int,
    mean: float,
) -> None:  # fmt: skip
    """Against float64 within the rounding of the type, 2^-9 of a value in bf16, wherever the mean lies.

    A difference of the mean of squares and the square of the mean would lose a variance of 1 beside a mean of 1000.
    """
    torch.manual_seed(n)
    mean = mean if n * math.prod(side) > 8 else 0.0  # of a few bf16 values about 1000 all may be equal
    kind = torch.bfloat16 if low else torch.float32
    own, before = layer(channels, clamp), torch.get_num_threads()
    x = (mean + torch.randn(n, channels, *side)).to(kind).to(memory_format=LAST).requires_grad_()
    other = torch.randn(x.shape).to(kind).to(memory_format=LAST).requires_grad_() if residual else None
    inputs = [t for t in (x, other, own.weight, own.bias) if t is not None]
    wide = [t.detach().double().requires_grad_() for t in (x, other) if t is not None]
    usual, statistics = expected(own, wide[0], wide[1] if residual else None, clamp)
    try:
        torch.set_num_threads(threads)
        y = own(x, other)
        weights = [torch.randn(x.shape).to(kind) for _ in range(1 + twice)]
        outputs = [y, y.again][: 1 + twice]
        mine = torch.autograd.grad(outputs, inputs, weights)
    finally:
        torch.set_num_threads(before)
    total = sum(w.double() for w in weights)
    near = usual.detach()
    if (
        clamp != "none"
    ):  # where rounding decides on which side of the clamp a value lies, either gradient is right
        edge = (near - y.detach().double()).abs().amax() + 1e-9
        unsure = near.abs() <= edge
        unsure |= (near - 6).abs() <= edge if clamp == "relu6" else False
        if unsure.any():
            kept = (y > 0) & (y < CLAMPS[clamp][1])
            mask = torch.where(unsure, kept, (near > 0) & (near < CLAMPS[clamp][1])).double()
            usual = expected(own, wide[0], wide[1] if residual else None, "none")[0]
            total = total * mask
    theirs = torch.autograd.grad(usual, [*wide, own.weight, own.bias], total)
    unit = 2.0**-8 if low else 2e-5
    torch.testing.assert_close(y.double(), near, atol=unit * 4, rtol=unit)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(
            a.double(), b.double(), atol=4 * unit * max(1.0, float(b.abs().amax())), rtol=unit
        )
    for a, b in zip((own.running_mean, own.running_var), statistics, strict=True):
        torch.testing.assert_close(a.double(), b, atol=1e-4, rtol=1e-4)
    assert int(own.num_batches_tracked) == 1


@compiled
@pytest.mark.parametrize("clamp", list(CLAMPS))
def test_what_is_no_number_stays_none(clamp: str) -> None:
    """A loss that became NaN must stop the run, not vanish in a clamp."""
    own = layer(16, clamp)
    x = torch.randn(4, 16, 8, 8).to(memory_format=LAST)
    x[1, 3, 2, 2] = math.nan
    y = own(x.requires_grad_())
    assert y[:, 3].isnan().all()
    assert y[:, [c for c in range(16) if c != 3]].isfinite().all()
    for kind in (torch.bfloat16, torch.float32):
        assert own(x.detach().to(kind).requires_grad_())[:, 3].isnan().all()


@compiled
def test_bf16_is_nearer_to_float64_than_torchs_own() -> None:
    """One rounding instead of one after each operation."""
    torch.manual_seed(0)
    own = layer(64, "relu")
    x = torch.randn(32, 64, 8, 8).bfloat16().to(memory_format=LAST)
    dy = torch.randn(x.shape).bfloat16()

    def gradients(x: Tensor, function: object) -> Tensor:
        x = x.detach().requires_grad_()
        [found] = torch.autograd.grad(function(x), x, dy.to(x.dtype))  # type: ignore[operator]
        return found.double()

    exact = gradients(x.double(), lambda x: expected(own, x, None, "relu")[0])
    usual = gradients(x, lambda x: F.relu(F.batch_norm(x, None, None, own.weight, own.bias, training=True)))
    mine = gradients(x, own)
    assert (mine - exact).norm() < (usual - exact).norm()


@compiled
def test_equal_bits_come_out_each_time() -> None:
    own = layer(16, "relu")
    x = torch.randn(64, 16, 32, 32).bfloat16().to(memory_format=LAST).requires_grad_()
    dy = torch.randn(x.shape).bfloat16().to(memory_format=LAST)
    first, *others = (torch.autograd.grad(own(x), [x, own.weight, own.bias], dy) for _ in range(3))
    for again in others:
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_every_network_keeps_its_names_and_its_tensors(name: str) -> None:
    with torch.device("meta"):
        model = build(catalogue.network(name), init=False)
    fused = fuse(model)
    assert [n for n, _ in fused.named_parameters()] == [n for n, _ in model.named_parameters()]
    assert all(a is b for a, b in zip(fused.parameters(), model.parameters(), strict=True))
    assert all(a is b for a, b in zip(fused.buffers(), model.buffers(), strict=True))
    assert [n for n, m in fused.named_modules() if type(m) is FusedNorm] == norms(model)
    assert not any(type(m) is FusedNorm for m in model.modules())


def learn(
    model: nn.Module, own: nn.Module, x: Tensor
) -> tuple[list[Tensor], dict[str, Tensor], list[Tensor]]:
    """Answers, gradients and statistics after one step of `own`, which shares the model's weights; then all is as before."""
    kept = {n: t.clone() for n, t in model.state_dict().items()}
    own.zero_grad()
    torch.manual_seed(0)  # of dropout and stochastic depth
    logits, heads = own.forward_with_aux(x)  # type: ignore[operator]
    sum(out.float().square().mean() for out in (logits, *heads)).backward()  # type: ignore[union-attr]
    gradients = {n: p.grad.clone() for n, p in own.named_parameters() if p.grad is not None}
    statistics = [b.clone() for b in own.buffers() if b.is_floating_point()]
    own.eval()
    with torch.no_grad():
        after = own(x)
    own.train()
    model.load_state_dict(kept)
    return [logits, *heads, after], gradients, statistics


@pytest.mark.parametrize("name", SMALL)
def test_every_network_rewritten_is_the_same_function(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By torch's operations in both, so that nothing but the rewriting can differ; without a compiler it runs so."""
    monkeypatch.setattr(norm, "kernels", lambda: Native(None, "no compiler"))
    network = catalogue.network(name)
    model = fill(build(network, init=False)).train().to(memory_format=LAST)
    torch.manual_seed(1)
    x = torch.randn(2, *network.input).to(memory_format=LAST)
    usual, own = learn(model, model, x), learn(model, fuse(model), x)
    assert usual[1].keys() == own[1].keys()
    for a, b in zip((*usual[0], *usual[2]), (*own[0], *own[2]), strict=True):
        torch.testing.assert_close(b, a, atol=0, rtol=0)
    for key, gradient in usual[1].items():
        assert (own[1][key] - gradient).norm() <= 1e-5 * gradient.norm(), key


@compiled
@pytest.mark.parametrize("name", ["resnet20", "mobilenet_v1_x0_25", "shufflenet_v2_x0_5", "densenet40_k12"])
def test_whole_networks_learn_as_before_with_the_kernels(name: str) -> None:
    network = catalogue.network(name)
    model = fill(build(network, init=False)).train().to(memory_format=LAST)
    torch.manual_seed(1)
    x = torch.randn(8, *network.input).to(memory_format=LAST)
    wide = fill(build(network, init=False).double()).train()
    exact, usual, own = (
        learn(m, n, y) for m, n, y in ((wide, wide, x.double()), (model, model, x), (model, fuse(model), x))
    )

    def error(found: tuple[list[Tensor], dict[str, Tensor], list[Tensor]], part: int) -> float:
        """Of the answers (0), gradients (1) or statistics (2) as a whole, as a share: deep networks amplify rounding."""
        mine, right = (list(f[part].values()) if part == 1 else f[part] for f in (found, exact))
        mine, right = (torch.cat([t.detach().double().flatten() for t in ts]) for ts in (mine, right))
        return float((mine - right).norm() / right.norm())

    for key, right in exact[1].items():  # none is lost among the others
        mine, theirs = own[1][key].double(), usual[1][key].double()
        assert (mine - right).norm() <= 3 * (theirs - right).norm() + 0.1 * right.norm() + 1e-9, key
    for part in range(3):
        # a ReLU whose input is nearly 0 passes a gradient in one and none in another
        assert error(own, part) <= 3 * error(usual, part) + (0.01 if part == 1 else 1e-6)


def test_what_an_auxiliary_head_reads_is_not_clamped() -> None:
    """GoogLeNet's heads hang on concatenations; one on a batch norm sees it before its ReLU.

    That ReLU works in place on what the norm gave out, and the block after it must not take the shortcut from there.
    """
    network = Network(
        input=(3, 8, 8), conv=Conv(4, 3, padding="same"), bn=BatchNorm(), relu=ReLU(),
        block=Residual(body=Sequential(conv=Conv(4, 3, padding="same"), bn=BatchNorm()), then=ReLU()),
        pool=GlobalAvgPool(), fc=Linear(2), aux={"bn": Sequential(pool=GlobalAvgPool(), fc=Linear(2))},
    )  # fmt: skip
    model = fill(build(network, init=False)).train().to(memory_format=LAST)
    torch.manual_seed(0)
    x = torch.randn(4, 3, 8, 8).to(memory_format=LAST)
    usual, own = learn(model, model, x), learn(model, fuse(model), x)
    for a, b in zip(usual[0], own[0], strict=True):
        torch.testing.assert_close(b, a)
    for key, gradient in usual[1].items():
        torch.testing.assert_close(own[1][key], gradient, atol=1e-5, rtol=1e-4)


@compiled
@pytest.mark.parametrize("projection", [False, True])
@pytest.mark.parametrize("survival", [1.0, 0.5])
def test_blocks_of_every_kind_learn_as_before(projection: bool, survival: float) -> None:
    """With and without layers on the shortcut, dropped at random or not; two in a row, so that one feeds the other."""

    def block() -> Residual:
        body = Sequential(conv=Conv(6, 3, padding="same", bias=False), bn=BatchNorm())
        shortcut = {"shortcut": Sequential(conv=Conv(6, 1, bias=False), bn=BatchNorm())} if projection else {}
        return Residual(body=body, **shortcut, then=ReLU(), survival=survival)

    network = Network(
        input=(3, 9, 9), conv=Conv(6, 3), bn=BatchNorm(), relu=ReLU(), one=block(), two=block(), pool=GlobalAvgPool(),
        fc=Linear(3),
    )  # fmt: skip
    model = fill(build(network, init=False)).train().to(memory_format=LAST)
    torch.manual_seed(0)
    x = torch.randn(8, 3, 9, 9).to(memory_format=LAST)
    usual, own = learn(model, model, x), learn(model, fuse(model), x)
    assert usual[1].keys() == own[1].keys()
    for key, gradient in usual[1].items():
        torch.testing.assert_close(own[1][key], gradient, atol=1e-5, rtol=1e-3)


@compiled
@pytest.mark.parametrize("replicas", [1, 2])
def test_a_step_in_bf16_goes_the_same_way(replicas: int) -> None:
    """The trainer's own step, fused and not: gradients point the same way to within bf16's rounding."""
    model = fill(build(catalogue.network("resnet20"), init=False)).train()
    torch.manual_seed(0)
    images, labels = torch.randint(0, 256, (64, 3, 32, 32)).to(torch.uint8), torch.randint(0, 10, (64,))
    kept = {n: t.clone() for n, t in model.state_dict().items()}
    found = []
    for fused in (False, True):
        model.load_state_dict(kept)
        plan = Plan("bf16", True, replicas=replicas, fused=fused)
        stepper = Stepper(model, Recipe(batch=64), plan, NAMED["cifar"], 10, torch.device("cpu"))
        for task in stepper.tasks:
            task.train()
        with stepper.threads():
            stepper.gradients(images, labels, Moment(0, 0, 0))
        stepper.close()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert F.cosine_similarity(*found, dim=0) > 0.98


def test_on_a_device_without_kernels_torch_computes() -> None:
    """A run's plan may say `fused` and be gone on with elsewhere, on Apple's GPU say: no address of it goes to C."""
    own = layer(8, "relu").to("meta")
    x = torch.randn(2, 8, 4, 4, device="meta").to(memory_format=LAST).requires_grad_()
    assert not own._suits(x, None)
    own(x).sum().backward()
    assert x.grad is not None
