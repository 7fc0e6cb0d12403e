"""The Python face: what scripts rely on."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

import convatlas as ca
from convatlas import define


def test_the_public_names_are_frozen_and_all_there(golden: Callable[[str, str], None]) -> None:
    golden("api.txt", "\n".join(ca.__all__) + "\n")
    for name in ca.__all__:
        assert getattr(ca, name) is not None
    assert set(ca.__all__) <= set(dir(ca))


def test_a_name_that_is_not_there_is_an_attribute_error_that_lists_those_that_are() -> None:
    with pytest.raises(AttributeError, match="create_model"):
        _ = ca.create_modle  # type: ignore[attr-defined]


def test_a_network_has_its_numbers_and_its_facts() -> None:
    net = ca.network("resnet50")
    # He et al. 2016: Table 1, 3.8 billion multiply-adds, 50 layers; 25.6 million parameters
    assert (net.name, net.family, net.year, net.input, net.classes) == (
        "resnet50",
        "resnet",
        2015,
        (3, 224, 224),
        1000,
    )
    assert round(net.mult_adds, -8) in {3_800_000_000, 3_900_000_000}
    assert net.depth == 50
    assert round(net.parameters, -5) == 25_600_000
    assert net.facts.paper.arxiv == "1512.03385"


@pytest.mark.parametrize("name", ["lenet5", "alexnet", "googlenet", "densenet121", "se_resnet50"])
def test_edits_keep_the_face(name: str) -> None:
    net = ca.network(name)
    for edited in (
        define.with_classes(net, 7),
        define.without_aux(net),
        define.without_shortcuts(net),
        define.replace(net, define.ReLU, define.Tanh),
        define.without_normalization(net),
        copy.deepcopy(net),
        pickle.loads(pickle.dumps(net)),
    ):
        assert isinstance(edited, ca.CatalogueNetwork)
        assert edited.year == net.year
        assert edited.facts == net.facts
    assert define.with_classes(net, 7).classes == 7
    assert pickle.loads(pickle.dumps(net)) == net


def test_the_table_is_a_sequence_that_prints_as_a_table() -> None:
    table = ca.network("lenet5").table()
    assert sum(row.parameters for row in table) == ca.network("lenet5").parameters
    assert [row.parameters for row in table if row.parameters] == [156, 2416, 48120, 10164, 850]
    text = str(table)
    assert "61,706" in text
    assert "F6" in text
    assert len(table[:3]) == 3


def test_draw_writes_the_figure_and_gives_the_path(tmp_path: Path) -> None:
    path = ca.network("lenet5").draw(tmp_path / "lenet5.svg")
    assert path.read_text(encoding="utf-8").startswith("<svg")
    with pytest.raises(ca.MisuseError, match="png"):
        ca.network("lenet5").draw(tmp_path / "lenet5.gif")


def test_network_takes_the_edits_of_the_command_line() -> None:
    net = ca.network("mobilenet_v1", input=(3, 160, 160), classes=10, width=0.5)
    assert (net.input, net.classes) == ((3, 160, 160), 10)
    # Howard et al. 2017, Table 6 and 7: alpha 0.5 at 160 is 76 million mult-adds with 1000 classes
    assert round(ca.network("mobilenet_v1", input=(3, 160, 160), width=0.5).mult_adds, -6) in {
        76_000_000,
        77_000_000,
    }


def test_an_unknown_name_is_misuse_with_the_nearest() -> None:
    with pytest.raises(ca.MisuseError, match="vgg16"):
        ca.network("vgg-16")


def test_create_model_builds_what_was_asked_for() -> None:
    torch = pytest.importorskip("torch")
    model = ca.create_model("squeezenet1_1", num_classes=5, input=(3, 64, 64)).eval()
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 5)
    mine = define.Network(
        input=(1, 8, 8), name="mine", conv=define.Conv(4, 3), pool=define.GlobalAvgPool(), fc=define.Linear(3)
    )
    assert ca.create_model(mine)(torch.zeros(1, 1, 8, 8)).shape == (1, 3)
    assert sum(p.numel() for p in ca.create_model("lenet5").parameters()) == 61_706


def test_weights_go_through_a_file_and_back(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model = ca.create_model("lenet5").eval()
    torch.save(model.state_dict(), tmp_path / "lenet5.pth")
    other = ca.create_model("lenet5").eval()
    images = torch.randn(4, 1, 32, 32)
    assert not torch.equal(model(images), other(images))
    ca.load_checkpoint(other, tmp_path / "lenet5.pth")
    assert torch.equal(model(images), other(images))
