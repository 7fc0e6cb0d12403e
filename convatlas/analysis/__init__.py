"""Numbers: the layer table, totals, depth, receptive field, memory. One pass over an elaborated network; no torch."""

from convatlas.analysis.depth import depth
from convatlas.analysis.memory import Memory, activation_memory
from convatlas.analysis.receptive_field import Axis, Fields, ReceptiveField, receptive_field
from convatlas.analysis.table import Layer, Totals, layers, totals

__all__ = [
    "Axis",
    "Fields",
    "Layer",
    "Memory",
    "ReceptiveField",
    "Totals",
    "activation_memory",
    "depth",
    "layers",
    "receptive_field",
    "totals",
]
