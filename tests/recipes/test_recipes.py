"""Recipes are those of the papers, and every network has one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from convatlas.errors import MisuseError
from convatlas.networks import catalogue
from convatlas.recipes import RECIPES, default, of_paper, recipe
from convatlas.recipes.job import train
from convatlas.training.recipe import Recipe
from convatlas.training.schedule import lr_factor


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_whole(name: str) -> None:
    found = recipe(name)
    assert found.source
    assert RECIPES[name].__doc__
    assert Recipe.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    factors = [lr_factor(found, found.epochs * i / 50) for i in range(51)]
    assert all(0 <= f <= 1 for f in factors)


@pytest.mark.parametrize("network", catalogue.names())
def test_every_network_has_its_paper_s_recipe_and_a_default(network: str) -> None:
    assert of_paper(network) in RECIPES
    assert default(network, "digits").name.startswith("fast")
    assert default(network, "photos/", weights=True).head_epochs > 0


def test_alexnet_s_recipe_is_that_of_section_5() -> None:
    r = recipe("alexnet")
    assert (r.batch, r.lr, r.momentum, r.weight_decay, r.gamma) == (128, 0.01, 0.9, 5e-4, 0.1)
    assert r.schedule == "plateau"
    assert (r.augmentation.pca_noise, r.augmentation.crop) == (0.1, "random")


def test_resnet_on_cifar_falls_at_32k_and_48k_of_64k_iterations() -> None:
    r = recipe("resnet-cifar")
    an_epoch = 45_000 / 128
    assert r.epochs * an_epoch == pytest.approx(64_000, rel=0.01)
    assert [m * an_epoch for m in r.milestones] == pytest.approx([32_000, 48_000], rel=0.01)


def test_inception_v3_s_recipe_is_that_of_section_8() -> None:
    r = recipe("inception-v3")
    assert (r.optimizer, r.decay, r.epsilon, r.lr, r.every, r.gamma) == ("rmsprop", 0.9, 1.0, 0.045, 2, 0.94)
    assert (r.label_smoothing, r.clip, r.epochs) == (0.1, 2.0, 100)


def test_shufflenet_s_rate_falls_in_a_line_from_one_half() -> None:
    r = recipe("shufflenet")
    assert [r.lr * lr_factor(r, e) for e in (0, 120, 240)] == pytest.approx([0.5, 0.25, 0])
    assert r.epochs * 1_281_167 / r.batch == pytest.approx(300_000, rel=0.01)


def test_an_unknown_recipe_offers_the_nearest() -> None:
    with pytest.raises(MisuseError, match="nearest: resnet-cifar") as told:
        recipe("resnet_cifar10")
    assert all(name in str(told.value) for name in RECIPES)


@pytest.mark.parametrize("name", ["RANK", "TORCHELASTIC_RESTART_COUNT", "WORLD_SIZE"])
def test_a_variable_of_torchrun_that_is_no_number_is_named(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(MisuseError, match=f"{name} should be a whole number, received 'x'"):
        train("lenet5", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_seed_that_no_generator_takes_is_told(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="--seed"):
        train("lenet5", seed=10**30, out=tmp_path / "run")


@pytest.mark.parametrize(
    ("side", "told"), [("1", "begins with a side of 4: C1"), ("24", "one size of picture alone")]
)
def test_a_start_size_that_the_network_cannot_take_is_told(side: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match=told):
        train("lenet5", settings={"start_size": side}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_was_measured_for_lenet5_on_mnist_is_given_to_nothing_else() -> None:
    assert default("lenet5", "mnist") == recipe("fast-mnist")
    for network, data in (("lenet5", "fashion-mnist"), ("lenet5_1998", "mnist"), ("resnet20", "mnist")):
        assert default(network, data) == recipe("fast-grey")
