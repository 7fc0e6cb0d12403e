"""What an engine is, what it is asked for, and the bench on which candidates are made.

An engine turns a model into runners. A runner takes float32 images (n, C, H, W) and answers float32 logits, may be
called from as many threads as its plan has instances, and says which batch sizes it takes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from convatlas.errors import ConvAtlasError
from convatlas.inference.graph import Recording, record, round_weights, simplify

if TYPE_CHECKING:
    import onnx

Runner = Callable[[Tensor], Tensor]
PRECISIONS = ("float32", "bf16", "int8")


class Unsuitable(ConvAtlasError):
    """This candidate cannot be: the engine is missing, or lacks an operation or a precision."""


@dataclass(frozen=True)
class Plan:
    """One way to run a model: engine, precision, how many copies at once on how many threads, images a piece.

    tile: images that one copy takes at a time; None takes the batch whole.
    """

    engine: str
    precision: str
    instances: int = 1
    threads: int = 1
    tile: int | None = None

    def __str__(self) -> str:
        at_once = f"{self.instances} x {self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{self.engine} {self.precision}, {at_once}" + (
            f", {self.tile} at a time" if self.tile else ""
        )


@dataclass
class Workbench:
    """The model and what is made from it once for all candidates.

    calibration: (n, C, H, W) float32 images as the model takes them, for int8. notes: what was said on the way.
    """

    model: nn.Module
    example: Tensor
    calibration: Tensor
    device: torch.device
    notes: list[str] = field(default_factory=list)
    # converted and quantized models by engine, made once and used by all its plans
    made: dict[str, object] = field(default_factory=dict)

    @cached_property
    def recording(self) -> Recording:
        """The model recorded and simplified."""
        recording = record(self.model, self.example)
        simplify(recording)
        return recording

    @cached_property
    def rounded(self) -> Recording:
        """The simplified recording with weights that bf16 holds exactly, rounded so that errors cancel."""
        rounded = self.recording.copy()
        round_weights(rounded)
        rounded.finish()
        return rounded

    def recording_for(self, precision: str) -> Recording:
        """The recording to start from."""
        return self.rounded if precision == "bf16" else self.recording

    @cached_property
    def onnx_model(self) -> onnx.ModelProto:
        """The simplified recording as ONNX with a batch of any size."""
        return _onnx(self.recording)


def _onnx(recording: Recording) -> onnx.ModelProto:
    from convatlas.inference.export.onnx_graph import onnx_model

    return onnx_model(recording)


class Engine(ABC):
    """A way to run networks."""

    name: str
    # whether to try it without being asked
    by_default = True

    def missing(self) -> str | None:
        """Why it cannot run here, with how to install it; None if it can."""
        return None

    @abstractmethod
    def precisions(self, device: torch.device) -> tuple[str, ...]:
        """What it can compute in on this device."""

    @abstractmethod
    def prepare(self, bench: Workbench, plan: Plan) -> Callable[[int], Runner]:
        """A maker of runners by batch size; Unsuitable says what stands in the way."""

    def version(self) -> str:
        """What the choice depends on."""
        return torch.__version__
