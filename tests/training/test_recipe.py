"""Recipes: every field from text, no field by mistake."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from convatlas.data.augmentation import Augmentation
from convatlas.errors import MisuseError
from convatlas.training.recipe import Recipe, override, settable
from convatlas.training.schedule import lr_factor, side_at


def test_a_recipe_survives_json() -> None:
    recipe = Recipe(
        lr=0.3, schedule="step", milestones=(2, 4.5), augmentation=Augmentation(flip=0.5, padding=4)
    )
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_every_field_can_be_set_from_text() -> None:
    examples = {"str": "x", "int": "3", "float": "0.25", "bool": "on", "tuple[float, ...]": "1,2.5"}
    free = [f for f in dataclasses.fields(Recipe) if str(f.type) in examples and f.name in settable()]
    words = {
        "optimizer": "adam",
        "schedule": "cosine",
        "precision": "bf16",
        "channels_last": "on",
        "compile": "on",
        "select": "last",
    }
    for field in free:
        text = words.get(field.name, examples[str(field.type)])
        changed = override(Recipe(batch=12), {field.name: text})
        shown = getattr(changed, field.name)
        expected = {"int": 3, "float": 0.25, "bool": True, "tuple[float, ...]": (1.0, 2.5)}.get(
            str(field.type), text
        )
        assert shown == expected, field.name
    assert (
        len(free) == len(dataclasses.fields(Recipe)) - 1
    )  # all but the augmentation, which has its own names


def test_the_augmentation_is_reached_by_its_own_names() -> None:
    changed = override(Recipe(), {"flip": "0.5", "augmentation.padding": "4", "area": "0.3,1"})
    assert (changed.augmentation.flip, changed.augmentation.padding, changed.augmentation.area) == (
        0.5,
        4,
        (0.3, 1.0),
    )


def test_an_unknown_field_offers_the_nearest() -> None:
    with pytest.raises(MisuseError, match="weight_deca.*nearest: weight_decay") as told:
        override(Recipe(), {"weight_deca": "0.1"})
    # and all there are, with what they take: an error is where they are looked for
    assert all(f"{name} (" in str(told.value) for name in settable())
    assert "epochs (a whole number)" in str(told.value)
    assert "short_side (whole numbers or nothing)" in str(told.value)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"epochs": "many"}, "a whole number"),
        ({"lr": "nan"}, "lr must be"),
        ({"optimizer": "sdg"}, "did you mean sgd"),
        ({"batch": "10", "accumulate": "3"}, "divisor"),
        ({"schedule": "step"}, "milestones"),
        ({"deterministic": "perhaps"}, "on or off"),
        ({"milestones": "1,nan"}, "milestones should be numbers"),
        ({"milestones": "inf"}, "milestones should be numbers"),
        ({"milestones": "-1"}, "milestones must be epochs"),
        ({"augmentation": "1"}, "flip=0.5"),
        ({"optimizer": "adam", "momentum": "1"}, "below 1"),
        ({"optimizer": "adamw", "decay": "1"}, "below 1"),
    ],
)
def test_a_value_that_cannot_be_is_told(settings: dict[str, str], told: str) -> None:
    with pytest.raises(MisuseError, match=told):
        override(Recipe(), settings)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"epochs": "3"}, "epochs should be a whole number, received '3'"),
        ({"epochs": True}, "epochs should be a whole number"),
        ({"lr": None}, "lr should be a number"),
        ({"name": 5}, "name should be a text"),
        ({"milestones": 5}, "milestones should be numbers"),
        ({"milestones": [1, "x"]}, "milestones should be numbers"),
        ({"augmentation": [1]}, "augmentation should be an object"),
        ({"augmentation": {"flip": "often"}}, "flip should be a number"),
        ({"augmentation": {"area": [1]}}, "area should be numbers"),
        ({"augmentation": {"short_side": [1, None]}}, "short_side should be whole numbers or nothing"),
    ],
)
def test_a_value_of_another_type_in_a_file_is_told(fields: dict[str, object], told: str) -> None:
    with pytest.raises(MisuseError, match=told):
        Recipe.from_dict(fields)


def test_the_step_schedule_of_resnet_falls_at_its_milestones() -> None:
    # He et al. 2016, section 4.2: 0.1, divided by 10 at 32k and 48k of 64k iterations
    recipe = Recipe(epochs=64, schedule="step", milestones=(32, 48), gamma=0.1)
    assert [lr_factor(recipe, e) for e in (0, 31.99, 32, 47.9, 48, 63)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )


def test_warm_up_rises_and_meets_the_schedule() -> None:
    recipe = Recipe(epochs=10, schedule="cosine", warmup=2)
    assert lr_factor(recipe, 1) == pytest.approx(0.5)
    assert lr_factor(recipe, 2) == pytest.approx(1)
    assert lr_factor(recipe, 6) == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.5)))
    assert lr_factor(recipe, 10) == pytest.approx(0, abs=1e-12)


def test_inception_s_exponential_schedule() -> None:
    # Szegedy et al. 2016, section 8: 0.045, decayed every two epochs with a rate of 0.94
    recipe = Recipe(epochs=100, schedule="exponential", every=2, gamma=0.94)
    assert lr_factor(recipe, 1.99) == 1
    assert lr_factor(recipe, 20) == pytest.approx(0.94**10)


def test_one_cycle_peaks_once() -> None:
    recipe = Recipe(epochs=10, schedule="one_cycle", peak=0.3, lr_start=0.1)
    values = [lr_factor(recipe, e / 10) for e in range(101)]
    assert values[0] == pytest.approx(0.1)
    assert max(values) == values[30] == pytest.approx(1)
    assert values[-1] == pytest.approx(0)


def test_pictures_grow_to_the_full_side_and_stay() -> None:
    recipe = Recipe(epochs=18, start_size=160, full_size_at=0.8)
    sides = [side_at(recipe, 224, e) for e in range(18)]
    assert sides[0] == 160
    assert sides == sorted(sides)
    assert sides[15:] == [224] * 3
    assert all(s % 32 == 0 for s in sides)
