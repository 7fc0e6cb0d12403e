"""Dense evaluation: the classifier run as convolutions over a picture of any size (Simonyan & Zisserman 2014, §3.2).

The first fully connected layer becomes a convolution with a kernel as large as the maps it was trained on,
the later ones 1x1 convolutions; the class score map that comes out is averaged over space.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convatlas.define import (
    Combinator,
    Conv,
    Flatten,
    GlobalAvgPool,
    Linear,
    Network,
    Node,
    Placed,
    Sequential,
    elaborate,
    without_aux,
)
from convatlas.errors import MisuseError
from convatlas.modules import build


def dense_network(network: Network) -> Network:
    """The network with its classifier as convolutions, names kept; logits are the mean of the score map.

    A network that pools globally before its linear layer is dense as it is, and comes back without its heads.
    MisuseError for one whose classifier is neither.
    """
    elaborated = elaborate(without_aux(network))
    flat: list[
        tuple[int, ...]
    ] = []  # shape of the maps that are flattened, until the first linear layer used it

    def visit(rows: tuple[tuple[str, Placed], ...]) -> tuple[tuple[str, Node], ...]:
        done = []
        for name, placed in rows:
            node = placed.node
            if isinstance(node, Flatten):
                flat.append(placed.input)
                continue
            if isinstance(node, Linear) and flat:
                shape = flat.pop() if len(flat[-1]) == 3 else (1, 1, 1)
                flat.append((0,))
                node = Conv(node.width, shape[1:], padding="valid", bias=node.bias)  # type: ignore[arg-type]
            elif isinstance(node, Sequential):
                node = node.with_children(visit(placed.children))
            elif isinstance(node, Combinator) and _flattens(placed):
                raise MisuseError(f"{network.name}: its classifier at {name} cannot be run as convolutions")
            done.append((name, node))
        return tuple(done)

    rows = visit(elaborated.rows)
    if not flat:
        return without_aux(network)
    return without_aux(network).replaced(rows=(*rows, ("score_map", GlobalAvgPool())))


def _flattens(placed: Placed) -> bool:
    return any(isinstance(p.node, Flatten) for _, p in placed.operations())


def dense_model(model: nn.Module, network: Network) -> nn.Module:
    """`model`'s weights in the dense form of its network: takes pictures of any size from the training size up."""
    dense = build(dense_network(network), init=False)
    wanted = dense.state_dict()
    with torch.no_grad():
        state: dict[str, Tensor] = {
            name: tensor.view(wanted[name].shape)
            for name, tensor in model.state_dict().items()
            if name in wanted
        }
    dense.load_state_dict(state)
    return dense.eval().to(next(iter(state.values())).device)
