"""Small networks with trained-looking batch norms, and a cache of choices of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convatlas.define import with_input
from convatlas.modules import build
from convatlas.networks import catalogue


def lived_in(model: nn.Module, seed: int = 0) -> nn.Module:
    """Batch norms as after training: means, variances, scales and shifts that are not 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            if isinstance(module.weight, nn.Parameter):
                module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.2, generator=generator)
    return model.eval()


@pytest.fixture(scope="session")
def network() -> Callable[..., nn.Module]:
    """A network of the catalogue by name, at another input size if asked."""

    def make(name: str, size: int | None = None) -> nn.Module:
        torch.manual_seed(0)
        definition = catalogue.network(name)
        if size is not None:
            definition = with_input(definition, (definition.input[0], size, size))
        return lived_in(build(definition))

    return make


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVATLAS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def answer() -> Callable[[nn.Module, Tensor], Tensor]:
    def run(model: nn.Module, images: Tensor) -> Tensor:
        with torch.no_grad():
            return model(images)

    return run
