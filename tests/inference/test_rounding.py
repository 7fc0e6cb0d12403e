"""bf16 by error feedback: values that bf16 holds, and filters whose errors cancel."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from convatlas.inference.graph import end_in_float32, record
from convatlas.inference.graph.rounding import with_feedback


@pytest.mark.parametrize("shape", [(8, 5), (4, 6, 3, 3), (4, 1, 5, 3)])
def test_rounded_weights_are_bf16_values_next_to_their_own(shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape)
    rounded = with_feedback(weight)
    assert rounded.shape == weight.shape
    assert torch.equal(rounded, rounded.bfloat16().float())
    # half a step of its own, and half a step of what was carried: 8 bits of mantissa
    assert (
        (rounded - weight).abs() <= 2**-7 * weight.abs().flatten(1).amax(1).view(-1, *[1] * (len(shape) - 1))
    ).all()


def test_the_errors_of_a_filter_cancel() -> None:
    weight = torch.randn(16, 64, 3, 3)
    lost = lambda rounded: (rounded - weight).sum((1, 2, 3)).abs().mean()  # noqa: E731
    assert lost(with_feedback(weight)) < lost(weight.bfloat16().float()) / 5


def test_the_last_layer_and_the_mean_before_it_stay_in_float32() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 8),
        nn.ReLU(),
        nn.Linear(8, 5),
    )
    recording = record(model, torch.randn(2, 3, 6, 6))
    kept = end_in_float32(recording)
    values = {name: tuple(getattr(recording.module, name).shape) for name in kept}
    assert sorted(values.values()) == [(5,), (5, 8)]


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "least"), [("float32", 250), ("bf16", 249)])
def test_published_squeezenet_answers_as_in_float32_on_the_photos(
    precision: str, least: int, shared_data: Path
) -> None:
    from convatlas.data import load
    from convatlas.inference.engines import ENGINES, Plan, Workbench
    from convatlas.weights.classifier import open_classifier

    classifier = open_classifier("squeezenet1_1", shared_data / "weights/squeezenet1_1-caffe-fp16-bgr.pth")
    files = sorted((shared_data / "photos/imagenet-sample").rglob("*.[jJ][pP]*[gG]"))
    images = torch.stack([load(f, classifier.preprocessing) for f in files])
    assert len(images) == 250
    bench = Workbench(classifier.model, images[:10], images[:10], torch.device("cpu"))
    name = "onednn" if precision in ENGINES["onednn"].precisions(bench.device) else "folded"
    run = ENGINES[name].prepare(bench, Plan(name, precision))(10)
    with torch.no_grad():
        expected = torch.cat([classifier.model(piece) for piece in images.split(10)])
    got = torch.cat([run(piece) for piece in images.split(10)])
    # the issue asks for 99.5 % in bf16: 249 of 250
    assert (got.argmax(1) == expected.argmax(1)).sum() >= least
