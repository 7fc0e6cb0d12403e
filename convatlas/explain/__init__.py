"""What a network sees: filters, feature maps, deconvnet, occlusion, saliency, Grad-CAM, the most exciting picture.

`explain` makes them all; the functions of the modules give the numbers alone. Nothing here changes the model that
it is given: what needs other rectifiers works on a copy that shares the weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convatlas.explain.methods import METHODS, Asked
    from convatlas.explain.report import explain

_HOME = {"METHODS": "methods", "Asked": "methods", "explain": "report"}

__all__ = ["METHODS", "Asked", "explain"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
