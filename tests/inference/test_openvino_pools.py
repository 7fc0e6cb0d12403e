"""Pools that round up: what `say_plainly` replaces answers as torch does, and in int8 runs in int8."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from convatlas.inference.engines import ENGINES, Plan, Workbench
from convatlas.inference.engines.importing import import_problem
from convatlas.modules import build
from convatlas.networks import catalogue

ENGINE = ENGINES["openvino"]
pytestmark = pytest.mark.skipif(ENGINE.missing() is not None, reason=str(ENGINE.missing()))
# (kernel, stride, padding), and whether the older rounding may say it: not where a last window may lie in the padding
WINDOWS = [
    ((3, 2, 0), True), ((2, 2, 0), True), ((3, 2, 1), True), ((3, 1, 1), True), ((4, 2, 2), True), ((4, 3, 1), True),
    ((1, 2, 0), False), ((2, 2, 1), False), ((3, 3, 1), False), ((4, 3, 2), False), ((2, 3, 0), False),
]  # fmt: skip


def answers(model: Any, images: torch.Tensor) -> torch.Tensor:
    from convatlas.inference.engines.openvino import core

    compiled = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return torch.from_numpy(compiled(images.numpy())[0].copy())


@pytest.mark.parametrize(("window", "replaced"), WINDOWS, ids=str)
def test_pools_that_round_up_answer_as_torch_does(window: tuple[int, int, int], replaced: bool) -> None:
    import openvino

    from convatlas.inference.engines.openvino_pools import say_plainly

    pool = nn.Sequential(nn.MaxPool2d(*window, ceil_mode=True)).eval()
    source = openvino.convert_model(pool, example_input=torch.randn(1, 3, 8, 8))
    assert say_plainly(source) == replaced
    assert say_plainly(source) == 0
    for height, width in itertools.pairwise(range(5, 10)):
        images = torch.randn(2, 3, height, width)
        torch.testing.assert_close(answers(source, images), pool(images), rtol=0, atol=0)


def test_means_are_replaced_without_padding_only() -> None:
    import openvino

    from convatlas.inference.engines.openvino_pools import say_plainly

    for padding, count in ((0, 1), (1, 0)):
        pool = nn.Sequential(nn.AvgPool2d(3, 2, padding, ceil_mode=True)).eval()
        source = openvino.convert_model(pool, example_input=torch.randn(1, 3, 8, 8))
        assert say_plainly(source) == count
        for size in range(5, 10) if count else ():
            images = torch.randn(2, 3, size, size)
            torch.testing.assert_close(answers(source, images), pool(images))


def test_pools_that_round_down_or_tell_positions_or_spread_out_stay() -> None:
    import openvino

    from convatlas.inference.engines.openvino_pools import say_plainly

    class Positions(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return nn.functional.max_pool2d(x, 3, 2, ceil_mode=True, return_indices=True)

    others = (
        nn.MaxPool2d(3, 2),
        nn.MaxPool2d(3, 2, dilation=2, ceil_mode=True),
        nn.AvgPool2d(3, 2),
        Positions(),
    )
    for pool in others:
        source = openvino.convert_model(pool.eval(), example_input=torch.randn(1, 3, 9, 9))
        assert say_plainly(source) == 0


@pytest.mark.parametrize("name", ["squeezenet1_1", "nin_cifar10"])
def test_int8_pools_are_int8(name: str) -> None:
    if problem := import_problem(("nncf",), "openvino"):
        pytest.skip(problem)
    from convatlas.inference.engines.openvino import core

    definition = catalogue.network(name)
    images = torch.rand(2, *definition.input)
    bench = Workbench(build(definition).eval(), images[:1], images, torch.device("cpu"))
    ENGINE.prepare(bench, Plan("openvino", "int8", 1, 1))
    (model,) = (made for key, made in bench.made.items() if key.startswith("openvino, int8"))
    model.reshape([2, *definition.input])
    compiled = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    told = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    pools = [one["runtimePrecision"].astype(str) for one in told if "Pool" in one["layerType"].astype(str)]
    assert pools
    assert set(pools) <= {"u8", "i8"}
