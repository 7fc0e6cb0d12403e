"""Pictures that cannot be read: the run goes on without them, says which and why, and lists them in what it leaves."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import signal
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training runs on torch, which is not installed")

from PIL import Image  # noqa: E402

from convatlas.data import open_data  # noqa: E402
from convatlas.data.loader import Batch  # noqa: E402
from convatlas.define import BatchNorm, Conv, Flatten, Linear, Network, ReLU  # noqa: E402
from convatlas.errors import ConvAtlasError  # noqa: E402
from convatlas.training.fit import fit  # noqa: E402
from convatlas.training.logs import Talk  # noqa: E402
from convatlas.training.loop import Interrupted  # noqa: E402
from convatlas.training.recipe import Recipe  # noqa: E402
from convatlas.training.unreadable import SAID, Unreadable, filled  # noqa: E402
from convatlas.weights import read_weights  # noqa: E402


class Heard(Talk):
    """Keeps what is said, as it would be printed."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def photos(folder: Path, **counts: tuple[int, int]) -> Path:
    """A set of folders: so many training and validation pictures of each class, grey by class."""
    for shade, (name, numbers) in enumerate(counts.items()):
        for split, count in zip(("train", "val"), numbers, strict=True):
            place = folder / split / name
            place.mkdir(parents=True)
            for i in range(count):
                Image.new("L", (12, 12), 20 + 180 * shade + i).save(place / f"{i}.png")
    return folder


def spoil(folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
        path.write_bytes(b"no picture")


def test_a_run_over_broken_pictures_names_them_and_goes_on(network: Network, tmp_path: Path) -> None:
    photos(tmp_path / "set", dark=(8, 4), light=(8, 4))
    bad = {"train/dark/bad.png": b"no picture", "val/light/cut.png": b"\x89PNG\r\n\x1a\n"}
    for path, content in bad.items():
        (tmp_path / "set" / path).write_bytes(content)
    heard = Heard()
    out = tmp_path / "run"
    recipe = Recipe(name="t", source="t", epochs=2, batch=4)
    outcome = fit(network, open_data(str(tmp_path / "set")), recipe, out=out, logs=heard)
    told = [line for line in heard.lines if line.startswith("left out")]
    assert len(told) == 2  # once each, although there are two epochs and a last evaluation
    for path in bad:
        assert sum(path in line for line in told) == 1
    listed = json.loads((out / "summary.json").read_text())["skipped"]
    assert [Path(s["path"]).name for s in listed] == ["bad.png", "cut.png"]
    assert all(s["reason"] for s in listed)
    assert outcome.summary["images"] == 8
    # what resized the photos is a part of the run: at resume it is asked for
    assert json.loads((out / "recipe.json").read_text())["resized_by"] in {"C", "torch"}
    page = (out / "report.html").read_text()
    assert "bad.png" in page
    assert "cut.png" in page
    # gone on with after its end, it forgets none of them
    told_again = Heard()
    again = fit(network, open_data(str(tmp_path / "set")), recipe, out=out, resume=True, logs=told_again)
    assert again.summary["skipped"] == listed
    assert json.loads((out / "summary.json").read_text())["skipped"] == listed
    assert not [line for line in told_again.lines if line.startswith("left out")]


def test_many_are_told_as_a_number() -> None:
    heard, unreadable = Heard(), Unreadable()
    unreadable.take([(f"{i}.jpg", "cut") for i in range(SAID + 30)], heard)
    unreadable.take([("0.jpg", "cut"), ("new.jpg", "cut")], heard)
    assert len(heard.lines) == SAID + 2
    assert "30 more" in heard.lines[SAID]
    assert "1 more" in heard.lines[-1]
    assert len(unreadable.listed()) == SAID + 31


RECIPE = Recipe(epochs=2, batch=4, precision="float32", deterministic=True)


def test_without_a_picture_to_train_on_there_is_no_run(network: Network, tmp_path: Path) -> None:
    source = open_data(str(photos(tmp_path / "set", dark=(4, 2), light=(4, 2))))
    spoil(tmp_path / "set", "train/*/*")
    with pytest.raises(ConvAtlasError, match=r"of 8 training pictures none could be read.*\.png"):
        fit(network, source, RECIPE, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_whose_pictures_are_all_broken_now_stops(network: Network, tmp_path: Path) -> None:
    class StopAtOnce(Heard):
        def begin(self, epoch: int, epochs: int, steps: int, done: int) -> None:
            if epoch == 1:
                signal.raise_signal(signal.SIGINT)

    recipe = dataclasses.replace(RECIPE, epochs=3)
    photos(tmp_path / "set", dark=(4, 2), light=(4, 2))
    with pytest.raises(Interrupted):
        fit(network, open_data(str(tmp_path / "set")), recipe, out=tmp_path / "run", logs=StopAtOnce())
    for path in (tmp_path / "set/train").rglob("*.png"):  # as long as they were, as after a bad sector
        path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(ConvAtlasError, match="none could be read"):
        fit(network, open_data(str(tmp_path / "set")), recipe, out=tmp_path / "run", resume=True)
    assert not (tmp_path / "run/summary.json").exists()


def test_without_a_test_picture_nothing_is_scored_and_the_last_epoch_is_kept(
    network: Network, tmp_path: Path
) -> None:
    source = open_data(str(photos(tmp_path / "set", dark=(4, 2), light=(4, 2))))
    spoil(tmp_path / "set", "val/*/*")
    heard = Heard()
    outcome = fit(network, source, RECIPE, out=tmp_path / "run", logs=heard)
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert (summary["images"], summary["top1"], summary["top5"], summary["loss"]) == (0, None, None, None)
    assert summary["epoch"] == 2
    assert [line["top1"] for line in outcome.history] == [None, None]
    assert "not tested" in heard.lines[-1]
    assert "weights of the last epoch" in heard.lines[-1]
    assert read_weights(tmp_path / "run/weights.safetensors").provenance["epoch"] == 2
    assert "not tested" in (tmp_path / "run/report.html").read_text()
    # and what was not scored can be gone on with
    fit(network, source, RECIPE, out=tmp_path / "run", resume=True)


@pytest.mark.parametrize(("pattern", "words"), [("train/light/*", "4 training"), ("val/light/*", "2 test")])
def test_a_class_without_a_readable_picture_is_named(
    network: Network, tmp_path: Path, pattern: str, words: str
) -> None:
    source = open_data(str(photos(tmp_path / "set", dark=(4, 2), light=(4, 2))))
    spoil(tmp_path / "set", pattern)
    heard = Heard()
    fit(network, source, RECIPE, logs=heard)
    told = [line for line in heard.lines if line.startswith("warning: class")]
    assert len(told) == 1  # once, not an epoch
    assert f"'light': none of its {words} pictures" in told[0]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_batch_that_shrank_to_one_picture_goes_on(tmp_path: Path, accumulate: int) -> None:
    # batch norm over one place of one picture has no variance, and torch refuses it
    narrow = Network(
        input=(1, 12, 12), name="narrow", conv=Conv(4, 12, padding=0, bias=False), norm=BatchNorm(), relu=ReLU(),
        flatten=Flatten(), fc=Linear(2),
    )  # fmt: skip
    source = open_data(str(photos(tmp_path / "set", dark=(4, 2), light=(4, 2))))
    spoil(tmp_path / "set", "train/light/*")
    spoil(tmp_path / "set", "train/dark/[012].png")
    recipe = dataclasses.replace(RECIPE, accumulate=accumulate)
    outcome = fit(narrow, source, recipe, out=tmp_path / "run")
    assert math.isfinite(float(outcome.history[-1]["train_loss"]))  # type: ignore[arg-type]


def test_a_picture_alone_is_learned_as_itself_twice(network: Network, tmp_path: Path) -> None:
    """What fills a batch is counted: the gradient is the mean over it, neither more nor less."""
    found = []
    for name, broken in (("alone", "train/dark/[012].png"), ("twice", "train/dark/[01].png")):
        folder = photos(tmp_path / name, dark=(4, 2), light=(4, 2))
        (folder / "train/dark/2.png").write_bytes((folder / "train/dark/3.png").read_bytes())
        source = open_data(str(folder))
        spoil(folder, "train/light/*")
        spoil(folder, broken)
        outcome = fit(network, source, dataclasses.replace(RECIPE, epochs=1, batch=8))
        found.append(outcome.model.state_dict())
    for key, value in found[0].items():
        torch.testing.assert_close(value, found[1][key], msg=key)


def test_parts_of_a_shrunken_batch_hold_two_pictures() -> None:
    batch = Batch(torch.arange(3)[:, None], torch.arange(3), torch.arange(3))
    assert filled(batch, 2) is batch
    more = filled(batch, 8)
    assert more.labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert more.images[:, 0].tolist() == more.indices.tolist() == more.labels.tolist()
    assert len(filled(Batch(batch.images[:0], batch.labels[:0], batch.indices[:0]), 2).images) == 0
