"""`convatlas import`: what it writes opens again, what it says is what was found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from convatlas.cli import main
from convatlas.modules import build
from convatlas.networks import catalogue
from convatlas.weights import read_weights


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Weights of LeNet-5 as somebody's training script left them."""
    path = tmp_path / "best.pth"
    state = {
        f"module.{name}": tensor for name, tensor in build(catalogue.network("lenet5")).state_dict().items()
    }
    torch.save({"epoch": 9, "acc": 99.1, "state_dict": state}, path)
    return path


def test_a_checkpoint_becomes_ours(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "lenet.safetensors"
    options = ["--preprocess", "resize=none,crop=32,channel_order=grey,mean=0.1,std=0.3", "--json"]
    assert main(["import", "lenet5", str(checkpoint), "-o", str(out), *options]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["network"], told["parameters"], told["out"]) == (
        "lenet5",
        61706,
        str(out),
    )  # LeNet-5, modern form
    found = read_weights(out)
    assert found.preprocessing is not None
    assert found.preprocessing.to_dict() == told["preprocessing"]
    assert found.preprocessing.mean == (0.1,)
    assert found.network == catalogue.network("lenet5")
    assert found.scores["acc"] == 99.1
    source = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert all(tensor.equal(source[f"module.{name}"]) for name, tensor in found.state_dict.items())


def test_without_json_it_says_what_it_assumed_and_prints_no_data(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "lenet5", str(checkpoint), "-o", str(tmp_path / "o.safetensors")]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "61,706 parameters" in told.err
    assert "assumed" in told.err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["lenet5", "nowhere.pth"], 2, "no such file"),
        (["lenet6", "{}"], 2, "lenet5"),
        (["lenet5", "{}", "--classes", "7"], 1, "10 classes"),
        (["resnet20", "{}"], 1, "lenet5"),
        (["lenet5", "{}", "--preprocess", "mean"], 2, "unknown preprocessing"),
        (["lenet5", "{}", "--preprocess", "maen=1:1:1"], 2, "maen"),
        (["lenet5", "torchvision"], 2, "no weights of torchvision"),
    ],
)
def test_what_cannot_be_is_one_paragraph_and_writes_nothing(
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    told: str,
) -> None:
    out = tmp_path / "o.safetensors"
    assert main(["import", *(a.format(checkpoint) for a in arguments), "-o", str(out)]) == code
    said = capsys.readouterr().err
    assert told in said
    assert "Traceback" not in said
    assert not out.exists()
