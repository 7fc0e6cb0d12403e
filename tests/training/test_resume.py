"""A run's folder that was changed between two commands: nothing is trained over, and weights keep their own epoch."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

from convatlas.data.augmentation import Augmentation
from convatlas.data.sources import DataSource
from convatlas.define import Network, without_normalization
from convatlas.errors import MisuseError
from convatlas.training.fit import fit
from convatlas.training.logs import Logs
from convatlas.training.recipe import Recipe
from convatlas.weights import read_weights

# a rate of 0: no epoch is better than the first, so that the best weights and the last ones are two things
RECIPE = Recipe(
    epochs=3, batch=16, lr=0.0, deterministic=True, precision="float32", replicas=1, augmentation=Augmentation(padding=1)
)  # fmt: skip


class Heard(Logs):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def network(network: Network) -> Network:
    return without_normalization(network)  # whose statistics would move


@pytest.fixture
def finished(network: Network, source: DataSource, tmp_path: Path) -> Path:
    fit(network, source, RECIPE, out=tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("left", ["summary.json", "metrics.jsonl"])
def test_a_run_without_its_checkpoints_is_not_trained_over(
    network: Network, source: DataSource, finished: Path, left: str
) -> None:
    shutil.rmtree(finished / "checkpoints")
    for name in {"summary.json", "metrics.jsonl"} - {left}:
        (finished / name).unlink()
    before = (finished / "weights.safetensors").read_bytes()
    with pytest.raises(MisuseError, match="no checkpoint.*another --out"):
        fit(network, source, RECIPE, out=finished, resume=True)
    assert (finished / "weights.safetensors").read_bytes() == before


def test_weights_that_are_gone_come_back_as_what_they_are(
    network: Network, source: DataSource, finished: Path
) -> None:
    assert read_weights(finished / "weights.safetensors").provenance["epoch"] == 1
    (finished / "weights.safetensors").unlink()
    heard = Heard()
    fit(network, source, RECIPE, out=finished, resume=True, logs=heard)
    saved = read_weights(finished / "weights.safetensors")
    assert saved.provenance["epoch"] == RECIPE.epochs
    assert any("warning" in line and "is gone" in line for line in heard.lines)
    assert "weights of the last epoch" in heard.lines[-1]
    assert json.loads((finished / "summary.json").read_text())["epoch"] == RECIPE.epochs


def test_weights_of_another_epoch_are_scored_as_such(
    network: Network, source: DataSource, finished: Path, tmp_path: Path
) -> None:
    fit(network, source, dataclasses.replace(RECIPE, select="last"), out=tmp_path / "last")
    shutil.copy(tmp_path / "last/weights.safetensors", finished)
    heard = Heard()
    fit(network, source, RECIPE, out=finished, resume=True, logs=heard)
    assert read_weights(finished / "weights.safetensors").provenance["epoch"] == RECIPE.epochs
    assert any(f"is of epoch {RECIPE.epochs}" in line for line in heard.lines)


def test_averaged_weights_come_back_from_the_checkpoint(
    network: Network, source: DataSource, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(RECIPE, lr=0.05, ema=0.9, select="last")
    fit(network, source, recipe, out=tmp_path)
    before = read_weights(tmp_path / "weights.safetensors").state_dict
    (tmp_path / "weights.safetensors").unlink()
    fit(network, source, recipe, out=tmp_path, resume=True)
    after = read_weights(tmp_path / "weights.safetensors").state_dict
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_another_number_of_classes_is_told_as_such(
    network: Network, source: DataSource, finished: Path
) -> None:
    more = dataclasses.replace(source, classes=(*source.classes, "crossed"))
    with pytest.raises(MisuseError, match="2 classes apart, and bars has 3"):
        fit(network, more, RECIPE, out=finished, resume=True)
