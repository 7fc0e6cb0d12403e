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
from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.training import checkpoint
from convatlas.training.fit import fit
from convatlas.training.logs import Logs
from convatlas.training.recipe import Recipe
from convatlas.training.run import RunFolder
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


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("once") / "run"


@pytest.fixture
def finished(network: Network, source: DataSource, once: Path, tmp_path: Path) -> Path:
    """A copy of a run that is made once."""
    if not once.exists():
        fit(network, source, RECIPE, out=once)
    return Path(shutil.copytree(once, tmp_path / "run"))


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


def edited(folder: Path, path: str, value: object) -> None:
    """Set a field of recipe.json, dotted where it is nested; None takes it away."""
    record = json.loads((folder / "recipe.json").read_text())
    *above, name = path.split(".")
    at = record
    for part in above:
        at = at[part]
    if value is None:
        del at[name]
    else:
        at[name] = value
    (folder / "recipe.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        *((name, None, f"has no {name}") for name in
          ("definition", "data", "chosen_on", "seed", "recipe", "plan", "versions")),
        ("data.fingerprint", None, "data has no fingerprint"),
        ("definition", 3, "definition should be an object"),
        ("data", [1], "data should be an object"),
        ("seed", "1", "seed should be a whole number"),
        ("seed", 10**30, "--seed must be"),
        ("data.opened", {"spec": 3, "root": None, "seed": 0, "test_share": 0.2}, "data.opened: spec"),
        ("data.opened", {"spec": "x"}, "data.opened has no root"),
        ("recipe.lr", "fast", "lr should be a number"),
        ("plan.precision", "fp8", "precision should be float32 or bf16"),
        ("plan.threads", -1, "threads should be 0 to 1024"),
        ("plan.replicas", 0, "replicas should be 1 to 1024"),
        ("plan.thin", "yes", "thin should be true or false"),
    ],
)  # fmt: skip
def test_an_edited_record_is_told(finished: Path, path: str, value: object, told: str) -> None:
    edited(finished, path, value)
    with pytest.raises(ConvAtlasError, match=told) as error:
        RunFolder(finished).record()
    assert error.value.exit_code == 1  # a broken file, and not the command


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "{", ""])
def test_a_record_that_is_none_is_told(finished: Path, text: str) -> None:
    (finished / "recipe.json").write_text(text)
    with pytest.raises(ConvAtlasError, match="another --out"):
        RunFolder(finished).record()


def test_how_a_set_was_opened_is_read_whole_or_refused(finished: Path) -> None:
    opened = {"spec": "digits", "root": None, "seed": 0, "test_share": 0.2}
    edited(finished, "data.opened", opened)
    assert RunFolder(finished).opened() == opened
    edited(finished, "data.opened", {})
    with pytest.raises(MisuseError, match="how its data was opened"):
        RunFolder(finished).opened()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epoch", "one"), ("batch", -5), ("sums", [0.0]), ("sums", [float("nan"), 0, 0]), ("seconds", float("inf")),
        ("history", 3), ("history", ["x"]), ("history", [{"epoch": 1}]), ("over", "no"), ("unknown", 1),
    ],
)  # fmt: skip
def test_a_checkpoint_with_an_odd_place_is_told_before_anything_is_done(
    network: Network, source: DataSource, finished: Path, name: str, value: object
) -> None:
    found = checkpoint.newest(finished / "checkpoints")
    assert found is not None
    found.state["progress"][name] = value  # type: ignore[index]
    checkpoint.save(finished / "checkpoints", 10**6, found.state)
    before = {p: p.read_bytes() for p in finished.iterdir() if p.is_file()}
    with pytest.raises(ConvAtlasError, match="another version"):
        fit(network, source, RECIPE, out=finished, resume=True)
    assert all(p.read_bytes() == data for p, data in before.items())
