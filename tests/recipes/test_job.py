"""From what a user types to a run: what is left out at --resume is as the run began, and what contradicts is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="training runs on torch, which is not installed")

from convatlas.define.preprocessing import Preprocessing  # noqa: E402
from convatlas.errors import MisuseError  # noqa: E402
from convatlas.modules import build  # noqa: E402
from convatlas.networks import catalogue  # noqa: E402
from convatlas.recipes.job import train  # noqa: E402
from convatlas.training.logs import Logs  # noqa: E402
from convatlas.training.run import Json, RunFolder  # noqa: E402
from convatlas.weights import read_weights, save_weights  # noqa: E402

QUICK = {
    "epochs": "1", "batch": "8", "lr": "0.01", "deterministic": "on", "precision": "float32", "replicas": "1",
    "flip": "0.5", "head_epochs": "0",
}  # fmt: skip
OTHER = "other.safetensors"
# not what is taken where no weights say otherwise
ODD = Preprocessing(resize=None, crop=32, mean=(104.0,), std=(2.0,), channel_order="grey", scale=1.0)


def run(photos: Path, out: Path, **given: object) -> Json:
    found = train("lenet5", str(photos), out=out, logs=Logs(), **given)  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes in grey, without a split of their own."""
    root = tmp_path_factory.mktemp("photos")
    numbers = np.random.default_rng(0)
    for name in ("a", "b"):
        (root / name).mkdir()
        for i in range(12):
            Image.fromarray(numbers.integers(0, 255, (32, 32), dtype=np.uint8)).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def begun(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that began with a seed from weights, `made.safetensors` beside it."""
    root = tmp_path_factory.mktemp("begun")
    network = catalogue.network("lenet5")
    save_weights(
        root / "made.safetensors", build(network).state_dict(), network=network, preprocessing=ODD,
        classes=tuple("0123456789"), scores={}, provenance={},
    )  # fmt: skip
    run(photos, root / "run", seed=3, weights=str(root / "made.safetensors"), settings=QUICK)
    return root


@pytest.fixture
def again(begun: Path, tmp_path: Path) -> Path:
    """A copy of that run."""
    return Path(shutil.copytree(begun / "run", tmp_path / "run"))


def test_a_fine_tuning_goes_on_without_its_weights_seed_and_recipe(photos: Path, again: Path) -> None:
    before = read_weights(again / "weights.safetensors")
    assert before.preprocessing == ODD
    assert run(photos, again, resume=True)["seed"] == 3
    after = read_weights(again / "weights.safetensors")
    assert after.preprocessing == ODD
    assert after.provenance == before.provenance
    assert after.provenance["from"] == RunFolder(again).record()["weights"] == "made.safetensors"


def test_runs_without_out_have_the_next_number_and_failures_none(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MisuseError, match="no such device"):
        train("lenet5", str(photos), device="none", settings=QUICK, logs=Logs())
    for number in (1, 2):
        found = train("lenet5", str(photos), settings=QUICK, logs=Logs())
        assert found is not None
        assert Path(str(found["weights"])).parent == Path(f"runs/lenet5-{photos.name}-{number}")


def test_weights_that_are_needed_once_more_are_asked_for(photos: Path, begun: Path, again: Path) -> None:
    for path in again.iterdir():  # stopped before there was anything else
        if path.name != "recipe.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(MisuseError, match=r"begins from made\.safetensors; give it again with --weights"):
        run(photos, again, resume=True)
    run(photos, again, resume=True, weights=str(begun / "made.safetensors"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"seed": 4}, "seed is 3 there and 4 here"),
        ({"settings": {"flip": "0"}}, "augmentation.flip is 0.5 there and 0.0 here"),
        ({"settings": {"augmentation.cutout": "4"}}, "augmentation.cutout is 0 there and 4 here"),
        ({"settings": {"lr": "0.02"}}, "lr is 0.01 there and 0.02 here"),
        ({"weights": OTHER}, "weights is 'made.safetensors' there and 'other.safetensors' here"),
    ],
)
def test_what_contradicts_the_run_is_told(
    photos: Path,
    begun: Path,
    again: Path,
    given: dict[str, object],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(begun)
    shutil.copyfile("made.safetensors", OTHER)
    with pytest.raises(MisuseError, match=words):
        run(photos, again, resume=True, **given)


def test_what_agrees_with_the_run_is_taken(photos: Path, begun: Path, again: Path) -> None:
    weights = str(begun / "made.safetensors")
    settings = {"flip": "0.5", "cutout": "0", "hue": "0"}  # the last two as by default
    run(photos, again, resume=True, seed=3, weights=weights, settings=settings)
