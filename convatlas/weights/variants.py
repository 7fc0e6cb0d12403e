"""Which of our networks a foreign file is: told before anything is matched, and when matching fails."""

from __future__ import annotations

from collections import Counter

from convatlas.define import Network, Shape, with_classes, without_aux
from convatlas.define.shape import ShapeError
from convatlas.errors import MisuseError
from convatlas.networks import catalogue
from convatlas.weights.conventions import is_aux
from convatlas.weights.dialects import DIALECTS, Dialect
from convatlas.weights.foreign import Foreign
from convatlas.weights.slots import slots, squeezed


def dialect_of(foreign: Foreign, network: Network, source: str) -> Dialect | None:
    """The dialect that knows every name of the file, best one that has the network; None where none does."""
    names = [layer.name for layer in foreign.layers]
    told = foreign.source or (source if source not in ("auto", "torch", "convatlas") else "")
    if told == "caffe" and not foreign.source:
        told = ""  # weights converted from Caffe carry the names of whoever converted them
    known = [d for d in DIALECTS if (not told or told in d.sources) and d.knows(names)]
    base = network.name.partition("@")[0]
    with_network = [d for d in known if base in d.networks]
    fitting = [d for d in known if fits_any(foreign, d)]
    return next(iter([*with_network, *fitting, *known]), None)


def fits_any(foreign: Foreign, dialect: Dialect) -> bool:
    """Whether one of a dialect's networks has the file's shapes."""
    return bool(_fitting(foreign, dialect, tuple(dialect.networks)))


def refuse_variant(foreign: Foreign, dialect: Dialect | None, network: Network, where: str) -> None:
    """Raise MisuseError where the shapes fit but the source's model is another variant of ours.

    ResNet-50 v1 and v1.5 have the same weights' shapes and another stride: nothing but the source tells them.
    """
    base = network.name.partition("@")[0]
    if dialect is None or base not in catalogue.names() or base in dialect.networks:
        return
    found = _fitting(foreign, dialect, tuple(dialect.networks))
    if found:
        raise MisuseError(
            f"{where}: {dialect.source}'s {dialect.networks[found[0]]} is our {found[0]}, not {base}: ask for"
            f" {' or '.join(found)}. (If you trained {base} itself with such names: source='torch')"
        )


def fitting_names(foreign: Foreign, dialect: Dialect | None, network: Network) -> str:
    """A sentence with the names of the catalogue that the file fits, or with its number of classes."""
    classes = _classes(foreign, dialect)
    try:
        other = with_classes(network, classes) if classes else network
    except (ShapeError, ValueError):
        other = network
    if other != network and _shapes_of(foreign) in _variants(other):
        return f"; it has {classes} classes, ask for the network with that many (--classes {classes})"
    candidates = tuple(dialect.networks) if dialect else catalogue.names()
    found = _fitting(foreign, dialect, candidates) or _fitting(foreign, dialect, catalogue.names())
    if network.name.partition("@")[0] in found:
        return ""  # the right network, but something in it is broken
    return f", it fits {' or '.join(found)}" if found else ""


def _fitting(foreign: Foreign, dialect: Dialect | None, names: tuple[str, ...]) -> list[str]:
    wanted, classes = _shapes_of(foreign), _classes(foreign, dialect)
    return [name for name in names if wanted in _variants(catalogue.network(name), classes)]


def _classes(foreign: Foreign, dialect: Dialect | None) -> int:
    """Outputs of the file's last layer."""
    layers = [layer for layer in foreign.layers if not layer.is_norm and not is_aux(layer.name)]
    if dialect is not None:
        layers.sort(key=lambda layer: dialect.rank(layer.name) or ())
    return int(layers[-1].tensors["weight"].shape[0]) if layers else 0


def _shapes_of(foreign: Foreign) -> Counter[Shape]:
    shapes = (tuple(layer.tensors["weight"].shape) for layer in foreign.layers if not layer.is_norm)
    return Counter(_flat(shape) for shape in shapes)


def _variants(network: Network, classes: int = 0) -> list[Counter[Shape]]:
    """Shapes of a network's convolutions and linear layers, with and without auxiliary heads."""
    try:
        network = with_classes(network, classes) if classes else network
    except (ShapeError, ValueError):
        return []
    return [
        Counter(
            _flat(slot.shapes["weight"])
            for slot in slots(version)
            if not slot.is_norm and "weight" in slot.shapes
        )
        for version in (network, without_aux(network))
    ]


def _flat(shape: Shape) -> Shape:
    """Square kernels joined with their inputs, so that a linear layer equals the convolution it is run as."""
    shape = squeezed(shape)
    if len(shape) == 4 and shape[2] == shape[3]:
        return (shape[0], shape[1] * shape[2] * shape[3])
    return shape
