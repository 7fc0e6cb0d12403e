"""Train a new head alone, on features that are computed once: it costs seconds and leaves the body as it was."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.data.loader import Loader
from convatlas.define.edits import classifier
from convatlas.modules.layers import GlobalAvgPool
from convatlas.training.inherit import inherit
from convatlas.training.logs import Logs
from convatlas.training.optimizer import spare_the_compiler, take_step
from convatlas.training.recipe import Recipe
from convatlas.training.step import Stepper

# cached features may take so much memory; above it the head is not warmed up
CACHE_BYTES = 4 << 30
# pictures by which the size of features is judged
_FEW = 64
# places of a picture that a head which averages over all of them sees in a step
_PLACES = 32


class WarmUp(NamedTuple):
    """Share of the training pictures that the head then names right; root mean square of what the classifier receives.

    The share is of the cached features, without dropout: as that of an inherited head, to which it is compared.
    """

    share: float
    size: float


def warm_up(
    stepper: Stepper,
    loader: Loader,
    head: str,
    recipe: Recipe,
    seed: int,
    logs: Logs,
    old: Mapping[str, Tensor] | None = None,
) -> WarmUp:
    """Train the rows from `head` on over cached features. The loader gives each picture once.

    old: the values of the classifier that the weights came with, which the new one may inherit from.

    What stands before the head is not touched, nor its statistics. The head is trained as it is, with its ReLU and
    its average over places where it has them (SqueezeNet, NiN), and in float32: what it learns here is what the whole
    network then says, to within the rounding of the cached features.
    """
    model = stepper.model
    rows = list(model._rows)  # type: ignore[arg-type]  # noqa: SLF001 (a model's rows are the network's)
    body, tail = rows[: rows.index(head)], rows[rows.index(head) :]
    layers = nn.Sequential(*(model.get_submodule(name) for name in tail))
    last = model.get_submodule(classifier(model.network.rows) or "")  # type: ignore[union-attr,arg-type]
    torch.manual_seed(seed)
    clipped = any(isinstance(m, nn.ReLU) for m in layers)
    cached = _features(stepper, loader, body)
    if isinstance(cached, Tensor):
        logs.say(
            f"the features would take more than {CACHE_BYTES >> 30} GiB: the head is not warmed up alone"
        )
        size = _size(layers, last, cached)
        _begin_small(last, size, alive=clipped)
        return WarmUp(0.0, size)
    features, labels = cached
    size = _size(layers, last, features[:_FEW])
    _begin_small(last, size, alive=clipped)
    found = inherit(layers, last, old, features, labels) if old and recipe.inherit else None
    if found:
        logs.say(
            f"head begins with {found.rows} of the old classes: training {found.share:.2%} before any step"
        )
    layers.train()
    _train(layers, last, features, labels, recipe, seed, size)
    return WarmUp(_right(layers, features, labels), size)


@torch.no_grad()
def _right(layers: nn.Module, features: Tensor, labels: Tensor) -> float:
    """Share of the features that the head names right as it is used, without dropout and at every place."""
    layers.eval()
    right = 0
    for some, theirs in zip(features.split(_FEW), labels.split(_FEW), strict=True):
        logits = layers(some.float())
        right += int((logits.argmax(1) == theirs.to(logits.device)).sum())
    layers.train()
    return right / max(len(labels), 1)


@torch.no_grad()
def _size(layers: nn.Module, last: nn.Module, features: Tensor) -> float:
    """Root mean square of what arrives at the classifier: 18 for weights made for pixels of 0..255, else about 1."""
    seen: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].float().square().mean()))
    try:
        layers.eval()(features.float())
    finally:
        hook.remove()
    return max(float(seen[0].sqrt()), 1e-6)


@torch.no_grad()
def _begin_small(last: nn.Module, size: float, *, alive: bool) -> None:
    """A classifier that says nothing yet: its first gradients are then about the pictures, not about itself.

    SqueezeNet's release begins its own so (normal of 0.01), for features of about 1. alive: a ReLU follows, and a
    class whose logits begin below 0 would never learn; a bias of 1 lifts all classes alike, which softmax ignores.
    """
    for name, values in last.named_parameters():
        if name == "weight":
            values.normal_(0, 0.01 / size)
        elif name == "bias":
            values.fill_(1.0 if alive else 0.0)


def _train(
    layers: nn.Module,
    last: nn.Module,
    features: Tensor,
    labels: Tensor,
    recipe: Recipe,
    seed: int,
    size: float,
) -> None:
    """Minimize the recipe's loss of `layers` over the features.

    The classifier's weights take 1 / size of the step: Adam's steps are as long for any features, and a weight for
    features of 18 is 18 times smaller than one for features of 1.
    """
    lr = recipe.head_lr or recipe.lr
    groups = [
        {"params": [p], "lr": lr / size if p is getattr(last, "weight", None) else lr}
        for p in layers.parameters()
        if p.requires_grad
    ]
    spare_the_compiler()
    optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
    highest = [group["lr"] for group in optimizer.param_groups]
    generator = torch.Generator().manual_seed(seed)
    torch.default_generator.manual_seed(seed)
    places = features.permute(0, 2, 3, 1).flatten(0, 2) if _averaged(layers) else None
    batch = min(64, len(labels))
    steps = recipe.head_epochs * math.ceil(len(labels) / batch)
    step = 0
    for _ in range(recipe.head_epochs):
        for chosen in torch.randperm(len(labels), generator=generator).split(batch):
            if places is None:
                some = features[chosen.to(features.device)].float()
            else:
                some = _sample(places, chosen, len(places) // len(labels), generator)
            for group, high in zip(optimizer.param_groups, highest, strict=True):
                group["lr"] = high * 0.5 * (1 + math.cos(math.pi * step / steps))
            logits, theirs = layers(some).float(), labels[chosen.to(labels.device)]
            optimizer.zero_grad()
            F.cross_entropy(logits, theirs, label_smoothing=recipe.label_smoothing).backward()
            take_step(optimizer)
            step += 1


def _averaged(layers: nn.Module) -> bool:
    """Whether a head does the same at every place and averages over them, as SqueezeNet's and NiN's."""
    kinds = list(layers.children())
    same = all(
        isinstance(m, nn.Dropout | nn.ReLU | GlobalAvgPool | nn.Flatten)
        or (isinstance(m, nn.Conv2d) and m.kernel_size == m.stride == (1, 1) and m.padding == (0, 0))
        for m in kinds
    )
    pools = [i for i, m in enumerate(kinds) if isinstance(m, GlobalAvgPool)]
    return same and bool(pools) and all(not isinstance(m, nn.Conv2d) for m in kinds[pools[0] :])


def _sample(places: Tensor, chosen: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Features (N, C, 1, k) of some places of the chosen pictures, drawn anew each time; (N, C, 1, all) of few.

    A mean over k places is on average that over all 169 of SqueezeNet, for a fraction of the work.
    """
    few = min(_PLACES, count)
    drawn = torch.rand((len(chosen), count), generator=generator).argsort(1)[:, :few]
    rows = places[(chosen[:, None] * count + drawn).flatten().to(places.device)].float()
    return rows.view(len(chosen), 1, few, -1).permute(0, 3, 1, 2)


@torch.no_grad()
def _features(stepper: Stepper, loader: Loader, body: list[str]) -> tuple[Tensor, Tensor] | Tensor:
    """What the body makes of each picture and of its mirror image, and the labels.

    The first few features alone where all would not fit; the mirror images are left out before that.
    """
    model = stepper.model.eval()
    rows = nn.Sequential(*(model.get_submodule(name) for name in body))
    views, filled = (2 if stepper.recipe.augmentation.flip > 0 else 1), 0
    kept: Tensor | None = None
    labels: list[Tensor] = []
    for images, theirs in loader.epoch(0):
        if not len(images):
            continue
        for view in range(views):
            out = stepper.logits(images.flip(3) if view else images, rows).to(torch.bfloat16)
            if kept is None:
                room = out[0].numel() * out.element_size() * len(loader.dataset)
                views = views if room * views <= CACHE_BYTES else 1
                if room > CACHE_BYTES:
                    model.train()
                    return out[:_FEW]
                layout = torch.channels_last if out.ndim == 4 else torch.contiguous_format
                kept = torch.empty(
                    (views * len(loader.dataset), *out.shape[1:]), dtype=out.dtype, device=out.device, memory_format=layout,
                )  # fmt: skip
            kept[filled : filled + len(out)] = out
            filled += len(out)
            labels.append(theirs)
            if view + 1 >= views:
                break
    model.train()
    assert kept is not None  # a run has pictures to train on
    return kept[:filled], torch.cat(labels)
