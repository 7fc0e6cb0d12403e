"""Open any checkpoint for a network: read it, tell its source, match it, and say what was found."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from convatlas.define import Network, elaborate
from convatlas.define.preprocessing import Preprocessing
from convatlas.errors import MisuseError
from convatlas.weights.conventions import IMAGENET, Convention, convention, describe
from convatlas.weights.dialects import Dialect
from convatlas.weights.files import from_state_dict, kind_of, read_foreign
from convatlas.weights.foreign import SOURCES, Foreign, Layer
from convatlas.weights.header import WeightsError, read_header
from convatlas.weights.imagenet import imagenet_classes
from convatlas.weights.known import known_file
from convatlas.weights.match import Filled, Mismatch, match
from convatlas.weights.native import read_weights
from convatlas.weights.slots import Slot, slots
from convatlas.weights.variants import dialect_of, fitting_names, refuse_variant

FEW = 6  # faults told of a file that fits another network
PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that fits `network`: `build(network)` loads `state_dict` with nothing missing or left.

    `network` is the one that was asked for, or an edit of it where the weights need one (padding by
    TensorFlow's rule, batch norm folded away, no auxiliary heads); `notes` say so in sentences.
    """

    network: Network
    state_dict: dict[str, Tensor]
    source: str
    preprocessing: Preprocessing
    classes: tuple[str, ...] | None = None
    scores: Mapping[str, object] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """Trained values: all but running statistics and counters."""
        buffers = ("running_mean", "running_var", "num_batches_tracked")
        return sum(t.numel() for name, t in self.state_dict.items() if not name.endswith(buffers))


@dataclass(frozen=True)
class LoadReport:
    """What `load_checkpoint` did: where the weights come from, what they want to see, what to know of them."""

    source: str
    preprocessing: Preprocessing
    classes: tuple[str, ...] | None
    tensors: int
    notes: tuple[str, ...] = ()


def load_checkpoint(
    model: nn.Module,
    path_or_state_dict: PathLike | Mapping[str, object],
    source: str = "auto",
    *,
    preprocessing: Preprocessing | None = None,
) -> LoadReport:
    """Copy a checkpoint of any source into `model` (of `build`): everything fits, or nothing is touched.

    Raises WeightsError with all that does not fit, and MisuseError where the weights need another definition
    than the model's, naming it; `create_model(name, weights=...)` builds that one.
    """
    network = getattr(model, "network", None)
    if not isinstance(network, Network):
        raise MisuseError(f"load_checkpoint needs a model made by ConvAtlas, received {type(model).__name__}")
    found = open_checkpoint(path_or_state_dict, network, source, preprocessing=preprocessing)
    if not _alike(found.network, network):
        raise MisuseError(
            f"these weights need another definition than the model's: {'; '.join(found.notes)}. Build it with"
            f" create_model({network.name!r}, weights=...), or modules.build(open_checkpoint(...).network)"
        )
    wanted = model.state_dict()
    if set(wanted) != set(found.state_dict):
        both = sorted(set(wanted) ^ set(found.state_dict))
        raise WeightsError(f"the model differs from its definition at {', '.join(both[:12])}; build it anew")
    with torch.no_grad():  # all is checked: shapes and names are equal
        model.load_state_dict(found.state_dict)
    model.preprocessing = found.preprocessing  # type: ignore[assignment]
    return LoadReport(found.source, found.preprocessing, found.classes, len(found.state_dict), found.notes)


def open_checkpoint(
    path_or_state_dict: PathLike | Mapping[str, object],
    network: Network | None = None,
    source: str = "auto",
    *,
    preprocessing: Preprocessing | None = None,
    fold_input: bool = False,
) -> Checkpoint:
    """Read a checkpoint of any source for `network`; our own files know theirs, and need none named.

    preprocessing: what to note instead of the file's or its source's usual one. fold_input: turn the first
    convolution of a BGR network so that it takes RGB. Raises WeightsError or MisuseError, see above.
    """
    if source not in ("auto", "torch", *SOURCES):
        raise MisuseError(f"unknown source {source!r}; expected auto, {', '.join(SOURCES)} or torch")
    if isinstance(path_or_state_dict, Mapping):
        foreign = from_state_dict(path_or_state_dict)
        where = "the state dict"
    else:
        where = str(path_or_state_dict)
        path = Path(path_or_state_dict)
        if kind_of(path) == "safetensors" and read_header(path).ours:
            return _open_own(path, network, preprocessing)
        foreign = read_foreign(path)
    if network is None:
        raise MisuseError(f"{where}: which network is it? Only ConvAtlas' own files say it; name one")
    found = _translate(foreign, network, source, where)
    if preprocessing is not None:
        notes = tuple(note for note in found.notes if not note.startswith("no preprocessing"))
        found = dataclasses.replace(found, preprocessing=preprocessing, notes=notes)
    return _fold_input(found) if fold_input else found


def _open_own(path: Path, network: Network | None, preprocessing: Preprocessing | None) -> Checkpoint:
    weights = read_weights(path)
    own = weights.network
    notes: tuple[str, ...] = ()
    if own is None and network is None:
        raise MisuseError(f"{path}: its header names no network; name one")
    if own is None:
        own = network
    elif network is not None and not _alike(own, network):
        if _base(own) != _base(network):
            raise MisuseError(
                f"{path}: holds weights of {own.name or 'another network'}, not of {network.name}; ask for"
                f" {own.name or 'that one'}"
            )
        notes = (f"the file's own variant of {own.name} is used",)
    assert own is not None
    try:
        _check_names(slots(own), weights.state_dict)
    except Mismatch as error:
        raise _told(str(path), own, error, "") from None
    provenance = {"file": path.name} | dict(weights.provenance)
    usual = convention("convatlas", own, None).preprocessing
    return Checkpoint(
        own,
        weights.state_dict,
        "convatlas",
        preprocessing or weights.preprocessing or usual,
        weights.classes,
        weights.scores,
        provenance,
        notes,
    )


def _check_names(wanted: list[Slot], given: Mapping[str, Tensor]) -> None:
    """List every missing, extra, misshaped and non-finite entry of a state dict in our own names."""
    faults, known = [], set()
    for slot in wanted:
        for leaf, shape in slot.shapes.items():
            key = f"{slot.name}.{leaf}"
            known.add(key)
            if leaf and key not in given:
                faults.append(f"{key} is missing")
            elif leaf and tuple(given[key].shape) != tuple(shape):
                faults.append(f"{key} should be {tuple(shape)}, is {tuple(given[key].shape)}")
    names = {slot.name for slot in wanted}
    faults += [f"{key} has no place" for key in given if key.rpartition(".")[0] not in names]
    faults += [
        f"{key} has no place"
        for key in given
        if key not in known and key.rpartition(".")[0] in names and not _free(key, wanted)
    ]
    faults += [
        f"{key} has values that are not numbers"
        for key, tensor in given.items()
        if not bool(torch.isfinite(tensor).all())
    ]
    if faults:
        raise Mismatch(faults)


def _free(key: str, wanted: list[Slot]) -> bool:
    """Counters, and the tensors of LeNet-5's own layers, whose names are the modules' business."""
    module, _, leaf = key.rpartition(".")
    return leaf == "num_batches_tracked" or any("" in slot.shapes for slot in wanted if slot.name == module)


def _translate(foreign: Foreign, network: Network, source: str, where: str) -> Checkpoint:
    own_names = {slot.name for slot in slots(network)}
    names = [layer.name for layer in foreign.layers]
    if set(names) == own_names or (source == "convatlas"):
        tensors = {f"{x.name}.{leaf}": t.float() for x in foreign.layers for leaf, t in x.tensors.items()}
        try:
            _check_names(slots(network), tensors)
        except Mismatch as error:
            raise _told(where, network, error, fitting_names(foreign, None, network)) from None
        for slot in slots(network):
            if slot.is_norm:
                tensors[f"{slot.name}.num_batches_tracked"] = torch.tensor(0)
        plain = convention("convatlas", network, None)
        said = f"no preprocessing in it: {describe(plain.preprocessing)} is assumed"
        provenance = {"file": Path(where).name, "source": "convatlas"}
        return Checkpoint(
            network,
            tensors,
            "convatlas",
            plain.preprocessing,
            class_names(network),
            foreign.scores,
            provenance,
            (said,),
        )
    dialect = dialect_of(foreign, network, source)
    if source != "torch":
        refuse_variant(foreign, dialect, network, where)
    code = foreign.source or _code(dialect, source, where)
    source = source if source != "auto" else foreign.converted_from or code
    rules = convention(source, network, foreign, code)
    published = known_file(Path(where).name)
    layers, notes = rules.layers, list(rules.notes)
    ours = slots(rules.network)
    try:
        state_dict = _match(ours, layers, dialect, rules, foreign)
    except Mismatch as error:
        raise _told(where, network, error, fitting_names(foreign, dialect, network)) from None
    if dialect is None and code in ("torch", "keras"):
        notes.append("its names are of no library known here: layers were matched by order and shape")
    wanted = published.fitted(rules.preprocessing) if published else rules.preprocessing
    told = f"{published.source}'s for {published.file}" if published else f"{source}'s usual one is assumed"
    notes.append(f"no preprocessing in it: {told}, {describe(wanted)}")
    return Checkpoint(
        rules.network,
        state_dict,
        source,
        wanted,
        foreign.classes or class_names(rules.network),
        foreign.scores,
        {"file": Path(where).name, "source": source},
        tuple(notes),
    )


def _code(dialect: Dialect | None, source: str, where: str) -> str:
    """Whose model a state dict is of. torchvision and timm share layer names; timm's files have these names."""
    if dialect is None:
        return "torch"
    name = Path(where).name
    published = known_file(name)
    hub = "timm" if name in ("model.safetensors", "pytorch_model.bin") else ""
    told = source if source in dialect.sources else published.source if published else hub
    return told if told in dialect.sources else dialect.source


def _told(where: str, network: Network, error: Mismatch, fitting: str) -> WeightsError:
    """Where the file is another network's, its name says more than a list of all layers: then that is short."""
    listed = error.faults[:FEW] if fitting else error.faults
    more = f"; and {len(error.faults) - FEW} more" if len(listed) < len(error.faults) else ""
    return WeightsError(
        f"{where}: does not fit {network.name or 'the network'}{fitting}: {'; '.join(listed)}{more}"
    )


def class_names(network: Network) -> tuple[str, ...] | None:
    """ImageNet's names for a classifier over its 1,000 classes."""
    return imagenet_classes() if elaborate(network).output == (IMAGENET,) else None


def _match(
    ours: list[Slot], layers: tuple[Layer, ...], dialect: Dialect | None, rules: Convention, foreign: Foreign
) -> Filled:
    theirs = list(layers)
    if dialect is not None:
        theirs.sort(key=lambda layer: dialect.rank(layer.name) or ())
        ours = sorted(ours, key=lambda slot: dialect.own_rank(slot.name))
    tolerant = foreign.source in ("keras", "caffe", "tflite")
    return match(ours, theirs, tolerant=tolerant, channels_last=rules.channels_last)


def _fold_input(found: Checkpoint) -> Checkpoint:
    """BGR weights for RGB pictures: the first convolution's inputs turned around, and the means with them."""
    wanted = found.preprocessing
    if wanted.channel_order != "bgr":
        return found
    first = next(slot for slot in slots(found.network) if not slot.is_norm)
    key = f"{first.name}.weight"
    turned = dataclasses.replace(wanted, channel_order="rgb", mean=wanted.mean[::-1], std=wanted.std[::-1])
    state_dict = found.state_dict | {key: found.state_dict[key].flip(1)}
    notes = (*found.notes, f"{first.name} was turned from BGR to RGB")
    return dataclasses.replace(found, state_dict=state_dict, preprocessing=turned, notes=notes)


def _base(network: Network) -> str:
    return network.name.partition("@")[0]


def _alike(a: Network, b: Network) -> bool:
    """Equal but for the name and the input size that is meant, which change no weight and no arithmetic."""
    return a.replaced(name="", input=b.input) == b.replaced(name="")
