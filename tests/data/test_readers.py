"""Every form of data set is read, and what is wrong with one is said where it is."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from convatlas.data.readers.cifar import load_inert
from convatlas.data.readers.digits import raw_digits
from convatlas.data.readers.idx import read_idx
from convatlas.data.readers.matlab import imagenet_synsets
from convatlas.data.readers.shards import expand
from convatlas.data.sets import FileSet, TensorSet
from convatlas.data.sources import open_data
from convatlas.data.splits import stratified
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


# --- digits, MNIST, Fashion-MNIST


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
        (labels, whole, "3 dimensions, expected 1"),
    ]
    for path, data, words in cases:
        kept = path.read_bytes()
        path.write_bytes(data)
        with pytest.raises(ConvAtlasError, match=words) as caught:
            open_data("mnist", tmp_path)
        assert str(tmp_path) in str(caught.value)
        path.write_bytes(kept)
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


# --- CIFAR


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
        images = next(true[k] for k in keys if true[k].ndim == 4)[:50]
        labels = next(true[k] for k in keys if true[k].ndim == 1)[:50]
    images = images if images.shape[1] == 3 else images.transpose(0, 3, 1, 2)
    every = source.train.images.flatten(1).float()
    for image, label in zip(images, labels, strict=True):
        distance = (every - torch.from_numpy(image.copy()).flatten().float()).abs().mean(1)
        assert distance.min() < 20
        assert source.train.labels[distance.argmin()] == int(label)
    assert "not CIFAR-10" in source.description


# --- folders and lists


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
    ],
)
def test_lists_that_cannot_be_say_why(tmp_path: Path, text: str, words: str) -> None:
    photo(tmp_path / "x.png")
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(MisuseError, match=words):
        open_data(tmp_path / "list.csv")


# --- tar shards


def write_shard(path: Path, samples: list[tuple[str, str, str]], kind: str = "cls") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for key, color, label in samples:
            buffer = io.BytesIO()
            Image.new("RGB", (9, 7), color).save(buffer, "PNG")
            body = json.dumps({"label": label}) if kind == "json" else label
            for name, data in ((f"{key}.png", buffer.getvalue()), (f"{key}.{kind}", body.encode())):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))


@pytest.mark.parametrize("kind", ["cls", "json", "txt"])
def test_shards_are_read_in_place(tmp_path: Path, kind: str) -> None:
    for part, count in (("train-000000", 4), ("train-000001", 2), ("val-000000", 2)):
        write_shard(
            tmp_path / f"{part}.tar", [(f"{part}/{i:04}", "navy", str(i % 2)) for i in range(count)], kind
        )
    source = open_data(tmp_path)
    assert (len(source.train), len(source.test)) == (6, 2)
    assert isinstance(source.train, FileSet)
    with Image.open(io.BytesIO(source.train.read(5))) as image:
        assert image.size == (9, 7)
    assert (
        len(open_data(str(tmp_path / "train-{000000..000001}.tar")).train) == 4
    )  # split here: 2 of 6 are tested


def test_shards_at_an_address_are_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVATLAS_CACHE", str(tmp_path / "cache"))
    for i in range(2):
        write_shard(tmp_path / f"site/s-{i}.tar", [(f"{i}{j}", "teal", "ab"[j % 2]) for j in range(6)])
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path / "site")
    handler.func.log_message = lambda *_: None  # type: ignore[attr-defined]
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/s-{{0..1}}.tar"
        source = open_data(address)
        assert len(source.train) + len(source.test) == 12
        assert source.classes == ("a", "b")
    finally:
        server.shutdown()
        server.server_close()
    assert len(open_data(address).train) == len(source.train)  # the server is gone, the cache is not


def test_broken_shards_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(ConvAtlasError, match=r"a\.tar: not a whole uncompressed tar"):
        open_data(tmp_path)
    with pytest.raises(MisuseError, match=r"b-1\.tar: there is no such shard"):
        open_data(str(tmp_path / "b-{1..2}.tar"))
    write_shard(tmp_path / "a.tar", [])
    with pytest.raises(MisuseError, match="no pictures with labels"):
        open_data(tmp_path)


def test_braces_keep_their_zeros() -> None:
    assert expand("x-{008..011}.tar") == ["x-008.tar", "x-009.tar", "x-010.tar", "x-011.tar"]
    assert expand("x.tar") == ["x.tar"]
    with pytest.raises(MisuseError, match="range"):
        expand("x-{5..1}.tar")


# --- ImageNet as distributed


def synsets(ids: dict[int, str]) -> bytes:
    from scipy.io import savemat

    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_train_images", "O")]
    rows = np.array(
        [[(np.uint8(i), w, f"words of {w}", np.uint16(1300))] for i, w in ids.items()], dtype=kind
    )
    buffer = io.BytesIO()
    savemat(buffer, {"synsets": rows}, do_compression=True)
    return buffer.getvalue()


@pytest.mark.oracle
def test_the_development_kits_matlab_file_is_read() -> None:
    pytest.importorskip("scipy.io")
    ids = {1: "n02119789", 2: "n02100735", 77: "n01440764"}
    assert imagenet_synsets(synsets(ids)) == ids
    with pytest.raises(ConvAtlasError, match="synsets"):
        imagenet_synsets(synsets(ids)[:150])
    with pytest.raises(ConvAtlasError, match="synsets"):
        imagenet_synsets(b"MATLAB")


@pytest.mark.oracle
def test_the_tars_of_imagenet_are_read_without_unpacking(tmp_path: Path) -> None:
    pytest.importorskip("scipy.io")

    def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))

    def jpeg(color: str) -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", (20, 20), color).save(buffer, "JPEG")
        return buffer.getvalue()

    colors = {"n01": "red", "n02": "lime"}
    with tarfile.open(tmp_path / "ILSVRC2012_img_train.tar", "w") as outer:
        for wnid in ("n02", "n01"):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as tar:
                for i in range(3):
                    add(tar, f"{wnid}_{i}.JPEG", jpeg(colors[wnid]))
            add(outer, f"{wnid}.tar", inner.getvalue())
    with tarfile.open(tmp_path / "ILSVRC2012_img_val.tar", "w") as tar:
        for i, wnid in enumerate(("n01", "n02", "n02"), 1):
            add(tar, f"ILSVRC2012_val_{i:08}.JPEG", jpeg(colors[wnid]))
    with tarfile.open(tmp_path / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as tar:
        add(tar, "ILSVRC2012_devkit_t12/data/meta.mat", synsets({1: "n02", 2: "n01"}))
        add(tar, "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", b"2\n1\n1\n")
    source = open_data("imagenet", tmp_path)
    assert source.classes == ("n01", "n02")
    assert source.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert source.test.labels.tolist() == [0, 1, 1]
    for part in (source.train, source.test):
        assert isinstance(part, FileSet)
        for i in range(len(part)):
            with Image.open(io.BytesIO(part.read(i))) as image:
                pixel = image.getpixel((5, 5))
            assert isinstance(pixel, tuple)
            assert int(np.argmax(pixel[:2])) == int(part.labels[i])


def test_imagenets_validation_without_labels_says_what_is_missing(tmp_path: Path) -> None:
    for wnid in ("n01", "n02"):
        photo(tmp_path / f"train/{wnid}/{wnid}_1.jpg")
    photo(tmp_path / "val/ILSVRC2012_val_00000001.jpg")
    with pytest.raises(MisuseError, match="ILSVRC2012_devkit_t12"):
        open_data("imagenet", tmp_path)
    (tmp_path / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\nILSVRC2012_val_00000001,n02 1 2 3 4\n"
    )
    assert open_data("imagenet", tmp_path).test.labels.tolist() == [1]


def test_a_tensor_set_keeps_what_it_is_given() -> None:
    images = torch.arange(8, dtype=torch.uint8).view(2, 1, 2, 2)
    part = TensorSet(images, torch.tensor([1, 0]), ("a", "b"), "two").subset([1])
    assert part.images.flatten().tolist() == [4, 5, 6, 7]
    assert part.labels.tolist() == [0]
    assert part.label_of(0) == "two[0]"
