"""Every classic convolutional network for image classification, exact to its paper.

    import convatlas as ca
    ca.network("resnet50").table()        # numbers and pictures; no torch
    ca.create_model("resnet50")           # torch.nn.Module

The face is `convatlas.api`, read when a name is first asked for: importing the package costs nothing.
"""

from __future__ import annotations

import importlib

from convatlas._version import __version__

TYPE_CHECKING = False  # what type checkers take for true; importing it from typing would load typing
if TYPE_CHECKING:
    from convatlas.api import (
        CatalogueNetwork,
        ConvAtlasError,
        MissingExtra,
        MisuseError,
        compare,
        create_model,
        load_checkpoint,
        names,
        network,
        optimize,
    )

__all__ = [
    "CatalogueNetwork",
    "ConvAtlasError",
    "MissingExtra",
    "MisuseError",
    "__version__",
    "compare",
    "create_model",
    "load_checkpoint",
    "names",
    "network",
    "optimize",
]


def __getattr__(name: str) -> object:
    """Find a public name in `convatlas.api`, imported now."""
    if name not in __all__:
        raise AttributeError(f"module 'convatlas' has no attribute {name!r}; it offers {', '.join(__all__)}")
    # By text, not by an import statement: the package itself is not above its rooms.
    return getattr(importlib.import_module("convatlas.api"), name)


def __dir__() -> list[str]:
    """Offer the names of the face to completion."""
    return sorted(__all__)
