"""`list` and `show`: the contract that scripts rely on, and what a reader sees."""

from __future__ import annotations

import json

import pytest

import convatlas as ca
from convatlas import cli

SUMMARY = ["name", "family", "year", "title", "input", "classes", "parameters", "mult_adds", "depth"]


def out_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(list(arguments)) == 0
    return capsys.readouterr().out


def test_list_json_has_every_name_in_order_with_exactly_the_promised_fields(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = json.loads(out_of(capsys, "list", "--json"))
    assert [line["name"] for line in lines] == list(ca.names())
    assert len(lines) == 94
    for line in lines:
        assert list(line) == SUMMARY
    assert [line["year"] for line in lines] == sorted(line["year"] for line in lines)
    by_name = {line["name"]: line for line in lines}
    # Simonyan and Zisserman 2015, Table 2: 138 million; He et al. 2016, Table 6: ResNet-20 has 0.27 million
    assert round(by_name["vgg16"]["parameters"], -6) == 138_000_000
    assert round(by_name["resnet20"]["parameters"], -4) == 270_000
    assert by_name["lenet5"]["input"] == [1, 32, 32]
    assert by_name["resnet152"]["depth"] == 152


def test_list_takes_families_and_prints_names_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert out_of(capsys, "list", "--family", "lenet", "--names").split() == ["lenet5_1998", "lenet5"]
    both = out_of(capsys, "list", "--family", "vgg", "lenet").splitlines()
    assert len(both) == 1 + 2 + 10  # header, LeNet-5 twice, VGG's ten
    assert out_of(capsys, "list", "--names").split() == list(ca.names())


def test_show_json_has_the_summary_and_the_layers(capsys: pytest.CaptureFixture[str]) -> None:
    shown = json.loads(out_of(capsys, "show", "vgg16", "--json"))
    assert list(shown) == [*SUMMARY, "layers"]
    for layer in shown["layers"]:
        assert list(layer) == ["name", "operation", "output", "parameters", "mult_adds", "receptive_field"]
    assert sum(layer["parameters"] for layer in shown["layers"]) == shown["parameters"]
    assert sum(layer["mult_adds"] for layer in shown["layers"]) == shown["mult_adds"]
    # 3x3 convolutions in pairs and triples, 2x2 pools: 212 pixels seen after pool5, stride 32
    pooled = next(layer for layer in shown["layers"] if layer["output"] == [512, 7, 7])
    assert pooled["receptive_field"]["size"] == 212
    assert pooled["receptive_field"]["stride"] == 32


def test_show_applies_the_edits(capsys: pytest.CaptureFixture[str]) -> None:
    shown = json.loads(
        out_of(
            capsys,
            "show",
            "mobilenet_v1",
            "--input",
            "3x192x192",
            "--classes",
            "10",
            "--width",
            "0.5",
            "--json",
        )
    )
    assert shown["input"] == [3, 192, 192]
    assert shown["classes"] == 10
    assert shown["layers"][-1]["output"] == [10]
    first = shown["layers"][0]
    assert first["output"] == [16, 96, 96]  # 32 filters, stride 2 (Howard et al. 2017, Table 1), halved


def test_show_at_the_papers_resolution_is_the_named_variant(capsys: pytest.CaptureFixture[str]) -> None:
    at = json.loads(out_of(capsys, "show", "mobilenet_v1@160", "--json"))
    edited = json.loads(out_of(capsys, "show", "mobilenet_v1", "--input", "160", "--json"))
    assert at["mult_adds"] == edited["mult_adds"]
    assert (
        round(at["mult_adds"], -6) == 291_000_000
    )  # Howard et al. 2017, Table 7: 290 million, ours is 290.7


def test_show_prints_facts_table_and_totals(capsys: pytest.CaptureFixture[str]) -> None:
    text = out_of(capsys, "show", "googlenet")
    assert "Going Deeper with Convolutions" in text
    assert "1409.4842" in text
    assert "inception4b" in text
    assert "512×14×14" in text  # inception (4b)'s output, Szegedy et al. 2015, Table 1
    assert "receptive" in text or "field" in text


def test_show_depth_opens_that_many_levels(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [len(out_of(capsys, "show", "resnet152", "--depth", str(n)).splitlines()) for n in (1, 2, 3)]
    assert lines[0] < lines[1] < lines[2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "resnet51"], "resnet50"),
        (["show", "vgg16", "--input", "3x8x8"], "pool4"),
        (["show", "shufflenet_v1_g3", "--width", "0.37"], "group"),
        (["show", "lenet5_1998", "--classes", "7"], "lenet5"),
        (["show", "vgg16", "--json", "--code"], "not allowed with"),
    ],
)
def test_what_cannot_be_is_misuse_that_says_where(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    err = capsys.readouterr().err
    assert words in err


def test_the_source_compiles_and_imports_torch_alone(capsys: pytest.CaptureFixture[str]) -> None:
    import ast

    tree = ast.parse(out_of(capsys, "show", "lenet5", "--code"))
    imported = {
        alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {(node.module or "").partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported - {"__future__", "collections", "math"} == {"torch"}
