"""Caffe models, written here by caffe.proto: both generations of layers, batch norm in two layers, hostile bytes."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from convatlas.define import BatchNorm
from convatlas.modules import build
from convatlas.networks import catalogue
from convatlas.weights import WeightsError, open_checkpoint
from convatlas.weights.caffe import read_caffe
from convatlas.weights.foreign import Foreign
from convatlas.weights.slots import slots

CONVOLUTION_V1, LINEAR_V1 = 4, 14


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def blob(array: np.ndarray, *, old: bool = False) -> bytes:
    if old:  # num, channels, height, width
        sides = (1,) * (4 - array.ndim) + array.shape
        shape = b"".join(field(i, side) for i, side in enumerate(sides, 1))
    else:
        shape = field(7, field(1, b"".join(map(varint, array.shape))))
    return shape + field(5, array.astype("<f4").tobytes())


def layer(
    name: str, kind: str, *arrays: np.ndarray, bottom: str = "x", top: str = "y", extra: bytes = b""
) -> bytes:
    head = field(1, name) + field(2, kind) + field(3, bottom) + field(4, top)
    return field(100, head + b"".join(field(7, blob(array)) for array in arrays) + extra)


def layer_v1(name: str, kind: int, *arrays: np.ndarray) -> bytes:
    return field(2, field(4, name) + field(5, kind) + b"".join(field(6, blob(a, old=True)) for a in arrays))


def read(tmp_path: Path, content: bytes) -> Foreign:
    path = tmp_path / "w.caffemodel"
    path.write_bytes(content)
    return read_caffe(path)


WEIGHT, BIAS = np.arange(24.0).reshape(2, 3, 2, 2), np.array([1.0, 2.0])


def test_both_generations_of_layers_are_read(tmp_path: Path) -> None:
    linear = np.arange(6.0).reshape(2, 3)
    found = read(
        tmp_path,
        field(1, "net") + layer_v1("conv", CONVOLUTION_V1, WEIGHT, BIAS) + layer_v1("fc", LINEAR_V1, linear, BIAS)
        + layer("data", "Input") + layer("conv_new", "Convolution", WEIGHT) + layer("fc_new", "InnerProduct", linear),
    )  # fmt: skip
    assert [x.name for x in found.layers] == ["conv", "fc", "conv_new", "fc_new"]
    assert [tuple(x.tensors["weight"].shape) for x in found.layers] == [(2, 3, 2, 2), (2, 3)] * 2
    assert np.array_equal(found.layers[0].tensors["weight"].numpy(), WEIGHT)
    assert [list(x.tensors) for x in found.layers] == [["weight", "bias"]] * 2 + [["weight"]] * 2


def test_batch_norm_is_divided_by_its_factor_and_joined_with_its_scale(tmp_path: Path) -> None:
    norm = layer("bn", "BatchNorm", np.array([2.0, 4.0]), np.array([8.0, 6.0]), np.array([2.0]), top="n",
                 extra=field(139, varint(3 << 3 | 5) + struct.pack("<f", 0.5)))  # fmt: skip
    scale = layer("scale", "Scale", np.array([3.0, 5.0]), np.array([7.0, 9.0]), bottom="n", top="n")
    (found,) = read(tmp_path, norm + scale).layers
    assert {leaf: tensor.tolist() for leaf, tensor in found.tensors.items()} == {
        "running_mean": [1, 2], "running_var": [4, 3], "weight": [3, 5], "bias": [7, 9],
    }  # fmt: skip
    assert found.eps == 0.5


def caffe_names(row: str) -> str:
    """Our ResNet rows as Caffe's release calls them: conv3.block2.body.conv1 is res3b_branch2a."""
    if row in ("conv1", "bn1"):
        return {"conv1": "conv1", "bn1": "bn_conv1"}[row]
    if row == "fc":
        return "fc1000"
    stage, block, part, leaf = row.split(".")
    branch = "branch1" if part == "shortcut" else f"branch2{'abc'[int(leaf[-1]) - 1]}"
    return f"{'bn' if leaf.startswith('bn') else 'res'}{stage[-1]}{'abcdef'[int(block[5:]) - 1]}_{branch}"


@torch.inference_mode()
def test_a_resnet_in_the_order_of_its_release_computes_the_same(tmp_path: Path) -> None:
    """The release has the projection before the body, and batch norm with an eps of its own."""
    network = catalogue.network("resnet50")
    source = build(network).eval()
    for module in source.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.uniform_(0.5, 1.0)
            module.eps = 1e-2
    state = source.state_dict()
    extra = field(139, varint(3 << 3 | 5) + struct.pack("<f", 1e-2))
    written = []
    for slot in slots(network):
        name = caffe_names(slot.name)
        tensors = {leaf: state[f"{slot.name}.{leaf}"].numpy() for leaf in slot.shapes}
        if isinstance(slot.operation, BatchNorm):
            sums = (tensors["running_mean"] * 999, tensors["running_var"] * 999, np.array([999.0]))
            content = layer(name, "BatchNorm", *sums, top=name, extra=extra)
            content += layer(
                name.replace("bn", "scale"), "Scale", tensors["weight"], tensors["bias"], bottom=name
            )
        else:
            content = layer(name, "InnerProduct" if name == "fc1000" else "Convolution", *tensors.values())
        written.append(("branch1" not in name, name.split("_")[0].lstrip("resbn"), content))
    blocks = list(dict.fromkeys(block for _, block, _ in written))
    written.sort(key=lambda entry: (blocks.index(entry[1]), entry[0]))
    path = tmp_path / "ResNet-50-model.caffemodel"
    path.write_bytes(b"".join(content for _, _, content in written))
    found = open_checkpoint(path, network)
    assert (found.source, found.preprocessing.channel_order) == ("caffe", "bgr")
    model = build(found.network, init=False).eval()
    model.load_state_dict(found.state_dict)
    images = torch.randn(1, 3, 64, 64)
    expected = source(images)
    torch.testing.assert_close(model(images), expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "without weights"),
        (b"name: 'a prototxt'", "Caffe"),
        (layer("conv", "Convolution", WEIGHT)[:-10], "past the end"),
        (
            field(100, field(1, "c") + field(2, "Convolution") + field(7, field(7, field(1, varint(2**40))))),
            "0 values",
        ),
        (field(100, field(1, "c") + field(2, "Python") + field(7, blob(BIAS))), "no network here has"),
        (layer("bn", "BatchNorm", BIAS, BIAS), "mean, variance and a factor"),
        (b"\xff" * 40, "Caffe"),
        (b"\x93" * 5, "Caffe"),
    ],
)
def test_a_broken_or_hostile_file_is_told(tmp_path: Path, content: bytes, complaint: str) -> None:
    with pytest.raises(WeightsError, match=complaint):
        read(tmp_path, content)


def test_a_file_with_any_bytes_changed_or_cut_is_read_or_refused_but_never_worse(tmp_path: Path) -> None:
    good = layer("conv", "Convolution", WEIGHT, BIAS) + layer("bn", "BatchNorm", BIAS, BIAS, np.ones(1))
    draw, refused = random.Random(1), 0
    for _ in range(400):
        bad = bytearray(good[: draw.randrange(4, len(good))] if draw.random() < 0.3 else good)
        for _ in range(draw.randrange(1, 6)):
            bad[draw.randrange(len(bad))] = draw.choice([0, 1, 127, 255, draw.randrange(256)])
        try:
            read(tmp_path, bytes(bad))
        except WeightsError:
            refused += 1
    assert refused > 100
