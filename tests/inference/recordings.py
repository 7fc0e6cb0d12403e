"""What tests ask of a recording."""

from __future__ import annotations

from convatlas.inference.graph import Kind, Recording


def unknown(recording: Recording) -> list[str]:
    """Names of the torch functions that no rewrite knows."""
    return sorted({node.meta["name"] for node in recording.nodes(Kind.OTHER)})
