"""Begin from trained weights: a new head for new classes.

A head of random numbers sends random gradients into a trained body. So it begins with what the old one knew of such
pictures (inherit.py) and is trained alone first, on features cached from one pass over the pictures (warm_up.py;
Kumar et al. 2022, "LP-FT"); then all rows train, the early ones least (Howard & Ruder 2018).
"""

from __future__ import annotations

from pathlib import Path

import torch

from convatlas.data.sources import DataSource
from convatlas.define import Dropout, Network, with_classes, without_aux
from convatlas.define.edits import classifier
from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.modules import build
from convatlas.training.recipe import Recipe
from convatlas.training.start import Start


def begin(definition: Network, source: DataSource, weights: str, recipe: Recipe) -> Start:
    """The network with the data's classes and the weights' values, but for the classifier.

    weights: a run folder, a file, an address. Where the weights' classes are the data's own, in the same order, the
    head is kept too. Raises what `convatlas.weights` raises on files that do not fit.
    """
    from convatlas.weights import open_checkpoint

    found = open_checkpoint(_file(weights, definition), definition)
    network = without_aux(found.network) if found.network.aux else found.network
    same = found.classes is not None and tuple(found.classes) == tuple(source.classes)
    changed = network if same else with_classes(network, len(source.classes))
    row = classifier(changed.rows)
    assert row is not None  # with_classes would have complained
    torch.manual_seed(0)
    model = build(changed)
    own = model.state_dict()
    taken = {k: v for k, v in found.state_dict.items() if k in own and (same or not k.startswith(f"{row}."))}
    odd = [k for k, v in taken.items() if v.shape != own[k].shape]
    missing = [
        k
        for k in own
        if k not in taken and not k.startswith(f"{row}.") and not k.endswith("num_batches_tracked")
    ]
    if odd or missing:
        raise ConvAtlasError(
            f"{weights}: does not fit {definition.name}: {', '.join([*odd, *missing][:8])}; are they another variant's?"
        )
    model.load_state_dict(own | taken)
    height, width = changed.input[1:]
    crop = found.preprocessing.crop
    fits = crop in (height, (height, width))
    preprocessing = found.preprocessing if fits else found.preprocessing.with_size(height, width)
    provenance = {"from": Path(weights).name, "from_source": found.source}
    if same:
        return Start(changed, model, preprocessing, provenance, notes=found.notes)
    old = {k.rpartition(".")[2]: v for k, v in found.state_dict.items() if k.startswith(f"{row}.")}
    return Start(changed, model, preprocessing, provenance, head_of(changed), old, found.notes)


def _file(weights: str, definition: Network) -> str:
    path = Path(weights)
    if path.is_dir():
        inside = path / "weights.safetensors"
        if not inside.exists():
            raise MisuseError(
                f"--weights {path}: a folder without weights.safetensors in it; is the run finished?"
            )
        return str(inside)
    if path.exists():
        return weights
    from convatlas.weights import resolve

    return str(resolve(weights, definition.name))


def head_of(network: Network) -> str:
    """The top row at which the head begins: that of the classifier, or the dropout before it."""
    path = classifier(network.rows)
    assert path is not None
    names = [name for name, _ in network.rows]
    at = names.index(path.partition(".")[0])
    if at and isinstance(network.rows[at - 1][1], Dropout):
        at -= 1
    return names[at]
