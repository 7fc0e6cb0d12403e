"""The catalogue itself: its order, its errors, what it reads."""

from __future__ import annotations

import subprocess
import sys

import pytest

from convatlas.define import ShapeError
from convatlas.errors import MisuseError
from convatlas.networks import catalogue


def test_94_names_in_order_of_publication() -> None:
    assert len(catalogue.names()) == 94
    years = [catalogue.ENTRIES[name].year for name in catalogue.names()]
    assert years == sorted(years)


def test_each_family_file_declares_its_names_and_no_others() -> None:
    modules = {entry.module for entry in catalogue.ENTRIES.values()}
    for module in modules:
        found = __import__(f"convatlas.networks.{module}", fromlist=["NETWORKS"])
        listed = {name for name, entry in catalogue.ENTRIES.items() if entry.module == module}
        assert set(found.NETWORKS) == listed
        assert {name.partition("@")[0] for name in found.facts()} == listed


def test_families_hold_every_name_once() -> None:
    members = [name for family in catalogue.families().values() for name in family]
    assert sorted(members) == sorted(catalogue.names())


@pytest.mark.parametrize(
    ("wrong", "nearest"), [("resnet51", "resnet50"), ("vgg15", "vgg16"), ("gogglenet", "googlenet")]
)
def test_an_unknown_name_offers_the_nearest(wrong: str, nearest: str) -> None:
    with pytest.raises(
        MisuseError, match=rf"unknown network '{wrong}'; nearest: .*{nearest}.*convatlas list prints them all"
    ):
        catalogue.network(wrong)


def test_a_name_like_no_other_says_where_all_are() -> None:
    with pytest.raises(MisuseError, match=r"unknown network '¿' \(convatlas list prints them all\)"):
        catalogue.facts("¿")


def test_a_size_after_the_name_is_another_input() -> None:
    network = catalogue.network("vgg16@256")
    assert network.input == (3, 256, 256)
    assert network.name == "vgg16@256"
    assert catalogue.facts("vgg16@256") == catalogue.facts("vgg16")


@pytest.mark.parametrize("size", ["", "0", "-3", "big", "²", "224x224"])
def test_a_size_that_is_none_is_refused(size: str) -> None:
    with pytest.raises(
        MisuseError, match=r"is no input size; expected a number of pixels, such as vgg16@192"
    ):
        catalogue.network(f"vgg16@{size}")


def test_a_size_that_is_too_small_names_the_row() -> None:
    with pytest.raises(ShapeError, match=r"^pool5: .*does not fit: received 512x1x1"):
        catalogue.network("vgg16@31")
    catalogue.network("vgg16@32")  # the smallest: five halvings leave one


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout.split()
    )


def test_listing_names_reads_no_family_and_one_network_its_own_alone() -> None:
    families = {f"convatlas.networks.{entry.module}" for entry in catalogue.ENTRIES.values()}
    here = "from convatlas.networks import catalogue"
    assert not families & loaded_by(f"{here}; catalogue.names(); catalogue.families()")
    assert families & loaded_by(f"{here}; catalogue.network('vgg16')") == {"convatlas.networks.vgg"}


def test_no_torch_and_no_numpy_for_a_definition() -> None:
    loaded = loaded_by(
        "from convatlas.networks import catalogue; catalogue.network('vgg16'); catalogue.facts('vgg16')"
    )
    assert not {"torch", "numpy"} & loaded
