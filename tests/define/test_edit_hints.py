"""An edit that cannot be names the row, and says what would work; what it says does work."""

from __future__ import annotations

import re

import pytest

import convatlas as ca
from convatlas import cli
from convatlas.define import elaborate, scale_width, with_input, without_aux
from convatlas.define.shape import ShapeError
from convatlas.networks import catalogue


@pytest.mark.parametrize(
    ("name", "size"), [("googlenet", 32), ("inception_v3", 75), ("inception_v3", 192), ("vgg16", 16)]
)
def test_the_size_that_an_error_offers_works_and_the_one_before_does_not(name: str, size: int) -> None:
    network = catalogue.network(name)
    with pytest.raises(ShapeError) as raised:
        with_input(network, (3, size, size))
    assert raised.value.path
    offered = re.search(r"next size that works is 3x(\d+)x\1", str(raised.value))
    assert offered
    best = int(offered[1])
    assert size < best <= network.input[-1]
    assert elaborate(with_input(network, (3, best, best))).output == (1000,)
    with pytest.raises(ShapeError):
        with_input(network, (3, best - 1, best - 1))


@pytest.mark.parametrize(("name", "size"), [("googlenet", 32), ("inception_v3", 75), ("inception_v3", 192)])
def test_a_head_too_large_for_the_input_can_be_left_out_as_the_error_says(name: str, size: int) -> None:
    with pytest.raises(ShapeError, match=r"works without its auxiliary heads? \(without_aux, --no-aux\)"):
        with_input(catalogue.network(name), (3, size, size))
    assert elaborate(with_input(without_aux(catalogue.network(name)), (3, size, size))).output == (1000,)
    assert ca.network(name, input=(3, size, size), aux=False).aux == ()


@pytest.mark.parametrize(
    "name", ["resnext50_32x4d", "shufflenet_v1_g3", "inception_resnet_v2", "senet154", "alexnet"]
)
def test_the_widths_that_an_error_offers_work(name: str) -> None:
    network = catalogue.network(name)
    with pytest.raises(ShapeError) as raised:
        scale_width(network, 0.3)
    assert raised.value.path
    offered = re.search(r"that can: ([\d., ]+)$", str(raised.value))
    assert offered
    for alpha in map(float, offered[1].split(", ")):
        assert elaborate(scale_width(network, alpha)).output == (1000,)


@pytest.mark.parametrize("verb", ["show", "draw", "estimate"])
def test_every_command_names_the_row_and_a_way_out(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    extra = ["-o", "unused.svg"] if verb == "draw" else []
    assert cli.main([verb, "googlenet", "--input", "32", *extra]) == 2
    told = capsys.readouterr().err
    assert "aux.inception4a.pool" in told
    assert "--no-aux" in told
    assert cli.main([verb, "shufflenet_v1_g3", "--width", "0.3", *extra]) == 2
    told = capsys.readouterr().err
    assert "gconv2" in told
    assert "nearest multiples of an eighth that can" in told
