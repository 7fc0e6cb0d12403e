"""Checkpoints: whole or not at all, and never code."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch

from convatlas.training import checkpoint
from convatlas.training.checkpoint import CheckpointError


def state(value: float) -> checkpoint.State:
    return {"model": {"w": torch.full((1000,), value)}, "progress": {"step": int(value)}}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 3, state(3))
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert torch.equal(found.state["model"]["w"], torch.full((1000,), 3.0))  # type: ignore[index]


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path / "nothing") is None


def test_two_are_kept(tmp_path: Path) -> None:
    for step in range(5):
        checkpoint.save(tmp_path, step, state(step))
    assert [p.name for p in checkpoint.listed(tmp_path)] == ["step-000000004.ckpt", "step-000000003.ckpt"]


@pytest.mark.parametrize("harm", ["flip", "cut", "empty"])
def test_a_damaged_newest_falls_back_to_the_one_before(tmp_path: Path, harm: str) -> None:
    checkpoint.save(tmp_path, 1, state(1))
    newest = checkpoint.save(tmp_path, 2, state(2))
    data = bytearray(newest.read_bytes())
    if harm == "flip":
        data[len(data) // 2] ^= 1
    newest.write_bytes({"flip": data, "cut": data[: len(data) // 2], "empty": b""}[harm])
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.path.name == "step-000000001.ckpt"
    assert len(found.broken) == 1
    assert "step-000000002.ckpt" in found.broken[0][1]


def test_all_damaged_is_an_error_that_says_so(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, state(1)).write_bytes(b"ConvAtlas run 1\n" + bytes(100))
    with pytest.raises(CheckpointError, match="no checkpoint can be read"):
        checkpoint.newest(tmp_path)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    # a checksum that is right and an archive that pickles a call: torch.load(weights_only=True) must refuse
    checkpoint.save(tmp_path, 1, {"model": Hostile()})
    with pytest.raises(CheckpointError):
        checkpoint.read(tmp_path / "step-000000001.ckpt")
    assert not (tmp_path / "ran").exists()


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, state(1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write then fails with EFBIG instead
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(CheckpointError, match="full"):
            checkpoint.save(tmp_path, 2, state(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.path.name == "step-000000001.ckpt"
    assert [p.name for p in tmp_path.iterdir()] == ["step-000000001.ckpt"]
