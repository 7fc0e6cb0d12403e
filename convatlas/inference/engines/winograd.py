"""3x3 convolutions in float32 by Winograd's minimal filtering, F(4x4, 3x3): a quarter of the multiplications.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016, §4.3: 4 x 4 outputs come from 6 x 6 inputs
by 36 products a channel instead of 144. Written as four calls of torch: gather tiles, transform, 36 matrix products,
transform back. The engines of others do without it on processors with AVX-512; where channels are many, it is 1.3 to
2.5 times as fast as oneDNN's direct convolution (benchmarks/reports). Rounding errors are about ten times those of
the direct sum, 1e-5 of the largest value.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, fx

from convatlas.inference.engines.base import Plan, Runner, Unsuitable, Workbench
from convatlas.inference.engines.eager import in_precision
from convatlas.inference.engines.onednn import OneDnn, packed
from convatlas.inference.graph import Recording

# B', G and A' of the paper, eq. 21 to 23
_INPUT = (
    (4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0), (0, 4, 0, -5, 0, 1),
)  # fmt: skip
_FILTER = (
    (1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6), (1 / 24, -1 / 12, 1 / 6), (0, 0, 1),
)  # fmt: skip
_OUTPUT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
# the product (1, 1) of a tile reaches all its 16 outputs with weight 1: the place of the bias
_CENTER = 7
# bytes of transformed input at a time: it is read at once, out of the cache
CHUNK = 16 << 20
# below these, the transforms cost more than the products save
LEAST_CHANNELS, LEAST_TILES, LEAST_USED = 96, 32, 0.7


class Winograd(OneDnn):
    """As onednn, the large 3x3 convolutions by Winograd's algorithm; float32 alone, whose errors allow it."""

    name = "winograd"

    def precisions(self, device: torch.device) -> tuple[str, ...]:
        return ("float32",) if device.type == "cpu" else ()

    def prepare(self, bench: Workbench, plan: Plan) -> Callable[[int], Runner]:
        batch = plan.tile or -(-len(bench.example) // plan.instances)
        lowered = bench.recording.copy()
        if not rewrite(lowered, batch):
            raise Unsuitable("no 3x3 convolution with enough channels and places")
        run = in_precision(packed(lowered, plan.precision, batch), plan.precision)
        return lambda _batch: run


def rewrite(recording: Recording, batch: int) -> int:
    """Give the convolutions that gain from it Winograd's algorithm, in place; how many."""
    from convatlas.inference.graph import Kind

    count = 0
    for node in recording.nodes(Kind.CONV):
        x, weight = node.args[0], recording.constant(node.args[1])
        if weight is None or not isinstance(x, fx.Node) or not gains(node, weight, batch):
            continue
        reader = next(iter(node.users)) if len(node.users) == 1 else None
        relu = reader is not None and reader.meta.get("kind") is Kind.RELU
        last = reader if relu and reader is not None else node
        transformed = recording.add_constant(filters(weight), node)
        with recording.graph.inserting_before(node):
            new = recording.graph.call_function(
                convolve,
                (x, transformed, node.args[2]),
                {"padding": list(node.kwargs["padding"]), "relu": relu},
            )
        new.meta.update(last.meta, kind=Kind.OTHER, name="winograd")
        last.replace_all_uses_with(new)
        if last is not node:
            recording.graph.erase_node(last)
        recording.graph.erase_node(node)
        count += 1
    return count


def gains(node: fx.Node, weight: Tensor, batch: int) -> bool:
    """Whether the convolution is one of 3x3, stride 1, with enough channels and tiles."""
    settings = node.kwargs
    ones = [1, 1]
    plain = (
        list(settings["stride"]) == ones and list(settings["dilation"]) == ones and settings["groups"] == 1
    )
    if not plain or tuple(weight.shape[2:]) != (3, 3) or max(settings["padding"]) > 2:
        return False
    height, width = node.meta["shape"][2:]
    tiles = -(-height // 4) * -(-width // 4)
    return (
        min(weight.shape[:2]) >= LEAST_CHANNELS
        and batch * tiles >= LEAST_TILES
        and height * width >= LEAST_USED * 16 * tiles
    )


def filters(weight: Tensor) -> Tensor:
    """Weights (K, C, 3, 3) transformed: (36, C, K)."""
    g = torch.tensor(_FILTER, dtype=torch.float64)
    found = torch.einsum("ai,kcij,bj->abck", g, weight.double(), g)
    return found.reshape(36, weight.shape[1], weight.shape[0]).to(weight.dtype).contiguous()


def convolve(
    x: Tensor, transformed: Tensor, bias: Tensor | None, *, padding: list[int], relu: bool
) -> Tensor:
    """The convolution of x (N, C, H, W) with `filters(weight)`: (N, K, H', W'), channels_last."""
    count, channels, height, width = x.shape
    high, wide = height + 2 * padding[0] - 2, width + 2 * padding[1] - 2
    down, across = -(-high // 4), -(-wide // 4)
    out = x.new_empty(count, 4 * down, 4 * across, transformed.shape[2])
    step = max(1, CHUNK // (36 * down * across * channels * 4))
    for start in range(0, count, step):
        piece = _padded(x[start : start + step], padding, 4 * down + 2, 4 * across + 2)
        _tiles(piece, transformed, bias, out[start : start + step], relu=relu)
    if (high, wide) != (4 * down, 4 * across):
        out = out[:, :high, :wide].contiguous()
    return out.permute(0, 3, 1, 2)


def _padded(x: Tensor, padding: list[int], high: int, wide: int) -> Tensor:
    """(n, C, H, W) in a frame of zeros: (n, high, wide, C)."""
    count, channels, height, width = x.shape
    top, left = padding
    framed = x.new_empty(count, high, wide, channels)
    framed[:, :top].zero_()
    framed[:, top + height :].zero_()
    framed[:, top : top + height, :left].zero_()
    framed[:, top : top + height, left + width :].zero_()
    framed[:, top : top + height, left : left + width] = x.permute(0, 2, 3, 1)
    return framed


def _tiles(framed: Tensor, transformed: Tensor, bias: Tensor | None, out: Tensor, *, relu: bool) -> None:
    count, high, wide, channels = framed.shape
    down, across, width = (high - 2) // 4, (wide - 2) // 4, transformed.shape[2]
    into, back = (
        torch.kron(m, m)
        for m in (torch.tensor(_INPUT, dtype=framed.dtype), torch.tensor(_OUTPUT, dtype=framed.dtype))
    )
    a, b, c, d = framed.stride()
    overlapping = framed.as_strided((count, down, across, 6, 6, channels), (a, 4 * b, 4 * c, b, c, d))
    gathered = overlapping.reshape(-1, 36, channels)
    products = torch.bmm(torch.matmul(into, gathered).transpose(0, 1), transformed)
    if bias is not None:
        products[_CENTER] += bias
    answer = torch.matmul(back, products.transpose(0, 1)).view(count, down, across, 4, 4, width)
    answer = answer.permute(0, 1, 3, 2, 4, 5)
    target = out.view(count, down, 4, across, 4, width)
    if relu:
        torch.clamp_min(answer, 0, out=target)
    else:
        target.copy_(answer)
