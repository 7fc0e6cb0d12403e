"""Random networks: what we say of them is what torch measures on the module that we build of them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, settings
from torch.utils.flop_counter import FlopCounterMode

from convatlas import define as d
from convatlas.analysis import Fields, ReceptiveField, layers
from convatlas.define import Network
from convatlas.define.serialize import network_from_dict, network_to_dict
from convatlas.modules import build
from tests.properties.strategies import networks

torch = pytest.importorskip("torch", reason="the properties compare with torch, which is not installed")
thorough = settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
)


def output_shapes(model, x) -> dict[str, tuple[int, ...]]:
    seen: dict[str, tuple[int, ...]] = {}
    for name, module in model.named_modules():
        if not list(module.children()):
            module.register_forward_hook(
                lambda _m, _i, out, name=name: seen.__setitem__(name, tuple(out.shape[1:]))
            )
    model(x)
    return seen


@thorough
@given(networks())
def test_shapes_parameters_and_mult_adds_are_what_torch_measures(network: Network) -> None:
    elaborated = d.elaborate(network)
    model = build(network).eval()
    assert elaborated.parameters == sum(p.numel() for p in model.parameters())
    shapes = output_shapes(model, torch.rand(2, *network.input))
    expected = {layer.name: layer.output for layer in layers(elaborated)}
    assert shapes == {name: expected[name] for name in shapes}
    assert set(shapes) == set(expected)
    with FlopCounterMode(display=False) as counter:
        model(torch.rand(1, *network.input))
    tables = sum(_dense_extra(placed) for _, placed in elaborated.operations())
    assert counter.get_total_flops() == 2 * (elaborated.mult_adds + tables)


def _dense_extra(placed: d.Placed) -> int:
    """Torch runs a connection table as a dense convolution: the products with its zeros, which the paper does not have."""
    node = placed.node
    if not isinstance(node, d.TableConv):
        return 0
    dense = d.Conv(node.width, node.kernel, node.stride, node.padding)
    return dense.mult_adds(placed.input) - node.mult_adds(placed.input)


def picks(placed: d.Placed) -> bool:
    """Whether an operation reads some channels only: then the field, a hull over all channels, is a bound."""
    node = placed.node
    if isinstance(node, d.TableConv):
        return len({i for maps in node.table for i in maps}) < placed.input[0]
    return isinstance(node, d.Slice) and node.parts > 1


def uneven(placed: d.Placed) -> bool:
    """Whether its windows are of several sizes: then the field, at an even stride, is a bound."""
    return isinstance(placed.node, d.AdaptiveAvgPool)


def aligned(placed: d.Placed) -> bool:
    """Whether branches that are joined have equal strides, as in every network of the literature."""
    fields = Fields()
    branches = [fields.relative(child) for name, child in placed.children if name != "then"]
    if isinstance(placed.node, d.Residual) and placed.node.shortcut is None:
        branches.append(ReceptiveField())
    strides = {(f.vertical.stride, f.horizontal.stride) for f in branches}
    parallel = isinstance(placed.node, d.Concat | d.Residual)
    return (not parallel or len(strides) == 1) and all(aligned(child) for _, child in placed.children)


@thorough
@given(networks(classifier=False))
def test_receptive_field_is_where_the_gradient_is_not_zero(network: Network) -> None:
    # average pooling has the windows of max pooling, and lets every tap's gradient through
    network = d.replace(network, d.MaxPool, d.AvgPool)
    elaborated = d.elaborate(network)
    gated = any(isinstance(p.node, d.GlobalAvgPool) for _, p in elaborated.operations())
    exact = not gated and not any(picks(p) or uneven(p) for _, p in elaborated.operations())
    assume(
        aligned(elaborated.body)
    )  # else neighbours' fields are not evenly spaced, and no one stride describes them
    model = build(network).double().eval()
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, 0.01)
    x = torch.full((1, *network.input), 0.5, dtype=torch.double, requires_grad=True)
    y = model(x)
    field = Fields().relative(elaborated.body)
    for position in ((0, 0), (y.shape[2] // 2, y.shape[3] // 2), (y.shape[2] - 1, y.shape[3] - 1)):
        (gradient,) = torch.autograd.grad(y[0, :, position[0], position[1]].sum(), x, retain_graph=True)
        touched = gradient[0].abs().sum(0) > 0
        for axis, index, rows in (
            (field.vertical, position[0], touched.any(1)),
            (field.horizontal, position[1], touched.any(0)),
        ):
            first, end = axis.start + index * axis.stride, axis.start + index * axis.stride + axis.size
            seen = rows.nonzero().flatten().tolist()
            # a gate sees everything, so its field does not move with the output: a hull, and a bound, at the first one
            if not seen or (gated and index):
                continue
            # where the field reaches into the padding, the image's border may meet a hole between taps (dilation,
            # a stride above the kernel): there it is a bound, elsewhere it is exact
            assert seen[0] == first if first >= 0 and exact else seen[0] >= first
            assert seen[-1] + 1 == end if end <= len(rows) and exact else seen[-1] < end


@given(networks())
def test_a_definition_survives_being_written_and_read(network: Network) -> None:
    assert network_from_dict(network_to_dict(network)) == network
