"""Matching: what fits is used whole, what does not is told whole, with the name that would fit; nothing is half loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from convatlas.define import BatchNorm, Conv, GlobalAvgPool, Linear, Network, ReLU, replace, with_classes
from convatlas.define.preprocessing import Preprocessing
from convatlas.errors import MisuseError
from convatlas.modules import build
from convatlas.networks import catalogue
from convatlas.weights import WeightsError, load_checkpoint, open_checkpoint, save_weights
from convatlas.weights.assemble import fill, model_from
from convatlas.weights.foreign import Layer
from convatlas.weights.match import match
from convatlas.weights.slots import slots

NETWORK = catalogue.network("resnet20")


def torchvision_names(row: str) -> str:
    """Our ResNet rows as torchvision calls them."""
    if not row.startswith("conv") or "." not in row:
        return row
    stage, block, part, leaf = row.split(".")
    place = f"layer{int(stage[-1]) - 1}.{int(block[5:]) - 1}"
    return f"{place}.downsample.{int(leaf == 'bn')}" if part == "shortcut" else f"{place}.{leaf}"


def as_torchvision(network: Network) -> dict[str, Tensor]:
    return {
        ".".join((torchvision_names(key.rpartition(".")[0]), key.rpartition(".")[2])): tensor
        for key, tensor in build(network).state_dict().items()
    }


def as_cifar(network: Network = NETWORK) -> dict[str, Tensor]:
    """Names of the well-known CIFAR ResNets."""
    state = {}
    for key, tensor in build(network).state_dict().items():
        name = key.replace("stage", "layer").replace(".body", "").replace("fc.", "linear.")
        stage, dot, rest = name.partition(".block")
        number, _, leaf = rest.partition(".")
        state[f"module.{stage}.{int(number) - 1}.{leaf}" if dot else f"module.{name}"] = tensor
    return state


def test_every_fault_is_listed_and_the_model_is_not_touched() -> None:
    state = as_cifar()
    del state["module.linear.bias"], state["module.layer2.1.bn2.running_mean"]
    state["module.layer3.0.conv2.weight"] = torch.zeros(64, 64, 1, 1)
    model = build(NETWORK)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_checkpoint(model, {"state_dict": state, "epoch": 3})
    told = str(caught.value)
    assert "fc.bias is missing" in told
    assert "layer2.1.bn2" in told
    assert "stage3.block1.body.conv2 should be 64x64x3x3, the file's layer3.0.conv2 is 64x64x1x1" in told
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())


def test_layers_too_many_are_listed() -> None:
    state = as_cifar() | {"module.layer3.9.conv1.weight": torch.zeros(64, 64, 3, 3)}
    with pytest.raises(WeightsError, match=r"layer3\.9\.conv1 64x64x3x3 has no place"):
        open_checkpoint(state, NETWORK)


def test_values_that_are_not_numbers_are_told() -> None:
    state = as_cifar()
    state["module.layer1.0.conv1.weight"][0, 0, 0, 0] = float("nan")
    with pytest.raises(WeightsError, match=r"layer1\.0\.conv1\.weight has values that are not numbers"):
        open_checkpoint(state, NETWORK)


@pytest.mark.parametrize(
    ("asked", "file", "told"),
    [
        ("resnet50", "resnet50_v1_5", "ask for resnet50_v1_5"),
        ("resnet18_a", "resnet18", "resnet18"),
        ("resnet34", "resnet18", "it fits resnet18"),
        ("vgg11", "resnet18", "ask for resnet18"),
    ],
)
def test_another_variant_is_told_with_the_name_that_fits(asked: str, file: str, told: str) -> None:
    with pytest.raises((WeightsError, MisuseError), match=told):
        open_checkpoint(as_torchvision(catalogue.network(file)), catalogue.network(asked))


def test_a_variant_of_ones_own_with_such_names_can_be_read_by_saying_so() -> None:
    state = as_torchvision(catalogue.network("resnet50"))
    found = open_checkpoint(state, catalogue.network("resnet50"), "torch")
    assert found.state_dict["conv3.block1.body.conv1.weight"].equal(state["layer2.0.conv1.weight"])


def test_another_width_is_told() -> None:
    wide = open_checkpoint(
        build(catalogue.network("mobilenet_v1_x0_5")).state_dict(), catalogue.network("mobilenet_v1_x0_5")
    )
    assert wide.source == "convatlas"
    with pytest.raises(WeightsError, match=r"conv1\.weight should be \(8, 3, 3, 3\)"):
        open_checkpoint(wide.state_dict, catalogue.network("mobilenet_v1_x0_25"))


def test_another_number_of_classes_is_told_with_the_number() -> None:
    with pytest.raises(WeightsError, match="it has 7 classes"):
        open_checkpoint(as_cifar(with_classes(NETWORK, 7)), NETWORK)


def test_the_background_class_is_dropped_where_the_network_has_a_thousand() -> None:
    network = catalogue.network("resnet18")
    state = as_torchvision(with_classes(network, 1001))
    found = open_checkpoint(state, network)
    assert found.state_dict["fc.weight"].equal(state["fc.weight"][1:])
    assert any("background" in note for note in found.notes)
    kept = open_checkpoint(state, with_classes(network, 1001))
    assert kept.state_dict["fc.weight"].equal(state["fc.weight"])


def test_another_definition_is_refused_by_load_and_told_how_to_build_it(tmp_path: Path) -> None:
    network = replace(NETWORK, BatchNorm, BatchNorm(eps=1e-2))
    path = save_weights(tmp_path / "w.safetensors", build(network).state_dict(), network=network)
    with pytest.raises(MisuseError, match="create_model"):
        load_checkpoint(build(NETWORK), path)
    assert open_checkpoint(path, NETWORK).network == network


def test_our_file_of_another_network_is_told_by_name(tmp_path: Path) -> None:
    path = save_weights(tmp_path / "w.safetensors", build(NETWORK).state_dict(), network=NETWORK)
    with pytest.raises(MisuseError, match="ask for resnet20"):
        open_checkpoint(path, catalogue.network("resnet32"))


def test_preprocessing_that_the_user_gives_is_what_is_noted() -> None:
    mine = Preprocessing(resize=None, crop=32, mean=(0, 0, 0), std=(1, 1, 1))
    found = open_checkpoint(as_cifar(), NETWORK, preprocessing=mine)
    assert found.preprocessing == mine
    assert not any("assumed" in note for note in found.notes)
    assert any("assumed" in note for note in open_checkpoint(as_cifar(), NETWORK).notes)


def test_names_of_no_library_are_matched_by_order_and_that_is_said() -> None:
    own = build(NETWORK).state_dict()
    places = {
        row: f"stuff{at}" for at, row in enumerate(dict.fromkeys(key.rpartition(".")[0] for key in own))
    }
    state = {
        f"{places[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": tensor for key, tensor in own.items()
    }
    found = open_checkpoint(state, NETWORK)
    assert all(found.state_dict[name].equal(tensor) for name, tensor in own.items())
    assert any("by order and shape" in note for note in found.notes)


def layer(name: str, **tensors: Tensor) -> Layer:
    return Layer(name, tensors)


def small() -> tuple[Network, dict[str, Tensor]]:
    network = Network(
        input=(3, 8, 8),
        conv=Conv(4, 3, bias=False),
        bn=BatchNorm(eps=1e-5),
        relu=ReLU(),
        pool=GlobalAvgPool(),
        fc=Linear(2),
    )
    norm = {
        "weight": torch.rand(4) + 0.5,
        "bias": torch.randn(4),
        "running_mean": torch.randn(4),
        "running_var": torch.rand(4),
    }
    return network, norm


def test_a_bias_before_batch_norm_and_another_epsilon_change_no_output() -> None:
    network, norm = small()
    weight, bias = torch.randn(4, 3, 3, 3), torch.randn(4)
    head = {"weight": torch.randn(2, 4), "bias": torch.randn(2)}
    given = [Layer("c", {"weight": weight, "bias": bias}), Layer("n", norm, eps=1e-2), Layer("f", head)]
    model = build(network, init=False).eval()
    model.load_state_dict(match(slots(network), given, tolerant=False, channels_last=False))
    images = torch.randn(2, 3, 8, 8)
    x = torch.nn.functional.conv2d(images, weight, bias, padding=1)
    x = torch.nn.functional.batch_norm(
        x, norm["running_mean"], norm["running_var"], norm["weight"], norm["bias"], eps=1e-2
    )
    expected = torch.nn.functional.linear(x.relu().mean((2, 3)), head["weight"], head["bias"])
    torch.testing.assert_close(model(images), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("tolerant", [True, False])
def test_a_gamma_that_is_left_out_is_one_for_keras_and_missing_for_torch(tolerant: bool) -> None:
    network, norm = small()
    del norm["weight"]
    given = [
        layer("c", weight=torch.randn(4, 3, 3, 3)),
        Layer("n", norm),
        layer("f", weight=torch.ones(2, 4), bias=torch.ones(2)),
    ]
    if tolerant:
        filled = match(slots(network), given, tolerant=True, channels_last=False)
        assert filled["bn.weight"].tolist() == [1, 1, 1, 1]
        return
    with pytest.raises(WeightsError, match=r"bn\.weight is missing"):
        match(slots(network), given, tolerant=False, channels_last=False)


def test_new_classes_get_a_new_classifier_and_keep_all_else() -> None:
    found = open_checkpoint(as_cifar(), NETWORK)
    model = fill(found, 3)
    assert model.get_parameter("fc.weight").shape == (3, 64)
    assert model.get_parameter("fc.weight").isfinite().all()
    assert model.state_dict()["conv1.weight"].equal(found.state_dict["conv1.weight"])


def test_a_file_of_that_many_classes_keeps_its_classifier(tmp_path: Path) -> None:
    state = as_cifar(with_classes(NETWORK, 3))
    torch.save(state, tmp_path / "w.pth")
    model = model_from(tmp_path / "w.pth", NETWORK, 3)
    assert model.get_parameter("fc.weight").equal(state["module.linear.weight"])
