"""The layer table: one row an operation, and the totals of a whole network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convatlas.analysis.depth import depth
from convatlas.analysis.memory import activation_memory
from convatlas.analysis.receptive_field import POINT, Fields, ReceptiveField
from convatlas.define import Elaborated, Shape


@dataclass(frozen=True, slots=True)
class Layer:
    """A row of the table: dotted name, operation in words, shapes of one image, counts, receptive field."""

    name: str
    operation: str
    kind: str
    input: Shape
    output: Shape
    parameters: int
    mult_adds: int
    receptive_field: ReceptiveField

    def to_dict(self) -> dict[str, Any]:
        """The row as the command line prints it in JSON."""
        return {
            "name": self.name,
            "operation": self.operation,
            "output": list(self.output),
            "parameters": self.parameters,
            "mult_adds": self.mult_adds,
            "receptive_field": self.receptive_field.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class Totals:
    """Totals of a network's main path; auxiliary heads apart. Memory in bytes of float32 at batch 1."""

    parameters: int
    aux_parameters: int
    statistics: int
    mult_adds: int
    depth: int
    receptive_field: ReceptiveField
    activation_bytes: int
    peak_bytes: int

    @property
    def bytes(self) -> int:
        """Size of the trained parameters in float32."""
        return 4 * self.parameters


def layers(elaborated: Elaborated, *, aux: bool = False) -> list[Layer]:
    """One row an operation, in order of computation; with `aux`, auxiliary heads at the end as ``aux.ROW...``."""
    fields = Fields()
    operations = list(elaborated.body.operations())
    seen = fields.walk(elaborated.body)
    if aux:
        before: dict[str, ReceptiveField] = {}
        here = POINT
        for name, placed in elaborated.rows:
            here = before[name] = here.then(fields.relative(placed))
        for row, head in elaborated.aux:
            operations += head.operations(f"aux.{row}")
            seen += fields.walk(head, before[row])
    return [
        Layer(
            name, placed.node.describe(), placed.node.kind, placed.input, placed.output,  # type: ignore[attr-defined]
            placed.parameters, placed.mult_adds, field,
        )
        for (name, placed), field in zip(operations, seen, strict=True)
    ]  # fmt: skip


def totals(elaborated: Elaborated) -> Totals:
    """Everything that a comparison shows of one network."""
    memory = activation_memory(elaborated)
    return Totals(
        parameters=elaborated.parameters,
        aux_parameters=sum(head.parameters for _, head in elaborated.aux),
        statistics=elaborated.body.statistics,
        mult_adds=elaborated.mult_adds,
        depth=depth(elaborated),
        receptive_field=Fields().relative(elaborated.body),
        activation_bytes=memory.written_bytes,
        peak_bytes=memory.peak_bytes,
    )
