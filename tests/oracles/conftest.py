"""Peers to be right against, built without weights."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable
from typing import cast

import pytest
import torch

# torchvision cannot be imported beside another build of torch, for want of these; no classifier uses them
OPERATORS = [
    "nms", "qnms", "roi_align", "_roi_align_backward", "ps_roi_align", "_ps_roi_align_backward", "roi_pool",
    "_roi_pool_backward", "ps_roi_pool", "_ps_roi_pool_backward", "deform_conv2d", "_deform_conv2d_backward",
]  # fmt: skip
_KEPT: list[torch.library.Library] = []  # operators live as long as their library


def _torchvision() -> None:
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for operator in OPERATORS:
            library.define(f"{operator}(Tensor x) -> Tensor")  # type: ignore[no-untyped-call]
        _KEPT.append(library)
        importlib.import_module("torchvision")


@pytest.fixture(scope="session")
def peer() -> Callable[..., torch.nn.Module]:
    """Make ``torchvision.resnet50`` or ``timm.seresnet50``, heads left out unless asked for; skips where it is not installed."""

    def make(name: str, *, heads: bool = False) -> torch.nn.Module:
        library, _, model = name.partition(".")
        if importlib.util.find_spec(library) is None or importlib.util.find_spec("torchvision") is None:
            pytest.skip(f"{library} is not installed")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # theirs, not ours
            _torchvision()
            if library == "timm":
                return cast("torch.nn.Module", importlib.import_module("timm").create_model(model))
            options = (
                {"aux_logits": heads, "init_weights": False} if model in {"googlenet", "inception_v3"} else {}
            )
            return cast(
                "torch.nn.Module", getattr(importlib.import_module("torchvision.models"), model)(**options)
            )

    return make
