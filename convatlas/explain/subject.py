"""The network under study: a private copy whose activations can be looked at, and the photo that it looks at."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from convatlas.define import Elaborated, elaborate
from convatlas.define.preprocessing import Preprocessing
from convatlas.errors import MisuseError
from convatlas.weights.classifier import Classifier


@dataclass(frozen=True, eq=False)
class Photo:
    """A picture as the network sees it: uint8 pixels (H, W, C), input (1, C, H, W), probabilities (classes,)."""

    name: str
    pixels: np.ndarray
    input: Tensor
    probabilities: Tensor

    def best(self, count: int = 5) -> list[int]:
        """The most probable classes, best first."""
        found: list[int] = self.probabilities.topk(min(count, len(self.probabilities))).indices.tolist()
        return found


@dataclass(frozen=True, eq=False)
class Subject:
    """A network that is looked into; `model` is a private copy that nothing overwrites in place."""

    name: str
    model: nn.Module
    elaborated: Elaborated
    preprocessing: Preprocessing
    classes: tuple[str, ...]

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.model.parameters()).device

    @property
    def reversed(self) -> bool:
        """Whether its channels are blue, green, red."""
        return self.preprocessing.channel_order == "bgr"


def subject_of(classifier: Classifier) -> Subject:
    """What the methods of this room work on."""
    return Subject(
        classifier.name,
        private(classifier.model),
        elaborate(classifier.network),
        classifier.preprocessing,
        classifier.classes,
    )


def private(model: nn.Module) -> nn.Module:
    """A copy in evaluation mode that shares the weights; in-place activations would overwrite what hooks caught."""
    shared = {id(t): t for t in (*model.parameters(), *model.buffers())}
    own = copy.deepcopy(model, shared)
    for module in own.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]  # torch types any attribute as Tensor | Module
    return own.eval()


def run(model: nn.Module, x: Tensor, names: Iterable[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """(logits, output of each named row), all in one graph when gradients are enabled."""
    caught: dict[str, Tensor] = {}
    hooks = [
        model.get_submodule(name).register_forward_hook(
            lambda _module, _input, output, name=name: caught.__setitem__(name, output)
        )
        for name in names
    ]
    try:
        return model(x), caught
    finally:
        for hook in hooks:
            hook.remove()


def class_index(classes: tuple[str, ...], wanted: str) -> int:
    """The class that a user names: its name, a part of it that no other has, or its number. MisuseError otherwise."""
    if wanted in classes:
        return classes.index(wanted)
    if wanted.isascii() and wanted.isdigit() and int(wanted) < len(classes):
        return int(wanted)
    plain = [_plain(name) for name in classes]
    if _plain(wanted) in plain:
        return plain.index(_plain(wanted))
    parts = [i for i, name in enumerate(plain) if _plain(wanted) in name]
    if len(parts) == 1:
        return parts[0]
    import difflib

    near = [classes[i] for i in parts[:5]] or [
        classes[plain.index(p)] for p in difflib.get_close_matches(_plain(wanted), plain, n=4, cutoff=0.5)
    ]
    hint = f"did you mean {', '.join(near)}?" if near else f"for example {', '.join(classes[:4])}"
    raise MisuseError(
        f"--class {wanted}: none of the {len(classes)} classes, or of several; {hint} A number works too"
    )


def _plain(name: str) -> str:
    return name.lower().replace("_", " ").strip()
