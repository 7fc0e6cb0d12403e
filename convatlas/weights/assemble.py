"""A model with published weights in it, its classifier anew where the classes are others."""

from __future__ import annotations

import dataclasses
import os

from convatlas.define import Network, Shape, elaborate, with_classes, with_input
from convatlas.modules import build
from convatlas.modules.blocks import ConvNet
from convatlas.weights.checkpoint import Checkpoint, open_checkpoint
from convatlas.weights.header import WeightsError
from convatlas.weights.known import resolve


def model_from(
    weights: str | os.PathLike[str],
    network: Network,
    classes: int | None = None,
    input_shape: Shape | None = None,
) -> ConvNet:
    """Build `network`, as `weights` need it, with the weights in it.

    weights: what `resolve` takes. classes: where the weights have others, every row but the classifiers is
    filled, and those are initialized by the paper's rule: ready for fine-tuning. Raises as `open_checkpoint`.
    """
    path = resolve(weights, network.name)
    try:
        found = open_checkpoint(path, network)
    except WeightsError:
        # the file may be of that many classes itself
        if classes is None or elaborate(network).output == (classes,):
            raise
        found = open_checkpoint(path, with_classes(network, classes))
    if input_shape is not None:
        found = dataclasses.replace(found, network=with_input(found.network, input_shape))
    return fill(found, classes)


def fill(found: Checkpoint, classes: int | None = None) -> ConvNet:
    """The model of a checkpoint; with another number of classes, its classifiers are new."""
    if classes is None or elaborate(found.network).output == (classes,):
        model = build(found.network, init=False)
        model.load_state_dict(found.state_dict)
        model.preprocessing = found.preprocessing
        return model
    model = build(with_classes(found.network, classes))
    own = model.state_dict()
    kept = {name: tensor for name, tensor in found.state_dict.items() if tensor.shape == own[name].shape}
    model.load_state_dict(own | kept)
    model.preprocessing = found.preprocessing
    return model
