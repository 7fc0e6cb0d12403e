"""Tell a file's kind by its first bytes and read it to neutral form."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from convatlas.weights.archive import check_archive
from convatlas.weights.caffe import read_caffe
from convatlas.weights.foreign import Foreign, Layer, group
from convatlas.weights.header import WeightsError, read_header
from convatlas.weights.keras_file import read_keras
from convatlas.weights.native import read_tensors
from convatlas.weights.tflite import read_tflite
from convatlas.weights.torch_file import read_torch, strip_prefixes, unwrap

HDF5 = b"\x89HDF\r\n\x1a\n"
NPY = b"\x93NUMPY"


def kind_of(path: Path) -> str:
    """'safetensors', 'torch', 'keras', 'tflite', 'caffe' or 'numpy'; WeightsError for what is none of them."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not start:
        raise WeightsError(f"{path}: empty, 0 bytes; fetch or save it again")
    if start.startswith(HDF5):
        return "keras"
    if start[4:8] == b"TFL3":
        return "tflite"
    if start.startswith(NPY):
        return "numpy"
    if path.suffix == ".caffemodel":
        return "caffe"
    if start.startswith(b"PK"):
        return _kind_of_archive(path)
    if path.suffix == ".safetensors" or start[8:9] == b"{":
        return "safetensors"
    by_suffix = {".tflite": "tflite", ".h5": "keras", ".hdf5": "keras", ".keras": "keras"}
    return by_suffix.get(path.suffix, "torch")


def _kind_of_archive(path: Path) -> str:
    check_archive(path)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if "model.weights.h5" in names:
        return "keras"
    return "numpy" if names and all(name.endswith(".npy") for name in names) else "torch"


def read_foreign(path: str | os.PathLike[str]) -> Foreign:
    """Read any file but our own. Its source is '' where only the names of its layers can tell it."""
    path = Path(path)
    match kind_of(path):
        case "keras":
            return read_keras(path)
        case "tflite":
            return read_tflite(path)
        case "caffe":
            return read_caffe(path)
        case "numpy":
            return _from_tensors(_read_numpy(path), str(path))
        case "safetensors":
            read_header(path)
            return _from_tensors(strip_prefixes(read_tensors(path)), str(path), ordered=False)
    tensors, around = read_torch(path)
    return _from_tensors(tensors, str(path), scores=around)


def from_state_dict(content: Mapping[str, object]) -> Foreign:
    """The neutral form of a state dict in memory, wrapped or not."""
    tensors, around = unwrap(content, "the state dict")
    return _from_tensors(tensors, "the state dict", scores=around)


def _from_tensors(
    tensors: Mapping[str, Tensor],
    where: str,
    *,
    ordered: bool = True,
    scores: Mapping[str, object] | None = None,
) -> Foreign:
    layers = []
    for name, leaves in group(tensors).items():
        if "running_mean" not in leaves and "weight" not in leaves:
            raise WeightsError(
                f"{where}: {name or 'its top'} holds {', '.join(leaves)}; expected weight, bias, running_mean,"
                " running_var: no network of the catalogue has such a layer"
            )
        layers.append(Layer(name, leaves))
    if not layers:
        raise WeightsError(f"{where}: no weights in it")
    return Foreign("", tuple(layers), ordered, scores=scores or {}, converted_from=_told_by_name(where))


def _told_by_name(where: str) -> str:
    """Weights converted from Caffe look like anyone's; those who publish them say it in the name."""
    name = Path(where).name.lower()
    return "caffe" if "caffe" in name or "bgr" in name else ""


def _read_numpy(path: Path) -> dict[str, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    except AttributeError as error:
        raise WeightsError(
            f"{path}: one array without a name; expected an .npz with an array a tensor"
        ) from error
    except ValueError as error:
        told = "objects in it, which would need a pickle: refused, and nothing of it was run"
        raise WeightsError(f"{path}: {told if 'allow_pickle' in str(error) else error}") from error
    except (OSError, zipfile.BadZipFile, TypeError, EOFError, MemoryError) as error:
        raise WeightsError(f"{path}: a broken numpy file: {error}") from error
