"""Write and read ConvAtlas weights: safetensors that know their network, preprocessing and classes."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from convatlas.define import Network
from convatlas.define.preprocessing import Preprocessing
from convatlas.define.serialize import network_from_dict, network_to_dict
from convatlas.weights.header import FORMAT_VERSION, WeightsError, read_header


@dataclass(frozen=True)
class Weights:
    """A weights file in memory: the tensors by name, and what its header told."""

    state_dict: dict[str, Tensor]
    network: Network | None
    preprocessing: Preprocessing | None
    classes: tuple[str, ...] | None = None
    scores: dict[str, object] = field(default_factory=dict)
    provenance: dict[str, object] = field(default_factory=dict)


def save_weights(
    path: str | os.PathLike[str],
    state_dict: Mapping[str, Tensor],
    *,
    network: Network,
    preprocessing: Preprocessing | None = None,
    classes: Sequence[str] | None = None,
    scores: Mapping[str, object] | None = None,
    provenance: Mapping[str, object] | None = None,
) -> Path:
    """Write a state dict with all that is needed to use it again; returns the path.

    The file appears whole or not at all: it is written beside its place, flushed to the disk and moved,
    so a full disk or a kill leaves an earlier file as it was. Raises WeightsError where writing fails.
    """
    path = Path(path)
    metadata = {"format": "pt", "convatlas": FORMAT_VERSION, "network": _json(network_to_dict(network))}
    if preprocessing is not None:
        metadata["preprocessing"] = _json(preprocessing.to_dict())
    if classes is not None:
        metadata["classes"] = _json(list(classes))
    metadata["scores"] = _json(dict(scores or {}))
    metadata["provenance"] = _json(dict(provenance or {}))
    # clone: two names for one storage are legal in a state dict, not in the file
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state_dict.items()}
    _write_atomically(path, tensors, metadata)
    return path


def read_weights(path: str | os.PathLike[str]) -> Weights:
    """Read a file written by `save_weights`; tensors on the CPU. Raises WeightsError (see read_header)."""
    header = read_header(path)
    if not header.ours:
        raise WeightsError(
            f"{path}: a safetensors file, but not one of ConvAtlas: no network in its header;"
            " bring it over with: convatlas import NAME FILE -o OUT.safetensors"
        )
    try:
        network = None if header.network is None else network_from_dict(header.network)
        preprocessing = (
            None if header.preprocessing is None else Preprocessing.from_dict(header.preprocessing)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path}: the header describes no network that this release knows: {error}"
        ) from error
    return Weights(
        read_tensors(path),
        network,
        preprocessing,
        header.classes,
        dict(header.scores),
        dict(header.provenance),
    )


def read_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """All tensors of a safetensors file whose header has been checked, in the order of the file."""
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, RuntimeError) as error:
        raise WeightsError(f"{path}: cannot be read as safetensors: {error}") from error


def _json(value: object) -> str:
    """Without the halves of surrogates that stand for bytes in a folder's name: no header may hold them."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode()


def _write_atomically(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise WeightsError(f"{path}: cannot be written: {error.strerror or error}") from error
    part = Path(name)
    try:
        os.close(handle)
        safetensors.torch.save_file(tensors, part, metadata)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.chmod(0o644)  # mkstemp makes it readable to its owner only
        part.replace(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be written: {error}; what stood there is unharmed") from error
    finally:
        part.unlink(missing_ok=True)
