"""Pickles from elsewhere: tensors are read, whatever else is refused before it could do anything."""

from __future__ import annotations

import argparse
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from convatlas.networks import catalogue
from convatlas.weights import WeightsError, open_checkpoint
from convatlas.weights.files import read_foreign
from convatlas.weights.torch_file import read_torch

TENSORS = {"conv.weight": torch.arange(9.0).reshape(1, 1, 3, 3)}


class Malicious:
    """Unpickled, it would write a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.target}",)


def write(path: Path, content: object, how: str) -> Path:
    if how == "pickle":
        path.write_bytes(pickle.dumps(content))
    elif how == "legacy":
        torch.save(content, path, _use_new_zipfile_serialization=False)
    elif how == "npz":
        np.savez(path, w=np.array([content], dtype=object))
    elif how == "npy":
        np.save(path, np.array([content], dtype=object), allow_pickle=True)
    else:
        torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("w.pth", "zip"), ("w.th", "legacy"), ("w.pth", "pickle"), ("w.pt", "zip"), ("w.bin", "pickle"),
        ("w.npz", "npz"), ("w.npy", "npy"), ("w.safetensors", "pickle"), ("w.caffemodel", "pickle"),
        ("w.tflite", "pickle"), ("w.h5", "pickle"), ("w.keras", "zip"),
    ],
)  # fmt: skip
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(
    tmp_path: Path, name: str, how: str
) -> None:
    trap = tmp_path / "executed"
    path = write(
        tmp_path / name, {"state_dict": Malicious(trap)} if how != "pickle" else Malicious(trap), how
    )
    with pytest.raises(WeightsError):
        open_checkpoint(path, catalogue.network("lenet5"))
    assert not trap.exists()


def test_the_trap_of_that_test_would_spring(tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    path = write(tmp_path / "w.pkl", Malicious(trap), "pickle")
    pickle.loads(path.read_bytes())
    assert trap.exists()


@pytest.mark.parametrize("how", ["zip", "legacy"])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model_state_dict", "net"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module."])
def test_wrapped_state_dicts_are_found(tmp_path: Path, how: str, wrapper: str | None, prefix: str) -> None:
    tensors = OrderedDict((prefix + name, tensor) for name, tensor in TENSORS.items())
    content: object = tensors if wrapper is None else {"epoch": 3, wrapper: tensors, "optimizer": {"lr": 0.1}}
    found, around = read_torch(write(tmp_path / "w.pth", content, how))
    assert found.keys() == TENSORS.keys()
    assert found["conv.weight"].equal(TENSORS["conv.weight"])
    assert around == ({} if wrapper is None else {"epoch": 3})


def test_options_and_scores_beside_the_weights_do_no_harm(tmp_path: Path) -> None:
    content = {"args": argparse.Namespace(lr=0.1), "acc": np.float64(91.5), "state_dict": TENSORS}
    found, around = read_torch(write(tmp_path / "w.pth", content, "zip"))
    assert found.keys() == TENSORS.keys()
    assert around == {"acc": 91.5}


def test_a_prefix_that_not_all_share_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "w.pth", {"module.a.weight": torch.ones(1), "b.weight": torch.ones(1)}, "zip")
    assert set(read_torch(path)[0]) == {"module.a.weight", "b.weight"}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"epoch": 3}, "no state dict"),
        ([1, 2], "no state dict"),
        ({"w.weight": torch.zeros(1).expand(10**6, 10**6)}, "claims shape"),
        ({"w.weight": torch.zeros(2, 2).to_sparse()}, "plain numbers"),
        ({"strange.thing": torch.zeros(2)}, "no network of the catalogue has such a layer"),
    ],
)
def test_what_is_no_state_dict_is_told(tmp_path: Path, content: object, complaint: str) -> None:
    with pytest.raises(WeightsError, match=complaint):
        read_foreign(write(tmp_path / "w.pth", content, "zip"))


@pytest.mark.parametrize("suffix", ["pth", "npz", "keras"])
def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"bomb.{suffix}"
    member = {"pth": "archive/data.pkl", "npz": "w.npy", "keras": "model.weights.h5"}[suffix]
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(member, "w") as file,
    ):
        for _ in range(100):
            file.write(bytes(1 << 20))
    with pytest.raises(WeightsError, match="zip bomb"):
        read_foreign(path)


def test_a_broken_archive_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "w.pth", TENSORS, "zip")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(WeightsError, match=r"w\.pth"):
        read_foreign(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + bytes(40), bytes(range(256)) * 9])
def test_what_is_no_checkpoint_at_all_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"w\.pth"):
        read_foreign(path)


def test_an_npz_of_plain_arrays_is_read(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "w.npz", allow_pickle=False, **{name: tensor.numpy() for name, tensor in TENSORS.items()}
    )
    (layer,) = read_foreign(tmp_path / "w.npz").layers
    assert layer.tensors["weight"].equal(TENSORS["conv.weight"])
