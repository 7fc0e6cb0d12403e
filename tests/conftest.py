"""What every test may ask for: the real data, the goldens, the repository; and the same random numbers every time."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parents[1]

settings.register_profile(
    "local", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", parent=settings.get_profile("local"), derandomize=True)
settings.register_profile("nightly", parent=settings.get_profile("local"), max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "local"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write what is now into tests/golden, then read the diff"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip `gpu` tests where no CUDA device is."""
    if not any(item.get_closest_marker("gpu") for item in items):
        return
    import torch

    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    """Seed what is loaded; a test without torch does not load it for that."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data: $CONVATLAS_DATA, or shared/data in or beside the repository."""
    given = os.environ.get("CONVATLAS_DATA")
    places = [Path(given)] if given else [REPOSITORY / "shared/data", REPOSITORY.parent / "shared/data"]
    for place in places:
        if place.is_dir():
            return place
    pytest.skip(f"no real data at {' or '.join(map(str, places))}; set CONVATLAS_DATA")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with tests/golden/NAME; `--update-golden` writes it."""

    def compare(name: str, text: str) -> None:
        path = REPOSITORY / "tests/golden" / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path} is not there yet: pytest --update-golden writes it"
        assert text == path.read_text(encoding="utf-8"), (
            f"{path.name} differs; pytest --update-golden, then read the diff"
        )

    return compare
