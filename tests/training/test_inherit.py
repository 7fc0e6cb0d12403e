"""New classes begin as the old ones that their pictures look like, and from nothing where there is none such."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convatlas.data.sources import DataSource
from convatlas.define import Conv, GlobalMaxPool, Linear, MaxPool, Network
from convatlas.modules.layers import GlobalAvgPool
from convatlas.training.finetune import begin
from convatlas.training.fit import fit
from convatlas.training.inherit import inherit
from convatlas.training.logs import Logs
from convatlas.training.recipe import Recipe

OLD_CLASSES = 7


def averaged(classes: int) -> tuple[nn.Sequential, nn.Module, tuple[int, ...]]:
    """SqueezeNet's head: a convolution, ReLU, the average over places."""
    last = nn.Conv2d(5, classes, 1)
    return nn.Sequential(nn.Dropout(0.5), last, nn.ReLU(), GlobalAvgPool()), last, (5, 3, 3)


def linear(classes: int) -> tuple[nn.Sequential, nn.Module, tuple[int, ...]]:
    last = nn.Linear(5, classes, bias=False)
    return nn.Sequential(last), last, (5,)


HEADS = pytest.mark.parametrize("head", [averaged, linear])


def old_and_pictures(head: object, sharp: float) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """A classifier of old classes, features, and what it says of them."""
    torch.manual_seed(3)
    layers, last, shape = head(OLD_CLASSES)  # type: ignore[operator]
    with torch.no_grad():
        last.weight.normal_(0, sharp)
        if last.bias is not None:
            last.bias.fill_(0.1)
        features = torch.randn(400, *shape) + torch.randn(400, 5, *[1] * (len(shape) - 1))
        said = layers.eval()(features).argmax(1)
    return {k: v.detach().clone() for k, v in last.named_parameters()}, features, said


@HEADS
def test_classes_that_the_old_network_knew_by_another_number_are_found(head: object) -> None:
    old, features, said = old_and_pictures(head, 3.0)
    kept = [2, 6, 0]
    of_these = torch.isin(said, torch.tensor(kept))
    features, labels = features[of_these], torch.tensor([kept.index(k) for k in said[of_these].tolist()])
    assert labels.bincount(minlength=3).min() > 5
    layers, last, _ = head(3)  # type: ignore[operator]
    found = inherit(layers, last, old, features, labels)
    assert found is not None
    assert (found.rows, found.share) == (3, 1.0)
    with torch.no_grad():
        assert (layers.eval()(features).argmax(1) == labels).all()
    scale = float((last.weight.detach()[0] / old["weight"][2]).flatten()[0])
    for name, value in last.named_parameters():
        torch.testing.assert_close(value.detach(), scale * old[name][kept])


@HEADS
def test_a_class_without_pictures_keeps_what_it_had(head: object) -> None:
    old, features, said = old_and_pictures(head, 3.0)
    of_these = torch.isin(said, torch.tensor([2, 6]))
    labels = torch.where(said[of_these] == 2, 0, 2)  # of classes 0, 1, 2, the second has none
    layers, last, _ = head(3)  # type: ignore[operator]
    before = last.weight.detach().clone()
    found = inherit(layers, last, old, features[of_these], labels)
    assert found is not None
    assert found.rows == 2
    assert torch.equal(last.weight[1], before[1])
    assert not torch.equal(last.weight[0], before[0])


@HEADS
def test_without_likeness_nothing_is_taken(head: object) -> None:
    old, features, _ = old_and_pictures(head, 30.0)  # sure of itself, and wrong half of the time
    labels = torch.arange(len(features)) % 2
    layers, last, _ = head(2)  # type: ignore[operator]
    before = {k: v.detach().clone() for k, v in last.named_parameters()}
    assert inherit(layers, last, old, features, labels) is None
    assert all(torch.equal(v, before[k]) for k, v in last.named_parameters())


@HEADS
def test_classifiers_of_another_kind_or_too_few_classes_are_left_alone(head: object) -> None:
    old, features, said = old_and_pictures(head, 3.0)
    layers, last, _ = head(OLD_CLASSES + 1)  # type: ignore[operator]
    before = last.weight.detach().clone()
    labels = torch.arange(len(features)) % (OLD_CLASSES + 1)
    assert inherit(layers, last, old, features, labels) is None  # more new classes than old
    other = {**old, "weight": old["weight"][:, :4]}
    assert inherit(layers, last, other, features, said) is None
    assert inherit(layers, last, {"centers": old["weight"]}, features, said) is None
    assert torch.equal(last.weight, before)


def test_fine_tuning_begins_with_what_the_weights_knew(source: DataSource, tmp_path: Path) -> None:
    """The same two kinds of pictures under other names: the new head is right before its first step."""
    body = {"conv": Conv(8, 3), "pool": MaxPool(2), "most": GlobalMaxPool(), "fc": Linear(2)}
    recipe = Recipe(
        epochs=12, batch=16, lr=0.03, optimizer="nesterov", deterministic=True, precision="float32", replicas=1,
        head_epochs=1, head_lr=1e-6,
    )  # fmt: skip
    network = Network(input=(1, 12, 12), name="two", **body)
    first = fit(network, source, recipe, out=tmp_path / "first", seed=0)
    assert float(first.summary["top1"]) >= 0.95  # type: ignore[arg-type]
    turned = dataclasses.replace(source, classes=tuple(f"new {c}" for c in source.classes))
    start = begin(network, turned, str(tmp_path / "first"), recipe)
    assert start.old is not None
    assert start.old["weight"].shape == (2, 8)
    said: list[str] = []
    logs = Logs()
    logs.say = said.append  # type: ignore[assignment,method-assign]
    begun = fit(start, turned, dataclasses.replace(recipe, epochs=1, lr=1e-9), seed=1, logs=logs)
    assert any("2 of the old classes" in line for line in said), said
    said.clear()
    alone = dataclasses.replace(recipe, epochs=1, lr=1e-9, inherit=False)
    fit(begin(network, turned, str(tmp_path / "first"), recipe), turned, alone, seed=1, logs=logs)
    assert not any("old classes" in line for line in said)
    assert float(begun.summary["top1"]) == pytest.approx(float(first.summary["top1"]), abs=0.03)  # type: ignore[arg-type]
