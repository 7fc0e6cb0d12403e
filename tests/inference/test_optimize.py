"""optimize takes any module, keeps what is right and fast, says why, and always answers."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convatlas.errors import MisuseError
from convatlas.inference import optimize
from convatlas.inference.checking import Bounds, judge
from convatlas.inference.engines import ENGINES, Engine, Plan, Runner, Workbench
from convatlas.inference.engines.importing import import_problem
from convatlas.inference.report import rate

PLAIN = ("eager", "folded", "onednn")


def quick(
    model: nn.Module, example: Tensor, precision: str = "float32", data: object = None, **settings: object
):
    return optimize(
        model, example, precision, data, seconds=0.05, **{"engines": PLAIN, "checked": 8, **settings}
    )  # type: ignore[arg-type]


def test_any_module_of_torch_is_taken_and_answers_the_same() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    ).eval()
    run = quick(model, torch.randn(4, 3, 16, 16))
    for count in (1, 4, 7):
        images = torch.randn(count, 3, 16, 16)
        with torch.no_grad():
            torch.testing.assert_close(run(images), model(images), rtol=1e-4, atol=1e-5)
    assert run(images).dtype is torch.float32


def test_the_report_names_every_engine_and_one_that_was_taken(network) -> None:
    run = optimize(network("lenet5"), torch.randn(2, 1, 32, 32), "float32", seconds=0.05, checked=4)
    assert {row.plan.engine for row in run.report.rows} == set(ENGINES)
    assert sum(row.taken for row in run.report.rows) == 1
    assert run.report.taken.plan == run.plan
    text = str(run.report)
    assert "CUDA" in text or torch.cuda.is_available()
    assert "synthetic images" in text


def test_the_fastest_of_those_that_passed_is_taken(network) -> None:
    run = quick(network("resnet20"), torch.randn(2, 3, 32, 32))
    timed = [row for row in run.report.rows if row.images_per_second]
    assert run.report.taken is max(timed, key=lambda row: row.images_per_second)


def test_training_mode_and_weights_of_the_model_stay(network) -> None:
    model = network("resnet20").train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    quick(model, torch.randn(2, 3, 32, 32))
    assert model.training
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_a_candidate_outside_of_its_bounds_is_not_taken(network) -> None:
    impossible = {"bf16": Bounds(agreement=1.0, difference=0.0)}
    run = quick(network("resnet20"), torch.randn(2, 3, 32, 32), "bf16", bounds=impossible)
    assert run.plan == Plan("eager", "float32", 1, torch.get_num_threads())
    assert any("a probability moved by" in row.outcome for row in run.report.rows)
    assert "nothing passed" in str(run.report)


class Wrong(Engine):
    """An engine that answers wrongly."""

    name = "wrong"

    def precisions(self, device: torch.device) -> tuple[str, ...]:
        return ("float32",)

    def prepare(self, bench: Workbench, plan: Plan) -> Callable[[int], Runner]:
        return lambda _batch: lambda images: bench.model(images).flip(1)


class Dying(Engine):
    """An engine that works until it is needed."""

    name = "dying"

    def precisions(self, device: torch.device) -> tuple[str, ...]:
        return ("float32",)

    def prepare(self, bench: Workbench, plan: Plan) -> Callable[[int], Runner]:
        def run(images: Tensor) -> Tensor:
            if images.flatten()[0] == 7:
                raise RuntimeError("device lost")
            return bench.model(images)

        return lambda _batch: run


def test_a_fast_but_wrong_engine_is_found_out(network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "wrong", Wrong())
    run = quick(network("lenet5"), torch.randn(2, 1, 32, 32), engines=("eager", "wrong"))
    assert run.plan.engine == "eager"
    assert any(row.plan.engine == "wrong" and "not taken" in row.outcome for row in run.report.rows)


def test_an_engine_that_fails_at_work_leaves_the_float32_path(
    network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENGINES, "dying", Dying())
    model = network("lenet5")
    run = quick(model, torch.randn(2, 1, 32, 32), engines=("dying",))
    assert run.plan.engine == "dying"
    images = torch.full((2, 1, 32, 32), 7.0)
    with pytest.warns(RuntimeWarning, match="device lost"):
        answer = run(images)
    with torch.no_grad():
        assert torch.equal(answer, model(images))


class Foreign(Engine):
    """An engine that reads images as runtimes of others do: through numpy."""

    name = "foreign"

    def precisions(self, device: torch.device) -> tuple[str, ...]:
        return ("float32",)

    def prepare(self, bench: Workbench, plan: Plan) -> Callable[[int], Runner]:
        return lambda _batch: lambda images: bench.model(torch.from_numpy(images.numpy()))


@pytest.mark.parametrize("engine", ["foreign", None])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_images_of_any_float_type_and_with_gradients_are_answered_without_a_warning(
    engine: str | None, dtype: torch.dtype, network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENGINES, "foreign", Foreign())
    model, example = network("lenet5"), torch.randn(2, 1, 32, 32)
    none = {"float32": Bounds(agreement=1.0, difference=-1.0)} if engine is None else None
    run = quick(model, example, engines=("foreign",), bounds=none)
    assert run.plan.engine == (engine or "eager")
    images = example.to(dtype).requires_grad_()
    with torch.no_grad():
        torch.testing.assert_close(run(images), model(images.float()))
    assert run(images).dtype is torch.float32
    assert images.requires_grad


def test_a_missing_or_broken_package_is_named_with_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        import_problem(("no_such_engine",), "onnx")
        == "no_such_engine is not installed: pip install 'convatlas[onnx]'"
    )
    (tmp_path / "broken_engine.py").write_text(
        "raise ImportError('libfoo.so: cannot open shared object file')"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    problem = import_problem(("broken_engine",), "openvino")
    assert problem is not None
    assert "libfoo.so" in problem
    assert "pip install" in problem
    sys.modules.pop("broken_engine", None)


@pytest.mark.parametrize(
    "example",
    [
        torch.randn(2, 3, 32, 32),
        torch.randn(1, 28, 28),
        torch.zeros(1, 1, 32, 32, dtype=torch.uint8),
        torch.randn(0, 1, 32, 32),
    ],
)
def test_an_example_that_does_not_fit_is_misuse(example: Tensor, network) -> None:
    with pytest.raises(MisuseError, match="example"):
        quick(network("lenet5"), example)


def test_unknown_words_are_misuse(network) -> None:
    model, example = network("lenet5"), torch.randn(1, 1, 32, 32)
    with pytest.raises(MisuseError, match="precision 'fp8'"):
        quick(model, example, "fp8")
    with pytest.raises(MisuseError, match="mode 'fast'"):
        quick(model, example, mode="fast")
    with pytest.raises(MisuseError, match="engine 'tensorrt'"):
        quick(model, example, engines=("tensorrt",))


def _failing(error: Exception):
    yield torch.randn(9, 1, 32, 32)
    raise error


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"model": None}, "model: expected a torch.nn.Module"),
        ({"model": torch.relu}, "model: expected a torch.nn.Module"),
        ({"checked": 0}, "checked: expected a number"),
        ({"checked": "many"}, "checked: expected a number"),
        ({"bounds": {"float32": 5}}, "bounds: expected"),
        ({"bounds": {"fp8": Bounds(1.0, 0.1)}}, "bounds: expected"),
        ({"data": 3}, "accuracy_data: expected a folder"),
        ({"data": torch.tensor(1.0)}, "accuracy_data: no usable image"),
        ({"data": [torch.tensor(1.0)]}, "accuracy_data: no usable image"),
        ({"data": torch.zeros(9, 1, 32, 32, device="meta")}, "accuracy_data: no usable image"),
        ({"data": "nul\0byte.png"}, "accuracy_data: none of the 1 pictures"),
    ],
)
def test_what_cannot_be_is_misuse(settings: dict[str, object], told: str, network) -> None:
    with pytest.raises(MisuseError, match=told):
        quick(**{"model": network("lenet5"), "example": torch.randn(1, 1, 32, 32), **settings})


def test_images_whose_reading_breaks_off_are_used_as_far_as_they_came(network) -> None:
    data = _failing(ZeroDivisionError("nothing to divide by"))
    run = quick(network("lenet5"), torch.randn(1, 1, 32, 32), data=data)
    assert "9 real images" in run.report.images
    assert "reading failed (nothing to divide by)" in " ".join(run.report.notes)


@pytest.mark.parametrize(
    ("value", "text"), [(3.1251, "3.125"), (146.12, "146.1"), (14613.4, "14,613"), (999.97, "1,000")]
)
def test_a_rate_has_no_exponent(value: float, text: str) -> None:
    assert rate(value) == text


def test_images_of_another_size_are_answered_in_float32_with_a_warning(network) -> None:
    model = network("resnet20")
    run = quick(model, torch.randn(2, 3, 32, 32))
    images = torch.randn(2, 3, 40, 40)
    with pytest.warns(RuntimeWarning, match="optimized for"):
        answer = run(images)
    with torch.no_grad():
        assert torch.equal(answer, model(images))
    with pytest.raises(MisuseError, match="float batch"):
        run(torch.zeros(3, 32, 32))


def test_images_that_the_network_cannot_take_at_all_are_misuse(network) -> None:
    run = quick(network("lenet5"), torch.randn(2, 1, 32, 32))
    with pytest.warns(RuntimeWarning), pytest.raises(MisuseError, match="does not take"):
        run(torch.randn(2, 1, 20, 20))


def test_one_image_is_too_few_for_int8_and_said(network) -> None:
    run = optimize(
        network("lenet5"),
        torch.randn(1, 1, 32, 32),
        "auto",
        torch.randn(1, 1, 32, 32),
        seconds=0.05,
        engines=(*PLAIN, "openvino"),
    )
    assert not any(row.plan.precision == "int8" for row in run.report.rows if row.images_per_second)
    assert "int8 not tried: 1 images are too few" in str(run.report)


def test_int8_without_images_is_not_tried_and_float32_answers(network) -> None:
    if ENGINES["openvino"].missing():
        pytest.skip("OpenVINO is not installed")
    model = network("lenet5")
    images = torch.randn(2, 1, 32, 32)
    with pytest.warns(
        RuntimeWarning, match="int8 is calibrated on real images, and accuracy_data gives none"
    ):
        run = quick(model, images, "int8", engines=("openvino",))
    assert run.plan.engine == "eager"
    assert "skipped: calibrates on real images, 8 at least, and there are 0" in str(run.report)
    with torch.no_grad():
        assert torch.equal(run(images), model(images))


def test_broken_images_are_left_out_and_said(network) -> None:
    good = torch.randn(6, 1, 32, 32)
    bad = good.clone()
    bad[2, 0, 3, 3] = float("nan")
    run = quick(
        network("lenet5"),
        torch.randn(1, 1, 32, 32),
        data=[bad, torch.randn(3, 28, 28), "no image", (good, torch.zeros(6))],
    )
    notes = " ".join(run.report.notes)
    assert "not finite" in notes
    assert "3x28x28" in notes
    assert "is a str" in notes
    assert "11 real images" in run.report.images


def test_only_broken_images_are_misuse(network) -> None:
    with pytest.raises(MisuseError, match="no usable image"):
        quick(network("lenet5"), torch.randn(1, 1, 32, 32), data=torch.full((4, 1, 32, 32), float("inf")))


def test_pictures_of_a_folder_are_read_as_the_weights_want_them(network, tmp_path: Path) -> None:
    from PIL import Image

    from convatlas.define.preprocessing import named

    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(9):
        Image.new("RGB", (40, 50), (20 * i, 5 * i, 200)).save(folder / f"{i}.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    model = network("resnet20")
    run = quick(model, torch.randn(2, 3, 32, 32), data=folder)
    assert "checked on 9 real images" in str(run.report)
    assert "left out: 1 " in str(run.report)
    assert "prepared as for torchvision" in str(run.report)
    model.preprocessing = named("cifar")
    known = quick(model, torch.randn(2, 3, 32, 32), data=str(folder), remember=False)
    assert "prepared as" not in str(known.report)


def test_a_folder_without_a_readable_picture_is_misuse(network, tmp_path: Path) -> None:
    example = torch.randn(1, 1, 32, 32)
    with pytest.raises(MisuseError, match="nowhere"):
        quick(network("lenet5"), example, data=tmp_path / "nowhere")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(MisuseError, match="none of the 1 pictures"):
        quick(network("lenet5"), example, data=tmp_path)


def test_what_an_engine_logs_is_not_the_user_s_concern(
    network, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Chatty(Engine):
        name = "chatty"

        def precisions(self, device: torch.device) -> tuple[str, ...]:
            return ("float32",)

        def prepare(self, bench: Workbench, plan: Plan) -> Callable[[int], Runner]:
            logging.getLogger().warning("Please consider to run pre-processing before quantization")
            return lambda _batch: bench.model

    monkeypatch.setitem(ENGINES, "chatty", Chatty())
    assert quick(network("lenet5"), torch.randn(1, 1, 32, 32), engines=("chatty",)).plan.engine == "chatty"
    assert not caplog.records
    logging.getLogger().warning("ours")
    assert caplog.records


def test_a_choice_is_remembered_and_checked_again(network) -> None:
    model, example = network("lenet5"), torch.randn(2, 1, 32, 32)
    first = quick(model, example)
    second = quick(model, example)
    assert second.plan == first.plan
    assert "remembered" in str(second.report)
    assert len([row for row in second.report.rows if row.verdict]) == 1
    assert "images/s" in second.report.earlier  # the reasons of then are still told
    assert second.report.earlier in str(second.report)
    other = quick(model, torch.randn(3, 1, 32, 32))
    assert "remembered" not in str(other.report)


def test_a_remembered_choice_that_no_longer_passes_is_searched_anew(network) -> None:
    model, example = network("lenet5"), torch.randn(2, 1, 32, 32)
    quick(model, example)
    with torch.no_grad():
        model.get_submodule(
            "output" if hasattr(model, "output") else next(reversed(model._modules))
        ).weight.fill_(float("nan"))
    run = quick(model, example)
    assert "nothing passed" in str(run.report)


def test_an_unreadable_cache_is_an_empty_one(network, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/choices.json").write_text("{not json")
    run = quick(network("lenet5"), torch.randn(2, 1, 32, 32))
    assert run.report.taken is not None


def test_latency_is_for_one_batch_and_throughput_for_many(network) -> None:
    model = network("lenet5")
    assert quick(model, torch.randn(1, 1, 32, 32)).report.mode == "latency"
    assert quick(model, torch.randn(8, 1, 32, 32)).report.mode == "throughput"
    assert quick(model, torch.randn(1, 1, 32, 32), mode="throughput").report.batch == 32


def test_explain_is_told_the_table(network) -> None:
    said: list[str] = []
    quick(network("lenet5"), torch.randn(1, 1, 32, 32), explain=said.append)
    assert "images/s" in said[-1]


def test_judging_counts_a_flip_but_not_a_tie() -> None:
    reference = torch.tensor([[2.0, 1.0], [1.0, 1.0 + 1e-7]])
    assert judge(reference, torch.tensor([[2.0, 1.0], [1.1, 1.0]]), Bounds(1.0, 1.0)).agreement == 1
    assert judge(reference, torch.tensor([[1.0, 2.0], [1.0, 1.1]]), Bounds(1.0, 1.0)).agreement == 0.5
    assert "not finite" in judge(reference, reference * float("nan"), Bounds(0.0, 1.0)).problem
    assert "instead of" in judge(reference, reference[:, :1], Bounds(0.0, 1.0)).problem


@pytest.mark.oracle
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_engines_answer_as_the_network_does_at_any_batch(engine: str, network) -> None:
    if ENGINES[engine].missing():
        pytest.skip(ENGINES[engine].missing())
    model = network("resnet20")
    run = quick(model, torch.randn(4, 3, 32, 32), engines=(engine,))
    assert run.plan.engine == engine, str(run.report)
    for count in (1, 4, 9):
        images = torch.randn(count, 3, 32, 32)
        with torch.no_grad():
            torch.testing.assert_close(run(images), model(images), rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
def test_a_cuda_graph_answers_as_the_network_does(network) -> None:
    model = network("resnet20").cuda()
    run = quick(model, torch.randn(1, 3, 32, 32, device="cuda"), engines=("cudagraph",))
    assert run.plan.engine == "cudagraph", str(run.report)
    for count in (1, 5):
        images = torch.randn(count, 3, 32, 32, device="cuda")
        with torch.no_grad():
            torch.testing.assert_close(run(images), model(images), rtol=1e-2, atol=1e-2)


@pytest.mark.slow
@pytest.mark.oracle
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_int8_is_calibrated_on_the_images_given_and_answers(engine: str, network) -> None:
    pytest.importorskip("nncf" if engine == "openvino" else "onnxruntime")
    if ENGINES[engine].missing():
        pytest.skip(ENGINES[engine].missing())
    model = network("lenet5")
    images = torch.randn(32, 1, 32, 32)
    free = {"int8": Bounds(0.5, 1.0)}
    run = quick(model, images[:4], "int8", images, engines=(engine,), bounds=free)
    assert (run.plan.engine, run.plan.precision) == (engine, "int8"), str(run.report)
    with torch.no_grad():
        expected = model(images)
    answer = run(images)
    # the same answers to 8 bits of each layer's range; equal ones would mean that nothing was quantized
    together = torch.corrcoef(torch.stack([answer.flatten(), expected.flatten()]))[0, 1]
    assert together > 0.95
    assert not torch.allclose(answer, expected, rtol=1e-4)
