"""OpenVINO's runner writes images into the request's own memory and hands out answers that stay."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from convatlas.inference.engines import ENGINES, Plan, Runner, Workbench

ENGINE = ENGINES["openvino"]
pytestmark = pytest.mark.skipif(ENGINE.missing() is not None, reason=str(ENGINE.missing()))
torch.manual_seed(0)
MODEL = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()


@pytest.fixture
def run() -> Runner:
    """For four images of 8x8."""
    images = torch.randn(4, 3, 8, 8)
    bench = Workbench(MODEL, images, images, torch.device("cpu"))
    return ENGINE.prepare(bench, Plan("openvino", "float32", 1, 1))(4)


@torch.no_grad()
def test_an_answer_is_not_written_over_by_the_next(run: Runner) -> None:
    first, second = torch.randn(2, 4, 3, 8, 8)
    answer = run(first)
    run(second)
    torch.testing.assert_close(answer, MODEL(first), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_images_may_lie_in_any_order(run: Runner) -> None:
    images = torch.randn(4, 3, 8, 8)
    torch.testing.assert_close(
        run(images.to(memory_format=torch.channels_last)), MODEL(images), atol=1e-5, rtol=1e-4
    )


@torch.no_grad()
def test_threads_do_not_write_into_each_others_images(run: Runner) -> None:
    batches = [torch.randn(4, 3, 8, 8) for _ in range(32)]
    with ThreadPoolExecutor(4) as pool:
        for images, answer in zip(batches, pool.map(run, batches), strict=True):
            torch.testing.assert_close(answer, MODEL(images), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (4, 1, 8, 8), (4, 3, 8, 1)])
def test_what_numpy_would_repeat_is_refused(shape: tuple[int, ...], run: Runner) -> None:
    with pytest.raises(ValueError, match="compiled for"):
        run(torch.randn(shape))
