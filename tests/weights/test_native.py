"""Our own files: what goes in comes out, and a write that fails harms nothing."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from convatlas.define import with_classes
from convatlas.define.preprocessing import named
from convatlas.errors import MisuseError
from convatlas.modules import build
from convatlas.networks import catalogue
from convatlas.weights import WeightsError, open_checkpoint, read_header, read_weights, save_weights
from convatlas.weights.classifier import open_classifier

NETWORK = with_classes(catalogue.network("resnet20"), 3)
FACTS: dict[str, dict[str, object]] = {"scores": {"top1": 0.91}, "provenance": {"seed": 7, "data": "cats"}}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = build(NETWORK)
    return save_weights(
        tmp_path / "a" / "w.safetensors",
        model.state_dict(),
        network=NETWORK,
        preprocessing=named("caffe"),
        classes=("cat", "dog", "猫"),
        scores=FACTS["scores"],
        provenance=FACTS["provenance"],
    )


def test_what_was_saved_is_read_back(saved: Path) -> None:
    found = read_weights(saved)
    assert found.network == NETWORK
    assert found.preprocessing == named("caffe")
    assert found.classes == ("cat", "dog", "猫")
    assert (found.scores, found.provenance) == (FACTS["scores"], FACTS["provenance"])
    model = build(NETWORK, init=False)
    model.load_state_dict(found.state_dict)


def test_any_safetensors_reader_opens_the_file(saved: Path) -> None:
    assert safetensors.torch.load_file(saved).keys() == read_weights(saved).state_dict.keys()


def test_the_header_says_it_all_without_torch_and_numpy(saved: Path) -> None:
    code = (
        "import sys, json; from convatlas.weights import read_header; h = read_header(sys.argv[1]);"
        "from convatlas.define.serialize import network_from_dict; n = network_from_dict(h.network);"
        "print(json.dumps([n.name, h.classes, h.scores, sorted({'torch', 'numpy'} & set(sys.modules))]))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, saved], capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(told) == ["resnet20", ["cat", "dog", "猫"], {"top1": 0.91}, []]


def test_names_that_share_one_tensor_are_saved_both(tmp_path: Path) -> None:
    one = torch.arange(4.0)
    save_weights(tmp_path / "w.safetensors", {"a": one, "b": one, "c": one[1:]}, network=NETWORK)
    found = read_weights(tmp_path / "w.safetensors").state_dict
    assert found["a"].equal(one)
    assert found["c"].equal(one[1:])


def test_a_write_that_fails_leaves_the_earlier_file_and_no_rest(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(WeightsError, match="No space left"):
        save_weights(saved, {"w": torch.ones(3)}, network=NETWORK)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


@pytest.mark.parametrize("kept", [0, 5, 300, -1])
def test_a_truncated_file_is_told(saved: Path, kept: int) -> None:
    saved.write_bytes(saved.read_bytes()[:kept])
    with pytest.raises(WeightsError):
        open_checkpoint(saved, NETWORK)


def test_a_file_that_another_program_wrote_is_not_taken_for_ours(tmp_path: Path) -> None:
    safetensors.torch.save_file({"w": torch.ones(2)}, tmp_path / "x.safetensors")
    assert not read_header(tmp_path / "x.safetensors").ours
    with pytest.raises(WeightsError, match="not one of ConvAtlas"):
        read_weights(tmp_path / "x.safetensors")


def test_a_header_of_an_unknown_network_is_told(tmp_path: Path, saved: Path) -> None:
    tensors = safetensors.torch.load_file(saved)
    path = tmp_path / "x.safetensors"
    safetensors.torch.save_file(tensors, path, {"convatlas": "1", "network": '{"op": "Teleport"}'})
    with pytest.raises(WeightsError, match="describes no network"):
        read_weights(path)


def test_every_entry_that_is_missing_extra_or_misshaped_is_listed(tmp_path: Path) -> None:
    state = dict(build(NETWORK).state_dict())
    del state["fc.bias"], state["stage2.block1.body.bn1.running_var"]
    state["conv1.weight"] = torch.zeros(16, 1, 3, 3)
    state["fc.extra"] = torch.zeros(1)
    path = save_weights(tmp_path / "w.safetensors", state, network=NETWORK)
    with pytest.raises(WeightsError) as caught:
        open_checkpoint(path)
    for fault in (
        "fc.bias is missing",
        "bn1.running_var is missing",
        "conv1.weight should be (16, 3, 3, 3)",
        "fc.extra",
    ):
        assert fault in str(caught.value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_our_own_weights_that_are_not_numbers_are_told(tmp_path: Path, bad: float) -> None:
    """In our format, and in another file under our own names; a run that went astray is no place to begin from either."""
    state = {name: tensor.clone() for name, tensor in build(NETWORK).state_dict().items()}
    state["stage2.block1.body.bn1.running_var"][3] = bad
    path = save_weights(tmp_path / "w.safetensors", state, network=NETWORK)
    for given in (path, state):
        with pytest.raises(
            WeightsError, match=r"stage2\.block1\.body\.bn1\.running_var has values that are not"
        ):
            open_checkpoint(given, NETWORK)


@pytest.mark.parametrize(
    ("network", "wrong", "right"), [("lenet5", "caffe", "digit"), ("resnet20", "digit", "cifar")]
)
def test_preprocessing_of_other_channels_than_the_network_s_is_misuse(
    tmp_path: Path, network: str, wrong: str, right: str
) -> None:
    definition = catalogue.network(network)
    path = save_weights(
        tmp_path / "w.safetensors",
        build(definition).state_dict(),
        network=definition,
        preprocessing=named(wrong),
    )
    with pytest.raises(
        MisuseError, match=f"{network} takes pictures of . channels?, and the preprocessing gives"
    ):
        open_classifier(path)
    assert open_classifier(path, preprocess=right).preprocessing == named(right)


def test_a_folder_whose_name_is_no_utf8_does_not_spoil_the_file(tmp_path: Path) -> None:
    name = b"zo\xeb".decode("utf-8", "surrogateescape")
    path = save_weights(
        tmp_path / "w.safetensors", build(NETWORK).state_dict(), network=NETWORK, preprocessing=named("caffe"),
        provenance={"data": name},
    )  # fmt: skip
    assert read_header(path).provenance["data"] == "zo?"
