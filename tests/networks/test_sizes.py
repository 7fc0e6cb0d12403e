"""How small an image each network takes, and what it says of a smaller one."""

from __future__ import annotations

import pytest

from convatlas.define import Network, ShapeError, elaborate, without_aux
from convatlas.networks import catalogue

# The least height and width that the releases of weights give (torchvision's `min_size`).
SMALLEST = {
    "alexnet_owt": 63, "vgg11": 32, "vgg16": 32, "vgg19_bn": 32, "googlenet_bn": 15, "inception_v3": 75, "resnet18": 1,
    "resnet50_v1_5": 1, "resnext50_32x4d": 1, "mobilenet_v2": 1, "mobilenet_v3_large": 1, "shufflenet_v2_x1_0": 1,
}  # fmt: skip


def refusal(network: Network, size: int) -> ShapeError | None:
    try:
        elaborate(network, (network.input[0], size, size))
    except ShapeError as error:
        return error
    return None


def smallest(name: str) -> int:
    """The least size that the network itself takes; every smaller one must be refused with the row's name."""
    network = without_aux(catalogue.network(name))
    for size in range(1, network.input[1] + 1):
        error = refusal(network, size)
        if error is None:
            return size
        assert error.path.split(".")[0] in dict(network.rows), f"at {size}: {error}"
        assert str(error).startswith(f"{error.path}: ")
    raise AssertionError(f"{name} refuses its own input")


@pytest.mark.parametrize("name", catalogue.names())
def test_an_image_too_small_is_refused_by_the_row_that_cannot_take_it(name: str) -> None:
    assert 1 <= smallest(name) <= catalogue.network(name).input[1]


@pytest.mark.parametrize(("name", "size"), SMALLEST.items())
def test_the_smallest_image_is_that_of_the_releases(name: str, size: int) -> None:
    assert smallest(name) == size


@pytest.mark.parametrize("name", catalogue.names())
def test_no_image_at_all_is_refused(name: str) -> None:
    network = catalogue.network(name)
    with pytest.raises(ShapeError, match="expected channels x height x width"):
        elaborate(network, (network.input[0], 0, 0))


def test_towers_that_disagree_at_an_odd_size_are_named() -> None:
    # 7x7 of stride 2 padded to 4x4, pooling with ceil to 3x3: Caffe's widths at a size nobody meant
    with pytest.raises(ShapeError, match=r"^inception4e: towers disagree: .* 4x4, pool gives 3x3"):
        elaborate(catalogue.network("bn_inception"), (3, 112, 112))


@pytest.mark.parametrize(
    ("name", "head"), [("googlenet", "aux.inception4a.pool"), ("inception_v3", "aux.Mixed_6e")]
)
def test_a_head_that_a_small_image_starves_is_named(name: str, head: str) -> None:
    with pytest.raises(ShapeError, match=f"^{head}"):
        elaborate(catalogue.network(name), (3, 75, 75) if name == "inception_v3" else (3, 32, 32))
