"""Models to time: ours and the peers', with weights that give activations a sane size where none are published."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from torch import Tensor, nn

from convatlas import modules
from convatlas.errors import MisuseError
from convatlas.networks import catalogue

# our name -> torchvision's, where they differ; the same structure, so that times compare
IN_TORCHVISION = {
    "resnet50_v1_5": "resnet50",
    "resnet101_v1_5": "resnet101",
    "resnet152_v1_5": "resnet152",
    "googlenet_bn": "googlenet",
    "alexnet_owt": "alexnet",
}
# what torchvision's compiled part would declare; the models need none of it
_OPERATORS = (
    "nms", "qnms", "roi_align", "ps_roi_align", "roi_pool", "ps_roi_pool", "deform_conv2d", "_roi_align_backward",
    "_ps_roi_align_backward", "_roi_pool_backward", "_ps_roi_pool_backward", "_deform_conv2d_backward",
)  # fmt: skip
_DECLARED: list[object] = []


def make(library: str, name: str) -> nn.Module:
    """A model of "convatlas", "torchvision" or "timm" without weights, in eval mode."""
    if library == "convatlas":
        return modules.build(catalogue.network(name)).eval()
    if library == "torchvision":
        models = _torchvision()
        if not hasattr(models, IN_TORCHVISION.get(name, name)):
            raise MisuseError(f"torchvision has no {name!r}")
        settings = (
            {"init_weights": False, "aux_logits": True} if name in {"googlenet", "inception_v3"} else {}
        )
        return getattr(models, IN_TORCHVISION.get(name, name))(**settings).eval()
    if library == "timm":
        if importlib.util.find_spec("timm") is None:
            raise MisuseError("timm is not installed: pip install timm")
        with suppress(MisuseError):  # timm imports torchvision, which may have to be helped
            _torchvision()
        timm = importlib.import_module("timm")
        if not timm.is_model(name):
            raise MisuseError(f"timm has no {name!r}")
        return timm.create_model(name, pretrained=False).eval()
    raise MisuseError(f"unknown library {library!r}; there are convatlas, torchvision, timm")


def _torchvision() -> object:
    """torchvision.models, also where its compiled part was made for another torch."""
    if importlib.util.find_spec("torchvision") is None:
        raise MisuseError("torchvision is not installed: pip install torchvision")
    try:
        return importlib.import_module("torchvision.models")
    except (RuntimeError, OSError):
        library = torch.library.Library("torchvision", "DEF")
        for name in _OPERATORS:
            library.define(f"{name}(Tensor x) -> Tensor")
        _DECLARED.append(library)  # what is declared lives as long as this object
        return importlib.import_module("torchvision.models")


@torch.no_grad()
def make_sane(model: nn.Module, images: Tensor, seed: int = 0) -> None:
    """He's initialization, batch norms with the statistics of these images, logits with a deviation of 3 between classes.

    A network with unnormalized random weights overflows int8 ranges, or answers every image alike to the last bit.
    """
    generator = torch.Generator().manual_seed(seed)
    last = None
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            fan_in = module.weight[0].numel()
            module.weight.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
            if module.bias is not None:
                module.bias.zero_()
            last = module
        elif isinstance(module, nn.BatchNorm2d):
            if module.weight is not None:
                module.weight.uniform_(0.5, 1.5, generator=generator)
            module.bias.normal_(0, 0.1, generator=generator)
            module.reset_running_stats()
    with _statistics(model):
        for piece in images.split(8):
            model(piece)
    head = _head(model, images[:1]) or last
    if head is not None:
        head.weight.mul_(3 / model(images[:8]).std().clamp_min(1e-6))


@contextmanager
def _statistics(model: nn.Module) -> Iterator[None]:
    """Batch norms alone in training mode, averaging over all they see."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = None
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.eval()
            norm.momentum = momentum


def _head(model: nn.Module, images: Tensor) -> nn.Conv2d | nn.Linear | None:
    """The layer with weights that runs last (auxiliary heads stand behind it in the list of modules)."""
    ran: list[nn.Conv2d | nn.Linear] = []
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    hooks = [m.register_forward_hook(lambda m, _i, _o: ran.append(m)) for m in layers]
    model(images)
    for hook in hooks:
        hook.remove()
    return ran[-1] if ran else None
