"""A foreign checkpoint in neutral form: layers in the order of the file, torch's leaf names and axis order.

The readers (`torch_file`, `keras_file`, `tflite`, `caffe`) end here, the matching begins here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

SOURCES = ("torchvision", "timm", "keras", "caffe", "tflite", "convatlas")


@dataclass(frozen=True)
class Layer:
    """The tensors of one module: `weight`, `bias`, `running_mean`, `running_var`, whichever it has.

    Convolutions are OIHW, linear layers (out, in). `eps` is what the file says of a batch norm's epsilon,
    None where it says nothing. `stride` and `padding` are known where the file holds the graph.
    """

    name: str
    tensors: Mapping[str, Tensor]
    eps: float | None = None
    stride: int | None = None
    padding: str | None = None

    @property
    def is_norm(self) -> bool:
        """Running statistics make a batch norm."""
        return "running_mean" in self.tensors


@dataclass(frozen=True)
class Foreign:
    """What a file holds, before anything is matched.

    `folded`: batch norm was folded into the convolutions, which have biases instead. `ordered`: the layers
    stand in the order of the network (a safetensors file sorts them by name and loses it). `converted_from` is
    where the weights were trained, if the file's name says that its layout was changed since.
    """

    source: str
    layers: tuple[Layer, ...]
    ordered: bool = True
    folded: bool = False
    converted_from: str = ""
    input: tuple[int, int, int] | None = None  # (C, H, W) where the file holds the graph
    classes: tuple[str, ...] | None = None
    scores: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def group(tensors: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    """Module name to its tensors by leaf name, in the order of first appearance.

    `num_batches_tracked` is left out: it counts training steps and changes no output.
    """
    modules: dict[str, dict[str, Tensor]] = {}
    for key, tensor in dict(tensors).items():
        module, _, leaf = key.rpartition(".")
        if leaf != "num_batches_tracked":
            modules.setdefault(module, {})[leaf] = tensor
    return modules
