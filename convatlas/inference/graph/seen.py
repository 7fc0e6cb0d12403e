"""One call into torch as it was seen, under one name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from convatlas.errors import ConvAtlasError


class NotRecordable(ConvAtlasError):
    """The model does something that a recording cannot hold."""


@dataclass
class Seen:
    """One call: the function, what it got, what it gave, and the shapes of its tensors before it ran."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    shapes: dict[int, tuple[int, ...]]

    @property
    def name(self) -> str:
        """`__iadd__`, `add_` and `add` are all "add"."""
        name = getattr(self.func, "__name__", type(self.func).__name__).strip("_")
        name = {
            "iadd": "add",
            "radd": "add",
            "isub": "sub",
            "imul": "mul",
            "rmul": "mul",
            "truediv": "div",
            "itruediv": "div",
        }.get(name, name)
        return {
            "multiply": "mul",
            "divide": "div",
            "true_divide": "div",
            "subtract": "sub",
            "concat": "cat",
            "concatenate": "cat",
        }.get(name, name)

    @property
    def reads_values(self) -> bool:
        return self.name in {"item", "bool", "float", "int", "tolist", "equal", "allclose"}

    @property
    def only_shape(self) -> bool:
        """Whether the output takes the input's shape but not its values."""
        return (self.name.endswith("_like") and self.name != "rand_like") or self.name in {
            "new_zeros",
            "new_ones",
            "new_full",
            "new_empty",
        }

    def shape(self, tensor: Tensor) -> tuple[int, ...]:
        return self.shapes.get(id(tensor), tuple(tensor.shape))

    def bound(self, *names: str, **defaults: Any) -> tuple[Any, ...]:
        """The arguments by name, in the order of `names`, defaults filled in."""
        values = dict(zip(names, self.args, strict=False))
        values.update({k: v for k, v in self.kwargs.items() if k in names})
        return tuple(values.get(name, defaults.get(name)) for name in names)
