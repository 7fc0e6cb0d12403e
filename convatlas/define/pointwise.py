"""Normalization, activations and dropout: the shape stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from convatlas.define.operation import Operation
from convatlas.define.shape import Shape


@dataclass(frozen=True, slots=True)
class BatchNorm(Operation):
    """Batch normalization (Ioffe & Szegedy 2015); `scale=False` trains no gamma, as Keras' Inception-v3."""

    eps: float = 1e-5
    momentum: float = 0.1
    scale: bool = True
    kind: ClassVar[str] = "batch norm"

    def parameters(self, shape: Shape) -> int:
        return shape[0] * (1 + self.scale)

    def statistics(self, shape: Shape) -> int:
        return 2 * shape[0]


@dataclass(frozen=True, slots=True)
class LRN(Operation):
    """Local response normalization across `size` channels (Krizhevsky et al. 2012, §3.3).

    x / (k + alpha * sum)^beta: alpha multiplies the *sum*, where Caffe and torch divide it by `size`.
    """

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0
    kind: ClassVar[str] = "local response norm"

    def describe(self) -> str:
        return f"local response norm, {self.size}"


@dataclass(frozen=True, slots=True)
class ReLU(Operation):
    """max(0, x)."""

    kind: ClassVar[str] = "ReLU"


@dataclass(frozen=True, slots=True)
class ReLU6(Operation):
    """min(max(0, x), 6)."""

    kind: ClassVar[str] = "ReLU6"


@dataclass(frozen=True, slots=True)
class HardSwish(Operation):
    """x * ReLU6(x + 3) / 6 (Howard et al. 2019, §5.2)."""

    kind: ClassVar[str] = "hard swish"


@dataclass(frozen=True, slots=True)
class HardSigmoid(Operation):
    """ReLU6(x + 3) / 6."""

    kind: ClassVar[str] = "hard sigmoid"


@dataclass(frozen=True, slots=True)
class Sigmoid(Operation):
    """1 / (1 + exp(-x))."""

    kind: ClassVar[str] = "sigmoid"


@dataclass(frozen=True, slots=True)
class Tanh(Operation):
    """scale * tanh(slope * x); LeNet-5 of 1998 has 1.7159 tanh(2x/3)."""

    scale: float = 1.0
    slope: float = 1.0
    kind: ClassVar[str] = "tanh"


@dataclass(frozen=True, slots=True)
class Softmax(Operation):
    """Probabilities over a vector (C,). Networks of the catalogue end in logits and leave it to their users."""

    kind: ClassVar[str] = "softmax"


@dataclass(frozen=True, slots=True)
class Dropout(Operation):
    """Zero each value with probability p in training, scale the others by 1 / (1 - p)."""

    p: float = 0.5
    kind: ClassVar[str] = "dropout"

    def __post_init__(self) -> None:
        if not 0 <= self.p < 1:
            raise ValueError(f"dropout: p = {self.p}; expected 0 <= p < 1")

    def describe(self) -> str:
        return f"dropout {self.p:g}"
