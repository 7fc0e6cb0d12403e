"""Published checkpoints give what their own library gives for the same photos, image by image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convatlas.data.pixels import load, normalize
from convatlas.data.sets import TensorSet
from convatlas.data.sources import open_data
from convatlas.define.preprocessing import Preprocessing
from convatlas.modules import build
from convatlas.networks import catalogue
from convatlas.weights import Checkpoint, load_checkpoint, open_checkpoint

CLOSE = 0.01  # of probability: nearer to each other than this, the first two may change places

PHOTOS = {
    "squeezenet1_1": ("squeezenet1_1", "squeezenet1_1-caffe-fp16-bgr.pth"),
    "mobilenet_v1_x0_25@128": ("mobilenet_v1_x0_25", "mobilenet_v1_0.25_128.tflite"),
}
# README of the real data: top-1 % on the first 4,000 training images, on the test half of the JPEGs
CIFAR = {
    "resnet20": ("resnet20-12fca82f.th", 99.80, 81.03),
    "resnet56": ("resnet56-4bfd9763.th", 100.00, 83.20),
}


@pytest.fixture(params=PHOTOS)
def published(request: pytest.FixtureRequest, shared_data: Path) -> tuple[Checkpoint, dict[str, Any]]:
    name, file = PHOTOS[request.param]
    reference = json.loads((shared_data / "weights" / "reference.json").read_text())[request.param]
    return open_checkpoint(shared_data / "weights" / file, catalogue.network(name)), reference


def probabilities(found: Checkpoint, photos: list[Path]) -> Tensor:
    model = build(found.network, init=False).eval()
    model.load_state_dict(found.state_dict)
    with torch.inference_mode():
        return torch.stack([model(load(photo, found.preprocessing)[None])[0].softmax(0) for photo in photos])


def check(found: Checkpoint, predictions: list[dict[str, Any]], folder: Path) -> tuple[int, int]:
    """Top-1 equal image by image unless the margin is small; the numbers of right answers."""
    top1 = top5 = 0
    scores = probabilities(found, [folder / str(entry["file"]) for entry in predictions])
    for row, entry in zip(scores, predictions, strict=True):
        best = row.topk(5).indices.tolist()
        assert best[0] == entry["top5"][0] or entry["margin"] < CLOSE, entry["file"]
        assert float(row.max()) == pytest.approx(entry["probability"], abs=1e-4), entry["file"]
        top1 += best[0] == entry["label"]
        top5 += entry["label"] in best
    return top1, top5


def test_published_weights_name_photos_as_their_own_library_does(
    published: tuple[Checkpoint, dict[str, Any]], shared_data: Path
) -> None:
    found, reference = published
    check(found, reference["predictions"][::50], shared_data / "photos" / "imagenet-sample")


@pytest.mark.slow
def test_published_weights_reach_the_reference_counts_on_all_photos(
    published: tuple[Checkpoint, dict[str, Any]], shared_data: Path
) -> None:
    found, reference = published
    counts = check(found, reference["predictions"], shared_data / "photos" / "imagenet-sample")
    assert counts == (reference["top1_correct"], reference["top5_correct"])


def test_rgb_input_folded_into_the_first_convolution_changes_no_answer(shared_data: Path) -> None:
    path = shared_data / "weights" / PHOTOS["squeezenet1_1"][1]
    photo = shared_data / "photos" / "imagenet-sample" / "n01440764_tench.JPEG"
    network = catalogue.network("squeezenet1_1")
    bgr, rgb = open_checkpoint(path, network), open_checkpoint(path, network, fold_input=True)
    assert (bgr.preprocessing.channel_order, rgb.preprocessing.channel_order) == ("bgr", "rgb")
    assert torch.allclose(probabilities(bgr, [photo]), probabilities(rgb, [photo]), atol=1e-5)


def accuracy(model: nn.Module, images: Tensor, labels: Tensor, wanted: Preprocessing) -> float:
    right = 0
    with torch.inference_mode():
        for start in range(0, len(labels), 500):
            batch = normalize(images[start : start + 500], wanted)
            right += int((model.eval()(batch).argmax(1) == labels[start : start + 500]).sum())
    return round(100 * right / len(labels), 2)


def cifar_model(name: str, shared_data: Path) -> tuple[nn.Module, Preprocessing]:
    model = build(catalogue.network(name), init=False)
    report = load_checkpoint(model, shared_data / "weights" / "cifar10-resnet" / CIFAR[name][0])
    return model, report.preprocessing


def true_pixels(shared_data: Path) -> tuple[Tensor, Tensor]:
    with np.load(shared_data / "cifar10-jpeg" / "lossless_train_first4000.npz") as data:
        images = torch.from_numpy(data["images"]).permute(0, 3, 1, 2)
        return images, torch.from_numpy(data["labels"].astype(np.int64))


def test_a_cifar_resnet_knows_its_training_pictures(shared_data: Path) -> None:
    model, wanted = cifar_model("resnet20", shared_data)
    images, labels = true_pixels(shared_data)
    assert accuracy(model, images[:500], labels[:500], wanted) > 99  # 99.80 on all 4,000


@pytest.mark.slow
@pytest.mark.parametrize("name", CIFAR)
def test_cifar_resnets_give_their_figure_on_true_cifar_pixels(name: str, shared_data: Path) -> None:
    model, wanted = cifar_model(name, shared_data)
    assert accuracy(model, *true_pixels(shared_data), wanted) == CIFAR[name][1]


@pytest.mark.slow
@pytest.mark.parametrize("name", CIFAR)
def test_cifar_resnets_give_their_figure_on_the_jpeg_test_half(name: str, shared_data: Path) -> None:
    model, wanted = cifar_model(name, shared_data)
    test = open_data("cifar10-jpeg", shared_data).test
    assert isinstance(test, TensorSet)
    assert accuracy(model, test.images, test.labels, wanted) == CIFAR[name][2]
