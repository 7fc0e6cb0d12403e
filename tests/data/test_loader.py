"""Batches depend on the seed and the epoch, and on nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from convatlas.data.augmentation import Augmentation
from convatlas.data.images import read_image
from convatlas.data.loader import Loader
from convatlas.data.pixels import crop_pixels
from convatlas.data.randomness import Draws, epoch_order
from convatlas.data.sets import FileSet, TensorSet
from convatlas.define.preprocessing import Preprocessing, named
from convatlas.errors import ConvAtlasError, MisuseError

CROP = Augmentation(crop="resized")


@pytest.fixture(scope="module")
def photos(shared_data: Path) -> FileSet:
    paths = sorted((shared_data / "photos/imagenette/train").glob("*/*"))[::40]
    paths[3:3] = [
        shared_data / "odd-images/truncated_jpeg.jpg",
        shared_data / "odd-images/own_text_named.jpg",
    ]
    paths += [shared_data / "odd-images/hopper_orientation_5.jpg", shared_data / "odd-images/i_trns.png"]
    return FileSet(tuple(paths), torch.arange(len(paths)) % 3, ("a", "b", "c"))


def numbered(count: int, size: int = 4, channels: int = 1) -> TensorSet:
    """Pictures that say which they are."""
    images = torch.arange(count).view(-1, 1, 1, 1).expand(-1, channels, size, size).to(torch.uint8)
    return TensorSet(images.clone(), torch.arange(count) % 2, ("even", "odd"))


def test_batches_do_not_depend_on_the_number_of_workers(photos: FileSet) -> None:
    runs = [
        [
            (x.clone(), y, i)
            for x, y, i in Loader(photos, 8, 96, True, CROP, seed=5, workers=w, hold_bytes=h).batches(3)
        ]
        for w, h in ((1, 0), (4, 0), (3, 1 << 30))
    ]
    for other in runs[1:]:
        assert len(other) == len(runs[0])
        for one, two in zip(runs[0], other, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_what_is_held_in_memory_is_what_is_read_again(photos: FileSet) -> None:
    held, read = (Loader(photos, 8, 64, True, CROP, hold_bytes=h) for h in (1 << 30, 0))
    for epoch in (0, 1, 2):
        for a, b in zip(held.epoch(epoch), read.epoch(epoch), strict=True):
            assert torch.equal(a[0], b[0])


@given(
    count=st.integers(1, 40),
    batch=st.integers(1, 9),
    epoch=st.integers(0, 5),
    train=st.booleans(),
    data=st.data(),
)
def test_a_resumed_epoch_gives_exactly_the_rest(
    count: int, batch: int, epoch: int, train: bool, data: st.DataObject
) -> None:
    loader = Loader(numbered(count), batch, train=train, seed=count)
    whole = list(loader.batches(epoch))
    assert len(whole) == len(loader)
    start = data.draw(st.integers(0, len(loader)))
    rest = list(Loader(numbered(count), batch, train=train, seed=count).batches(epoch, start))
    assert len(rest) == len(whole) - start
    for a, b in zip(whole[start:], rest, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_photos_resume_within_an_epoch_too(photos: FileSet) -> None:
    whole = [(x.clone(), y) for x, y in Loader(photos, 8, 64, True, CROP).epoch(1)]
    rest = list(Loader(photos, 8, 64, True, CROP).epoch(1, start_batch=2))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(whole[2:], rest, strict=True))


@given(count=st.integers(1, 60), seed=st.integers(0, 99), epoch=st.integers(0, 99))
def test_an_epoch_is_a_permutation_of_its_own(count: int, seed: int, epoch: int) -> None:
    order = epoch_order(count, seed, epoch)
    assert sorted(order.tolist()) == list(range(count))
    assert torch.equal(order, epoch_order(count, seed, epoch))
    if count > 20:
        assert not torch.equal(order, epoch_order(count, seed, epoch + 1))
        assert not torch.equal(order, epoch_order(count, seed + 1, epoch))


@given(count=st.integers(1, 60), batch=st.integers(1, 8), world=st.integers(1, 4))
def test_the_ranks_together_see_the_joint_batches(count: int, batch: int, world: int) -> None:
    joint = Loader(numbered(count), batch * world, train=True, drop_last=True)
    ranks = [
        Loader(numbered(count), batch, train=True, shard=(r, world), drop_last=True) for r in range(world)
    ]
    assert {len(r) for r in ranks} == {len(joint)}
    parts = [list(r.batches(2)) for r in ranks]
    for number, whole in enumerate(joint.batches(2)):
        assert torch.cat([p[number].indices for p in parts]).tolist() == whole.indices.tolist()


def test_evaluation_sees_everything_once_in_order() -> None:
    batches = list(Loader(numbered(10), 4).batches())
    assert [len(b.labels) for b in batches] == [4, 4, 2]
    assert torch.cat([b.indices for b in batches]).tolist() == list(range(10))
    assert torch.cat([b.images[:, 0, 0, 0] for b in batches]).tolist() == list(range(10))


def test_training_drops_what_does_not_fill_a_batch_unless_nothing_else_is_there() -> None:
    assert [len(y) for _, y in Loader(numbered(10), 4, train=True).epoch()] == [4, 4]
    assert [len(y) for _, y in Loader(numbered(3), 4, train=True).epoch()] == [3]


def test_evaluation_of_photos_has_the_exact_pixels(photos: FileSet) -> None:
    loader = Loader(photos, 4, 224, preprocessing=named("torchvision"))
    for _ in range(2):  # the second time from memory
        for images, labels, indices in loader.batches():
            assert images.is_contiguous(memory_format=torch.channels_last)
            for image, label, index in zip(images, labels, indices.tolist(), strict=True):
                pixels = crop_pixels(read_image(photos.paths[index]), named("torchvision"))
                assert torch.equal(image, torch.from_numpy(pixels).permute(2, 0, 1))
                assert label == photos.labels[index]


def test_broken_pictures_are_left_out_and_listed_once(photos: FileSet) -> None:
    loader = Loader(photos, 8, 32)
    for _ in range(2):
        seen = torch.cat([b.indices for b in loader.batches()]).tolist()
        assert seen == [i for i in range(len(photos)) if i not in (3, 4)]
    assert sorted(Path(p).name for p, _ in loader.skipped) == ["own_text_named.jpg", "truncated_jpeg.jpg"]
    assert "truncated" in {Path(p).name: r for p, r in loader.skipped}["truncated_jpeg.jpg"]


def test_a_picture_from_another_world_costs_only_itself(tmp_path: Path) -> None:
    Image.new("RGB", (1, 9000)).save(tmp_path / "thin.png")
    Image.new("RGB", (30_000, 2)).save(tmp_path / "wide.jpg")
    Image.new("CMYK", (40, 50)).save(tmp_path / "ink.jpg")
    Image.new("RGB", (2000, 1500), "teal").save(tmp_path / "large.jpg")
    files = FileSet(tuple(sorted(tmp_path.iterdir())), torch.tensor([0, 1, 0, 1]), ("a", "b"))
    for augmentation in (
        CROP,
        Augmentation(crop="random"),
        Augmentation(crop="jitter", short_side=(64, 128)),
    ):
        loader = Loader(files, 4, 32, True, augmentation)
        ((images, _labels),) = loader.epoch()
        assert images.shape == (4, 3, 32, 32)
        assert not loader.skipped
    color = torch.tensor([0, 128, 128])
    large = images[loader.order(0).tolist().index(1)]
    assert (large.permute(1, 2, 0).int() - color).abs().max() <= 3


def test_28_pixels_are_padded_to_32_as_in_the_paper_and_other_sizes_resized() -> None:
    # LeCun et al. 1998, II.B: "The input is a 32x32 pixel image ... the largest character is at most 20x20"
    digits = TensorSet(torch.full((3, 1, 28, 28), 9, dtype=torch.uint8), torch.zeros(3), ("a",))
    ((padded, _),) = Loader(digits, 3, 32).epoch()
    assert (padded[:, :, 2:30, 2:30] == 9).all()
    assert int(padded.sum()) == 3 * 28 * 28 * 9
    ((large, _),) = Loader(digits, 3, 224, channels=3).epoch()
    assert large.shape == (3, 3, 224, 224)
    assert (large == 9).all()
    assert large.is_contiguous(memory_format=torch.channels_last)


def test_color_becomes_grey_by_the_weights_of_pillow() -> None:
    colors = torch.tensor([[255, 0, 0], [0, 255, 0], [12, 200, 77]], dtype=torch.uint8).view(3, 3, 1, 1)
    ((grey, _),) = Loader(TensorSet(colors, torch.zeros(3), ("a",)), 3, channels=1).epoch()
    expected = [
        Image.new("RGB", (1, 1), tuple(c.flatten().tolist())).convert("L").getpixel((0, 0)) for c in colors
    ]
    assert np.abs(grey.flatten().numpy().astype(int) - expected).max() <= 1


def test_draws_are_uniform_and_of_their_own() -> None:
    values = np.array([Draws(1, e, i).uniform() for e in range(20) for i in range(500)])
    assert values.min() >= 0
    assert values.max() < 1
    counts, _ = np.histogram(values, 10, (0, 1))
    assert ((counts - 1000) ** 2 / 1000).sum() < 27.9  # chi-squared of 9 degrees, one in a thousand
    assert len(np.unique(values)) == len(values)


def test_misuse_is_said_at_once(photos: FileSet) -> None:
    with pytest.raises(MisuseError, match="batch size"):
        Loader(photos, 0, 32)
    with pytest.raises(MisuseError, match="size of the input"):
        Loader(photos, 4)
    with pytest.raises(MisuseError, match="only 1 and 3"):
        Loader(numbered(4, channels=2), 2, channels=3)
    with pytest.raises(ConvAtlasError, match="4 images but labels"):
        TensorSet(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.zeros(3), ("a",))
    with pytest.raises(ConvAtlasError, match="there are 1 classes"):
        TensorSet(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.ones(4), ("a",))


def test_a_reader_that_stops_early_leaves_no_threads_behind(photos: FileSet) -> None:
    import threading

    batches = Loader(photos, 2, 64, True, CROP, workers=3).epoch()
    next(batches)
    batches.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]


def test_preprocessing_of_the_loader_is_that_of_the_weights(photos: FileSet) -> None:
    p = Preprocessing(resize=40, crop=(24, 32), interpolation="bicubic")
    images, _ = next(iter(Loader(photos, 2, preprocessing=p).epoch()))
    assert images.shape[2:] == (24, 32)


def test_loaders_of_one_set_decode_a_photo_once_and_the_budget_is_one(photos: FileSet) -> None:
    from convatlas.data.memory import store_of

    files = photos.subset(range(10))
    store = store_of(files)
    room = store.room
    list(Loader(files, 5, 32, True, CROP, drop_last=False).epoch())
    taken = room - store.room
    assert taken > 0
    list(Loader(files, 5, 64, True, CROP, drop_last=False).epoch())
    assert room - store.room == taken  # the larger size found the pixels there
    list(Loader(files, 5, 64).epoch())
    assert room - store.room == taken + 8 * 64 * 64 * 3  # two of the ten cannot be read


def test_the_budget_is_of_what_the_container_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    from convatlas import machine
    from convatlas.data.memory import free_memory

    files = {
        "/proc/meminfo": "MemTotal: 64000000 kB\nMemAvailable: 32000000 kB\n",
        "/sys/fs/cgroup/memory.max": str(2 << 30),
        "/sys/fs/cgroup/memory.current": str(1 << 30),
    }
    monkeypatch.setattr(machine, "_read", lambda path: files.get(path, ""))
    assert free_memory() == 1 << 30
    files.clear()
    assert free_memory() > 0


def test_a_store_that_is_full_changes_nothing(photos: FileSet) -> None:
    little, none = (Loader(photos, 8, 48, True, CROP, hold_bytes=h) for h in (400_000, 0))
    for epoch in (0, 1):
        for a, b in zip(little.epoch(epoch), none.epoch(epoch), strict=True):
            assert torch.equal(a[0], b[0])
