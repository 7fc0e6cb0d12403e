"""Issue 6's aims on published checkpoints: bf16 answers as float32 does on 99.5 % of the photos, int8 on 98 %.

`optimize` gets other photos than those compared on, and decides by them alone.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convatlas.inference.candidates import base_plans
from convatlas.inference.checking import answers
from convatlas.inference.engines import ENGINES
from convatlas.inference.images import evidence
from convatlas.inference.search import Search

WEIGHTS = {
    "squeezenet1_1": "squeezenet1_1-caffe-fp16-bgr.pth",
    "mobilenet_v1_x0_25": "mobilenet_v1_0.25_128.tflite",
}


@cache
def published(name: str, folder: Path) -> tuple[nn.Module, Tensor, Tensor]:
    """The model, 250 labelled photos to compare on, 128 photos of a user."""
    from convatlas.data import load
    from convatlas.weights.classifier import open_classifier

    file = folder / "weights" / WEIGHTS[name]
    if not file.exists():
        pytest.skip(f"{file.name} is not there")
    classifier = open_classifier(name, file)
    sets = []
    for place, most in (("imagenet-sample", 250), ("imagenette/train", 128)):
        files = sorted((folder / "photos" / place).rglob("*.[jJ][pP]*[gG]"))
        if len(files) < most:
            pytest.skip(f"{place}: {len(files)} photos, {most} are needed")
        files = files[:: len(files) // most][:most]
        sets.append(torch.stack([load(f, classifier.preprocessing) for f in files]))
    return classifier.model, sets[0], sets[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "engine", "precision", "least"),
    [
        ("squeezenet1_1", "onednn", "bf16", 249),
        ("squeezenet1_1", "openvino", "bf16", 249),
        ("mobilenet_v1_x0_25", "onednn", "bf16", 249),
        ("mobilenet_v1_x0_25", "openvino", "bf16", 249),
        ("squeezenet1_1", "openvino", "int8", 245),
        ("mobilenet_v1_x0_25", "openvino", "int8", 245),
    ],
)
def test_answers_stay_on_photos_that_no_decision_has_seen(
    name: str, engine: str, precision: str, least: int, shared_data: Path
) -> None:
    one = ENGINES[engine]
    if one.missing() or precision not in one.precisions(torch.device("cpu")):
        pytest.skip(f"{engine} has no {precision} here: {one.missing() or 'the processor lacks it'}")
    model, photos, own = published(name, shared_data)
    search = Search(model, own[:10], precision, mode="latency", engines=[engine])
    search.begin(evidence(own, own[:10], 64))
    for plan in base_plans(one, (precision,), torch.device("cpu"), torch.get_num_threads()):
        search.try_plan(one, plan)
    assert search.passed, str(search.report)
    [(run, _)] = search.passed.values()
    equal = int((answers(run, photos, 10).argmax(1) == answers(search.model, photos, 10).argmax(1)).sum())
    assert equal >= least, f"{run.plan}: {equal} of {len(photos)}"
