"""The bundled digits, MNIST and Fashion-MNIST: the sets that they are, and what is wrong with a file."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from convatlas.data.readers.digits import raw_digits
from convatlas.data.readers.idx import read_idx
from convatlas.data.sources import open_data
from convatlas.errors import ConvAtlasError, MisuseError


def photo(path: Path, color: str = "red", size: tuple[int, int] = (12, 10)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)
    return path


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_mnist(folder: Path, train: int = 6, test: int = 3, gz: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, n in (("train", train), ("t10k", test)):
        images = np.arange(n * 28 * 28, dtype=np.uint32).reshape(n, 28, 28).astype(np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", np.arange(n, dtype=np.uint8) % 10)):
            data = idx(array)
            (folder / f"{stem}-{kind}-ubyte{'.gz' if gz else ''}").write_bytes(
                gzip.compress(data) if gz else data
            )


def test_the_bundled_digits_are_1797_and_split_by_seed() -> None:
    source = open_data("digits", seed=3)
    assert len(source.train) + len(source.test) == 1797
    assert source.train.images.shape[1:] == (1, 32, 32)
    assert source.split["seed"] == 3
    shares = torch.bincount(source.test.labels) / torch.bincount(
        torch.cat([source.train.labels, source.test.labels])
    )
    assert ((shares - 0.2).abs() < 0.01).all()
    assert open_data("digits", seed=3).record() == source.record()
    assert open_data("digits", seed=4).record()["fingerprint"] != source.record()["fingerprint"]
    assert "not MNIST" in source.description


@pytest.mark.oracle
def test_the_bundled_digits_are_those_of_scikit_learn() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    peer = datasets.load_digits()
    images, labels = raw_digits()
    assert np.array_equal(images, peer.images)
    assert np.array_equal(labels, peer.target)


def test_mnist_is_the_canonical_one(shared_data: Path) -> None:
    source = open_data("mnist", shared_data)
    assert (len(source.train), len(source.test)) == (60_000, 10_000)
    # the first labels and the class counts that everybody knows
    assert source.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert torch.bincount(source.test.labels).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
    assert (source.train.images.float() / 255).mean().item() == pytest.approx(0.1307, abs=1e-4)


def test_fashion_mnist_has_6000_of_each(shared_data: Path) -> None:
    source = open_data("fashion-mnist", shared_data)
    assert torch.bincount(source.train.labels).tolist() == [6000] * 10
    assert source.classes[9] == "Ankle boot"


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("below", [".", "mnist", "MNIST/raw"])
def test_idx_files_are_found_gzipped_or_not(tmp_path: Path, gz: bool, below: str) -> None:
    write_mnist(tmp_path / below, gz=gz)
    source = open_data("mnist", tmp_path)
    assert (len(source.train), len(source.test)) == (6, 3)


def test_broken_idx_files_are_named_with_what_is_wrong(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    labels, images = tmp_path / "train-labels-idx1-ubyte", tmp_path / "train-images-idx3-ubyte"
    whole = images.read_bytes()
    cases = [
        (images, whole[:-100], "truncated.*6x28x28 needs 4,704 bytes.*4,604"),
        (images, whole + b"x", "longer than its header"),
        (images, b"\x89PNG and more", "not an idx file"),
        (images, b"", "not an idx file"),
        (images, b"\0\0\x0d\3" + whole[4:], "idx type 0x0d"),
        (images, whole[:9], "header ends early"),
        (images, gzip.compress(whole)[:-30], "damaged or truncated"),
        (labels, idx(np.zeros(5, np.uint8)), "6 images.*5 labels"),
        (labels, idx(np.full(6, 11, np.uint8)), "labels up to 11.*10 classes"),
        (images, idx(np.zeros((1,) * 60, np.uint8)), "60 dimensions, expected at most 8"),
        (images, b"\0\0\x08\xc8" + b"\0\0\0\1" * 200 + b"x", "200 dimensions, expected at most 8"),
        (labels, whole, "3 dimensions, expected 1"),
    ]
    for path, data, words in cases:
        kept = path.read_bytes()
        path.write_bytes(data)
        with pytest.raises(ConvAtlasError, match=words) as caught:
            open_data("mnist", tmp_path)
        assert str(tmp_path) in str(caught.value)
        path.write_bytes(kept)
    images.write_bytes(idx(np.zeros((6, 0, 28), np.uint8)))
    with pytest.raises(ConvAtlasError, match="mnist: images of no pixels"):
        open_data("mnist", tmp_path)
    labels.unlink()
    with pytest.raises(ConvAtlasError, match=r"train-labels-idx1-ubyte .* is missing"):
        open_data("mnist", tmp_path)
    with pytest.raises(MisuseError, match="no idx files"):
        open_data("mnist", photo(tmp_path / "other/a.png").parent)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(0, 255))
def test_idx_of_any_shape_is_read_back(shape: list[int], value: int) -> None:
    import tempfile

    array = (np.arange(np.prod(shape)).reshape(shape) + value).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        path.write_bytes(idx(array))
        assert np.array_equal(read_idx(path), array)


def test_offline_without_a_cache_says_where_to_put_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVATLAS_CACHE", str(tmp_path))
    monkeypatch.setenv("CONVATLAS_OFFLINE", "1")
    with pytest.raises(ConvAtlasError, match="train-images-idx3-ubyte.gz"):
        open_data("mnist")
    with pytest.raises(MisuseError, match="--data-root"):
        open_data("mnist", download=False)
