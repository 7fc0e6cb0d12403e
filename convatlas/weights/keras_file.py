"""Read Keras' files: .h5 (whole models and weights of Keras 1 to 3), .weights.h5 and .keras.

Keras keeps convolutions as (height, width, in, out), depthwise ones as (height, width, channels, multiplier),
linear ones as (in, out); here they become torch's. HDF5 is read with h5py, an extra.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from convatlas.errors import MissingExtra
from convatlas.weights.archive import MAX_RATIO, SLACK_BYTES, check_archive
from convatlas.weights.foreign import Foreign, Layer
from convatlas.weights.header import WeightsError

if TYPE_CHECKING:
    import h5py

Arrays = dict[str, np.ndarray]
NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
NORM_OLD = {
    "running_mean": "moving_mean",
    "running_std": "moving_variance",
}  # Keras 1 wrote a variance as std


@dataclass
class _Module:
    """One Keras layer: its arrays by Keras' names, and its configuration where the file has it."""

    name: str
    kind: str = ""  # Keras' class name, empty where the file does not say
    arrays: Arrays = field(default_factory=dict)
    config: Mapping[str, object] = field(default_factory=dict)


def read_keras(path: Path) -> Foreign:
    """Layers of a Keras file in Keras' order; raises WeightsError, or MissingExtra without h5py."""
    if zipfile.is_zipfile(path):
        modules = _read_keras_zip(path)
    else:
        with _open(path, path) as file:
            modules = _read_h5(file, path)
    layers = [layer for module in modules for layer in _layers(module, path)]
    if not layers:
        raise WeightsError(f"{path}: a Keras file without weights; save the model again after it is built")
    return Foreign("keras", tuple(layers), ordered=any(module.config for module in modules))


def _h5py() -> ModuleType:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra("h5py, to read Keras' files", "keras") from error
    return h5py


def _open(path: Path, content: Path | io.BytesIO) -> h5py.File:
    try:
        return _h5py().File(content, "r")
    except OSError as error:
        raise WeightsError(f"{path}: not an HDF5 file, or a broken one: {error}") from error


def _read_keras_zip(path: Path) -> list[_Module]:
    check_archive(path)
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
            weights = archive.read("model.weights.h5")
    except (KeyError, ValueError, RecursionError, OSError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path}: not a .keras archive, or a broken one: {error}") from error
    with _open(path, io.BytesIO(weights)) as file:
        return _read_h5(file, path, _configured(config))


def _read_h5(file: h5py.File, path: Path, configured: list[_Module] | None = None) -> list[_Module]:
    _check_bytes(file, path)
    try:
        if "layers" in file or "_layer_checkpoint_dependencies" in file:
            return _with_configs(list(_vars(file)), configured or [])
        root = file.get("model_weights", file)
        if "layer_names" in root.attrs:
            text = file.attrs.get("model_config", root.attrs.get("model_config"))
            configured = _configured(json.loads(text)) if text is not None else []
            return _with_configs(list(_legacy(root)), configured)
    except (KeyError, ValueError, AttributeError, RecursionError, OSError, RuntimeError) as error:
        raise WeightsError(f"{path}: a broken Keras file: {type(error).__name__}: {error}") from error
    raise WeightsError(f"{path}: an HDF5 file, but not one of Keras: neither layers nor layer_names in it")


def _check_bytes(file: h5py.File, path: Path) -> None:
    """Refuse what would unpack to far more than the file, and what points to other files."""
    h5 = _h5py()
    declared = 0

    def visit(group: h5py.Group, depth: int) -> None:
        nonlocal declared
        if depth > 64:
            raise WeightsError(f"{path}: refused: groups nested without end")
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5.HardLink):
                raise WeightsError(
                    f"{path}: refused: {name!r} is a link ({type(link).__name__}), not weights"
                )
            item = group[name]
            if isinstance(item, h5.Group):
                visit(item, depth + 1)
                continue
            if item.external or item.is_virtual:
                raise WeightsError(f"{path}: refused: {name!r} points to another file")
            declared += item.nbytes
            if declared > MAX_RATIO * size + SLACK_BYTES:
                raise WeightsError(f"{path}: refused: it would unpack to more than {declared} bytes: a bomb")

    size = path.stat().st_size
    visit(file, 0)


def _numbers(name: str) -> tuple[object, ...]:
    """Sort conv2d_9 before conv2d_10: names cut at their underscores, numbers as numbers."""
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in name.split("_"))


def _vars(group: h5py.Group) -> Iterator[_Module]:
    """Keras 3's layout: layers/NAME/vars/0, 1, ...; layers within layers likewise."""
    if "vars" in group and len(group["vars"]):
        variables = group["vars"]
        full = group.name.split("/")
        name = variables.attrs.get("name", full[-1])
        name = name.decode() if isinstance(name, bytes) else str(name)
        arrays = {key: np.asarray(variables[key]) for key in sorted(variables, key=_numbers)}
        yield _Module(
            name, "".join(part.title() for part in full[-1].rstrip("_0123456789").split("_")), arrays
        )
    for key in sorted(group, key=_numbers):
        if key not in ("vars", "optimizer"):
            child = group[key]
            if hasattr(child, "keys"):
                yield from _vars(child)


def _legacy(root: h5py.Group) -> Iterator[_Module]:
    """The layout of Keras 1 and 2: layer_names, and in each group weight_names such as conv1/kernel:0."""
    for raw in root.attrs["layer_names"]:
        name = raw.decode() if isinstance(raw, bytes) else str(raw)
        group = root[name]
        modules: dict[str, _Module] = {}
        for raw_weight in group.attrs["weight_names"]:
            weight = raw_weight.decode() if isinstance(raw_weight, bytes) else str(raw_weight)
            owner, _, leaf = weight.rpartition("/")
            module = modules.setdefault(owner, _Module(owner.rpartition("/")[2] or name))
            module.arrays[_leaf(leaf)] = np.asarray(group[weight])
        yield from modules.values()


def _leaf(name: str) -> str:
    """'kernel' of kernel:0; Keras 1 wrote block1_conv1_W_1:0 and bn_conv1_running_std:0."""
    name = name.partition(":")[0]
    for new in ("depthwise_kernel", "pointwise_kernel", "kernel", *NORM):
        if name == new:
            return new
    parts = name.split("_")
    while parts and parts[-1].isdecimal():
        parts.pop()
    old = "_".join(parts[-2:])
    if old in NORM_OLD:
        return NORM_OLD[old]
    return {"W": "kernel", "b": "bias", "bias": "bias", "gamma": "gamma", "beta": "beta"}.get(parts[-1], name)


def _configured(model: Mapping[str, object]) -> list[_Module]:
    """All layers of a model's configuration, in its order, those of models inside it included."""
    found: list[_Module] = []
    config: Any = model.get("config", {})  # JSON
    layers = config if isinstance(config, list) else config.get("layers", [])
    for layer in layers:
        inner = layer.get("config", {})
        if isinstance(inner, list) or "layers" in inner:
            found += _configured(layer)
        else:
            name = str(inner.get("name", layer.get("name", "")))
            found.append(_Module(name, str(layer.get("class_name", "")), config=inner))
    return found


def _with_configs(modules: list[_Module], configured: list[_Module]) -> list[_Module]:
    """Give each module its class and configuration, by name, and the order of the configuration."""
    place = {module.name: (at, module) for at, module in enumerate(configured)}
    if not configured or any(module.name not in place for module in modules):
        return modules
    for module in modules:
        module.kind, module.config = place[module.name][1].kind, place[module.name][1].config
    return sorted(modules, key=lambda module: place[module.name][0])


def _layers(module: _Module, path: Path) -> Iterator[Layer]:
    named = _named(module)
    if not named:
        return
    if "moving_mean" in named:
        eps = module.config.get("epsilon")
        tensors = {NORM[leaf]: _tensor(array) for leaf, array in named.items()}
        yield Layer(module.name, tensors, eps=float(eps) if isinstance(eps, (int, float)) else None)
        return
    if "pointwise_kernel" in named:
        yield Layer(f"{module.name}/depthwise", {"weight": _depthwise(named["depthwise_kernel"])})
        yield Layer(f"{module.name}/pointwise", _with_bias(_convolution(named["pointwise_kernel"]), named))
        return
    if "depthwise_kernel" in named:
        yield Layer(module.name, _with_bias(_depthwise(named["depthwise_kernel"]), named))
        return
    kernel = named.get("kernel")
    if kernel is None or kernel.ndim not in (2, 4):
        raise WeightsError(
            f"{path}: layer {module.name!r} ({module.kind or 'of unknown class'}) holds"
            f" {', '.join(f'{leaf} {array.shape}' for leaf, array in named.items())}; expected a convolution, a"
            " linear layer or a batch norm"
        )
    yield Layer(
        module.name, _with_bias(_tensor(kernel.T) if kernel.ndim == 2 else _convolution(kernel), named)
    )


def _named(module: _Module) -> Arrays:
    """Arrays by the names that Keras gives them; the newest layout has only their positions."""
    arrays = {leaf: array for leaf, array in module.arrays.items() if np.issubdtype(array.dtype, np.floating)}
    if not arrays:
        return {}
    if all(leaf.isdecimal() for leaf in arrays):
        in_order = list(arrays.values())
        if module.kind == "BatchNormalization":
            names = list(NORM)
            if len(in_order) == 3:
                names.remove("beta" if module.config.get("center") is False else "gamma")
            elif len(in_order) == 2:
                names = names[2:]
            return dict(zip(names, in_order, strict=True))
        kernels = (
            ["depthwise_kernel", "pointwise_kernel"] if module.kind.startswith("Separable") else ["kernel"]
        )
        arrays = dict(zip([*kernels, "bias"], in_order, strict=False))
    kernel = arrays.get("kernel")
    if kernel is not None and kernel.ndim == 4:
        # Keras 3 calls a depthwise kernel `kernel` too; no network here has a convolution of one map
        told = module.kind.startswith("Depthwise")
        if told or (kernel.shape[3] == 1 and not module.config):
            arrays["depthwise_kernel"] = arrays.pop("kernel")
    return arrays


def _with_bias(weight: Tensor, named: Arrays) -> dict[str, Tensor]:
    return {"weight": weight} | ({"bias": _tensor(named["bias"])} if "bias" in named else {})


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32).copy())


def _convolution(kernel: np.ndarray) -> Tensor:
    return _tensor(kernel.transpose(3, 2, 0, 1))


def _depthwise(kernel: np.ndarray) -> Tensor:
    height, width, channels, multiplier = kernel.shape
    return _tensor(kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width))
