"""Weights at the border: our own safetensors files, and everybody else's checkpoints.

Names are resolved lazily, so that `convatlas.weights.header` can be read in an interpreter without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convatlas.lazy import lazily

if TYPE_CHECKING:
    from convatlas.weights.checkpoint import Checkpoint, LoadReport, load_checkpoint, open_checkpoint
    from convatlas.weights.header import Header, TensorInfo, WeightsError, read_header
    from convatlas.weights.imagenet import imagenet_classes, imagenet_wnids
    from convatlas.weights.known import resolve
    from convatlas.weights.native import Weights, read_weights, save_weights

_HOME = {
    "Header": "header",
    "TensorInfo": "header",
    "WeightsError": "header",
    "read_header": "header",
    "Weights": "native",
    "read_weights": "native",
    "save_weights": "native",
    "Checkpoint": "checkpoint",
    "LoadReport": "checkpoint",
    "load_checkpoint": "checkpoint",
    "open_checkpoint": "checkpoint",
    "resolve": "known",
    "imagenet_classes": "imagenet",
    "imagenet_wnids": "imagenet",
}

__all__ = [
    "Checkpoint",
    "Header",
    "LoadReport",
    "TensorInfo",
    "Weights",
    "WeightsError",
    "imagenet_classes",
    "imagenet_wnids",
    "load_checkpoint",
    "open_checkpoint",
    "read_header",
    "read_weights",
    "resolve",
    "save_weights",
]


__getattr__, __dir__ = lazily(__name__, _HOME)
