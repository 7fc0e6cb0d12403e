"""Class folders, lists and CSVs, and why some cannot be learned from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from convatlas.data.images import ImageError
from convatlas.data.sources import open_data
from convatlas.data.splits import stratified
from convatlas.errors import MisuseError


def photo(path: Path, color: str = "red", size: tuple[int, int] = (12, 10)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)
    return path


def test_the_shared_photos_keep_their_split(shared_data: Path) -> None:
    source = open_data(shared_data / "photos/imagenette")
    assert (len(source.train), len(source.test), len(source.classes)) == (1000, 500, 10)
    assert list(source.classes) == sorted(source.classes)
    assert source.split == {"by": "folders", "train": "train", "test": "val"}


def test_a_folder_without_a_split_gets_one_that_is_stratified_and_repeats(tmp_path: Path) -> None:
    for name, count in (("cat", 20), ("dog", 10), ("emu", 2)):
        for i in range(count):
            photo(tmp_path / name / f"{i:02}.png")
    source = open_data(tmp_path, seed=1)
    assert source.classes == ("cat", "dog", "emu")
    assert torch.bincount(source.test.labels).tolist() == [4, 2, 1]
    again, other = open_data(tmp_path, seed=1), open_data(tmp_path, seed=2)
    assert source.test.paths == again.test.paths
    assert source.test.paths != other.test.paths
    assert not set(source.test.paths) & set(source.train.paths)
    photo(tmp_path / "emu/new.png")
    assert open_data(tmp_path, seed=1).record()["fingerprint"] != source.record()["fingerprint"]


def test_folders_that_cannot_be_learned_from_say_why(tmp_path: Path) -> None:
    photo(tmp_path / "flat/a.png")
    with pytest.raises(MisuseError, match=r"no class folders in it, but 1 pictures.*CSV"):
        open_data(tmp_path / "flat")
    photo(tmp_path / "one/cat/a.png")
    with pytest.raises(MisuseError, match=r"one class only \(cat\)"):
        open_data(tmp_path / "one")
    photo(tmp_path / "empty/cat/a.png")
    (tmp_path / "empty/dog").mkdir()
    (tmp_path / "empty/dog/notes.txt").write_text("none yet")
    with pytest.raises(MisuseError, match="no pictures in the class folder 'dog'"):
        open_data(tmp_path / "empty")
    for part, name in (("train", "cat"), ("train", "dog"), ("val", "cat"), ("val", "emu")):
        photo(tmp_path / "strange" / part / name / "a.png")
    with pytest.raises(MisuseError, match=r"'emu' is not among the 2 classes"):
        open_data(tmp_path / "strange")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(MisuseError, match="no class folders"):
        open_data(tmp_path / "nothing")
    with pytest.raises(MisuseError, match="nearest: cifar10"):
        open_data("cifar1O")


def linked(folder: Path, where: str, to: str) -> Path:
    """Two classes of four pictures, and a link."""
    for name in ("a/0", "a/1", "a/x/2", "a/x/3", "b/4", "b/5", "b/6", "b/7"):
        photo(folder / f"{name}.png")
    try:
        (folder / where).symlink_to(to, target_is_directory=True)
    except OSError:
        pytest.skip("links cannot be made here")
    return folder


@pytest.mark.parametrize(
    ("where", "to"), [("a/up", ".."), ("a/x/self", "."), ("a/w", "x"), ("b/up", "../..")]
)
def test_a_link_in_a_circle_multiplies_no_picture(tmp_path: Path, where: str, to: str) -> None:
    source = open_data(linked(tmp_path / "set", where, to))
    assert torch.bincount(source.whole().labels).tolist() == [4, 4]


@pytest.mark.parametrize(("where", "to"), [("self", "."), ("c", "a"), ("c", "a/x"), ("a/x/y", "../../b")])
def test_a_folder_that_links_put_into_two_classes_is_refused(tmp_path: Path, where: str, to: str) -> None:
    with pytest.raises(
        MisuseError, match=r"the same folder is in the classes '\w+' and '\w+'.*remove the link"
    ):
        open_data(linked(tmp_path / "set", where, to))


def test_a_test_folder_that_leads_to_the_training_pictures_is_said(tmp_path: Path) -> None:
    linked(tmp_path / "train", "../val", "train")
    source = open_data(tmp_path)
    assert "leads to pictures of" in source.notes[0]
    assert "flattered" in source.notes[0]


@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    share=st.floats(0.01, 0.9),
    seed=st.integers(0, 999),
)
def test_a_stratified_split_loses_nothing_and_gives_each_class_its_share(
    counts: list[int], share: float, seed: int
) -> None:
    labels = [label for label, n in enumerate(counts) for _ in range(n)]
    train, test = stratified(labels, share, seed)
    assert sorted(train + test) == list(range(len(labels)))
    for label, n in enumerate(counts):
        tested = sum(labels[i] == label for i in test)
        assert tested < n
        assert abs(tested - share * n) <= 1 or n == 1
        assert tested >= (n > 1)


def test_a_list_of_comments_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# a.png 1\n")
    with pytest.raises(MisuseError, match="only comments"):
        open_data(tmp_path / "list.txt")


def test_a_list_and_a_csv_are_read_with_their_split(tmp_path: Path) -> None:
    for i in range(6):
        photo(tmp_path / f"my photos/{i}.png")
    lines = [f"my photos/{i}.png {'ab'[i % 2]}" for i in range(6)]
    (tmp_path / "list.txt").write_text("# comment\n" + "\n".join(lines))
    source = open_data(tmp_path / "list.txt", test_share=0.34)
    assert source.classes == ("a", "b")
    assert len(source.train) + len(source.test) == 6
    rows = ["filename,label,split"] + [f"{i}.png,{i % 2},{'val' if i > 3 else 'train'}" for i in range(6)]
    (tmp_path / "my photos/labels.csv").write_text("\ufeff" + "\n".join(rows))
    for spec in (tmp_path / "my photos/labels.csv", tmp_path / "my photos"):
        source = open_data(spec)
        assert [p.name for p in source.test.paths] == ["4.png", "5.png"]
        assert source.classes == ("0", "1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the list is empty"),
        ("name,kind\na.png,1\n", "the header says name, kind"),
        ("path,label\n", "no rows"),
        ("path,label\na.png,0,1\n", ":2: 3 cells"),
        ("path,label\na.png,0\nb.png,0\n", "one class only"),
        ("path,label\na.png,0\nb.png,1\n", "none of its 2 pictures is there"),
        ("path,label,split\nx.png,0,train\nx.png,1,held\n", "it also says 'held'"),
        ("path,label\na.png,0\nb.png,900000\n", "no class number"),
        ("path,label\na.png,0\nb.png," + "9" * 5000, r"label 9+\.\.\. is no class number"),
        ("path,label\na.png,0\nb.png,01\n", "leading zeros"),
        ("path,label\na.png,0\n\nx.png, \n", r":4: no label in 'x\.png,'"),
        ("path,label\na.png,0\n,1\n", ":3: no path"),
        ("x.png,ants\nx.png,bees\n", "names a picture: put a line such as path,label above it"),
        ('path,label\na.png,"' + "x" * 200_000, ":2: not a CSV"),
    ],
)
def test_lists_that_cannot_be_say_why(tmp_path: Path, text: str, words: str) -> None:
    photo(tmp_path / "x.png")
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(MisuseError, match=words):
        open_data(tmp_path / "list.csv")


@pytest.mark.parametrize("name", ["\0", "x" * 5000, "x/" * 3000])
def test_a_listed_name_that_no_file_can_have_is_one_that_is_not_there(tmp_path: Path, name: str) -> None:
    photo(tmp_path / "x.png")
    (tmp_path / "list.txt").write_text(f"x.png a\nx.png b\nx.png b\nx.png a\n{name}.png a\n")
    source = open_data(tmp_path / "list.txt", test_share=0.0)
    assert source.notes[0].startswith("1 of 5 listed pictures are not there")
    assert len(source.record()["fingerprint"]) > 16  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="cannot be opened"):
        source.train.read(4)  # type: ignore[union-attr]
