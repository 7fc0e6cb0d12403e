"""What a run begins with, besides data and recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from convatlas.define import Network
from convatlas.define.preprocessing import Preprocessing


@dataclass(frozen=True)
class Start:
    """A network; fine-tuning brings a model, the preprocessing of its weights, and the row where the head begins.

    old: the values ("weight", "bias") of the classifier that the weights came with. notes: sentences for the user, what
    was assumed of the weights.
    """

    network: Network
    model: nn.Module | None = None
    preprocessing: Preprocessing | None = None
    provenance: Mapping[str, object] | None = None
    head: str | None = None
    old: Mapping[str, Tensor] | None = None
    notes: tuple[str, ...] = ()
