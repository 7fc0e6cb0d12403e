"""ImageNet as it is distributed."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convatlas.data.readers.matlab import imagenet_synsets
from convatlas.data.sets import FileSet, TensorSet
from convatlas.data.sources import open_data
from convatlas.errors import ConvAtlasError, MisuseError


def photo(path: Path, color: str = "red", size: tuple[int, int] = (12, 10)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)
    return path


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


def test_a_tar_of_imagenet_that_was_cut_between_two_classes_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "ILSVRC2012_img_val.tar", "w"):
        pass
    empty = (tmp_path / "ILSVRC2012_img_val.tar").read_bytes()
    with tarfile.open(tmp_path / "ILSVRC2012_img_train.tar", "w") as outer:
        for wnid in ("n01", "n02", "n03"):
            entry = tarfile.TarInfo(f"{wnid}.tar")
            entry.size = len(empty)
            outer.addfile(entry, io.BytesIO(empty))
        end = outer.offset
    with (tmp_path / "ILSVRC2012_img_train.tar").open("rb+") as file:
        file.truncate(end)
    with pytest.raises(ConvAtlasError, match="img_train.*breaks off"):
        open_data("imagenet", tmp_path)


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
