"""Comparison: rows, protocols that are never mixed, order, plot, files; and the command with bad requests."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import convatlas as ca
from convatlas import cli
from convatlas.analysis.compare import PROTOCOLS, ordered, published
from convatlas.define.facts import Accuracy
from convatlas.networks import catalogue


def test_a_row_has_the_published_and_the_computed_numbers() -> None:
    vgg, resnet, mobile = ca.compare("vgg16", "resnet50", "mobilenet_v1")
    assert (vgg.parameters, vgg.bytes, vgg.depth, vgg.year) == (138_357_544, 4 * 138_357_544, 16, 2014)
    assert resnet.mult_adds == 3_857_973_248
    assert mobile.top1 == 70.6  # Howard et al. 2017, Table 8
    assert resnet.top1 == 75.3  # error 24.7, single crop: readme of the authors' release
    assert vgg.receptive_field.vertical.size == 212  # of pool5, well known


def test_the_documents_activation_memory_of_lenet_is_what_its_shapes_take() -> None:
    (lenet,) = ca.compare("lenet5")
    # the largest moment: input 32x32, C1 6x28x28 before its tanh and after
    assert lenet.activation_bytes == 4 * (32 * 32 + 2 * 6 * 28 * 28)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_accuracies_of_one_comparison_are_of_one_protocol(protocol: str) -> None:
    words = {
        "single-crop": ("crop",),
        "10-crop": ("10 crops",),
        "dense": ("dense", "multi-scale"),
        "144-crop": ("144 crops",),
    }
    chosen = [published(catalogue.facts(name).accuracies, protocol) for name in ca.names()]
    results = [result for result in chosen if result]
    assert results
    for result in results:
        if result.dataset == "ImageNet-1k val":
            assert any(word in result.protocol for word in words[protocol])
            assert not any(f"{n} networks" in result.protocol for n in range(2, 10))
            assert "V2" not in result.source
            if protocol == "single-crop":
                assert "10 crops averaged" not in result.protocol
                assert "144" not in result.protocol
        else:
            assert protocol == "single-crop"
            assert result.dataset.startswith(("CIFAR-10", "MNIST"))


def test_the_papers_figure_comes_before_the_releases_and_before_others() -> None:
    def result(source: str, top1: float | None = 30.0) -> Accuracy:
        return Accuracy("ImageNet-1k val", "error", top1, 10.0, "single crop", source)

    paper, release, other = (
        result("paper Table 2"),
        result("readme of the authors' release"),
        result("torchvision IMAGENET1K_V1"),
    )
    assert published([other, release, paper]) is paper
    assert published([other, release]) is release
    assert published([result("paper", None), other]) is other  # a plot needs the top-1
    assert published([result("torchvision IMAGENET1K_V2")]) is None


def test_an_edited_network_has_no_published_accuracy_but_a_published_size_has_its_own() -> None:
    small, odd, wide, named = ca.compare(
        "mobilenet_v1@160",
        "resnet50@160",
        ca.network("resnet50", width=0.5),
        ca.network("resnet50", classes=10),
    )
    assert small.top1 == 67.2  # Howard et al. 2017, Table 7
    assert odd.result is wide.result is named.result is None
    assert wide.title == "ResNet-50"


@pytest.mark.parametrize("column", ["year", "parameters", "mult_adds", "depth", "activation_bytes", "bytes"])
def test_rows_can_be_sorted(column: str) -> None:
    rows = ca.compare(*catalogue.families()["vgg"], *catalogue.families()["densenet"]).sorted(column)
    values = [getattr(row, column) for row in rows]
    assert values == sorted(values)


def test_accuracies_are_sorted_from_the_best_and_networks_without_come_last() -> None:
    rows = ordered(list(ca.compare("plain18", "vgg16", "resnet152", "mobilenet_v1_x0_25")), "top1")
    assert [row.name for row in rows] == ["resnet152", "vgg16", "mobilenet_v1_x0_25", "plain18"]
    with pytest.raises(ValueError, match="columns: name, year"):
        ordered(rows, "beauty")


def test_the_whole_catalogue_is_compared_and_plotted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "field.svg"
    assert cli.main(["compare", "--all", "--csv", "--plot", str(path)]) == 0
    out = capsys.readouterr()
    lines = list(csv.DictReader(io.StringIO(out.out)))
    assert [line["name"] for line in lines] == list(ca.names())
    assert {line["name"]: int(line["parameters"]) for line in lines}["vgg16"] == 138_357_544
    root = ET.fromstring(path.read_text(encoding="utf-8"))
    discs = root.findall(".//{http://www.w3.org/2000/svg}circle")
    imagenet = [line for line in lines if line["top1"] and line["dataset"] == "ImageNet-1k val"]
    assert len(discs) >= len(imagenet) > 50
    assert "without such a result: lenet5_1998" in out.err


def test_json_and_markdown_have_the_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", "alexnet", "googlenet", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["alexnet", "googlenet"]
    assert rows[0]["mult_adds"] == 724_406_816
    assert {"dataset", "protocol", "source"} <= rows[0].keys()
    assert cli.main(["compare", "--family", "lenet", "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1


def test_what_cannot_be_compared_is_told_and_the_rest_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", "googlenet", "vgg16", "--input", "32", "--json"]) == 2
    out = capsys.readouterr()
    assert [row["name"] for row in json.loads(out.out)] == ["vgg16"]
    assert "googlenet left out: aux.inception4a" in out.err
    assert "--no-aux" in out.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing to compare"),
        (("resnet51",), "nearest: resnet"),
        (("--family", "transformers"), "there are: lenet"),
        (("--table", "bert"), "there are: vgg, resnet"),
        (("--table", "vgg", "resnet50"), "takes no networks"),
        (("vgg16", "--plot", "field.bmp"), ".svg, .png or .pdf"),
        (("plain18", "--plot", "field.svg"), "none of these networks has a published"),
        (("resnext50_32x4d", "--width", "0.3"), "nearest multiples of an eighth that can"),
    ],
)  # fmt: skip
def test_a_bad_request_says_what_would_work(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compare", *arguments]) == 2
    out = capsys.readouterr()
    assert words in out.err
    assert "Traceback" not in out.err
