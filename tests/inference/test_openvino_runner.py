"""OpenVINO's runner reads images that lie anywhere, in any order, and hands out answers that stay."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from convatlas.inference.engines import ENGINES, Plan, Runner, Workbench

ENGINE = ENGINES["openvino"]
pytestmark = pytest.mark.skipif(ENGINE.missing() is not None, reason=str(ENGINE.missing()))
torch.manual_seed(0)
MODEL = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()


@pytest.fixture(params=["copied", "shared"])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """For four images of 8x8, copied into the request's memory or read where they lie."""
    if request.param == "shared":
        monkeypatch.setattr("convatlas.inference.engines.openvino.SHARED", 0)
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
def test_images_may_be_a_part_of_others_and_go_away(run: Runner) -> None:
    many = torch.randn(12, 6, 8, 8)
    for part in (many[4:8, :3], many[::3, 1:4], many[:4, ::2], torch.randn(1, 3, 8, 8).expand(4, -1, -1, -1)):
        torch.testing.assert_close(run(part), MODEL(part), atol=1e-5, rtol=1e-4)
    for _ in range(8):  # each time other memory, which is given back and written over
        images = torch.randn(4, 3, 8, 8)
        expected, answer = MODEL(images), run(images)
        images.fill_(9.0)
        del images
        torch.testing.assert_close(answer, expected, atol=1e-5, rtol=1e-4)
    doubles = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(run(doubles), MODEL(doubles.float()), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_large_batches_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    seen: list[int] = []
    real = openvino.Tensor

    def spy(values: np.ndarray, shared_memory: bool) -> object:
        assert shared_memory
        seen.append(values.__array_interface__["data"][0])
        return real(values, shared_memory=shared_memory)

    monkeypatch.setattr(openvino, "Tensor", spy)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.Flatten(), nn.Linear(4 * 127 * 127, 5)).eval()
    images = torch.randn(8, 3, 256, 256)
    bench = Workbench(model, images, images, torch.device("cpu"))
    make = ENGINE.prepare(bench, Plan("openvino", "float32", 1, 1))
    torch.testing.assert_close(make(8)(images), model(images), atol=1e-4, rtol=1e-4)
    assert seen == [images.data_ptr()]
    torch.testing.assert_close(make(1)(images[:1]), model(images[:1]), atol=1e-4, rtol=1e-4)
    assert len(seen) == 1  # one image is copied: that is faster


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
