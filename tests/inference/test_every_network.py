"""Every network of the catalogue: its recording, its fused form and its ONNX file answer as the network does."""

from __future__ import annotations

import copy

import pytest
import torch

from convatlas.inference.benchmark.models import make_sane
from convatlas.inference.engines.onednn import packed
from convatlas.inference.engines.onnxruntime import session_runner
from convatlas.inference.graph import record, simplify
from convatlas.inference.images import synthetic
from convatlas.modules import ConvNet, build
from convatlas.networks import catalogue
from tests.inference.recordings import unknown

# of the largest logit: other orders of adding up, over as many as 572 layers
TOLERANCE = 2e-4


def answers(model: ConvNet, images: torch.Tensor) -> tuple[torch.Tensor, float]:
    """The float32 answers, and how far others may be from them: what float32 itself loses against float64, a few times.

    Random weights make some networks touchy: Inception-v4's eager answers are 6e-4 of the largest away from float64's.
    """
    with torch.no_grad():
        found = model(images)
        true = copy.deepcopy(model).double()(images.double())
    lost = float((found - true).abs().max())
    return found, max(TOLERANCE * float(true.abs().max()), 4 * lost)


@pytest.mark.slow
@pytest.mark.parametrize("name", catalogue.names())
def test_every_network_is_recorded_fused_and_exported(name: str) -> None:
    torch.manual_seed(0)
    model = build(catalogue.network(name)).eval()
    images = synthetic(3, model.network.input)
    make_sane(model, images)
    with torch.no_grad():
        expected, limit = answers(model, images)
        recording = record(model, images)
        # another size of batch than was recorded
        torch.testing.assert_close(recording.module(images), expected, rtol=0, atol=limit)
        simplify(recording)
        torch.testing.assert_close(recording.module(images), expected, rtol=0, atol=limit)
        assert unknown(recording) == (["neg", "square", "sum"] if name == "lenet5_1998" else [])
        fused = packed(recording, "float32", 3)
        layout = images.contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(fused(layout), expected, rtol=0, atol=limit)
        assert torch.equal(images, synthetic(3, model.network.input)), "the images were written over"


@pytest.mark.slow
@pytest.mark.parametrize("name", catalogue.names())
def test_every_network_answers_from_its_onnx_file(name: str) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from convatlas.inference.export.onnx_graph import onnx_model

    torch.manual_seed(0)
    model = build(catalogue.network(name)).eval()
    images = synthetic(3, model.network.input)
    make_sane(model, images)
    expected, limit = answers(model, images)
    recording = record(model, images)
    simplify(recording)
    made = onnx_model(recording)
    onnx.checker.check_model(made, full_check=True)
    run = session_runner(made.SerializeToString(), 1)
    for batch in (1, 3):
        torch.testing.assert_close(run(images[:batch]), expected[:batch], rtol=0, atol=limit)
