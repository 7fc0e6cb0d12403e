"""Adaptive pooling: windows that divide a map of any size, as torchvision's GoogLeNet has them in its heads."""

from __future__ import annotations

import pytest

from convatlas import define as d
from convatlas.analysis import Fields


def test_the_output_is_of_the_size_asked_for_whatever_the_input() -> None:
    for side in (2, 7, 14):
        assert d.AdaptiveAvgPool(4).output((8, side, side)) == (8, 4, 4)
    assert d.AdaptiveAvgPool((3, 2)).output((8, 14, 14)) == (8, 3, 2)
    assert d.AdaptiveAvgPool((3, 2)).describe() == "adaptive average pool to 3×2"


def test_windows_are_those_of_torch() -> None:
    # the documentation of AdaptiveAvgPool2d: from floor(i H / m) to ceil((i + 1) H / m)
    rows, columns = d.AdaptiveAvgPool((4, 7)).spans((1, 14, 14))
    assert rows == ((0, 4), (3, 7), (7, 11), (10, 14))
    assert columns == tuple((2 * i, 2 * i + 2) for i in range(7))


def test_its_field_is_the_least_at_an_even_stride_that_holds_every_window() -> None:
    network = d.Network(input=(1, 14, 28), pool=d.AdaptiveAvgPool(4))
    field = Fields().relative(d.elaborate(network).body)
    assert field.to_dict() == {"size": [5, 7], "stride": [3, 7], "start": 0}


def test_a_size_below_one_is_refused_when_it_is_written() -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        d.AdaptiveAvgPool((4, 0))


def test_heads_of_torchvisions_googlenet_take_images_that_starve_those_of_the_paper() -> None:
    from convatlas.networks import catalogue

    with pytest.raises(d.ShapeError):
        d.elaborate(catalogue.network("googlenet"), (3, 64, 64))
    heads = dict(d.elaborate(catalogue.network("googlenet_bn"), (3, 64, 64)).aux)
    assert sum(head.parameters for head in heads.values()) == 6_379_984  # as of torchvision's own
