"""What a network sees: filters, feature maps, deconvnet, occlusion, saliency, Grad-CAM, the most exciting picture.

`explain` makes them all; the functions of the modules give the numbers alone. Nothing here changes the model that
it is given: what needs other rectifiers works on a copy that shares the weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convatlas.lazy import lazily

if TYPE_CHECKING:
    from convatlas.explain.methods import METHODS, Asked
    from convatlas.explain.report import explain

_HOME = {"METHODS": "methods", "Asked": "methods", "explain": "report"}

__all__ = ["METHODS", "Asked", "explain"]


__getattr__, __dir__ = lazily(__name__, _HOME)
