"""Estimates: memory held against torch's own, roofline and batch against arithmetic by hand, the command's contract."""

from __future__ import annotations

import json

import pytest
import torch

import convatlas as ca
from convatlas import cli
from convatlas.analysis.devices import GPUS, Rates, gpu
from convatlas.analysis.estimate import estimate, training_peak
from convatlas.analysis.tape import tape
from convatlas.define import elaborate
from convatlas.errors import MisuseError

ROUND = Rates(
    "round numbers", {"float32": 1e12}, 1e11, 1e-5, 10**10, "made for this test", attained=(1.0, 1.0)
)


def kept_by_torch(network: ca.CatalogueNetwork, batch: int) -> int:
    """Bytes of distinct tensors, weights left out, that autograd keeps of a forward pass."""
    model = ca.create_model(network).train()
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    sizes: dict[int, int] = {}
    alive = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)  # so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.forward_with_aux(torch.rand(batch, *network.input))
    return sum(sizes.values())


# one of every kind: plain, LRN, residual, depthwise, gates, shuffles, dense, fire, heads, uneven padding
@pytest.mark.parametrize(
    "name",
    [
        "lenet5", "alexnet@99", "vgg11@32", "resnet20", "resnet50@64", "mobilenet_v2@64", "mobilenet_v3_small@64",
        "shufflenet_v1_g3@64", "shufflenet_v2_x0_5@64", "densenet40_k12", "squeezenet1_1@64", "googlenet@96",
        "se_resnet50@64", "bn_inception@64",
    ],
)  # fmt: skip
def test_what_training_keeps_is_what_autograd_keeps_within_3_percent(name: str) -> None:
    network, batch = ca.network(name), 2
    found = tape(elaborate(network))
    predicted = batch * (4 * found.saved_values() + found.saved_extra_bytes())
    assert predicted == pytest.approx(kept_by_torch(network, batch), rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["resnet20", "mobilenet_v1@64", "resnet18@64", "vgg11@64", "squeezenet1_1@64", "mobilenet_v3_small@64", "densenet40_k12"]
)  # fmt: skip
def test_the_peak_of_a_training_step_is_torchs_within_8_percent(name: str) -> None:
    network, batch = ca.network(name), 8
    model = ca.create_model(network).train()
    x, labels = torch.rand(batch, *network.input), torch.randint(0, network.classes, (batch,))
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        torch.nn.functional.cross_entropy(model(x), labels).backward()
    results = profile.profiler.kineto_results  # type: ignore[union-attr]
    now = peak = 0
    for event in sorted((e for e in results.events() if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    assert sum(training_peak(tape(elaborate(network)), batch)) == pytest.approx(peak, rel=0.08)


def test_weights_gradients_and_momentum_are_four_bytes_each() -> None:
    found = estimate(ca.network("vgg16"), ROUND, batch=1)
    assert found.training.weights == found.training.optimizer == 4 * 138_357_544
    assert found.inference.weights == 4 * 138_357_544
    assert found.inference.gradients == found.inference.optimizer == 0


def test_time_is_a_roofline_of_every_operation() -> None:
    found = estimate(ca.network("vgg16"), ROUND, batch=64)
    arithmetic = 64 * 15_470_264_320 / 1e12
    assert found.inference_time.seconds > arithmetic  # memory traffic and launches come on top
    assert found.inference_time.seconds < 1.6 * arithmetic
    assert found.inference_time.limit == "arithmetic"
    assert sum(found.inference_time.shares.values()) == pytest.approx(1)
    tiny = estimate(ca.network("lenet5"), ROUND, batch=1)
    assert tiny.inference_time.limit == tiny.training_time.limit == "launch"
    thin = estimate(ca.network("mobilenet_v1"), ROUND, batch=256)
    assert (
        thin.training_time.limit == "memory traffic"
    )  # depthwise layers and norms do little with each value


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "vgg16", "mobilenet_v1"])
def test_the_largest_batch_fits_and_the_next_does_not(name: str) -> None:
    network = ca.network(name)
    batch = estimate(network, ROUND).largest_training_batch
    assert batch
    room = int(0.9 * 10**10)
    assert estimate(network, ROUND, batch=batch).training.total <= room
    assert estimate(network, ROUND, batch=batch + 1).training.total > room


def test_more_images_take_more_and_half_the_bits_take_less() -> None:
    device = gpu("A100")
    one, two = (estimate(ca.network("resnet50"), device, batch=n, images=1000, epochs=3) for n in (32, 64))
    assert two.training.activations > 1.9 * one.training.activations
    assert two.epoch_seconds is not None
    assert one.epoch_seconds is not None
    assert two.epoch_seconds < one.epoch_seconds  # fewer launches
    half = estimate(ca.network("resnet50"), device, batch=64, precision="bf16")
    assert half.training.activations < 0.6 * two.training.activations
    assert half.training_time.seconds < two.training_time.seconds


# NVIDIA DeepLearningExamples, ResNet50 v1.5 for PyTorch, readme: images a second of one GPU, with real images
PUBLISHED = [
    ("A100", "bf16", "training", 2470),
    ("A100", "float32", "training", 938),
    ("V100", "float32", "training", 356),
    ("V100", "float32", "inference", 1261),
    ("T4", "float32", "inference", 415),
]


@pytest.mark.parametrize(("device", "precision", "what", "images_per_second"), PUBLISHED)
def test_time_is_within_a_factor_of_one_and_a_half_of_published_measurements(
    device: str, precision: str, what: str, images_per_second: int
) -> None:
    found = estimate(ca.network("resnet50_v1_5"), gpu(device), batch=256, precision=precision)
    seconds = (found.training_time if what == "training" else found.inference_time).seconds
    assert images_per_second / 1.5 < 256 / seconds < images_per_second * 1.5


def test_devices_and_precisions_that_are_not_there_are_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MisuseError, match="gpu:H200"):
        gpu("H3000")
    with pytest.raises(MisuseError, match="it has: float32"):
        estimate(ca.network("lenet5"), gpu("T4"), precision="bf16")
    for arguments in (
        ("--device", "tpu"),
        ("--epochs", "3"),
        ("--data", "many"),
        ("--batch", "0"),
        ("--input", "2"),
    ):
        assert cli.main(["estimate", "vgg16", *arguments]) == 2
        assert "Traceback" not in capsys.readouterr().err


def test_every_gpu_has_a_source() -> None:
    for rates in GPUS.values():
        assert "NVIDIA" in rates.source
        assert rates.mult_adds["float32"] > 1e12


def test_the_command_says_what_limits_it_and_what_an_epoch_takes(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "estimate",
        "resnet50",
        "--batch",
        "256",
        "--device",
        "gpu:H200",
        "--data",
        "1.28M",
        "--epochs",
        "90",
    ]
    assert cli.main(arguments) == 0
    told = capsys.readouterr().out
    for words in (
        "limited by",
        "largest batch that fits",
        "1,280,000 images; 90 epochs",
        "NVIDIA H200 data sheet",
    ):
        assert words in told
    assert cli.main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == 1_280_000
    assert found["training_seconds"] == pytest.approx(90 * found["epoch_seconds"])
    assert found["training"]["bytes"]["total"] == sum(
        v for k, v in found["training"]["bytes"].items() if k != "total"
    )


def test_estimates_for_the_whole_catalogue_are_finite() -> None:
    for name in ca.names():
        found = estimate(ca.network(name), gpu("H100"), batch=8)
        assert 0 < found.inference_time.seconds < found.training_time.seconds
        assert 0 < found.inference.total < found.training.total
