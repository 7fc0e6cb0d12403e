"""`data check` finds what is wrong and only that; `data pack` makes whole shards, once."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convatlas.cli import main
from convatlas.data.check import check_folder
from convatlas.data.check_page import check_page
from convatlas.data.images import read_image
from convatlas.data.pack import AHEAD, in_order, pack
from convatlas.data.preview import _across_classes, preview, shown
from convatlas.data.sets import FileSet
from convatlas.data.sources import open_data
from convatlas.errors import ConvAtlasError, MisuseError


@pytest.fixture
def folder(shared_data: Path, tmp_path: Path) -> Path:
    """Some ants and bees."""
    root = tmp_path / "photos"
    for name in ("ants", "bees"):
        (root / name).mkdir(parents=True)
        for path in sorted((shared_data / "photos/ants-bees/train" / name).glob("*.jpg"))[:6]:
            shutil.copyfile(path, root / name / path.name)
    return root


def test_a_good_folder_has_nothing_to_report(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    result = check_folder(folder, workers=2, progress=lambda done, total: seen.append((done, total)))
    assert result.good
    assert (result.pictures, result.other_files, result.warnings) == (12, 0, [])
    assert not (result.duplicates or result.near_duplicates)
    assert seen == [(i, 12) for i in range(1, 13)]


def test_a_link_that_leads_nowhere_is_a_broken_picture(folder: Path) -> None:
    try:
        (folder / "ants/away.jpg").symlink_to("nowhere.jpg")
    except OSError:
        pytest.skip("links cannot be made here")
    assert check_folder(folder).broken == [("ants/away.jpg", "cannot be opened: No such file or directory")]


def test_names_that_are_not_utf8_are_written_out(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"set\xfe")
    try:
        for i in range(8):
            path = root / os.fsdecode((b"a\xff/\xfd%d.png", b"b/\xfd%d.png")[i % 2] % i)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (9, 9), (i * 30, 0, 0)).save(path)
    except OSError:
        pytest.skip("names are UTF-8 here")
    (root / os.fsdecode(b"b/\xfdtext.png")).write_text("not a picture")
    source = open_data(root)
    assert source.classes == source.train.classes == (r"a\udcff", "b")
    assert len(source.record()["fingerprint"]) > 16  # type: ignore[arg-type]
    result = check_folder(root)
    packed = pack(source, tmp_path / "packed")
    texts = [source.name, source.description, source.train.label_of(0), check_page(result)]
    texts.append(json.dumps(result.to_dict(), ensure_ascii=False))
    assert all(text.encode() for text in texts)
    assert [name for name, _ in result.broken] == [r"b/\udcfdtext.png"]
    assert [Path(name).name for name, _ in packed.skipped] == [r"\udcfdtext.png"]
    assert open_data(tmp_path / "packed").classes == source.classes


def test_broken_double_and_nearly_double_pictures_are_found(folder: Path, shared_data: Path) -> None:
    first = min((folder / "ants").iterdir())
    shutil.copyfile(first, folder / "bees/copy.jpg")
    second = sorted((folder / "ants").iterdir())[1]
    with Image.open(second) as image:
        image.resize((image.width // 2, image.height // 3)).save(folder / "ants/zz_near.jpg", quality=70)
    for odd in ("truncated_jpeg.jpg", "own_text_named.jpg", "broken.png"):
        shutil.copyfile(shared_data / "odd-images" / odd, folder / "bees" / odd)
    (folder / "bees/notes.txt").write_text("not a picture")
    result = check_folder(folder)
    assert sorted(Path(p).name for p, _ in result.broken) == [
        "broken.png",
        "own_text_named.jpg",
        "truncated_jpeg.jpg",
    ]
    assert result.duplicates == [[f"ants/{first.name}", "bees/copy.jpg"]]
    assert result.near_duplicates == [[f"ants/{second.name}", "ants/zz_near.jpg"]]
    assert any("two classes" in w for w in result.warnings)
    assert result.other_files == 1
    assert not result.good
    page = check_page(result)
    for text in ("truncated_jpeg.jpg", "Near duplicates: 1 groups", "<svg", "data:image/jpeg"):
        assert text in page


def test_all_of_the_shared_photos_are_good(shared_data: Path) -> None:
    result = check_folder(shared_data / "photos/ants-bees/val")
    assert result.good
    assert result.pictures == 153


def test_a_layout_that_cannot_be_learned_from_is_a_problem_and_the_rest_is_still_reported(
    folder: Path,
) -> None:
    (folder / "wasps").mkdir()
    result = check_folder(folder)
    assert any("'wasps'" in p for p in result.problems)
    assert result.pictures == 12
    assert not result.good
    with pytest.raises(ConvAtlasError, match="not a folder"):
        check_folder(folder / "nowhere")


def test_what_leaks_from_train_into_val_is_said(folder: Path) -> None:
    for part in ("train", "val"):
        shutil.copytree(folder / "ants", folder / part / "ants")
        shutil.copytree(folder / "bees", folder / part / "bees")
    for name in ("ants", "bees"):
        shutil.rmtree(folder / name)
    assert any("12 pictures are the same in train and test" in w for w in check_folder(folder).warnings)


@pytest.mark.parametrize("quality", [95, None])
@pytest.mark.parametrize("names", [("1", "2", "10"), tuple(map(str, range(12)))])
def test_classes_called_by_numbers_keep_their_pictures_when_packed(
    tmp_path: Path, names: tuple[str, ...], quality: int | None
) -> None:
    for name in names:
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(3):
            grey = Image.new("RGB", (24, 24), (20 * int(name), 20 * int(name), 20 * int(name)))
            grey.save(tmp_path / "photos" / name / f"{i}.png")
    source = open_data(tmp_path / "photos")
    pack(source, tmp_path / "shards", size=24, quality=quality)
    again = open_data(tmp_path / "shards")
    assert again.classes == source.classes
    for dataset in (again.train, again.test):
        assert isinstance(dataset, FileSet)
        assert len(dataset)
        for i in range(len(dataset)):
            drawn = round(np.asarray(read_image(dataset.read(i))).mean() / 20)
            assert dataset.classes[int(dataset.labels[i])] == str(drawn)


def test_packed_shards_hold_the_same_pictures_and_labels(folder: Path, tmp_path: Path) -> None:
    source = open_data(folder)
    packed = pack(source, tmp_path / "shards", size=96, per_shard=4, quality=95)
    assert (packed.pictures, packed.shards, packed.skipped) == (12, 4, [])
    again = open_data(tmp_path / "shards")
    assert again.classes == ("ants", "bees")
    assert (len(again.train), len(again.test)) == (len(source.train), len(source.test))
    assert isinstance(again.train, FileSet)
    assert isinstance(source.train, FileSet)
    small = [read_image(again.train.read(i)) for i in range(len(again.train))]
    assert {min(i.size) for i in small} == {96}

    def look(image: Image.Image) -> np.ndarray:
        return np.asarray(image.resize((12, 12), Image.Resampling.BOX)).astype(int)

    for i, image in enumerate(small):
        distance = [np.abs(look(read_image(p)) - look(image)).mean() for p in source.train.paths]
        assert min(distance) < 4
        assert source.train.labels[int(np.argmin(distance))] == again.train.labels[i]


def test_packing_goes_on_after_the_last_whole_shard_and_is_the_same_every_time(
    folder: Path, tmp_path: Path
) -> None:
    source, out = open_data(folder), tmp_path / "shards"
    pack(source, out, size=64, per_shard=3)
    whole = {p.name: p.read_bytes() for p in out.iterdir()}
    (out / "train-000001.tar").unlink()
    (out / "train-000002.tar").write_bytes(whole["train-000002.tar"][:1000])  # cut off by a full disk
    packed = pack(source, out, size=64, per_shard=3)
    assert packed.resumed == packed.shards - 2
    assert {p.name: p.read_bytes() for p in out.iterdir()} == whole
    with pytest.raises(MisuseError, match="other options"):
        pack(source, out, size=65, per_shard=3)
    (out / "index.json").unlink()
    with pytest.raises(MisuseError, match="something else"):
        pack(source, out, size=64, per_shard=3)
    with pytest.raises(MisuseError, match="lies in memory"):
        pack(open_data("digits"), tmp_path / "d")


def test_a_shard_is_not_held_in_memory_and_keeps_its_order() -> None:
    made: list[int] = []

    def work(job: int) -> int:
        made.append(job)
        return job

    with ThreadPoolExecutor(4) as pool:
        found = in_order(pool, work, range(1000))
        first = [next(found) for _ in range(3)]
        assert len(made) <= 3 + AHEAD + 1
        assert [*first, *found] == list(range(1000))


def test_packing_that_breaks_off_leaves_whole_shards_alone_and_ends_soon(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "shards"
    packed = pack(open_data(folder), out, size=64, per_shard=3, workers=1)
    assert packed.shards > 2
    (out / "train-000001.tar").unlink()
    real, made = tarfile.TarFile.addfile, []

    def full(self: tarfile.TarFile, *entry: object) -> None:
        made.append(entry)
        if len(made) == 3:
            raise OSError(28, "No space left on device")
        real(self, *entry)  # type: ignore[arg-type]

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(OSError, match="No space"):
        pack(open_data(folder), out, size=64, per_shard=3, workers=1)
    assert not list(out.glob("*.part"))
    monkeypatch.undo()
    again = pack(open_data(folder), out, size=64, per_shard=3, workers=1)
    assert again.resumed == packed.shards - 1
    assert again.bytes == packed.bytes


def test_what_is_not_wanted_any_more_is_not_made() -> None:
    made: list[int] = []
    closed = threading.Event()

    def work(job: int) -> int:
        if job:
            closed.wait(60)
        made.append(job)
        return job

    with ThreadPoolExecutor(1) as pool:
        found = in_order(pool, work, range(1000))
        assert next(found) == 0
        found.close()
        closed.set()
    assert len(made) <= 2


def test_a_small_jpeg_keeps_its_bytes_and_a_turned_one_is_turned(tmp_path: Path, shared_data: Path) -> None:
    plain, turned = tmp_path / "p/a/plain.jpg", tmp_path / "p/b/turned.jpg"
    for path, odd in ((plain, "pil_sample_rgb.jpg"), (turned, "hopper_orientation_5.jpg")):
        path.parent.mkdir(parents=True)
        shutil.copyfile(shared_data / "odd-images" / odd, path)
    pack(open_data(tmp_path / "p"), tmp_path / "s", size=256)
    packed = open_data(tmp_path / "s").train
    assert isinstance(packed, FileSet)
    by_label = {int(label): packed.read(i) for i, label in enumerate(packed.labels)}
    assert by_label[0] == plain.read_bytes()
    with Image.open(io.BytesIO(by_label[1])) as image:
        assert image.getexif().get(0x0112, 1) == 1


def test_the_command_checks_packs_and_previews(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], shared_data: Path
) -> None:
    assert main(["data", "check", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == 12
    shutil.copyfile(shared_data / "odd-images/own_text_named.jpg", folder / "ants/text.jpg")
    assert main(["data", "check", str(folder), "-o", str(tmp_path / "page.html")]) == 1
    assert "broken: ants/text.jpg: not an image" in capsys.readouterr().out
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert main(["data", "pack", str(folder), "-o", str(tmp_path / "s"), "--size", "64", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["pictures"] == 12
    assert [Path(s["path"]).name for s in report["skipped"]] == ["text.jpg"]
    assert main(["data", "preview", "digits", "-o", str(tmp_path / "p.svg")]) == 0
    assert (tmp_path / "p.svg").read_bytes().startswith(b"<svg")
    assert main(["data", "preview", "digits", "-o", str(tmp_path / "p.txt")]) == 2
    assert not (tmp_path / "p.txt").exists()  # an SVG under another name opens nowhere
    assert (tmp_path / "p.svg").read_text().startswith("<svg")
    assert main(["data"]) == 2
    assert main(["data", "pack", str(folder), "-o", str(tmp_path / "s"), "--quality", "101"]) == 2
    assert main(["data", "check", str(folder / "nowhere")]) == 1


def test_the_preview_shows_every_augmentation_on_the_same_photos(folder: Path) -> None:
    svg = preview(open_data(folder).train, 96, pictures=3)
    assert svg.count("<image") == 3 * len(shown(96))
    for name in ("pca_noise=0.1 (AlexNet)", "crop=jitter (VGG)", "cutmix=1.0"):
        assert name in svg


def test_the_preview_takes_its_photos_across_the_classes() -> None:
    assert _across_classes([0, 0, 0, 2, 2, 1]) == [0, 5, 3, 1, 4, 2]
