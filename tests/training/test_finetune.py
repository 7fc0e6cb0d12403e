"""Fine-tuning: the head is warmed up alone, as the network really uses it, whatever the scale of its features."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from convatlas.data.augmentation import Augmentation
from convatlas.data.loader import Loader
from convatlas.data.pixels import normalize
from convatlas.data.sources import DataSource
from convatlas.define import (
    BatchNorm,
    Conv,
    Dropout,
    GlobalAvgPool,
    GlobalMaxPool,
    Linear,
    MaxPool,
    Network,
    ReLU,
    with_classes,
)
from convatlas.modules import build
from convatlas.training import warm_up as warming
from convatlas.training.finetune import begin, head_of
from convatlas.training.fit import fit
from convatlas.training.logs import Logs
from convatlas.training.optimizer import make, suit_classifier
from convatlas.training.plan import Plan
from convatlas.training.recipe import Recipe
from convatlas.training.scores import evaluate
from convatlas.training.step import Stepper
from convatlas.training.suit import preprocessing_for
from convatlas.training.warm_up import WarmUp, warm_up
from convatlas.weights import save_weights

RECIPE = Recipe(
    epochs=1, batch=16, lr=0.005, optimizer="nesterov", deterministic=True, precision="float32", replicas=1,
    augmentation=Augmentation(flip=0.5), head_epochs=60, head_lr=0.02, weight_decay=1e-4, label_smoothing=0.1,
)  # fmt: skip

BODY = {"conv": Conv(8, 3), "norm": BatchNorm(), "relu": ReLU(), "pool": MaxPool(2)}
# the two kinds of heads there are: SqueezeNet's and NiN's, a convolution that is averaged; and a linear layer
AVERAGED = Network(
    input=(1, 12, 12), name="averaged", **BODY,
    drop=Dropout(0.5), last=Conv(5, 1), relu_last=ReLU(), mean=GlobalAvgPool(),
)  # fmt: skip
LINEAR = Network(input=(1, 12, 12), name="linear", **BODY, most=GlobalMaxPool(), fc=Linear(5))


def started(network: Network, source: DataSource, scale: float, precision: str = "float32") -> Stepper:
    """A network with random filters, whose features are `scale` times as large as filters of 1 make them."""
    torch.manual_seed(1)
    changed = with_classes(network, len(source.classes))
    model = build(changed)
    with torch.no_grad():
        model.norm.weight.mul_(scale)
        model.norm.bias.mul_(scale)
    with torch.no_grad():  # statistics of these pictures, as a trained network has those of its own
        images = normalize(source.train.images, preprocessing_for(network, source))  # type: ignore[union-attr]
        for _ in range(50):
            model(images)
    recipe = dataclasses.replace(RECIPE, precision=precision)
    plan = Plan(precision=precision, channels_last=precision == "bf16")
    return Stepper(
        model, recipe, plan, preprocessing_for(network, source), len(source.classes), torch.device("cpu")
    )


def pictures(source: DataSource, *, train: bool = True) -> Loader:
    return Loader(source.train if train else source.test, 32, (12, 12), channels=1)


def warmed(stepper: Stepper, source: DataSource, recipe: Recipe = RECIPE) -> WarmUp:
    head = head_of(stepper.model.network)  # type: ignore[arg-type]
    return warm_up(stepper, pictures(source), head, recipe, 0, Logs())


@pytest.mark.parametrize("network", [AVERAGED, LINEAR], ids=["averaged", "linear"])
@pytest.mark.parametrize("scale", [0.3, 1.0, 50.0])
def test_the_head_is_learned_at_any_scale_and_its_logits_stay_sane(
    network: Network, scale: float, source: DataSource
) -> None:
    stepper = started(network, source, scale, "bf16")
    before = evaluate(stepper, pictures(source), 2, stepper.model)
    found = warmed(stepper, source)
    after = evaluate(stepper, pictures(source), 2, stepper.model)
    assert found.share >= 0.9
    assert after.top1 >= 0.9
    assert after.loss < before.loss - 0.08
    logits = torch.cat([stepper.logits(x) for x, _ in pictures(source).epoch(0)])
    # softmax needs differences of about 3 for two classes; bf16 steps by 1/16 from 8 on, by 1 from 128 on
    assert logits.abs().max() < 16


def test_the_share_that_is_told_is_that_of_the_head_as_it_is_used(source: DataSource) -> None:
    # dropout and few places would have it worse than it is, and than an inherited head before any step
    stepper = started(AVERAGED, source, 1.0)
    found = warmed(stepper, source, dataclasses.replace(RECIPE, head_epochs=1))
    features, labels = warming._features(stepper, pictures(source), ["conv", "norm", "relu", "pool"])
    model = stepper.model.eval()
    layers = nn.Sequential(*(model.get_submodule(n) for n in ("drop", "last", "relu_last", "mean")))
    with torch.no_grad():
        assert found.share == float((layers(features.float()).argmax(1) == labels).double().mean())


@pytest.mark.parametrize("network", [AVERAGED, LINEAR], ids=["averaged", "linear"])
def test_the_body_is_not_touched(network: Network, source: DataSource) -> None:
    stepper = started(network, source, 20.0)
    before = {k: v.clone() for k, v in stepper.model.state_dict().items()}
    warmed(stepper, source)
    after = stepper.model.state_dict()
    moved = {k.partition(".")[0] for k in before if not torch.equal(before[k], after[k])}
    assert moved == {"last" if network is AVERAGED else "fc"}
    assert all(p.grad is None for name, p in stepper.model.named_parameters() if name.startswith("conv"))


def test_the_real_network_says_what_the_head_learned_on_cached_features(source: DataSource) -> None:
    stepper = started(AVERAGED, source, 20.0, "bf16")
    rows = ["conv", "norm", "relu", "pool"]
    cached = warming._features(stepper, pictures(source), rows)
    warmed(stepper, source)
    assert isinstance(cached, tuple)
    features, labels = cached
    assert len(features) == 2 * len(source.train)  # each picture and its mirror image
    model = stepper.model.eval()
    layers = nn.Sequential(*(model.get_submodule(n) for n in ("drop", "last", "relu_last", "mean")))
    with torch.no_grad():
        of_cached = layers(features.float())
        real = torch.cat([stepper.logits(v) for x, _ in pictures(source).epoch(0) for v in (x, x.flip(3))])
    # a rounding to 8 bits of the features, of the weights and of the output: 3 * 2^-9 of the sum of magnitudes
    with torch.no_grad():
        size = features.float().abs().mean((2, 3)) @ model.last.weight.flatten(1).abs().T
    assert ((of_cached - real).abs() <= 3 * 2**-9 * (size + of_cached.abs() + 1)).all()
    right = [(z.argmax(1) == labels).float().mean().item() for z in (of_cached, real)]
    assert right[0] == pytest.approx(right[1], abs=0.02)


def test_what_does_not_fit_is_left_out(source: DataSource, monkeypatch: pytest.MonkeyPatch) -> None:
    one_view = 8 * 6 * 6 * 2 * len(source.train)
    stepper = started(AVERAGED, source, 20.0)
    monkeypatch.setattr(warming, "CACHE_BYTES", one_view)
    assert warmed(stepper, source).share >= 0.85  # without the mirror images
    monkeypatch.setattr(warming, "CACHE_BYTES", one_view - 1)
    said: list[str] = []
    logs = Logs()
    logs.say = said.append  # type: ignore[assignment,method-assign]
    found = warm_up(stepper, pictures(source), "drop", RECIPE, 0, logs)
    assert found.share == 0
    assert "not warmed up" in said[0]
    # the head still begins small, and its scale is known
    assert found.size > 5
    assert stepper.model.last.weight.abs().max() * found.size < 0.1
    assert stepper.model.training


def test_a_classifier_of_large_features_takes_steps_that_fit_them(source: DataSource) -> None:
    for optimizer, factor in (("nesterov", 1 / 400), ("adamw", 1 / 20)):
        model = started(AVERAGED, source, 1.0).model
        made = make(model, dataclasses.replace(RECIPE, optimizer=optimizer))
        alone = [g for g in made.param_groups if g["classifier"]]
        assert [p is model.last.weight for g in alone for p in g["params"]] == [True]
        suit_classifier(made, 20.0)
        assert alone[0]["scale"] == pytest.approx(factor)
        assert all(g["scale"] == 1 for g in made.param_groups if not g["classifier"])
        suit_classifier(made, 0.01)  # never longer steps than the recipe's
        assert alone[0]["scale"] == pytest.approx(factor)


@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_the_whole_network_goes_on_from_the_warm_head(
    scale: float, source: DataSource, tmp_path: Path
) -> None:
    # weights of other classes in a file, as a user has them
    stepper = started(AVERAGED, source, scale)
    made = with_classes(AVERAGED, 2)
    save_weights(
        tmp_path / "made.safetensors", stepper.model.state_dict(), network=made, classes=("x", "y"),
        preprocessing=preprocessing_for(AVERAGED, source), scores={}, provenance={},
    )  # fmt: skip
    recipe = dataclasses.replace(RECIPE, epochs=2)
    start = begin(AVERAGED, source, str(tmp_path / "made.safetensors"), recipe)
    assert start.head == "drop"
    outcome = fit(start, source, recipe, seed=1)
    assert [line["top1"] for line in outcome.history][-1] >= 0.9
    assert (
        float(outcome.history[0]["train_loss"]) < 0.693
    )  # better than knowing nothing, from the first step on
