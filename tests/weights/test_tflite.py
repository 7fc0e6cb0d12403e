"""TensorFlow Lite files, written here by the schema: float, float16 and quantized weights, and hostile offsets."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import numpy as np
import pytest

from convatlas.weights import WeightsError
from convatlas.weights.foreign import Foreign
from convatlas.weights.tflite import read_tflite

CODES = {"conv": 3, "depthwise": 4, "dequantize": 6, "linear": 9}
TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int8": 9}

Table = dict[int, object]  # field number -> ("<i", number), bytes, list of tables, or a table


def flatbuffer(root: Table) -> bytes:
    """A FlatBuffer: tables before their vtables' entries are needed, children behind their parents."""
    data = bytearray(8)
    data[4:8] = b"TFL3"

    def point(at: int) -> None:
        struct.pack_into("<I", data, at, len(data) - at)

    def vector(value: bytes | list[Table], width: int) -> None:
        data.extend(struct.pack("<I", len(value) // width))
        if isinstance(value, bytes):
            data.extend(value)
            data.extend(bytes(-len(data) % 4))
            return
        at = len(data)
        data.extend(bytes(4 * len(value)))
        for i, child in enumerate(value):
            point(at + 4 * i)
            table(child)

    def table(fields: Table) -> None:
        start = len(data)
        last = max(fields, default=-1)
        data.extend(bytes(4 + 8 * (last + 1)))  # a slot of eight bytes for each field
        struct.pack_into("<i", data, start, start - len(data))
        data.extend(struct.pack("<HH", 4 + 2 * (last + 1), 4 + 8 * (last + 1)))
        data.extend(b"".join(struct.pack("<H", 4 + 8 * n if n in fields else 0) for n in range(last + 1)))
        data.extend(bytes(-len(data) % 4))
        for number, value in fields.items():
            at = start + 4 + 8 * number
            if isinstance(value, tuple) and isinstance(value[0], str):
                struct.pack_into(value[0], data, at, value[1])
                continue
            point(at)
            if isinstance(value, dict):
                table(value)
            else:
                content, width = value if isinstance(value, tuple) else (value, 1)
                vector(content, width)

    point(0)
    table(root)
    return bytes(data)


def ints(*values: int) -> tuple[bytes, int]:
    return struct.pack(f"<{len(values)}i", *values), 4


def tensor(shape: tuple[int, ...], kind: str, buffer: int, quantization: Table | None = None) -> Table:
    found: Table = {0: ints(*shape), 1: ("<b", TYPES[kind]), 2: ("<I", buffer), 3: b"name"}
    return found | ({4: quantization} if quantization else {})


def scales(*values: float, zero: int = 0, axis: int = 0) -> Table:
    return {
        2: (struct.pack(f"<{len(values)}f", *values), 4),
        3: (struct.pack(f"<{len(values)}q", *[zero] * len(values)), 8),
        6: ("<i", axis),
    }


def model(
    tensors: list[Table], operators: list[tuple[str, list[int], list[int]]], buffers: list[bytes]
) -> bytes:
    names = list(CODES)
    graph: Table = {
        0: tensors,
        1: ints(0),
        2: ints(len(tensors) - 1),
        3: [
            {0: ("<I", names.index(n)), 1: ints(*i), 2: ints(*o), 4: {1: ("<i", 2)}} for n, i, o in operators
        ],
    }
    return flatbuffer(
        {
            0: ("<I", 3),
            1: [{0: ("<b", CODES[name])} for name in names],
            2: [graph],
            4: [{0: content} for content in (b"", *buffers)],
        }
    )


IMAGE = tensor((1, 8, 8, 3), "float32", 0)
VALUES = np.arange(4 * 2 * 2 * 3, dtype=np.float32).reshape(4, 2, 2, 3)


def read(tmp_path: Path, content: bytes) -> Foreign:
    path = tmp_path / "w.tflite"
    path.write_bytes(content)
    return read_tflite(path)


def test_a_float_convolution_and_its_input_size_are_read(tmp_path: Path) -> None:
    tensors = [
        IMAGE,
        tensor(VALUES.shape, "float32", 1),
        tensor((4,), "float32", 2),
        tensor((1, 4, 4, 4), "float32", 0),
    ]
    found = read(
        tmp_path, model(tensors, [("conv", [0, 1, 2], [3])], [VALUES.tobytes(), np.ones(4, "<f4").tobytes()])
    )
    (layer,) = found.layers
    assert np.array_equal(layer.tensors["weight"].numpy(), VALUES.transpose(0, 3, 1, 2))
    assert layer.tensors["bias"].tolist() == [1, 1, 1, 1]
    assert (layer.padding, found.input, found.folded) == ("same_tf", (3, 8, 8), True)


def test_float16_weights_behind_dequantize_are_read(tmp_path: Path) -> None:
    tensors = [
        IMAGE,
        tensor(VALUES.shape, "float16", 1),
        tensor(VALUES.shape, "float32", 0),
        tensor((1,), "float32", 0),
    ]
    operators = [("dequantize", [1], [2]), ("conv", [0, 2, -1], [3])]
    (layer,) = read(tmp_path, model(tensors, operators, [VALUES.astype("<f2").tobytes()])).layers
    assert np.array_equal(layer.tensors["weight"].numpy(), VALUES.transpose(0, 3, 1, 2))
    assert "bias" not in layer.tensors


def test_int8_weights_are_scaled_channel_by_channel(tmp_path: Path) -> None:
    quantized = np.arange(-9, 9, dtype=np.int8).reshape(1, 3, 3, 2)  # depthwise: channels are the last axis
    bias = np.array([10, -4], "<i4")
    tensors = [
        IMAGE,
        tensor((1, 3, 3, 2), "int8", 1, scales(0.5, 0.25, axis=3)),
        tensor((2,), "int32", 2, scales(0.1, 0.2)),
        tensor((1, 4, 4, 2), "int8", 0),
    ]
    found = read(
        tmp_path, model(tensors, [("depthwise", [0, 1, 2], [3])], [quantized.tobytes(), bias.tobytes()])
    )
    tensors_read = found.layers[0].tensors
    expected = quantized.astype(np.float32)[0] * np.array([0.5, 0.25], np.float32)
    assert np.allclose(tensors_read["weight"].numpy()[:, 0], expected.transpose(2, 0, 1))
    assert np.allclose(tensors_read["bias"].numpy(), [1.0, -0.8])


def test_uint8_weights_have_a_zero_point(tmp_path: Path) -> None:
    quantized = np.array([[120, 128, 130]], np.uint8)
    tensors = [IMAGE, tensor((1, 3), "uint8", 1, scales(0.5, zero=128)), tensor((1, 1), "float32", 0)]
    found = read(tmp_path, model(tensors, [("linear", [0, 1], [2])], [quantized.tobytes()]))
    assert found.layers[0].tensors["weight"].tolist() == [[-4.0, 0.0, 1.0]]


@pytest.mark.parametrize(
    ("tensors", "operators", "complaint"),
    [
        ([IMAGE, tensor((4, 2, 2, 30), "float32", 1)], [("conv", [0, 1], [0])], "in 192 bytes"),
        ([IMAGE, tensor((2**30, 2**30), "float32", 1)], [("linear", [0, 1], [0])], "in 192 bytes"),
        ([IMAGE, tensor((4, 2, 2, 3), "float32", 9)], [("conv", [0, 1], [0])], "index out of range"),
        ([IMAGE, tensor((4, 2, 2, 3), "float32", 1)], [("conv", [0, 77], [0])], "index out of range"),
        ([IMAGE, tensor((192,), "int8", 1)], [("conv", [0, 1], [0])], "without a scale"),
        (
            [IMAGE, tensor((48, 4), "int8", 1, scales(1, 2, 3))],
            [("linear", [0, 1], [0])],
            "3 scales along axis 0",
        ),
        ([IMAGE], [], "without convolution"),
    ],
)
def test_a_hostile_or_useless_file_is_told(
    tmp_path: Path, tensors: list[Table], operators: list[tuple[str, list[int], list[int]]], complaint: str
) -> None:
    with pytest.raises(WeightsError, match=complaint):
        read(tmp_path, model(tensors, operators, [VALUES.tobytes()]))


def test_a_small_file_cannot_ask_for_much_memory(tmp_path: Path) -> None:
    tensors = [IMAGE, tensor((1000, 1000), "float32", 1)]
    with pytest.raises(WeightsError, match="again and again"):
        read(tmp_path, model(tensors, [("linear", [0, 1], [0])] * 100, [bytes(4_000_000)]))


def test_a_file_with_any_bytes_changed_or_cut_is_read_or_refused_but_never_worse(tmp_path: Path) -> None:
    tensors = [
        IMAGE,
        tensor(VALUES.shape, "float32", 1),
        tensor((4,), "float32", 2),
        tensor((1, 4, 4, 4), "float32", 0),
    ]
    good = model(tensors, [("conv", [0, 1, 2], [3])], [VALUES.tobytes(), bytes(16)])
    draw, refused = random.Random(1), 0
    for _ in range(400):
        bad = bytearray(good[: draw.randrange(8, len(good))] if draw.random() < 0.3 else good)
        for _ in range(draw.randrange(1, 6)):
            bad[draw.randrange(8, len(bad)) if len(bad) > 8 else 0] = draw.choice(
                [0, 1, 127, 255, draw.randrange(256)]
            )
        try:
            read(tmp_path, bytes(bad))
        except WeightsError:
            refused += 1
    assert refused > 100
