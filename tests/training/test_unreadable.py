"""Pictures that cannot be read: the run goes on without them, says which and why, and lists them in what it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training runs on torch, which is not installed")

from PIL import Image  # noqa: E402

from convatlas.data import open_data  # noqa: E402
from convatlas.define import Network  # noqa: E402
from convatlas.training.fit import fit  # noqa: E402
from convatlas.training.logs import Logs  # noqa: E402
from convatlas.training.recipe import Recipe  # noqa: E402
from convatlas.training.unreadable import SAID, Unreadable  # noqa: E402


class Heard(Logs):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_a_run_over_broken_pictures_names_them_and_goes_on(network: Network, tmp_path: Path) -> None:
    for split, count in (("train", 8), ("val", 4)):
        for name, value in (("dark", 20), ("light", 230)):
            folder = tmp_path / "set" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                Image.new("L", (12, 12), value + i).save(folder / f"{i}.png")
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
