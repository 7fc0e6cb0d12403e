"""A model as a short list of plain operations, recorded from one run, and the rewrites that make it faster."""

from convatlas.inference.graph.operations import Kind
from convatlas.inference.graph.record import NotRecordable, Recording, record
from convatlas.inference.graph.rounding import round_weights
from convatlas.inference.graph.simplify import simplify
from convatlas.inference.graph.tail import end_in_float32

__all__ = ["Kind", "NotRecordable", "Recording", "end_in_float32", "record", "round_weights", "simplify"]
