"""Definitions as plain data (JSON): what our weight files carry, so that they say which network they are for."""

from __future__ import annotations

from typing import Any  # JSON documents are what this file reads

from convatlas.define.combinators import COMBINATORS, Combinator, Residual, Towers
from convatlas.define.network import Network
from convatlas.define.operations import OPERATIONS, Node, Operation

_OPERATIONS = {kind.__name__: kind for kind in OPERATIONS}
_COMBINATORS = {kind.__name__: kind for kind in COMBINATORS}
_MAX_DEPTH = 64  # deeper than any network; a hostile file must not exhaust the stack


def network_to_dict(network: Network) -> dict[str, Any]:
    """The definition as JSON-able data; `network_from_dict` gives an equal one back."""
    return {
        "name": network.name,
        "input": list(network.input),
        "init": network.init,
        "rows": [[name, _to_data(node)] for name, node in network.children],
        "aux": [[row, _to_data(head)] for row, head in network.aux],
    }


def network_from_dict(data: dict[str, Any]) -> Network:
    """Read a definition; ValueError says what is not one."""
    try:
        return Network(
            input=tuple(int(n) for n in data["input"]),
            aux={str(row): _from_data(head) for row, head in data["aux"]},
            init=str(data["init"]),
            name=str(data["name"]),
            rows=tuple((str(name), _from_data(node)) for name, node in data["rows"]),
        )
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"not a network definition: {type(error).__name__}: {error}") from None


def _to_data(node: Node) -> dict[str, Any]:
    if isinstance(node, Operation):
        return {"op": type(node).__name__, **{k: _plain(v) for k, v in node.settings().items()}}
    assert isinstance(node, Combinator)
    rows = [[name, _to_data(child)] for name, child in node.children]
    return {"op": type(node).__name__, **node.settings(), "rows": rows}


def _plain(value: object) -> object:
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def _frozen(value: object) -> object:
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value


def _from_data(data: dict[str, Any], depth: int = 0) -> Node:
    kind = data["op"]
    if depth > _MAX_DEPTH:
        raise ValueError("not a network definition: nested too deeply")
    if kind in _OPERATIONS:
        return _OPERATIONS[kind](**{k: _frozen(v) for k, v in data.items() if k != "op"})
    if kind not in _COMBINATORS:
        raise ValueError(
            f"not a network definition: unknown operation {kind!r}; a newer ConvAtlas may know it"
        )
    rows = {str(name): _from_data(child, depth + 1) for name, child in data["rows"]}
    if kind == "Towers":
        return Towers(int(data["count"]), **rows)
    if kind == "Residual":
        settings = {k: float(data[k]) for k in ("scale", "survival") if k in data}
        return Residual(**rows, **settings)  # type: ignore[arg-type]
    return _COMBINATORS[kind](**rows)
