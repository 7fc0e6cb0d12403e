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
from convatlas.inference.graph.equalize import equalize
from convatlas.inference.graph.mixed import layer_inputs, mix, restored
from convatlas.inference.graph.refine import layers, refine
from convatlas.inference.graph.sensitivity import Sensitivity, sensitivity
from convatlas.inference.graph.tail import logit_layers

if TYPE_CHECKING:
    import onnx

Runner = Callable[[Tensor], Tensor]
PRECISIONS = ("float32", "bf16", "int8")


class Unsuitable(ConvAtlasError):
    """This candidate cannot be: the engine is missing, or lacks an operation or a precision."""


@dataclass(frozen=True)
class Plan:
    """One way to run a model: engine, precision, how many copies at once on how many threads, images a piece.

    tile: images that one copy takes at a time; None takes the batch whole. refined: weights rounded by least squares
    on the calibration images. exact: so many layers, the most sensitive, stay in float32 (with `refined`).
    """

    engine: str
    precision: str
    instances: int = 1
    threads: int = 1
    tile: int | None = None
    refined: bool = False
    exact: int = 0

    def __str__(self) -> str:
        how = f"{self.engine} {self.precision}"
        if self.refined:
            how += " refined"
        if self.exact:
            how += f", the {self.exact} most sensitive layers float32"
        how += f", {self.instances} x {self.threads} thread{'s' if self.threads > 1 else ''}"
        return how + (f", {self.tile} at a time" if self.tile else "")


@dataclass
class Workbench:
    """The model and what is made from it once for all candidates.

    calibration: (n, C, H, W) float32 images as the model takes them, for int8.
    """

    model: nn.Module
    example: Tensor
    calibration: Tensor
    device: torch.device
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

    @cached_property
    def equalized(self) -> Recording:
        """The simplified recording with channels of ranges alike, for int8."""
        equalized = self.recording.copy()
        equalize(equalized, self.calibration)
        return equalized

    def original(self, precision: str) -> Recording:
        """What is rounded for plans of this precision: its answers are float32's."""
        return self.equalized if precision == "int8" else self.recording

    def refined(self, grid: str) -> Recording:
        """The recording with weights rounded by least squares to "bf16" or "int8"."""
        name = f"refined to {grid}"
        if name not in self.made:
            refined = self.original(grid).copy()
            refine(refined, self.calibration, grid)
            self.made[name] = refined
        return self.made[name]  # type: ignore[return-value]

    def sensitivity(self, grid: str) -> Sensitivity:
        """What each layer loses by "bf16" or "int8" after refinement, on the calibration images."""
        name = f"sensitivity to {grid}"
        if name not in self.made:
            self.made[name] = sensitivity(self.original(grid), self.refined(grid), self.calibration, grid)
        return self.made[name]  # type: ignore[return-value]

    def exact(self, plan: Plan) -> set[str]:
        """The names of the layers that the plan keeps in float32; in bf16, those too that give these their inputs.

        Beside int8 nothing else is needed: there it is the reader that rounds.
        """
        if not plan.exact:
            return set()
        names = self.sensitivity(plan.precision).names[: plan.exact]
        return layer_inputs(self.recording, names) if plan.precision == "bf16" else set(names)

    def rounds_any(self, plan: Plan) -> bool:
        """Whether a layer is left to the plan's precision, beside those exact, what these read in bf16, and the logits' layer."""
        exact = self.exact(plan) | (logit_layers(self.recording) if plan.precision == "bf16" else set())
        return not {n.name for n in layers(self.recording)} <= exact

    def recording_for(self, plan: Plan) -> Recording:
        """The recording to start from; one of a bf16 plan with exact layers has its own types and casts."""
        if not plan.refined:
            return self.rounded if plan.precision == "bf16" else self.original(plan.precision)
        name = f"{plan.precision}, {plan.exact} layers exact"
        if name not in self.made:
            refined = self.refined(plan.precision)
            if plan.exact and plan.precision == "bf16":
                refined = mix(refined, self.exact(plan), self.recording)
            elif plan.exact:
                refined = restored(refined, self.exact(plan), self.original(plan.precision))
            self.made[name] = refined
        return self.made[name]  # type: ignore[return-value]

    @cached_property
    def onnx_model(self) -> onnx.ModelProto:
        """The simplified recording as ONNX with a batch of any size."""
        return self.onnx_of(self.recording)

    def onnx_of(self, recording: Recording) -> onnx.ModelProto:
        """A recording as ONNX with a batch of any size."""
        from convatlas.inference.export.onnx_graph import onnx_model

        return onnx_model(recording)


class Engine(ABC):
    """A way to run networks."""

    name: str
    # whether to try it without being asked
    by_default = True
    # the precisions in which it takes refined weights and layers left in float32
    refines: tuple[str, ...] = ()

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
