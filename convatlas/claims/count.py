"""Numbers of the catalogue's networks, as the ledger asks for them. Each network is walked once."""

from __future__ import annotations

import math
from dataclasses import replace as with_fields
from functools import lru_cache

from convatlas.analysis.depth import depth as layers_deep
from convatlas.define import (
    Concat,
    Dense,
    Elaborated,
    Network,
    Operation,
    Placed,
    Residual,
    elaborate,
    replace,
)
from convatlas.define.edits import rewrite
from convatlas.define.operations import BatchNorm, Conv, Dropout, Linear, ReLU
from convatlas.define.shape import show
from convatlas.networks import catalogue


@lru_cache(maxsize=64)
def net(name: str) -> Elaborated:
    """The network with its shapes; ``name@size`` for another input."""
    return elaborate(catalogue.network(name))


def parameters(name: str) -> int:
    """Trained parameters."""
    return net(name).parameters


def mult_adds(name: str) -> int:
    """Mult-adds of one image."""
    return net(name).mult_adds


def convolutions(name: str) -> int:
    """Mult-adds of the convolutions alone: linear layers left out."""
    return sum(p.mult_adds for _, p in net(name).operations() if not isinstance(p.node, Linear))


def depth(name: str) -> int:
    """Layers with weights on the longest path."""
    return layers_deep(net(name))


def shape(name: str, row: str) -> str:
    """What comes out of a row, as 256x56x56."""
    return show(net(name)[row].output)


def shapes(name: str, *rows: str) -> tuple[str, ...]:
    """What comes out of rows."""
    return tuple(shape(name, row) for row in rows)


def count(name: str, kind: type[Operation], *, aux: bool = False) -> int:
    """Operations of a kind."""
    return sum(isinstance(placed.node, kind) for _, placed in net(name).operations(aux=aux))


def weights(name: str) -> int:
    """Convolution and linear kernels without biases and norms."""
    return sum(
        placed.parameters - (math.prod(placed.output[:1]) if getattr(placed.node, "bias", False) else 0)
        for _, placed in net(name).operations()
        if not isinstance(placed.node, BatchNorm)
    )


def mebibytes(count_of_values: int) -> float:
    """Size of that many float32 values in MiB."""
    return 4 * count_of_values / 2**20


# How Keras Applications builds them, where that changes a count
_NO_GAMMA = {"inception_v3", "inception_resnet_v2"}
_BIASES = {"resnet50"}


@lru_cache(maxsize=16)
def as_keras(name: str) -> Elaborated:
    """The network as Keras Applications ships it: some without batch norm's gamma, the ResNets with biases."""
    network = catalogue.network(name)
    if name in _NO_GAMMA:
        network = rewrite(
            network, lambda n: BatchNorm(n.eps, n.momentum, scale=False) if isinstance(n, BatchNorm) else n
        )
    if name in _BIASES:
        network = rewrite(network, lambda n: with_fields(n, bias=True) if isinstance(n, Conv) else n)
    return elaborate(network)


def keras_total(name: str) -> int:
    """Keras' printed total: trained parameters, and the running means and variances of batch norm."""
    found = as_keras(name)
    return found.parameters + found.body.statistics


def keras_layers(name: str) -> int:
    """Layers on the longest path of the Keras graph, its input layer among them: the old documentation's depth.

    Batch norms, activations, pools, sums and joins count; an activation given to a convolution (VGG) does not,
    nor does dropout, which those networks have not.
    """
    fused = count(name, BatchNorm) == 0

    def longest(placed: Placed) -> int:
        node = placed.node
        if isinstance(node, Operation):
            return int(not isinstance(node, Dropout) and not (fused and isinstance(node, ReLU)))
        inner = {child_name: longest(child) for child_name, child in placed.children}
        if {"depthwise", "pointwise"} == inner.keys():
            return 1  # SeparableConv2D
        if isinstance(node, Concat):
            return 1 + max(inner.values())
        if isinstance(node, Residual):
            return 1 + max(inner["body"], inner.get("shortcut", 0)) + inner.get("then", 0)
        return sum(inner.values())

    return 1 + longest(net(name).body)


def uncompressed_densenet169() -> Elaborated:
    """DenseNet-169 with theta = 1: transitions that keep every map."""
    network: Network = catalogue.network("densenet169")
    for row, width in (("transition1", 256), ("transition2", 640), ("transition3", 1664)):
        old = network[f"{row}.conv"]
        assert isinstance(old, Conv)
        new = with_fields(old, width=width)
        node = replace(Network(input=(1,), row=network[row]), old, new)["row"]
        network = network.replaced(rows=tuple((n, node if n == row else r) for n, r in network.rows))
    return elaborate(network)


def steps_of(name: str) -> tuple[int, ...]:
    """Layers in each dense block."""
    return tuple(len(p.children) for _, p in net(name).rows if isinstance(p.node, Dense))
