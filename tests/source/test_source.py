"""The stand-alone file of every network imports torch alone, has the same names, and computes the same."""

from __future__ import annotations

import ast

import pytest

torch = pytest.importorskip("torch", reason="the written module runs on torch, which is not installed")

from convatlas import define as d  # noqa: E402
from convatlas.modules import build  # noqa: E402
from convatlas.networks import catalogue  # noqa: E402
from convatlas.source import module_source  # noqa: E402
from convatlas.source.module_file import class_name  # noqa: E402
from tests.modules.filling import fill  # noqa: E402

# the large ones compute for seconds; what is written for them is built of the same pieces
SIZED = [
    pytest.param(name, marks=pytest.mark.slow)
    if d.elaborate(catalogue.network(name)).mult_adds > 6e8
    else name
    for name in catalogue.names()
]


@pytest.fixture(autouse=True)
def _no_random_init(monkeypatch: pytest.MonkeyPatch) -> None:
    """The written file leaves initial weights to torch; here they are replaced at once, so they need not be drawn."""
    for name in ("kaiming_uniform_", "uniform_"):
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *_args, **_settings: tensor)


def written(network: d.Network):
    scope: dict[str, object] = {}
    exec(compile(module_source(network), network.name, "exec"), scope)
    return scope[class_name(network.name)]()  # type: ignore[operator]


@pytest.mark.parametrize("name", catalogue.names())
def test_the_written_file_imports_torch_alone(name: str) -> None:
    modules = set()
    for node in ast.walk(ast.parse(module_source(catalogue.network(name)))):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(str(node.module).split(".")[0])
    assert modules <= {"torch", "collections", "__future__"}


@pytest.mark.parametrize("name", SIZED)
def test_the_written_module_computes_the_same(name: str) -> None:
    network = catalogue.network(name)
    ours = fill(build(network, init=False))
    theirs = written(network).eval()
    theirs.load_state_dict(ours.state_dict(), assign=True)
    x = torch.randn(1, *network.input)
    with torch.no_grad():
        torch.testing.assert_close(theirs(x), ours(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3", "googlenet_bn"])
def test_auxiliary_heads_are_written_too(name: str) -> None:
    network = catalogue.network(name)
    ours = fill(build(network, init=False))
    theirs = written(network).eval()
    theirs.load_state_dict(ours.state_dict(), assign=True)
    x = torch.randn(1, *network.input)
    with torch.no_grad():
        for a, b in zip(ours.forward_with_aux(x)[1], theirs.forward_with_aux(x)[1], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_blocks_that_differ_in_numbers_alone_are_one_function() -> None:
    text = module_source(catalogue.network("googlenet"))
    assert (
        "self.inception3a = inception(192, 64, 96, 128, 16, 32, 32)" in text
    )  # Szegedy et al. 2014, Table 1
    assert len(text.splitlines()) < 185  # torchvision needs as many for this family, blank lines not counted
