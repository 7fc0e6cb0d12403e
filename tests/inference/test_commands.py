"""export and benchmark from the command line: what is written, what is said, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from convatlas.cli import main
from convatlas.weights.native import save_weights


@pytest.fixture
def weights(network, tmp_path: Path) -> Path:
    model = network("lenet5")
    return save_weights(
        tmp_path / "lenet5.safetensors",
        model.state_dict(),
        network=model.network,
        classes=tuple("0123456789"),
    )


def test_export_prints_the_file_and_says_what_was_proven(weights: Path, tmp_path: Path, capsys) -> None:
    pytest.importorskip("onnxruntime")
    assert main(["export", str(weights), "--to", "onnx", "-o", str(tmp_path / "l.onnx"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["paths"] == [str(tmp_path / "l.onnx")]
    assert found["proof"]["batches"] == [1, 3]
    assert (tmp_path / "l.onnx").stat().st_size > 200_000  # 61,706 parameters of four bytes


def test_export_of_what_cannot_be_is_misuse(weights: Path, tmp_path: Path, capsys) -> None:
    target = ["-o", str(tmp_path / "x")]
    assert main(["export", str(weights), "--to", "torchscript", "--opset", "17", *target]) == 2
    assert main(["export", "lenet5", "--to", "onnx", *target]) == 2  # no weights
    assert main(["export", str(weights), "--to", "onnx", "--precision", "int8", *target]) == 2
    assert main(["export", str(weights), "--to", "tflite", *target]) == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text
    assert "--opset is ONNX's" in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lenet5.safetensors"]


def test_benchmark_of_what_cannot_be_is_misuse_before_anything_runs(capsys, tmp_path: Path) -> None:
    assert main(["benchmark", "lenet5", "--against", "tensorrt"]) == 2
    assert main(["benchmark", "lenet5", "--precision", "fp8"]) == 2
    assert main(["benchmark", "lenet5", "--batch", "0"]) == 2
    assert main(["benchmark", "lenet6"]) == 2
    assert main(["benchmark", "lenet5", "-o", str(tmp_path / "x.pdf")]) == 2
    text = capsys.readouterr().err
    assert "torchvision, timm, eager, onnxruntime, openvino" in text
    assert "Traceback" not in text
