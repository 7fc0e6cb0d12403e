"""Batch norm, the addition of a shortcut and ReLU in one pass over memory, for training.

`fuse` rewrites a built model: the same parameters under the same names, the same function; norm_kernels.c on CPUs and
norm_triton.py on GPUs for what they can do: training, channels last, float32 or bf16. Everything else runs as torch has
it.
"""

from __future__ import annotations

import ctypes
import itertools
import math
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

from convatlas.modules.blocks import Residual, in_order
from convatlas.modules.fused_shortcut import FusedPadShortcut
from convatlas.modules.layers import PadShortcut
from convatlas.modules.share import share
from convatlas.native import Native, load

M = TypeVar("M", bound=nn.Module)
# what a clamp after the norm is called in C, and its upper end
_CLAMPS = {nn.ReLU: (1, math.inf), nn.ReLU6: (2, 6.0)}
_NO_CLAMP = (0, math.inf)
_TYPES = {torch.float32: "f32", torch.bfloat16: "bf16"}
_P, _L, _F, _I = ctypes.c_void_p, ctypes.c_long, ctypes.c_float, ctypes.c_int
_FORWARD = (_P, _P, _P, _L, _L, _P, _P, _F, _I, _F, _P, _P, _P, _P, _F, _I)
_AFFINE = (_P, _L, _P, _L, _L, _P, _P, _I, _F, _I)
_BACKWARD = (_P, _P, _P, _P, _L, _L, _P, _P, _P, _I, _F, _P, _P, _P, _P, _I)


@cache
def kernels() -> Native:
    """The compiled kernels, or why there are none."""
    native = load(Path(__file__).with_name("norm_kernels.c"))
    if native.library is not None:
        for kind in _TYPES.values():
            for name, arguments in (
                ("norm_forward", _FORWARD),
                ("norm_backward", _BACKWARD),
                ("affine", _AFFINE),
            ):
                getattr(native.library, f"{name}_{kind}").argtypes = arguments
            getattr(native.library, f"affine_{kind}").restype = None
    return native


def gpu_kernels() -> ModuleType | None:
    """The GPU's kernels; None where they cannot be had, as `unfused` says."""
    return _triton()[0]


@cache
def _triton() -> tuple[ModuleType | None, str]:
    """The kernels, tried out, or why there are none."""
    if not torch.cuda.is_available():
        return None, "no CUDA device"
    if torch.cuda.get_device_capability() < (7, 0):
        return None, "the GPU is below compute capability 7"
    try:
        from convatlas.modules import norm_triton

        norm_triton.try_out()
    # torch's CUDA builds bring Triton; it wants a C compiler as well, and what else it may say is past counting
    except Exception as error:  # noqa: BLE001
        return None, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return norm_triton, ""


def _has_kernels(kind: str) -> bool:
    """Whether some of a kind of device are there at all; asked in every forward pass."""
    if kind == "cpu":
        return kernels().library is not None
    return kind == "cuda" and gpu_kernels() is not None


def unfused(device: torch.device, threads: int = 1) -> str | None:
    """Why there are no kernels for a device, of whose CPU a caller has so many threads; None where there are."""
    if device.type == "cpu":
        return None if kernels().serves(threads) else kernels().problem or "the compiler knows no OpenMP"
    if device.type == "cuda":
        return None if gpu_kernels() else _triton()[1]
    return f"there are none for {device.type}"


def norms(model: nn.Module) -> list[str]:
    """Names of the layers that `fuse` would replace."""
    return [name for name, m in model.named_modules() if _takes(m)]


def fuse(model: M) -> M:
    """The same model, over the same weights and buffers, its batch norms fused with what follows each."""
    fused = share(model)
    for parent in list(fused.modules()):
        names = in_order(parent)
        for name, after in itertools.pairwise([*names, None]):
            norm = parent._modules[name]  # type: ignore[index]
            if norm is None or not _takes(norm):
                continue
            own = FusedNorm.of(norm)
            follows = parent._modules[after] if after is not None else None
            # an auxiliary head looks at what a row gives out, and must not find it clamped
            if type(follows) in _CLAMPS and name not in getattr(parent, "_heads", ()):
                own.clamp = _CLAMPS[type(follows)]  # type: ignore[index]
                parent._modules[after] = nn.Identity()  # type: ignore[index]
    for parent in list(fused.modules()):
        for child in parent._modules.values():
            if type(child) is PadShortcut:
                child.__class__ = FusedPadShortcut
            elif type(child) is FusedNorm or child is None:
                continue
            elif type(child) is Residual and _adds_to_norm(child):
                child.__class__ = _FusedResidual
                child._join()  # type: ignore[operator]
            elif type(child) is nn.BatchNorm2d and _takes(child):
                FusedNorm.of(child)  # alone in its place
    return fused


class FusedNorm(nn.BatchNorm2d):
    """Batch norm of (N, C, H, W), then `+ residual` and the clamp, where it has them."""

    clamp: tuple[int, float]

    @classmethod
    def of(cls, norm: nn.Module, clamp: tuple[int, float] = _NO_CLAMP) -> FusedNorm:
        """The norm itself, which becomes one of these."""
        norm.__class__ = cls
        assert isinstance(norm, cls)
        norm.clamp = clamp
        return norm

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        """The same shape and type; residual as input."""
        if not self._suits(input, residual):
            return self._usual(input, residual)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        y, again = _Norm.apply(
            input, residual, self.weight, self.bias, self.running_mean, self.running_var, self.momentum, self.eps,
            self.clamp,
        )  # fmt: skip
        # for a block that reads it twice: each reader's gradient comes back alone, and the kernel adds them up
        y.again = again
        return y

    def _suits(self, x: Tensor, residual: Tensor | None) -> bool:
        return (
            self.training
            and torch.is_grad_enabled()
            and x.dtype in _TYPES
            and x.dim() == 4
            and x.is_contiguous(memory_format=torch.channels_last)
            and x.numel() > x.shape[1]
            and x.shape[1] == self.num_features
            and (residual is None or (residual.dtype == x.dtype and residual.shape == x.shape))
            and all(
                t is not None and t.dtype == torch.float32
                for t in (self.weight, self.bias, self.running_mean)
            )
            and not torch.compiler.is_compiling()
            and _has_kernels(x.device.type)
        )

    def _usual(self, x: Tensor, residual: Tensor | None) -> Tensor:
        y = super().forward(x)
        if residual is not None:
            y = residual + y
        kind, top = self.clamp
        return y if kind == 0 else F.relu(y) if kind == 1 else F.hardtanh(y, 0.0, top)


class _Norm(torch.autograd.Function):
    """What FusedNorm computes, given out twice; see norm_kernels.c."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, residual: Tensor | None, weight: Tensor, bias: Tensor, mean: Tensor,
        variance: Tensor, momentum: float, eps: float, clamp: tuple[int, float],
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        if residual is not None:
            residual = residual.contiguous(memory_format=torch.channels_last)
        y, found = torch.empty_like(x), torch.empty(2, x.shape[1], device=x.device)
        if x.is_cuda:
            with torch.cuda.device(x.device):
                gpu_kernels().forward(  # type: ignore[union-attr]
                    x, residual, y, weight, bias, eps, clamp, found, (mean, variance), momentum
                )
        else:
            _call(
                "forward", x, x, residual, y, *_size(x), weight, bias, eps, *clamp, found[0], found[1], mean, variance,
                momentum,
            )  # fmt: skip
        # a GPU makes the clamp's input again from x, unless a residual was added to it
        ctx.save_for_backward(
            x, y if clamp[0] and (residual is not None or not x.is_cuda) else x, weight, bias, found
        )
        ctx.clamp, ctx.residual = clamp, residual is not None  # type: ignore[attr-defined]
        ctx.set_materialize_grads(False)
        return y, y.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, dy: Tensor | None, other: Tensor | None) -> tuple[Tensor | None, ...]:
        x, y, weight, bias, found = ctx.saved_tensors  # type: ignore[attr-defined]
        clamp, residual = ctx.clamp, ctx.residual  # type: ignore[attr-defined]
        if dy is None:
            dy, other = other, None
        if dy is None:
            return (None,) * 9
        dy = dy.contiguous(memory_format=torch.channels_last)
        if other is not None:
            other = other.contiguous(memory_format=torch.channels_last)
        dx, gradients = torch.empty_like(x), torch.empty(2, x.shape[1], device=x.device)
        into = torch.empty_like(x) if residual else None
        if x.is_cuda:
            with torch.cuda.device(x.device):
                gpu_kernels().backward(  # type: ignore[union-attr]
                    dy, other, x, y if residual else None, weight, bias, found, clamp, dx, into, gradients
                )
        else:
            _call(
                "backward", x, dy, other, y, x, *_size(x), weight, found[0], found[1], *clamp, dx, into, gradients[0],
                gradients[1],
            )  # fmt: skip
        return (dx, into, gradients[0], gradients[1], None, None, None, None, None)


def affine(x: Tensor, scale: Tensor, shift: Tensor, clamp: tuple[int, float]) -> Tensor:
    """The first channels of x (N, C, H, W), channels last, times `scale` plus `shift` (c <= C,), float32, and clamped.

    clamp: (0, inf) for none, (1, inf) for ReLU, (2, top). For `kernels` that are there, without gradients.
    """
    n, stride, h, w = x.shape
    y = torch.empty((n, len(scale), h, w), dtype=x.dtype, memory_format=torch.channels_last)
    getattr(kernels().library, f"affine_{_TYPES[x.dtype]}")(
        x.data_ptr(), stride, y.data_ptr(), n * h * w, len(scale), scale.data_ptr(), shift.data_ptr(), *clamp,
        torch.get_num_threads(),
    )  # fmt: skip
    return y


def _size(x: Tensor) -> tuple[int, int]:
    return x.numel() // x.shape[1], x.shape[1]


def _call(name: str, like: Tensor, *arguments: Tensor | float | None) -> None:
    found = getattr(kernels().library, f"norm_{name}_{_TYPES[like.dtype]}")
    values = [a.data_ptr() if isinstance(a, Tensor) else a for a in arguments]
    if found(*values, torch.get_num_threads()):
        raise MemoryError(f"batch norm of {tuple(like.shape)}: no memory for its sums")


class _FusedResidual(Residual):
    """A block whose body ends in a batch norm: the sum and what follows are that norm's."""

    def forward(self, x: Tensor) -> Tensor:
        again = getattr(x, "again", None)
        # unless something worked in place on x since: `again` knows nothing of that
        shortcut = again if again is not None and again.grad_fn is x.grad_fn else x
        if self._projects:
            shortcut = self.shortcut(shortcut)
        *layers, norm = self.body.children()
        y = x
        for layer in layers:
            y = layer(y)
        return norm(y, shortcut)

    def _join(self) -> None:
        """Let the last norm of the body clamp as `then` does."""
        norm = list(self.body.children())[-1]
        if self._continues:
            norm.clamp = _CLAMPS[type(self.then)]  # type: ignore[assignment]
            self.then = nn.Identity()


def _takes(module: nn.Module | None) -> bool:
    return (
        type(module) is nn.BatchNorm2d
        and module.track_running_stats
        and module.momentum is not None
        and isinstance(module.weight, nn.Parameter)
        and isinstance(module.bias, nn.Parameter)
    )


def _adds_to_norm(block: Residual) -> bool:
    body = getattr(block, "body", None)
    if type(body) is not nn.Sequential or block.scale != 1 or block.survival != 1 or len(body) == 0:
        return False
    last = body[-1]
    if type(last) is not FusedNorm or last.clamp != _NO_CLAMP:
        return False
    return not block._continues or type(block.then) in _CLAMPS
