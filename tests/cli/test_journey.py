"""One run through every verb that takes it: train, evaluate, predict, explain, export, data; output and exit codes."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from PIL import Image, ImageDraw  # noqa: E402

from convatlas.cli import main  # noqa: E402

CLASSES = ("disk", "square")
EACH = 20


def picture(kind: str, index: int) -> Image.Image:
    """A light shape on dark: told apart by a network of LeNet's size in a few epochs."""
    image = Image.new("RGB", (40, 40), (index, 10, 30))
    at = 4 + index % 5
    draw = ImageDraw.Draw(image)
    box = (at, at, at + 26, at + 26)
    draw.ellipse(box, fill="white") if kind == "disk" else draw.rectangle(box, fill="yellow")
    return image


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("journey") / "shapes"
    for kind in CLASSES:
        (root / kind).mkdir(parents=True)
        for i in range(EACH):
            picture(kind, i).save(root / kind / f"{i:02}.png")
    (root / "disk" / "broken.jpg").write_text("not a picture")
    return root


@pytest.fixture(scope="module")
def trained(photos: Path) -> Path:
    out = photos.parent / "run"
    assert (
        main(["train", "lenet5", "--data", str(photos), "--epochs", "6", "--batch", "8", "--out", str(out)])
        == 0
    )
    return out


def test_a_run_scores_the_pictures_that_it_has_not_seen(
    trained: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(trained), "--json"]) == 0
    own = json.loads(capsys.readouterr().out)
    assert main(["evaluate", str(trained), "--data", str(photos), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["images"] == own["images"] < 2 * EACH
    assert "was trained on it" in err
    assert main(["evaluate", str(trained), "--data", str(photos), "--split", "all", "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert whole["images"] == 2 * EACH
    assert [Path(s["path"]).name for s in whole["skipped"]] == ["broken.jpg"]


def test_pictures_that_another_run_learned_from_are_all_scored(
    trained: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(photos, copy)
    assert main(["evaluate", str(trained), "--data", str(copy), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 2 * EACH


def copied(run: Path, to: Path, data: dict[str, object] | None = None, **opened: object) -> Path:
    """The run under another name, its record of the data changed."""
    shutil.copytree(run, to)
    record = json.loads((to / "recipe.json").read_text())
    record["data"] |= data or {}
    record["data"]["opened"] |= opened
    (to / "recipe.json").write_text(json.dumps(record))
    return to


def test_data_that_changed_since_the_training_is_told(
    trained: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(trained)]) == 0
    assert "has changed" not in capsys.readouterr().err
    changed = tmp_path / "shapes"
    shutil.copytree(photos, changed)
    run = copied(trained, tmp_path / "run", spec=str(changed))
    assert main(["evaluate", str(run)]) == 0
    assert "has changed" not in capsys.readouterr().err
    shutil.copy(changed / "disk" / "03.png", changed / "disk" / "00a.png")
    assert main(["evaluate", str(run)]) == 0
    assert f"{changed} has changed since {run} was trained on it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "odd",
    [{"spec": 3}, {"root": []}, {"seed": "x"}, {"seed": 1 << 70}, {"test_share": 7}, {"test_share": None}],
)
def test_a_record_whose_data_cannot_be_is_told(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], odd: dict[str, object]
) -> None:
    assert main(["evaluate", str(copied(trained, tmp_path / "run", **odd))]) == 2
    assert "recipe.json: what it says of the data cannot be" in capsys.readouterr().err


def test_a_test_part_that_is_empty_is_not_the_training_part(
    trained: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in CLASSES:  # of one picture a class none is left to test on
        (tmp_path / "shapes" / kind).mkdir(parents=True)
        shutil.copy(photos / kind / "00.png", tmp_path / "shapes" / kind)
    command = ["evaluate", str(trained), "--data", str(tmp_path / "shapes")]
    assert main([*command, "--split", "test"]) == 2
    assert "has no test part" in capsys.readouterr().err
    assert main([*command, "--split", "all"]) == 0


def test_predict_takes_folders_globs_and_lists_and_counts_what_it_could_not_read(
    trained: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(trained), str(photos), "--json"]) == 0
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert len(lines) == 2 * EACH + 1
    wrong = [line for line in lines if "error" in line]
    assert len(wrong) == 1
    assert "broken.jpg" in wrong[0]["path"]
    assert f"{2 * EACH} read, 1 could not be read" in err
    right = sum(
        Path(line["path"]).parent.name == line["predictions"][0]["label"]
        for line in lines
        if "error" not in line
    )
    assert main(["evaluate", str(trained), "--data", str(photos), "--split", "all", "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    # the names are those of the folders; one picture may stand on the edge, whatever was learned
    assert right == pytest.approx(whole["top1"] * 2 * EACH, abs=1)
    assert main(["predict", str(trained), str(photos / "disk" / "1?.png"), "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 10
    monkeypatch.setattr(
        sys,
        "stdin",
        io.TextIOWrapper(
            io.BytesIO("\n".join(str(photos / "square" / f"0{i}.png") for i in range(3)).encode())
        ),
    )
    assert main(["predict", str(trained), "-", "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_what_is_assumed_of_weights_is_told_where_they_are_trained_on(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import save_file

    from convatlas.modules import build
    from convatlas.networks import catalogue

    plain = tmp_path / "plain.safetensors"
    save_file(build(catalogue.network("lenet5")).state_dict(), plain)
    command = ["train", "lenet5", "--data", str(photos), "--weights", str(plain), "--epochs", "1"]
    assert main([*command, "--out", str(tmp_path / "run")]) == 0
    assert f"{plain}: no preprocessing in it: " in capsys.readouterr().err


def test_nothing_to_predict_is_told(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(trained), str(tmp_path / "nowhere.jpg")]) != 0
    assert "nowhere.jpg" in "".join(capsys.readouterr())
    (tmp_path / "empty").mkdir()
    assert main(["predict", str(trained), str(tmp_path / "empty")]) == 2
    assert "empty" in capsys.readouterr().err


def test_the_run_is_explained_in_pictures(trained: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "seen"
    photo = str(photos / "disk" / "03.png")
    assert (
        main(["explain", str(trained), photo, "--method", "saliency", "--method", "filters", "-o", str(out)])
        == 0
    )
    assert (out / "index.html").exists() or list(out.glob("*.html"))


def test_the_run_is_exported_and_says_so(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.safetensors"
    assert main(["export", str(trained), "--to", "safetensors", "-o", str(out)]) == 0
    from convatlas.weights import read_weights

    assert tuple(read_weights(out).classes or ()) == CLASSES
    capsys.readouterr()
    assert main(["export", str(trained), "--to", "nothing", "-o", str(out)]) == 2


def test_the_data_verbs(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(photos)]) == 1  # one is broken
    assert "broken.jpg" in "".join(capsys.readouterr())
    assert main(["data", "check", str(photos), "-o", str(tmp_path)]) == 1  # a folder cannot be the page
    told = capsys.readouterr()
    assert "broken.jpg" in told.out
    assert "cannot be written" in told.err
    shards = tmp_path / "shards"
    assert main(["data", "pack", str(photos), "-o", str(shards)]) == 1
    assert "broken.jpg" in "".join(capsys.readouterr())
    out = tmp_path / "from-shards"
    assert main(["train", "lenet5", "--data", str(shards), "--epochs", "1", "--out", str(out)]) == 0
    assert json.loads((out / "summary.json").read_text())["images"] > 0


def test_a_list_of_pictures_is_data_too(photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label"))
        for kind in CLASSES:
            for i in range(EACH):
                writer.writerow((photos / kind / f"{i:02}.png", kind))
    out = tmp_path / "run"
    assert main(["train", "lenet5", "--data", str(table), "--epochs", "1", "--out", str(out)]) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["skipped"] == []
