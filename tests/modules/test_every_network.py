"""Every name of the catalogue builds, runs forward and backward, exports with a dynamic batch and traces whole."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="modules are torch's, which is not installed")

from convatlas import define as d  # noqa: E402
from convatlas.modules import build  # noqa: E402
from convatlas.networks import catalogue  # noqa: E402
from tests.modules.filling import fill  # noqa: E402

NAMES = catalogue.names()
SIZED = [
    pytest.param(name, marks=pytest.mark.slow)
    if d.elaborate(catalogue.network(name)).mult_adds > 6e8
    else name
    for name in NAMES
]


@pytest.mark.parametrize("name", NAMES)
def test_the_module_has_the_parameters_that_the_definition_counts(name: str) -> None:
    network = catalogue.network(name)
    elaborated = d.elaborate(network)
    with torch.device("meta"):
        model = build(network, init=False)
    heads = sum(p.numel() for n, p in model.named_parameters() if n.startswith("aux."))
    everything = sum(p.numel() for p in model.parameters())
    assert everything - heads == elaborated.parameters
    assert heads == sum(head.parameters for _, head in elaborated.aux)


@pytest.mark.parametrize("name", NAMES)
def test_every_row_of_the_table_is_a_submodule_of_its_name(name: str) -> None:
    network = catalogue.network(name)
    with torch.device("meta"):
        model = build(network, init=False)
    for row, _ in d.elaborate(network).operations(aux=True):
        model.get_submodule(row)


@pytest.mark.parametrize("name", SIZED)
def test_forward_and_backward(name: str) -> None:
    network = catalogue.network(name)
    model = fill(build(network, init=False)).train()
    x = torch.randn(2, *network.input)
    logits, heads = model.forward_with_aux(x)
    assert logits.shape == (2, d.elaborate(network).output[0])
    sum(out.float().square().mean() for out in (logits, *heads)).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None]
    # a body that stochastic depth dropped for this batch has no gradient, as its paper means it
    survives = [n for n, m in model.named_modules() if getattr(m, "survival", 1) < 1]
    assert all(any(n.startswith(f"{block}.") for block in survives) for n in without)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_export_with_a_dynamic_batch(name: str) -> None:
    network = catalogue.network(name)
    model = fill(build(network, init=False))
    batch = torch.export.Dim("batch", min=1, max=64)
    x = torch.randn(2, *network.input)
    program = torch.export.export(model, (x,), dynamic_shapes=({0: batch},))
    other = torch.randn(3, *network.input)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(other), model(other), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_whole_graph_is_traced(name: str) -> None:
    network = catalogue.network(name)
    model = fill(build(network, init=False))
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    x = torch.randn(1, *network.input)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-4)


def test_building_to_receive_weights_draws_no_random_numbers() -> None:
    state = torch.get_rng_state()
    build(catalogue.network("resnet18"), init=False)
    assert torch.equal(torch.get_rng_state(), state)


def test_recomputing_dense_blocks_changes_memory_and_nothing_else() -> None:
    network = d.with_input(catalogue.network("densenet40_k12"), (3, 8, 8))
    plain, saving = (fill(build(network, init=False, checkpoint=c)).train() for c in ((), ("dense",)))
    x = torch.randn(2, 3, 8, 8)
    for model in (plain, saving):
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        model(x).square().sum().backward()
    for (name, a), (_, b) in zip(plain.named_parameters(), saving.named_parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name)


def test_stochastic_depth_keeps_a_body_as_often_as_it_should_and_scales_it_at_test() -> None:
    network = d.Network(input=(1, 4, 4), block=d.Residual(d.Conv(1, 1), survival=0.3))
    model = build(network)
    torch.nn.init.ones_(model.block.body.weight)
    torch.nn.init.zeros_(model.block.body.bias)
    x = torch.ones(1, 1, 4, 4)
    model.train()
    with torch.no_grad():
        kept = sum(float(model(x)[0, 0, 0, 0]) == 2 for _ in range(2000)) / 2000
    assert abs(kept - 0.3) < 0.05  # five deviations of 2,000 draws
    assert torch.allclose(model.eval()(x), torch.tensor(1.3))  # Huang et al. 2016, eq. 5


def test_local_response_norm_is_the_papers_formula() -> None:
    network = d.Network(input=(8, 1, 1), norm=d.LRN(5, alpha=0.1, beta=0.75, k=2.0))
    x = torch.randn(1, 8, 1, 1)
    y = build(network)(x)
    for i in range(8):  # Krizhevsky et al. 2012, §3.3: alpha times the sum over neighbours, not their mean
        energy = x[0, max(0, i - 2) : i + 3].square().sum()
        torch.testing.assert_close(y[0, i, 0, 0], x[0, i, 0, 0] / (2 + 0.1 * energy) ** 0.75)
