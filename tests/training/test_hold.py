"""Runs that begin together have folders of their own, and what failed early leaves none."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from convatlas.data.sources import DataSource
from convatlas.define import Network
from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.training.fit import fit
from convatlas.training.hold import held, reserved
from convatlas.training.logs import Logs
from convatlas.training.recipe import Recipe

RECIPE = Recipe(epochs=1, batch=16, lr=0.05, deterministic=True, precision="float32", replicas=1)


def test_runs_begun_together_take_folders_of_their_own(tmp_path: Path) -> None:
    together = Barrier(8)

    def take(_: int) -> str:
        together.wait()
        with reserved(tmp_path / "runs", "lenet5", "digits") as path:
            together.wait()  # none is given back before all are taken
            (path / "recipe.json").touch()
            return path.name

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(take, range(8))) == [f"lenet5-digits-{i}" for i in range(1, 9)]


def test_a_folder_that_stays_empty_is_not_left(tmp_path: Path) -> None:
    (tmp_path / "lenet5-digits-1").symlink_to(tmp_path / "nowhere")
    for _ in range(2):
        with reserved(tmp_path, "lenet5", "digits") as path, held(path):
            assert path.name == "lenet5-digits-2"
            assert path.is_dir()
    assert [p.name for p in tmp_path.iterdir()] == ["lenet5-digits-1"]
    (tmp_path / "file").touch()
    with (
        pytest.raises(ConvAtlasError, match="file: cannot be written"),
        reserved(tmp_path / "file", "a", "b"),
    ):
        pass


def test_no_other_run_gets_into_one_that_is_training(
    network: Network, source: DataSource, tmp_path: Path
) -> None:
    refused: list[bool] = []

    class Beside(Logs):
        def begin(self, epoch: int, epochs: int, steps: int, done: int) -> None:
            for resume in (False, True):
                with pytest.raises(MisuseError, match="another process trains in it"):
                    fit(network, source, RECIPE, out=tmp_path / "run", resume=resume)
                refused.append(resume)

    fit(network, source, RECIPE, out=tmp_path / "run", logs=Beside())
    assert refused == [False, True]
    fit(network, source, RECIPE, out=tmp_path / "run", resume=True)


def test_a_run_that_fails_before_it_begins_leaves_nothing(
    network: Network, source: DataSource, tmp_path: Path
) -> None:
    empty = dataclasses.replace(source, train=source.train.subset([]))
    with pytest.raises(ConvAtlasError, match="no pictures to train on"):
        fit(network, empty, RECIPE, out=tmp_path / "new")
    (tmp_path / "mine").mkdir()
    with pytest.raises(ConvAtlasError, match="no pictures to train on"):
        fit(network, empty, RECIPE, out=tmp_path / "mine")
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
    fit(network, source, RECIPE, out=tmp_path / "mine")
