"""The engines there are, in the order in which they are tried."""

from __future__ import annotations

from convatlas.errors import MisuseError
from convatlas.inference.engines.base import Engine
from convatlas.inference.engines.cudagraph import CudaGraph
from convatlas.inference.engines.cudnn import CuDnn
from convatlas.inference.engines.eager import Eager, Folded
from convatlas.inference.engines.inductor import Inductor
from convatlas.inference.engines.onednn import OneDnn
from convatlas.inference.engines.onnxruntime import OnnxRuntime
from convatlas.inference.engines.openvino import OpenVino
from convatlas.inference.engines.winograd import Winograd

_ALL = (Eager, Folded, OneDnn, Winograd, CudaGraph, CuDnn, Inductor, OnnxRuntime, OpenVino)
ENGINES: dict[str, Engine] = {kind.name: kind() for kind in _ALL}


def engine(name: str) -> Engine:
    """The engine of this name; MisuseError with the names there are."""
    if name not in ENGINES:
        raise MisuseError(f"unknown engine {name!r}; there are {', '.join(ENGINES)}")
    return ENGINES[name]


def engines_for(names: tuple[str, ...] | None) -> tuple[Engine, ...]:
    """The engines to try: those named, or all but the ones that compile for minutes."""
    if names is None:
        return tuple(e for e in ENGINES.values())
    return tuple(engine(name) for name in names)
