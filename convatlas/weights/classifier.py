"""A network that is ready to answer: the model with its weights in it, what it wants to see, what it calls things.

Opened from a run folder, a file of ours, or a name of the catalogue with weights from anywhere.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from convatlas.define import Network, elaborate
from convatlas.define.preprocessing import Preprocessing, named
from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.fetch import scheme_of
from convatlas.modules import build
from convatlas.networks import catalogue
from convatlas.weights.checkpoint import Checkpoint, open_checkpoint
from convatlas.weights.header import WeightsError


@dataclass(frozen=True, eq=False)
class Classifier:
    """`answer` maps normalized floats (N, C, H, W) to logits (N, classes); it is `model`, or a faster form of it.

    `notes` are sentences for the user: what was assumed, from where.
    """

    name: str
    model: nn.Module
    network: Network
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    weights: str = ""
    source: str = "convatlas"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    scores: Mapping[str, object] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    answer: Callable[[Tensor], Tensor] = None  # type: ignore[assignment]  # set below

    def __post_init__(self) -> None:
        if self.answer is None:
            object.__setattr__(self, "answer", self.model)

    def answering_by(self, answer: Callable[[Tensor], Tensor], note: str = "") -> Classifier:
        """The same classifier, its logits computed by `answer`."""
        return dataclasses.replace(self, answer=answer, notes=(*self.notes, note) if note else self.notes)


def open_classifier(
    target: str | Path,
    weights: str | Path | None = None,
    *,
    preprocess: str | None = None,
    device: torch.device | str = "cpu",
) -> Classifier:
    """Open a run folder, a weights file of ours, or a network's name with `weights`.

    preprocess: what to do to pictures instead of what the weights' source usually does, as `parse_preprocessing`.
    Raises MisuseError for a name without weights or an unknown name, ConvAtlasError for a folder without any.
    """
    path = Path(target)
    chosen = None if preprocess is None else parse_preprocessing(preprocess)
    if path.is_dir() or path.is_file():
        if weights is not None:
            raise MisuseError(f"{target} has its weights with it; --weights goes with a network's name")
        file = run_weights(path) if path.is_dir() else path
        found = open_checkpoint(file, preprocessing=chosen)
        return _classifier(found.network.name or path.stem, found, str(file), device)
    if weights is None:
        if "/" in str(target) or str(target).endswith((".safetensors", ".pth")):
            raise ConvAtlasError(
                f"{target}: no such run folder or file; convatlas train NETWORK --out {target} makes one"
            )
        catalogue.network(str(target))  # an unknown name is told first
        raise MisuseError(
            f"{target} has no weights yet: add --weights FILE (or torchvision, timm, keras, a URL), "
            f"or train it: convatlas train {target} --data ... --out DIR, and give DIR here"
        )
    network = catalogue.network(str(target))
    file = _weights_file(weights, network.name)
    try:
        found = open_checkpoint(file, network, preprocessing=chosen)
    except WeightsError as error:
        if scheme_of(str(weights)) not in ("http", "https"):
            raise
        raise WeightsError(
            f"{error}. It is kept as it came from {weights}: where it came broken, delete it there, and it is fetched anew"
        ) from error
    return _classifier(network.name, found, str(file), device)


def _weights_file(weights: str | Path, name: str) -> Path:
    if Path(weights).is_dir():
        return run_weights(Path(weights))
    from convatlas.weights.known import resolve

    return Path(resolve(str(weights), name))


def run_weights(folder: Path) -> Path:
    """The best weights of a run's folder; ConvAtlasError where there are none (yet)."""
    file = folder / "weights.safetensors"
    if file.is_file():
        return file
    if (folder / "classic.safetensors").is_file():
        raise MisuseError(
            f"{folder}: a classical baseline, which has no layers; convatlas evaluate and predict take it"
        )
    started = (folder / "recipe.json").is_file()
    hint = (
        f"the run there has not finished an epoch; convatlas train ... --out {folder} --resume goes on with it"
        if started
        else "expected a run's folder, with weights.safetensors, as convatlas train --out DIR leaves it"
    )
    raise ConvAtlasError(f"{folder}: no weights in it: {hint}")


def parse_preprocessing(text: str) -> Preprocessing:
    """`torchvision`, `caffe`, `tf`..., or fields on top of one: ``tf,resize=292,crop=256`` or ``mean=0.5:0.5:0.5``."""
    first, *rest = [part.strip() for part in text.split(",")]
    fields = [first, *rest] if "=" in first else rest
    base = named("torchvision") if "=" in first else named(first)
    values: dict[str, object] = {}
    for item in fields:
        name, equals, value = item.partition("=")
        if not equals:
            raise MisuseError(f"--preprocess {text!r}: {item!r} is no field; write name=value, as crop=224")
        found = _value(value)
        values[name] = [found] if name in ("mean", "std") and not isinstance(found, list) else found
    return Preprocessing.from_dict({**base.to_dict(), **values})


def _value(text: str) -> object:
    if text.lower() == "none":
        return None
    parts = []
    for part in text.split(":"):
        try:
            parts.append(json.loads(part))
        except ValueError:
            parts.append(part)
    return parts if len(parts) > 1 else parts[0]


def _classifier(name: str, found: Checkpoint, file: str, device: torch.device | str) -> Classifier:
    wants, makes = found.network.input[0], found.preprocessing.channels
    if wants in (1, 3) and wants != makes:
        raise MisuseError(
            f"{name} takes pictures of {wants} channel{'s' if wants > 1 else ''}, and the preprocessing gives {makes} "
            f"({found.preprocessing.channel_order}): --preprocess {'digit' if wants == 1 else 'torchvision'} would fit"
        )
    model = build(found.network, init=False)
    model.load_state_dict(found.state_dict)
    model.preprocessing = found.preprocessing
    model.eval().to(device)
    count = elaborate(found.network).output[0]
    return Classifier(
        name=name,
        model=model,
        network=found.network,
        preprocessing=found.preprocessing,
        classes=class_names(found.classes, count),
        weights=file,
        source=found.source,
        device=torch.device(device),
        scores=found.scores,
        provenance=found.provenance,
        notes=found.notes,
    )


def class_names(classes: tuple[str, ...] | None, count: int) -> tuple[str, ...]:
    """The weights' own names; ImageNet's for 1000 outputs without any; numbers otherwise."""
    if classes is not None and len(classes) == count:
        return tuple(classes)
    from convatlas.weights.imagenet import imagenet_classes

    if count == 1000:
        return tuple(imagenet_classes())
    if count == 1001:
        return ("background", *imagenet_classes())
    return tuple(str(i) for i in range(count))
