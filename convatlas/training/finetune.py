"""Begin from trained weights: a new head for new classes, warmed up on features that are computed once.

A head of random numbers sends random gradients into a trained body. Trained alone first, on features cached from
one pass over the pictures, it costs seconds and leaves the body as it was (Kumar et al. 2022, "LP-FT"); then all
rows train, the early ones least (Howard & Ruder 2018).
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.data.loader import Loader
from convatlas.data.sources import DataSource
from convatlas.define import Dropout, Network, with_classes, without_aux
from convatlas.define.edits import classifier
from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.modules import build
from convatlas.modules.layers import GlobalAvgPool
from convatlas.training.logs import Logs
from convatlas.training.recipe import Recipe
from convatlas.training.start import Start
from convatlas.training.step import Stepper

# cached features may take so much memory; above it the head is not warmed up
CACHE_BYTES = 4 << 30


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
    return Start(changed, model, preprocessing, provenance, None if same else head_of(changed))


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


def warm_up(stepper: Stepper, loader: Loader, head: str, recipe: Recipe, seed: int, logs: Logs) -> float:
    """Train the rows from `head` on over cached features; the share of the training pictures then right.

    The loader gives each picture once. Rows before the head are not touched, nor their statistics.
    """
    model = stepper.model
    rows = list(model._rows)  # type: ignore[arg-type]  # noqa: SLF001 (a model's rows are the network's)
    body, tail = rows[: rows.index(head)], rows[rows.index(head) :]
    layers = nn.Sequential(*(model.get_submodule(name) for name in tail))
    conv = _averaged(layers)
    cached = _features(stepper, loader, body, conv)
    if cached is None:
        logs.say(
            f"the features would take more than {CACHE_BYTES >> 30} GiB: the head is not warmed up alone"
        )
        return 0.0
    features, labels, spread = cached
    layers.train()
    if conv is None:
        return _train(layers, features, labels, recipe, seed)
    assert spread is not None  # known wherever there is such a convolution
    # the mean over places of a 1x1 convolution is that convolution of the mean: 1/169 of the work for SqueezeNet
    share = _train(nn.Sequential(conv, nn.Flatten()), features[:, :, None, None], labels, recipe, seed)
    with torch.no_grad():
        # a ReLU between the two would break that; softmax does not see a constant that lifts all logits above 0
        reach = (conv.weight.flatten(1).abs() * spread).sum(1).max()
        low = F.linear(features, conv.weight.flatten(1)).min()
        if conv.bias is not None and any(isinstance(m, nn.ReLU) for m in layers):
            conv.bias += (0.5 * reach - low).clamp(min=0)
    return share


def _averaged(layers: nn.Sequential) -> nn.Conv2d | None:
    """The 1x1 convolution of a head that ends in an average over all places, as SqueezeNet's and NiN's; else None."""
    kinds = [m for m in layers if not isinstance(m, (nn.Dropout, nn.ReLU, nn.Flatten))]
    if len(kinds) != 2 or not isinstance(kinds[0], nn.Conv2d) or not isinstance(kinds[1], GlobalAvgPool):
        return None
    conv = kinds[0]
    return conv if conv.kernel_size == (1, 1) and conv.stride == (1, 1) and conv.padding == (0, 0) else None


def _train(layers: nn.Module, features: Tensor, labels: Tensor, recipe: Recipe, seed: int) -> float:
    """Minimize the recipe's loss of `layers` over the features; the last epoch's share right."""
    parameters = [p for p in layers.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=recipe.head_lr or recipe.lr, weight_decay=recipe.weight_decay
    )
    generator = torch.Generator().manual_seed(seed)
    torch.default_generator.manual_seed(seed)
    batch = min(64, len(labels))
    steps = recipe.head_epochs * math.ceil(len(labels) / batch)
    step, correct = 0, 0
    for _ in range(recipe.head_epochs):
        correct = 0
        for chosen in torch.randperm(len(labels), generator=generator).split(batch):
            some, theirs = features[chosen.to(features.device)].float(), labels[chosen.to(labels.device)]
            optimizer.param_groups[0]["lr"] = (
                (recipe.head_lr or recipe.lr) * 0.5 * (1 + math.cos(math.pi * step / steps))
            )
            logits = layers(some).float()
            optimizer.zero_grad()
            F.cross_entropy(logits, theirs, label_smoothing=recipe.label_smoothing).backward()
            optimizer.step()
            correct += int((logits.argmax(1) == theirs).sum())
            step += 1
    return correct / max(len(labels), 1)


@torch.no_grad()
def _features(
    stepper: Stepper, loader: Loader, body: list[str], conv: nn.Conv2d | None
) -> tuple[Tensor, Tensor, Tensor | None] | None:
    """What the body makes of each picture and of its mirror image; averaged over places where `conv` allows it.

    None where that would not fit. Third, for averaged ones: the deviation over places of each channel.
    """
    model = stepper.model.eval()
    rows = nn.Sequential(*(model.get_submodule(name) for name in body))
    mirrored = stepper.recipe.augmentation.flip > 0
    kept: list[Tensor] = []
    labels: list[Tensor] = []
    spread = None
    for images, theirs in loader.epoch(0):
        if not len(images):
            continue
        for view in (images, images.flip(3)) if mirrored else (images,):
            out = stepper.logits(view, rows)
            if conv is not None:
                spread = out.std((0, 2, 3)) if spread is None else spread
                out = out.mean((2, 3))
            else:
                out = out.to(torch.bfloat16)
            if (
                not kept
                and out[0].numel() * out.element_size() * (1 + mirrored) * len(loader.dataset) > CACHE_BYTES
            ):
                return None
            kept.append(out)
            labels.append(theirs)
    model.train()
    return torch.cat(kept), torch.cat(labels), spread
