"""Read .pth, .pt, .th and .bin files: state dicts, alone or wrapped in a training checkpoint.

Such a file is a pickle, and a pickle is a program. It is read with torch's restricted unpickler
(`weights_only=True`) and nothing else: tensors, containers and numbers come out, whatever else it names is
refused before it is called.
"""

from __future__ import annotations

import argparse
import pickle
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from convatlas.weights.archive import check_archive
from convatlas.weights.header import WeightsError

# How people wrap a state dict, the most telling name first.
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params")
PREFIXES = ("module.", "model.", "_orig_mod.", "net.", "backbone.", "encoder.")
MAX_DEPTH = 4

# Plain data that training scripts leave beside the weights: their options, and scores as numpy numbers.
# torch's unpickler builds these without running code of the file.
SCALAR: Callable[..., object] = np.float64(0).__reduce__()[0]  # type: ignore[assignment]
HARMLESS: list[Callable[..., object] | tuple[Callable[..., object], str]] = [
    argparse.Namespace,
    np.dtype,
    type(np.dtype(np.float64)),
    type(np.dtype(np.float32)),
    type(np.dtype(np.int64)),
    np.float64,
    np.float32,
    np.int64,
    (SCALAR, "numpy.core.multiarray.scalar"),  # its name before numpy 2
    (SCALAR, "numpy._core.multiarray.scalar"),
]


def read_torch(path: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """The state dict inside a torch file, prefixes removed, and the numbers that stood around it.

    Raises WeightsError where the file is broken, names anything that could run, or holds no state dict.
    """
    if zipfile.is_zipfile(path):
        check_archive(path)
    try:
        with torch.serialization.safe_globals(HARMLESS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old formats, which is what published files have
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path}: refused, and nothing of it was run: it is not made of tensors alone"
            f" ({_first_line(error)}). Ask its author for a state dict or a safetensors file"
        ) from error
    # a broken pickle can raise nearly anything; none of it is ours
    except Exception as error:
        raise WeightsError(f"{path}: cannot be read as a torch file: {_first_line(error)}") from error
    tensors, around = unwrap(content, str(path))
    _check_storage(tensors, path)
    return tensors, around


def unwrap(content: object, where: str) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Find the state dict in what a torch file held; second, the plain numbers and texts beside it."""
    around: dict[str, object] = {}
    for _ in range(MAX_DEPTH):
        if not isinstance(content, Mapping):
            break
        tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
        if tensors and all(isinstance(name, str) for name in tensors):
            return strip_prefixes(tensors), around
        around |= {str(name): _plain(value) for name, value in content.items() if _plain(value) is not None}
        inner = next((name for name in WRAPPERS if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            break
        content = content[inner]
    found = ", ".join(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
    raise WeightsError(
        f"{where}: no state dict in it: expected tensors by name, or one under {', '.join(WRAPPERS[:4])};"
        f" found {found or 'nothing':.300}"
    )


def strip_prefixes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove what wrappers put before every name: `module.` of DataParallel, `_orig_mod.` of compile."""
    names = list(tensors)
    changed = True
    while changed and names:
        changed = False
        for prefix in PREFIXES:
            if all(name.startswith(prefix) for name in names):
                names = [name.removeprefix(prefix) for name in names]
                changed = True
    return dict(zip(names, tensors.values(), strict=True))


def _plain(value: object) -> object | None:
    """A number or text worth keeping as provenance, else None."""
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, (int, float, str)) and not isinstance(value, bool) else None


def _check_storage(tensors: Mapping[str, Tensor], path: Path) -> None:
    """A few bytes can pretend to be terabytes by a stride of zero; copying them would fill the memory."""
    for name, tensor in tensors.items():
        if tensor.is_sparse or tensor.is_quantized or tensor.is_complex():
            raise WeightsError(f"{path}: {name} is {tensor.layout}, {tensor.dtype}; expected plain numbers")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise WeightsError(
                f"{path}: refused: {name} claims shape {tuple(tensor.shape)} over"
                f" {tensor.untyped_storage().nbytes()} bytes"
            )


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    for line in text.splitlines():
        if "GLOBAL" in line or "Unsupported" in line:
            return line.strip()[:300]
    return f"{type(error).__name__}: {text.splitlines()[0] if text else 'no more is known'}"[:300]
