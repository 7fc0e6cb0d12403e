"""Keras files of all three layouts, written here with h5py alone, and what hostile ones come to."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from convatlas.weights import WeightsError
from convatlas.weights.keras_file import read_keras

h5py = pytest.importorskip("h5py", reason="h5py (extra keras) is not installed")

Arrays = dict[str, np.ndarray]

CONV = {"kernel": np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5), "bias": np.arange(5.0)}
DEPTHWISE = {"depthwise_kernel": np.arange(2 * 2 * 3 * 2.0).reshape(2, 2, 3, 2)}
SEPARABLE = DEPTHWISE | {"pointwise_kernel": np.arange(12.0).reshape(1, 1, 6, 2)}
NORM = {"beta": np.ones(3), "moving_mean": np.zeros(3), "moving_variance": np.full(3, 2.0)}
DENSE = {"kernel": np.arange(6.0).reshape(2, 3), "bias": np.zeros(3)}
LAYERS: dict[str, Arrays] = {"conv": CONV, "dw": DEPTHWISE, "sep": SEPARABLE, "bn": NORM, "fc": DENSE}
KINDS = {
    "conv": "Conv2D",
    "dw": "DepthwiseConv2D",
    "sep": "SeparableConv2D",
    "bn": "BatchNormalization",
    "fc": "Dense",
}
CONFIG = {
    "class_name": "Functional",
    "config": {
        "layers": [
            {"class_name": KINDS[name], "config": {"name": name, "epsilon": 0.01, "scale": False}}
            for name in LAYERS
        ]
    },
}


def legacy(path: Path, *, config: bool = False, suffix: str = ":0") -> Path:
    """Keras 1 and 2: layer_names and weight_names; a whole model has them one group down, and a configuration."""
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if config else file
        if config:
            file.attrs["model_config"] = json.dumps(CONFIG)
        root.attrs["layer_names"] = [name.encode() for name in LAYERS]
        for name, arrays in LAYERS.items():
            group = root.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{leaf}{suffix}".encode() for leaf in arrays]
            for leaf, array in arrays.items():
                group[f"{name}/{leaf}{suffix}"] = array.astype(np.float32)
    return path


def numbered(path: Path) -> Path:
    """Keras 3's weights: groups called by class, variables by position."""
    groups = ("conv2d", "depthwise_conv2d", "separable_conv2d", "batch_normalization", "dense")
    with h5py.File(path, "w") as file:
        for group, (name, arrays) in zip(groups, LAYERS.items(), strict=True):
            variables = file.create_group(f"layers/{group}/vars")
            variables.attrs["name"] = name
            for at, array in enumerate(arrays.values()):
                variables[str(at)] = array.astype(np.float32)
        file.create_group("optimizer/vars")
    return path


def archive(path: Path) -> Path:
    numbered(path.with_suffix(".weights.h5"))
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", json.dumps(CONFIG))
        file.write(path.with_suffix(".weights.h5"), "model.weights.h5")
    return path


LAYOUTS = {
    "w.h5": legacy,
    "whole.h5": lambda path: legacy(path, config=True, suffix=""),
    "w.weights.h5": numbered,
    "w.keras": archive,
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_same_layers_in_axis_order_of_torch(tmp_path: Path, name: str) -> None:
    found = {layer.name: layer for layer in read_keras(LAYOUTS[name](tmp_path / name)).layers}
    assert set(found) == {"conv", "dw", "sep/depthwise", "sep/pointwise", "bn", "fc"}
    tensors = {key: {leaf: tensor.numpy() for leaf, tensor in x.tensors.items()} for key, x in found.items()}
    assert np.array_equal(tensors["conv"]["weight"], CONV["kernel"].transpose(3, 2, 0, 1))
    assert np.array_equal(tensors["fc"]["weight"], DENSE["kernel"].T)
    for key in ("dw", "sep/depthwise"):
        # channel 1, multiplier 0 stands third: a depthwise convolution's outputs are channel by channel
        assert np.array_equal(tensors[key]["weight"][2, 0], DEPTHWISE["depthwise_kernel"][:, :, 1, 0])
    assert tensors["sep/pointwise"]["weight"].shape == (2, 6, 1, 1)
    assert set(tensors["bn"]) == {"bias", "running_mean", "running_var"}  # no gamma
    assert tensors["bn"]["running_var"].tolist() == [2, 2, 2]
    assert found["bn"].eps == (0.01 if name in ("whole.h5", "w.keras") else None)


def test_names_of_keras_1_are_understood(tmp_path: Path) -> None:
    arrays = {
        "bn_gamma": np.ones(2),
        "bn_beta": np.ones(2),
        "bn_running_mean": np.ones(2),
        "bn_running_std": np.ones(2),
    }
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"block1_conv1", b"bn"]
        group = file.create_group("block1_conv1")
        group.attrs["weight_names"] = [b"block1_conv1_W_1:0", b"block1_conv1_b_1:0"]
        group["block1_conv1_W_1:0"], group["block1_conv1_b_1:0"] = CONV["kernel"], CONV["bias"]
        group = file.create_group("bn")
        group.attrs["weight_names"] = [name.encode() for name in arrays]
        for name, array in arrays.items():
            group[name] = array
    conv, norm = read_keras(tmp_path / "w.h5").layers
    assert list(conv.tensors) == ["weight", "bias"]
    assert set(norm.tensors) == {"weight", "bias", "running_mean", "running_var"}


def hostile(path: Path, how: str) -> None:
    if how == "text":
        path.write_text("not HDF5 at all")
        return
    legacy(path)
    with h5py.File(path, "a") as file:
        if how == "external":
            file["conv/stolen"] = h5py.ExternalLink("/etc/passwd", "/")
        elif how == "soft":
            file["loop"] = h5py.SoftLink("/loop")
        elif how == "elsewhere":
            file.create_dataset("stolen", (100,), dtype="u1", external=[("/etc/passwd", 0, 100)])
        elif how == "bomb":
            file.create_dataset("bomb", (1 << 34,), dtype="f4", chunks=(1 << 20,), compression="gzip")
        elif how == "strange":
            file["conv/conv"].create_dataset("mask:0", data=np.ones((2, 2, 2), np.float32))
            file["conv"].attrs["weight_names"] = [b"conv/mask:0"]
        elif how == "missing":
            del file["conv/conv/bias:0"]
        elif how == "other":
            del file.attrs["layer_names"]
    if how == "cut":
        path.write_bytes(path.read_bytes()[:2000])


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("text", "not an HDF5 file"), ("cut", "HDF5"), ("external", "link"), ("soft", "link"), ("elsewhere", "another file"),
        ("bomb", "bomb"), ("strange", "expected a convolution"), ("missing", "broken Keras file"), ("other", "not one of Keras"),
    ],
)  # fmt: skip
def test_a_hostile_or_broken_file_is_refused(tmp_path: Path, how: str, told: str) -> None:
    hostile(tmp_path / "w.h5", how)
    with pytest.raises(WeightsError, match=told):
        read_keras(tmp_path / "w.h5")


def test_a_broken_archive_is_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.keras", "w") as file:
        file.writestr("config.json", "{")
        file.writestr("model.weights.h5", b"")
    with pytest.raises(WeightsError, match="broken one"):
        read_keras(tmp_path / "w.keras")
