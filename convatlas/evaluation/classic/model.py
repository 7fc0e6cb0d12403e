"""A fitted baseline: a module from pictures to scores, and its file, safetensors with what it is in the header."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from convatlas.define import Network
from convatlas.define.preprocessing import Preprocessing
from convatlas.errors import ConvAtlasError, MissingExtra, MisuseError
from convatlas.evaluation.classic.descriptors import DESCRIPTORS, SIFT, fit_words
from convatlas.evaluation.classic.learners import LEARNERS, fit_learner
from convatlas.weights.classifier import Classifier

FILE = "classic.safetensors"
_KEY = "convatlas_classic"
_BATCH = 256


class Baseline(nn.Module):
    """Pictures (N, C, H, W) in 0..1 to scores (N, classes)."""

    def __init__(self, name: str, shape: tuple[int, ...], descriptor: nn.Module, learner: nn.Module) -> None:
        super().__init__()
        self.name, self.shape = name, tuple(shape)
        self.descriptor, self.learner = descriptor, learner

    def forward(self, x: Tensor) -> Tensor:
        return self.learner(self.descriptor(x.contiguous()))


def parse(name: str) -> tuple[str, str]:
    """`hog+svm` to its descriptor and its learner; MisuseError names what there is."""
    first, _, second = name.partition("+")
    for part, known, what in ((first, DESCRIPTORS, "descriptor"), (second, LEARNERS, "learner")):
        if part not in known:
            near = difflib.get_close_matches(part, known, n=1)
            raise MisuseError(
                f"{name}: no {what} {part!r}{f' (nearest: {near[0]})' if near else ''}; a baseline is one of "
                f"{', '.join(DESCRIPTORS)}, a plus, and one of {', '.join(LEARNERS)}, as hog+svm"
            )
    return first, second


def fit(name: str, images: Tensor, labels: Tensor, classes: int, seed: int = 0) -> Baseline:
    """Fit a baseline on uint8 pictures (N, C, H, W) and labels (N,)."""
    first, second = parse(name)
    descriptor = DESCRIPTORS[first](min(images.shape[2:]))
    if isinstance(descriptor, SIFT):
        some = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:1000]
        try:
            fit_words(descriptor, lambda: images[some].float() / 255, seed)
        except ModuleNotFoundError as error:
            raise MissingExtra("scikit-learn", "classic") from error
    with torch.inference_mode():
        parts = [descriptor(part.float() / 255) for part in images.split(_BATCH)]
    learner = fit_learner(second, torch.cat(parts), labels, classes, seed)
    return Baseline(name, tuple(images.shape[1:]), descriptor, learner).eval()


def answers(model: Baseline, images: Tensor) -> Tensor:
    """Scores (N, classes) of uint8 pictures, a batch at a time."""
    with torch.inference_mode():
        return torch.cat([model(part.float() / 255) for part in images.split(_BATCH)])


def save(
    path: Path, model: Baseline, classes: Sequence[str], scores: dict[str, object], data: dict[str, object]
) -> None:
    """Write arrays and header; nothing in the file can run."""
    from safetensors.torch import save_file

    header = {
        "name": model.name,
        "shape": list(model.shape),
        "classes": list(classes),
        "scores": scores,
        "data": data,
    }
    part = path.with_name(path.name + ".part")
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, part, {_KEY: json.dumps(header)})
    part.replace(path)


def open_baseline(path: Path, device: torch.device | str = "cpu") -> Classifier:
    """A saved baseline as a classifier: evaluate and predict take it as they take a network."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})[_KEY])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
        first, second = parse(header["name"])
        shape = tuple(header["shape"])
        descriptor = DESCRIPTORS[first](min(shape[1:]))
        learner = LEARNERS[second][1](
            {k.partition(".")[2]: v for k, v in arrays.items() if k.startswith("learner.")}
        )
        model = Baseline(header["name"], shape, descriptor, learner).eval()
        model.load_state_dict(arrays)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ConvAtlasError(f"{path}: not a baseline that can be read ({error}); train it again") from error
    return Classifier(
        name=header["name"],
        model=model.to(device),
        network=Network(input=shape, name=header["name"]),
        preprocessing=reading(shape),
        classes=tuple(header["classes"]),
        weights=str(path),
        device=torch.device(device),
        scores=header["scores"],
        provenance={"data": header["data"]},
    )


def reading(shape: tuple[int, ...]) -> Preprocessing:
    """How photos become pictures of this shape, values 0..1."""
    channels, height, width = shape
    zeros, ones = (0.0,) * channels, (1.0,) * channels
    order = "grey" if channels == 1 else "rgb"
    return Preprocessing(min(height, width), (height, width), mean=zeros, std=ones, channel_order=order)
