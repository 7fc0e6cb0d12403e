"""CIFAR-10 and CIFAR-100 in both archives; a pickle runs nothing."""

from __future__ import annotations

import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convatlas.data.readers.cifar import Inert, load_inert
from convatlas.data.sources import open_data
from convatlas.errors import ConvAtlasError


def cifar_batch(n: int, key: str = "labels", protocol: int = 2) -> bytes:
    data = (np.arange(n * 3072) % 251).astype(np.uint8).reshape(n, 3072)
    content = {b"data": data, key.encode(): [i % 10 for i in range(n)]}
    return pickle.dumps(content, protocol)


def write_cifar10(folder: Path, protocol: int = 2) -> Path:
    folder.mkdir(parents=True)
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        (folder / name).write_bytes(cifar_batch(4, protocol=protocol))
    return folder


@pytest.mark.parametrize("protocol", [2, 4])
def test_cifars_python_batches_are_read_without_numpys_unpickling(tmp_path: Path, protocol: int) -> None:
    write_cifar10(tmp_path / "cifar-10-batches-py", protocol)
    source = open_data("cifar10", tmp_path)
    assert (len(source.train), len(source.test)) == (20, 4)
    expected = (np.arange(3072) % 251).astype(np.uint8).reshape(3, 32, 32)  # red rows, then green, then blue
    assert np.array_equal(source.train.images[0].numpy(), expected)
    assert source.train.labels[:4].tolist() == [0, 1, 2, 3]
    assert source.classes[3] == "cat"


def test_a_cifar_archive_is_read_in_place(tmp_path: Path) -> None:
    folder = write_cifar10(tmp_path / "made/cifar-10-batches-py")
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(folder, "cifar-10-batches-py")
    assert len(open_data("cifar10", tmp_path).train) == 20
    whole = (tmp_path / "cifar-10-python.tar.gz").read_bytes()
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConvAtlasError, match="damaged or truncated"):
        open_data("cifar10", tmp_path)


def test_cifars_binary_records_are_read(tmp_path: Path) -> None:
    pixels = (np.arange(3072) % 256).astype(np.uint8).tobytes()
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        (tmp_path / name).write_bytes(b"\7" + pixels + b"\1" + pixels)
    source = open_data("cifar10", tmp_path)
    assert source.test.labels.tolist() == [7, 1]
    assert source.test.images[1, 2, 31, 31] == 255
    (tmp_path / "test_batch.bin").write_bytes(b"\7" + pixels[:-1])
    with pytest.raises(ConvAtlasError, match="records of 3073"):
        open_data("cifar10", tmp_path)


def test_cifar100_takes_the_fine_labels(tmp_path: Path) -> None:
    pixels = bytes(3072)
    for name in ("train.bin", "test.bin"):
        (tmp_path / name).write_bytes(b"\3\x2a" + pixels)
    (tmp_path / "fine_label_names.txt").write_text("\n".join(f"n{i}" for i in range(100)))
    source = open_data("cifar100", tmp_path)
    assert source.train.labels.tolist() == [42]
    assert source.classes[42] == "n42"


def test_a_pickle_that_would_run_code_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    marker = tmp_path / "executed"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (eval, (f"open({str(marker)!r}, 'w')",))

    for payload in (Evil(), {b"data": Evil()}, [Path("x")]):
        with pytest.raises(ConvAtlasError, match="refused, not run"):
            load_inert(pickle.dumps(payload), "data_batch_1")
    assert not marker.exists()


@pytest.mark.parametrize("label", [-1, 2**70, "3", 10])
def test_a_label_that_is_no_class_of_cifar_is_refused(tmp_path: Path, label: object) -> None:
    folder = write_cifar10(tmp_path / "cifar-10-batches-py")
    batch = {b"data": np.zeros((1, 3072), np.uint8), b"labels": [label]}
    (folder / "test_batch").write_bytes(pickle.dumps(batch, 2))
    with pytest.raises(ConvAtlasError, match="labels"):
        open_data("cifar10", tmp_path)


@pytest.mark.parametrize("shape", [(-1, -1), (2, -3072), ("a", 3072), (2**70, 3072), (1,) * 70, (2, 3072.0)])
def test_an_array_of_a_shape_that_cannot_be_is_refused(shape: tuple[object, ...]) -> None:
    dtype = load_inert(pickle.dumps(np.dtype(np.uint8)), "x")
    array = Inert()
    array.__setstate__((1, shape, dtype, False, bytes(6144)))
    with pytest.raises(ConvAtlasError, match="x: 6,144 bytes for an array of shape"):
        array.array("x")


@given(st.binary(max_size=200))
def test_noise_is_no_cifar_batch(data: bytes) -> None:
    try:
        load_inert(data, "x")
    except ConvAtlasError as error:
        assert "not a CIFAR batch" in str(error)  # noqa: PT017


@pytest.mark.slow
def test_cifar10_jpeg_is_in_the_order_of_cifar10s_classes(shared_data: Path) -> None:
    source = open_data("cifar10-jpeg", shared_data)
    assert torch.bincount(source.train.labels).tolist() == [5000] * 10
    assert torch.bincount(source.test.labels).tolist() == [1000] * 10
    # the same pictures as CIFAR-10's, a little off: each lossless one has a near twin of its label
    with np.load(shared_data / "cifar10-jpeg/lossless_train_first4000.npz") as true:
        keys = list(true)
        images = next(true[k] for k in keys if true[k].ndim == 4)[:12]
        labels = next(true[k] for k in keys if true[k].ndim == 1)[:12]
    images = images if images.shape[1] == 3 else images.transpose(0, 3, 1, 2)
    every = source.train.images.flatten(1).float()
    distance = torch.cdist(torch.from_numpy(images.copy()).flatten(1).float(), every, p=1) / 3072
    assert distance.amin(1).max() < 20
    assert source.train.labels[distance.argmin(1)].tolist() == [int(n) for n in labels]
    assert "not CIFAR-10" in source.description
