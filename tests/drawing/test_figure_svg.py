"""The figure as a file: well-formed, of bounded size, the same each time, safe beside others on a page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from convatlas.define import elaborate
from convatlas.drawing.figure import figure
from convatlas.drawing.theme import COLORS
from convatlas.errors import MisuseError
from convatlas.networks import catalogue

SVG = "{http://www.w3.org/2000/svg}"

# One of each look: what a change of the layout shows in review.
GOLDEN = (
    "lenet5_1998", "alexnet", "zfnet", "nin", "vgg16", "googlenet", "inception_v3", "inception_v4",
    "inception_resnet_v2", "resnet18_a", "resnet50", "resnet110_stochastic_depth", "squeezenet1_0", "densenet121",
    "xception", "resnext50_32x4d", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v1_g3",
    "shufflenet_v2_x1_0", "se_resnet50",
)  # fmt: skip


def tree(svg: str) -> ET.Element:
    return ET.fromstring(svg)


@pytest.mark.parametrize("name", GOLDEN)
def test_the_figure_of_each_family_is_as_reviewed(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"figures/{name}.svg", figure(catalogue.network(name)))


def test_volumes_and_the_horizontal_form_are_as_reviewed(golden: Callable[[str, str], None]) -> None:
    network = catalogue.network("alexnet")
    golden("figures/alexnet_volumes.svg", figure(network, kind="volumes"))
    golden(
        "figures/alexnet_horizontal_dark_zh.svg", figure(network, horizontal=True, theme="dark", lang="zh")
    )


@pytest.mark.parametrize("name", catalogue.names())
def test_every_figure_is_well_formed_and_holds_no_script_and_no_outside_file(name: str) -> None:
    network, facts = catalogue.network(name), catalogue.facts(name)
    for svg in (figure(network, facts=facts), figure(network, facts=facts, kind="volumes", theme="dark")):
        tags = {node.tag.removeprefix(SVG) for node in tree(svg).iter()}
        assert tags <= {
            "svg",
            "title",
            "desc",
            "style",
            "g",
            "rect",
            "path",
            "text",
            "line",
            "circle",
            "polygon",
        }
        assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
        assert "url(" not in svg


def test_lenet5_stays_below_20_kb_and_inception_v4_folded_below_150_kb() -> None:
    for name in ("lenet5", "lenet5_1998"):
        assert len(figure(catalogue.network(name), facts=catalogue.facts(name)).encode()) < 20_000
    assert (
        len(figure(catalogue.network("inception_v4"), facts=catalogue.facts("inception_v4")).encode())
        < 150_000
    )


@pytest.mark.parametrize("name", ["googlenet", "mobilenet_v3_large", "shufflenet_v1_g3"])
def test_the_same_definition_gives_the_same_bytes(name: str) -> None:
    assert figure(catalogue.network(name)) == figure(catalogue.network(name))


@pytest.mark.parametrize("name", catalogue.names())
def test_ids_are_rows_of_the_network_and_none_is_used_twice(name: str) -> None:
    network = catalogue.network(name)
    found = re.findall(r' id="([^"]+)"', figure(network, prefix="p"))
    assert len(found) == len(set(found))
    placed = elaborate(network)
    for identity in found:
        prefix, _, row = identity.partition(":")
        assert prefix == "p"
        placed[row]  # a KeyError names a row that is not there


def test_two_figures_on_a_page_share_no_id() -> None:
    first, second = (
        set(re.findall(r' id="([^"]+)"', figure(catalogue.network(n)))) for n in ("resnet18", "resnet34")
    )
    assert first
    assert not first & second


def test_an_opened_figure_has_a_box_for_every_operation() -> None:
    network = catalogue.network("resnet18")
    found = set(re.findall(r' id="r:([^"]+)"', figure(network, depth=9, prefix="r")))
    assert {path for path, _ in elaborate(network).operations()} <= found


def test_boxes_carry_their_numbers_as_data() -> None:
    network = catalogue.network("vgg16")
    placed = elaborate(network)
    groups = {
        g.get("id"): g
        for g in tree(figure(network, prefix="v")).iter(f"{SVG}g")
        if g.get("data-op") == "Conv"
    }
    assert len(groups) == 13  # Simonyan & Zisserman 2015, Table 1, configuration D
    for identity, group in groups.items():
        assert identity is not None
        operation = placed[identity.removeprefix("v:")]
        assert int(group.get("data-parameters", "")) == operation.parameters
        assert int(group.get("data-mult-adds", "")) == operation.mult_adds
        assert group.get("data-out") == "x".join(map(str, operation.output))


def test_the_root_names_itself_for_screen_readers() -> None:
    root = tree(figure(catalogue.network("resnet50"), facts=catalogue.facts("resnet50")))
    assert root.get("role") == "img"
    assert root[0].tag == f"{SVG}title"
    assert root[0].text == "ResNet-50 (2015)"
    assert "25.6M parameters" in (root[1].text or "")


def test_folded_blocks_say_how_many_they_are() -> None:
    # He et al. 2015, Table 1: conv4 of the 152-layer network has 36 blocks, the first of which is drawn by itself.
    svg = figure(catalogue.network("resnet152"))
    assert "conv4.block2–36" in svg
    assert "× 35" in svg
    assert "conv4.block17" not in re.sub(r'data-rows="[^"]*"|<title>.*?</title>', "", svg)


def test_inception_blocks_that_differ_in_width_fold_with_their_widths_listed() -> None:
    svg = figure(catalogue.network("googlenet"))
    assert "inception3a–3b" in svg
    assert "1×1, 64·128" in svg  # Szegedy et al. 2014, Table 1: #1x1 of 3a and 3b


@pytest.mark.parametrize(
    ("name", "sign"), [("resnet50", "M"), ("densenet121", "concat +32"), ("inception_resnet_v2", "× 0.17"), ("googlenet", "training only")]
)  # fmt: skip
def test_structure_is_labeled(name: str, sign: str) -> None:
    assert sign in figure(catalogue.network(name))


def test_stochastic_depth_labels_its_blocks_with_their_survival() -> None:
    # Huang et al. 2016, §4: linear decay to p_L = 0.5 over the 54 blocks.
    assert "0.5" in re.findall(r">p ([^<]+)<", figure(catalogue.network("resnet110_stochastic_depth")))[-1]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_fixed_theme_has_its_colors_and_no_variables(theme: str) -> None:
    svg = figure(catalogue.network("googlenet"), theme=theme)  # type: ignore[arg-type]
    assert "var(" not in svg
    assert "@media" not in svg
    column = ("light", "dark").index(theme)
    assert set(re.findall(r"#[0-9a-f]{6}", svg)) <= {pair[column] for pair in COLORS.values()}


def test_themes_differ_in_colors_only() -> None:
    light, dark = (figure(catalogue.network("se_resnet50"), theme=theme) for theme in ("light", "dark"))  # type: ignore[arg-type]
    assert light != dark
    assert re.sub(r"#[0-9a-f]{6}", "", light) == re.sub(r"#[0-9a-f]{6}", "", dark)


def test_auto_follows_the_viewer_and_the_page_may_override() -> None:
    svg = figure(catalogue.network("lenet5"))
    assert "prefers-color-scheme:dark" in svg
    assert "[data-theme=dark] .ca" in svg


def test_unknown_rows_languages_kinds_and_depths_are_misuse_that_says_what_works() -> None:
    network = catalogue.network("resnet50")
    with pytest.raises(MisuseError, match=r"no row 'conv3\.blok1'; nearest: conv3\.block1"):
        figure(network, row="conv3.blok1")
    with pytest.raises(MisuseError, match="en and zh"):
        figure(network, lang="de")
    with pytest.raises(MisuseError, match="blocks and volumes"):
        figure(network, kind="cubes")  # type: ignore[arg-type]
    with pytest.raises(MisuseError, match=r"1 \(each row a box\) or more"):
        figure(network, depth=0)
    with pytest.raises(MisuseError, match="auto, light, dark"):
        figure(network, theme="pink")  # type: ignore[arg-type]
