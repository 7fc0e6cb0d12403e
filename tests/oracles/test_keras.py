"""Keras' own models with random weights and statistics, saved in each of its formats, compute the same when read here.

Keras runs on torch in a process of its own: it must be told so before it is first imported, and it warns.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from convatlas.modules import build
from convatlas.networks import catalogue
from convatlas.weights import open_checkpoint

pytestmark = [pytest.mark.oracle, pytest.mark.slow]  # Keras takes seconds to start and to build

# ours, Keras', input side
SHARED = [
    ("mobilenet_v1_x0_25", "MobileNet", 128),
    ("mobilenet_v1", "MobileNet", 96),
    ("mobilenet_v2", "MobileNetV2", 96),
    ("mobilenet_v3_small", "MobileNetV3Small", 96),
    ("mobilenet_v3_large", "MobileNetV3Large", 96),
    ("resnet50", "ResNet50", 96),
    ("resnet101", "ResNet101", 64),
    ("resnet152", "ResNet152", 64),
    ("densenet121", "DenseNet121", 96),
    ("densenet169", "DenseNet169", 64),
    ("densenet201", "DenseNet201", 64),
    ("xception", "Xception", 139),
    ("inception_v3", "InceptionV3", 139),
    ("inception_resnet_v2", "InceptionResNetV2", 139),
    ("vgg16", "VGG16", 224),
    ("vgg19", "VGG19", 224),
]
SUFFIXES = ("h5", "weights.h5", "keras")

MAKE = """
import sys, warnings
warnings.simplefilter("ignore")
import numpy as np, torch, keras
name, side, alpha, folder = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
options = {"alpha": alpha} if name == "MobileNet" else {}
if name.startswith("MobileNetV3"):
    options["include_preprocessing"] = False
model = getattr(keras.applications, name)(
    weights=None, input_shape=(side, side, 3), classifier_activation=None, **options
)
draw = np.random.default_rng(0)
for layer in model.layers:
    values = []
    for variable in layer.weights:
        shape, leaf = tuple(variable.shape), variable.path.rpartition("/")[2]
        if leaf == "moving_variance":
            value = draw.uniform(0.5, 1.5, shape)
        elif leaf == "gamma":
            value = draw.uniform(0.5, 1.0, shape)
        elif len(shape) > 1:
            depthwise = "Depthwise" in type(layer).__name__ or leaf == "depthwise_kernel"
            value = draw.normal(0, np.prod(shape[:2] if depthwise else shape[:-1]) ** -0.5, shape)
        else:
            value = draw.normal(0, 0.2, shape)
        values.append(value.astype(np.float32))
    if values:
        layer.set_weights(values)
images = draw.normal(0, 1, (2, side, side, 3)).astype(np.float32)
with torch.no_grad():
    logits = model(images, training=False).detach().cpu().numpy()
np.savez(folder + "/expected.npz", images=images, logits=logits)
model.save(folder + "/w.h5")
model.save_weights(folder + "/w.weights.h5")
model.save(folder + "/w.keras")
"""


@pytest.mark.parametrize(("ours", "theirs", "side"), SHARED, ids=[row[0] for row in SHARED])
def test_files_of_keras_compute_the_same_in_our_networks(
    ours: str, theirs: str, side: int, tmp_path: Path
) -> None:
    if importlib.util.find_spec("keras") is None or importlib.util.find_spec("h5py") is None:
        pytest.skip("keras and h5py are not installed")
    alpha = "0.25" if "x0_25" in ours else "1.0"
    subprocess.run(
        [sys.executable, "-c", MAKE, theirs, str(side), alpha, str(tmp_path)],
        env=os.environ | {"KERAS_BACKEND": "torch", "KERAS_HOME": str(tmp_path)},
        check=True,
        capture_output=True,
    )
    with np.load(tmp_path / "expected.npz") as data:
        images = torch.from_numpy(data["images"]).permute(0, 3, 1, 2)
        expected = torch.from_numpy(data["logits"])
    assert expected.std() > 1e-3, "these outputs would hide a difference"
    for suffix in SUFFIXES:
        found = open_checkpoint(tmp_path / f"w.{suffix}", catalogue.network(ours))
        assert found.source == "keras"
        model = build(found.network, init=False).eval()
        model.load_state_dict(found.state_dict)
        with torch.inference_mode():
            logits = model(images)
        scale = max(1.0, float(expected.abs().max()))
        worst = float((logits - expected).abs().max())
        assert worst <= 1e-4 * scale, f"w.{suffix}: {worst} apart, of at most {scale}"
