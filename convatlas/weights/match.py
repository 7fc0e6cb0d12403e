"""Fill a network's slots with the layers of a foreign checkpoint: by order, checked shape by shape.

Convolutions and linear layers are matched among themselves, batch norms among themselves, each in order. What
conventions differ by is settled with exact arithmetic; all that does not fit is listed, and nothing is filled.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from convatlas.define import BatchNorm
from convatlas.weights.foreign import Layer
from convatlas.weights.header import WeightsError
from convatlas.weights.slots import Slot, squeezed

Filled = dict[str, Tensor]


class Mismatch(WeightsError):
    """The layers of a file are not those of the network; `faults` lists every missing, extra and misshaped one."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def match(slots: Sequence[Slot], layers: Sequence[Layer], *, tolerant: bool, channels_last: bool) -> Filled:
    """State dict for `slots` from `layers`, both in the same order; raises Mismatch listing every fault.

    tolerant: a bias, gamma or beta that the file lacks is 0 or 1, as Keras, Caffe and TensorFlow leave out
    what is constant; in a torch state dict it is missing. channels_last: the first linear layer after maps
    counts its inputs as height, width, channels.
    """
    faults, pairs = [], []
    for norm in (False, True):
        ours = [slot for slot in slots if slot.is_norm == norm]
        theirs = [layer for layer in layers if layer.is_norm == norm]
        aligned, wrong = _align(ours, theirs)
        pairs += aligned
        faults += wrong
    given = {slot.name: layer for slot, layer in pairs}
    filled: Filled = {}
    carried: Tensor | None = None  # a convolution's bias that the batch norm after it takes over
    for slot in slots:
        layer = given.get(slot.name)
        if carried is not None and not slot.is_norm:
            faults.append(
                f"the file has a bias before {slot.name}, where the network has none and no batch norm"
            )
            carried = None
        if layer is None:
            continue
        tensors, carried, wrong = _fill(slot, layer, carried, tolerant=tolerant, channels_last=channels_last)
        filled |= {f"{slot.name}.{leaf}": tensor for leaf, tensor in tensors.items()}
        faults += wrong
    if faults:
        raise Mismatch(faults)
    return filled


def _align(ours: list[Slot], theirs: list[Layer]) -> tuple[list[tuple[Slot, Layer]], list[str]]:
    """Pair in order; where that does not fit, tell what is missing, what is left over and what differs."""
    if len(ours) == len(theirs) and all(map(fits, ours, theirs)):
        return list(zip(ours, theirs, strict=True)), []
    pairs: list[tuple[Slot, Layer]] = []
    faults: list[str] = []
    a, b = [squeezed(_shape(slot)) for slot in ours], [squeezed(_shape(layer)) for layer in theirs]
    for what, i, j, m, n in difflib.SequenceMatcher(a=a, b=b, autojunk=False).get_opcodes():
        if what == "equal":
            pairs += zip(ours[i:j], theirs[m:n], strict=True)
        elif what == "replace" and j - i == n - m:
            faults += [
                f"{slot.name} should be {_show(slot)}, the file's {layer.name} is {_show(layer)}"
                for slot, layer in zip(ours[i:j], theirs[m:n], strict=True)
                if not fits(slot, layer)
            ]
        else:
            faults += [f"{slot.name} {_show(slot)} is missing in the file" for slot in ours[i:j]]
            faults += [f"the file's {layer.name} {_show(layer)} has no place" for layer in theirs[m:n]]
    return pairs, faults


def fits(slot: Slot, layer: Layer) -> bool:
    """Equal shapes; a linear layer may come as the convolution over whole maps that it is the same as."""
    ours, theirs = squeezed(_shape(slot)), squeezed(_shape(layer))
    as_linear = len(ours) == 2 and ours == (theirs[0], math.prod(theirs[1:]))
    return ours == theirs or (as_linear and slot.flattened is not None)


def _shape(what: Slot | Layer) -> tuple[int, ...]:
    """The weight's shape; a batch norm's width."""
    if isinstance(what, Slot):
        return what.shapes["running_mean"] if what.is_norm else what.shapes["weight"]
    return tuple(what.tensors["running_mean" if what.is_norm else "weight"].shape)


def _show(what: Slot | Layer) -> str:
    return "x".join(map(str, _shape(what)))


def _fill(
    slot: Slot, layer: Layer, carried: Tensor | None, *, tolerant: bool, channels_last: bool
) -> tuple[dict[str, Tensor], Tensor | None, list[str]]:
    """Tensors for one slot; second, a bias for the batch norm that follows; third, faults."""
    given = {leaf: tensor.to(torch.float32) for leaf, tensor in layer.tensors.items()}
    if slot.is_norm:
        tensors, wrong = _norm(slot, layer, given, carried, tolerant=tolerant)
        return tensors, None, wrong
    tensors, wrong = {}, []
    weight = given.pop("weight", None)
    if weight is not None:
        if channels_last and slot.flattened and weight.dim() == 2:
            c, h, w = slot.flattened
            weight = weight.reshape(-1, h, w, c).permute(0, 3, 1, 2)
        tensors["weight"] = weight.reshape(slot.shapes["weight"]).contiguous()
    bias = given.pop("bias", None)
    carry = None
    if "bias" not in slot.shapes:
        carry = bias
    elif bias is not None:
        tensors["bias"] = bias
    elif tolerant:
        tensors["bias"] = torch.zeros(slot.shapes["bias"])
    wrong += _misfits(slot, layer, tensors, given)
    return tensors, carry, wrong


def _norm(
    slot: Slot, layer: Layer, given: dict[str, Tensor], carried: Tensor | None, *, tolerant: bool
) -> tuple[dict[str, Tensor], list[str]]:
    """A batch norm: takes over a bias from before it, makes up for another epsilon, fills in a gamma of one."""
    op = slot.operation
    assert isinstance(op, BatchNorm)
    width = slot.shapes["running_mean"]
    if tolerant:
        given.setdefault("weight", torch.ones(width))
        given.setdefault("bias", torch.zeros(width))
    leaves = ("weight", "bias", "running_mean", "running_var")
    tensors = {leaf: given.pop(leaf) for leaf in leaves if leaf in given}
    wrong = _misfits(slot, layer, tensors, given, also=("weight",))
    if wrong:
        return {}, wrong
    if carried is not None:  # (x + b - mean) is (x - (mean - b))
        tensors["running_mean"] = tensors["running_mean"] - carried
    if layer.eps is not None and layer.eps != op.eps:
        ratio = (tensors["running_var"].double() + op.eps) / (tensors["running_var"].double() + layer.eps)
        tensors["weight"] = (tensors["weight"] * ratio.sqrt()).float()
    if "weight" not in slot.shapes:
        # ours has no gamma here: one of the file's must be what ours is, 1
        if not torch.equal(tensors["weight"], torch.ones(width)):
            return {}, [f"{slot.name} has no scale, the file's {layer.name} has one that is not 1"]
        del tensors["weight"]
    return tensors | {"num_batches_tracked": torch.tensor(0)}, []


def _misfits(
    slot: Slot, layer: Layer, tensors: dict[str, Tensor], extra: dict[str, Tensor], also: tuple[str, ...] = ()
) -> list[str]:
    wrong = [f"{slot.name}.{leaf} is missing in the file" for leaf in slot.shapes if leaf not in tensors]
    wrong += [f"the file's {layer.name}.{leaf} has no place" for leaf in extra]
    for leaf, tensor in tensors.items():
        expected = slot.shapes.get(leaf, slot.shapes["running_mean"] if leaf in also else tuple(tensor.shape))
        if tuple(tensor.shape) != tuple(expected):
            wrong.append(
                f"{slot.name}.{leaf} should be {tuple(expected)}, the file's {layer.name}.{leaf} is {tuple(tensor.shape)}"
            )
        elif not bool(torch.isfinite(tensor).all()):
            wrong.append(f"the file's {layer.name}.{leaf} has values that are not numbers")
    return wrong
