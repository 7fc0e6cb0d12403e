"""Checkpoints: whole or not at all, and never code."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import torch

from convatlas.data.sources import DataSource
from convatlas.define import Network, scale_width, without_normalization
from convatlas.errors import ConvAtlasError
from convatlas.training import checkpoint
from convatlas.training.checkpoint import CheckpointError
from convatlas.training.fit import fit
from convatlas.training.logs import Logs
from convatlas.training.recipe import Recipe
from convatlas.weights import read_weights


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
    with pytest.raises(CheckpointError, match="refused, and nothing of it was run") as told:
        checkpoint.read(tmp_path / "step-000000001.ckpt")
    assert "weights_only" not in str(told.value)  # torch's advice is to run it
    assert not (tmp_path / "ran").exists()


@contextmanager
def files_of(size: int) -> Iterator[None]:
    """No file may grow above so many bytes: the nearest to a full disk that a process can give itself."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write then fails with EFBIG instead
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    with files_of(2000), pytest.raises(CheckpointError, match="full.*There is none before it"):
        checkpoint.save(tmp_path, 1, state(1))
    checkpoint.save(tmp_path, 1, state(1))
    with files_of(2000), pytest.raises(CheckpointError, match="full.*before it is whole"):
        checkpoint.save(tmp_path, 2, state(2))
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.path.name == "step-000000001.ckpt"
    assert [p.name for p in tmp_path.iterdir()] == ["step-000000001.ckpt"]


def test_a_text_that_cannot_be_written_is_named_by_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "summary.json").mkdir()
    with pytest.raises(IsADirectoryError) as told:
        checkpoint.write_text(tmp_path / "summary.json", "{}")
    assert told.value.filename == str(tmp_path / "summary.json")
    assert ".part" not in str(told.value)
    assert list(tmp_path.iterdir()) == [tmp_path / "summary.json"]


class Fills(Logs):
    """Lets no file be larger than so many bytes from an epoch's end on."""

    def __init__(self, epoch: int, size: int, until: ExitStack) -> None:
        self.at, self.size, self.until, self.lines = epoch, size, until, list[str]()

    def say(self, text: str) -> None:
        self.lines.append(text)

    def epoch(self, line: Mapping[str, object]) -> None:
        if line["epoch"] == self.at:
            self.until.enter_context(files_of(self.size))


def test_a_disk_that_is_full_at_the_end_takes_neither_the_score_nor_the_kept_weights(
    network: Network, source: DataSource, tmp_path: Path
) -> None:
    wide = scale_width(without_normalization(network), 64)
    # a rate of 0: the first epoch's weights are the best, and are written before the disk is full
    recipe = Recipe(epochs=2, batch=48, lr=0.0, deterministic=True, precision="float32")
    with ExitStack() as until:
        logs = Fills(2, 60_000, until)
        fit(wide, source, recipe, out=tmp_path / "run", logs=logs)
    assert logs.lines[-1].startswith("top-1")
    assert any("warning" in line and "weights.safetensors" in line for line in logs.lines)
    assert read_weights(tmp_path / "run/weights.safetensors").provenance["epoch"] == 1
    for name in ("summary.json", "report.html"):
        assert (tmp_path / "run" / name).exists()


def test_what_is_wanting_at_the_end_is_said_and_written_at_resume(
    network: Network, source: DataSource, tmp_path: Path
) -> None:
    recipe = Recipe(epochs=1, batch=48, deterministic=True, precision="float32")
    with ExitStack() as until:
        logs = Fills(1, 1, until)
        with pytest.raises(ConvAtlasError, match=r"report\.html.*--resume") as told:
            fit(network, source, recipe, out=tmp_path, logs=logs)
    assert all(name in str(told.value) for name in ("weights.safetensors", "summary.json"))
    assert logs.lines[-1].startswith("top-1")
    fit(network, source, recipe, out=tmp_path, resume=True)
    for name in ("weights.safetensors", "summary.json", "report.html"):
        assert (tmp_path / name).exists()
