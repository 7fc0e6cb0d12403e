"""Every format is written, read back in its own runtime and proven; what is not equal is not left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import nn

from convatlas.data.pixels import normalize
from convatlas.define.preprocessing import named
from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.inference.export import FORMATS, export
from convatlas.weights.classifier import Classifier
from convatlas.weights.native import read_weights


@pytest.fixture
def classifier(network) -> Classifier:
    return classifying("lenet5", network("lenet5"), "digit")


def classifying(name: str, model: nn.Module, preprocessing: str) -> Classifier:
    classes = tuple(f"class {i}" for i in range(10))
    return Classifier(name, model, model.network, named(preprocessing), classes, source="a test")


def needs(*packages: str) -> None:
    for package in packages:
        pytest.importorskip(package)


@pytest.mark.parametrize("to", FORMATS)
def test_each_format_is_written_and_proven_at_two_sizes_of_batch(
    to: str, classifier: Classifier, tmp_path: Path
) -> None:
    needs(*{"onnx": ("onnx", "onnxruntime"), "openvino": ("onnx", "openvino")}.get(to, ()))
    done = export(classifier, tmp_path / "net", to)
    assert done.proof.batches == (1, 3)
    assert done.proof.agreement == 1
    assert done.proof.logit_difference < 1e-3
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in done.paths)
    assert [p.suffix for p in done.paths] == list(FORMATS[to].suffixes)


def test_the_caller_s_own_model_is_left_as_it_was(classifier: Classifier, tmp_path: Path) -> None:
    before = {
        name: (value, value.clone()) for name, value in classifier.model.state_dict(keep_vars=True).items()
    }
    classifier.model.train()
    export(classifier, tmp_path / "net", "torchscript")
    assert all(module.training for module in classifier.model.modules())
    for name, value in classifier.model.state_dict(keep_vars=True).items():
        assert value is before[name][0]
        assert torch.equal(value, before[name][1])


@pytest.mark.gpu
def test_the_caller_s_own_model_stays_on_its_device(classifier: Classifier, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    classifier.model.cuda()
    export(classifier, tmp_path / "net", "torchscript")
    assert classifier.device.type == "cuda"
    assert all(value.is_cuda for value in classifier.model.state_dict().values())


def test_onnx_carries_names_preprocessing_opset_and_rows(network, tmp_path: Path) -> None:
    needs("onnx", "onnxruntime")
    import onnx

    classifier = classifying("resnet20", network("resnet20"), "cifar")

    [path] = export(classifier, tmp_path / "net.onnx", "onnx", opset=18).paths
    model = onnx.load(path)
    metadata = {p.key: p.value for p in model.metadata_props}
    assert json.loads(metadata["classes"]) == list(classifier.classes)
    assert json.loads(metadata["preprocessing"]) == classifier.preprocessing.to_dict()
    assert metadata["opset"] == "18"
    assert model.opset_import[0].version == 18
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    convolutions = {name for name, m in classifier.model.named_modules() if isinstance(m, nn.Conv2d)}
    assert {node.name for node in model.graph.node if node.op_type == "Conv"} == convolutions
    assert not [node.name for node in model.graph.node if node.op_type == "BatchNormalization"]


def test_adaptive_pooling_is_two_products_in_onnx(tmp_path: Path) -> None:
    """14 rows to 4 and 9 columns to 2: windows of several sizes, for which ONNX has no operation."""
    needs("onnx", "onnxruntime")
    import onnxruntime

    from convatlas import define as d
    from convatlas.inference.export.onnx_graph import onnx_model
    from convatlas.inference.graph import record
    from convatlas.modules import build

    model = build(d.Network(input=(3, 14, 9), pool=d.AdaptiveAvgPool((4, 2)))).eval()
    images = torch.randn(2, 3, 14, 9)
    written = onnx_model(record(model, images)).SerializeToString()
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    expected = torch.nn.functional.adaptive_avg_pool2d(images, (4, 2))
    torch.testing.assert_close(torch.from_numpy(found), expected)


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("counted", [True, False])
def test_averages_over_windows_that_reach_beyond_the_map_are_the_same_in_onnx(
    size: int, padding: int, counted: bool
) -> None:
    """Network in Network for CIFAR-10 pools 16 rows to 8 by windows of 3: the last one has two rows alone."""
    needs("onnx", "onnxruntime")
    import onnxruntime

    from convatlas import define as d
    from convatlas.inference.export.onnx_graph import onnx_model
    from convatlas.inference.graph import record
    from convatlas.modules import build

    pool = d.AvgPool(3, 2, padding=padding, ceil=True, count_include_pad=counted)
    model = build(d.Network(input=(3, size, size), pool=pool)).eval()
    images = torch.randn(2, 3, size, size) + 5
    written = onnx_model(record(model, images)).SerializeToString()
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    expected = torch.nn.functional.avg_pool2d(
        images, 3, 2, padding=padding, ceil_mode=True, count_include_pad=counted
    )
    torch.testing.assert_close(torch.from_numpy(found), expected)


@pytest.mark.parametrize("to", ["onnx", "openvino", "torch-export", "torchscript"])
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_pixels_go_in_where_preprocessing_is_in_the_graph(
    to: str, layout: str, classifier: Classifier, tmp_path: Path
) -> None:
    needs(*{"onnx": ("onnx", "onnxruntime"), "openvino": ("onnx", "openvino")}.get(to, ()))
    done = export(classifier, tmp_path / "net", to, uint8_input=layout)
    assert done.proof.logit_difference < 1e-3


def test_an_onnx_file_with_preprocessing_answers_on_pixels_as_the_network_on_floats(
    network, tmp_path: Path
) -> None:
    needs("onnx", "onnxruntime")
    import dataclasses

    import onnxruntime

    classifier = classifying("resnet20", network("resnet20"), "cifar")
    bgr = dataclasses.replace(
        classifier, preprocessing=dataclasses.replace(named("caffe"), resize=None, crop=32)
    )
    [path] = export(bgr, tmp_path / "net.onnx", "onnx", uint8_input="nhwc").paths
    pixels = torch.randint(0, 256, (5, 32, 32, 3), dtype=torch.uint8)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].type == "tensor(uint8)"
    got = torch.from_numpy(session.run(None, {"images": pixels.numpy()})[0])
    with torch.no_grad():
        expected = bgr.model(normalize(pixels.permute(0, 3, 1, 2), bgr.preprocessing))
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)


def test_torch_formats_are_written_in_bf16_too(classifier: Classifier, tmp_path: Path) -> None:
    done = export(classifier, tmp_path / "net.pt2", "torch-export", precision="bf16")
    assert 0 < done.proof.probability_difference < 0.1


def test_safetensors_come_back_as_the_network(classifier: Classifier, tmp_path: Path) -> None:
    [path] = export(classifier, tmp_path / "net.safetensors", "safetensors").paths
    found = read_weights(path)
    assert found.network == classifier.network
    assert found.classes == classifier.classes
    assert found.preprocessing == classifier.preprocessing


def test_a_file_that_answers_otherwise_is_removed(
    classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = lambda job, path: lambda images: job.model(images) * 1.01  # noqa: E731
    import dataclasses

    monkeypatch.setitem(FORMATS, "torchscript", dataclasses.replace(FORMATS["torchscript"], open=wrong))
    (tmp_path / "net.pt").write_text("an older file")
    with pytest.raises(ConvAtlasError, match="logits differ by"):
        export(classifier, tmp_path / "net.pt", "torchscript")
    assert [p.name for p in tmp_path.iterdir()] == ["net.pt"]
    assert (tmp_path / "net.pt").read_text() == "an older file"


def test_a_network_that_answers_no_numbers_is_told(classifier: Classifier, tmp_path: Path) -> None:
    with torch.no_grad():
        next(classifier.model.parameters()).fill_(float("nan"))
    with pytest.raises(ConvAtlasError, match="answers are not finite numbers"):
        export(classifier, tmp_path / "net.pt", "torchscript")
    assert not list(tmp_path.iterdir())


def test_a_frozen_batch_axis_is_found(
    classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    def frozen(job, path):
        def run(images):
            if len(images) != 1:
                raise RuntimeError("Got invalid dimensions: index 0 Got: 3 Expected: 1")
            return job.model(images)

        return run

    monkeypatch.setitem(FORMATS, "torchscript", dataclasses.replace(FORMATS["torchscript"], open=frozen))
    with pytest.raises(ConvAtlasError, match="does not run at batch 3"):
        export(classifier, tmp_path / "net.pt", "torchscript")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_asked_is_misuse(classifier: Classifier, tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="unknown format 'caffe'"):
        export(classifier, tmp_path / "net", "caffe")
    with pytest.raises(MisuseError, match="not bf16; OpenVINO computes"):
        export(classifier, tmp_path / "net", "openvino", precision="bf16")
    with pytest.raises(MisuseError, match="no graph"):
        export(classifier, tmp_path / "net", "safetensors", uint8_input="nhwc")
    with pytest.raises(MisuseError, match="at least 8 images"):
        export(classifier, tmp_path / "net", "onnx", precision="int8")
    with pytest.raises(MisuseError, match=r"\.pt is a file of torchscript; onnx is written as .*net\.onnx"):
        export(classifier, tmp_path / "net.pt", "onnx")
    (tmp_path / "net.onnx").mkdir()
    with pytest.raises(MisuseError, match="is a folder"):
        export(classifier, tmp_path / "net.onnx", "onnx")


def test_an_opset_that_cannot_be_is_misuse(classifier: Classifier, tmp_path: Path) -> None:
    needs("onnx", "onnxruntime")
    with pytest.raises(MisuseError, match="14 to 23"):
        export(classifier, tmp_path / "net.onnx", "onnx", opset=9)
    assert not list(tmp_path.iterdir())


def test_broken_images_are_told_and_only_broken_ones_are_misuse(
    classifier: Classifier, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    from PIL import Image

    Image.new("RGB", (40, 40), (200, 30, 30)).save(good)
    bad.write_bytes(b"no image")
    done = export(classifier, tmp_path / "out/net.pt2", "torch-export", images=[bad, good])
    assert done.real
    assert "bad.png" in " ".join(done.notes)
    with pytest.raises(MisuseError, match="none of the 1 images"):
        export(classifier, tmp_path / "out/net.pt2", "torch-export", images=[bad])


_FULL = """
import resource, signal, sys
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit fails, as on a full disk
from convatlas.define.preprocessing import named
from convatlas.errors import ConvAtlasError
from convatlas.inference.export import export
from convatlas.modules import build
from convatlas.networks import catalogue
from convatlas.weights.classifier import Classifier
model = build(catalogue.network("lenet5")).eval()
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for to in sys.argv[2:]:
    try:
        export(Classifier("lenet5", model, model.network, named("digit"), tuple("abcdefghij")), Path(sys.argv[1]) / "net", to)
        print("written")
    except ConvAtlasError as error:
        print(f"{to}: {error}")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of file sizes")
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    needs("onnx", "onnxruntime")
    formats = ["onnx", "safetensors", "torchscript"] + ["openvino"] * (find_spec("openvino") is not None)
    folder = tmp_path / "out"
    folder.mkdir()
    command = [sys.executable, "-c", _FULL, str(folder), *formats]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == len(formats)
    assert "written" not in lines
    assert all("is the disk full?" in line for line in lines if line.startswith("openvino"))
    assert ".export-" not in done.stdout  # the draft's folder, of which the user knows nothing
    assert all(word in lines[0] for word in ("net", "nothing was left behind"))
    assert not list(folder.iterdir())
