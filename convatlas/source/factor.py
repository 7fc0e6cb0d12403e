"""Blocks that differ in numbers alone become one function of those numbers, as an author would write them.

Two calls have one skeleton when they are equal but for their literals. From the innermost outwards, each
skeleton that occurs more than once becomes a function; the literals that differ between its uses become its
parameters, those that always agree with each other one parameter.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from convatlas.source.expressions import Call, Parameter, Scalar

_WORTH = 2  # a call over fewer calls than this is shorter written out
_WORDS = {"in_channels": "inputs", "out_channels": "width", "in_features": "inputs", "out_features": "width",
          "kernel_size": "kernel", "num_features": "width"}  # fmt: skip


@dataclass
class Function:
    """``def name(parameters): return body``; literals in the body may be `Parameter`."""

    name: str
    parameters: tuple[str, ...]
    body: Call


Skeleton = tuple[object, ...]


def skeleton(call: Call) -> Skeleton:
    """What is left of a call when its literals are taken out."""
    return (
        call.function,
        *((name, skeleton(v) if isinstance(v, Call) else None) for name, v in call.arguments),
    )


@dataclass
class Factored:
    """The functions, in order of definition, and the top rows written with them."""

    functions: list[Function] = field(default_factory=list)
    rows: list[tuple[str, Call]] = field(default_factory=list)


def factor(rows: Iterable[tuple[str, Call]]) -> Factored:
    """Find the functions behind `rows` and write the rows with them."""
    result = Factored(rows=list(rows))
    done: set[Skeleton] = set()
    while True:
        names: dict[Skeleton, str] = {}
        uses = Counter[Skeleton]()
        samples: dict[Skeleton, list[Call]] = {}
        for row, call in result.rows:
            _collect(call, row, names, uses, samples)
        # the innermost first: a skeleton none of whose inner calls could still become a function
        for shape, count in uses.items():
            if (
                count > 1
                and shape not in done
                and not any(uses[s] > 1 and s not in done for s in _inner(samples[shape][0]))
            ):
                break
        else:
            return result
        done.add(shape)
        taken = {f.name for f in result.functions}
        function = _function(samples[shape], _free_name(names[shape], taken))
        if function is None:
            continue
        result.functions.append(function)
        result.rows = [(row, _rewrite(call, shape, function)) for row, call in result.rows]


def _worth(call: Call) -> bool:
    return call.named and sum(1 for _ in call.calls()) > _WORTH


def _collect(call: Call, name: str, names: dict, uses: Counter[Skeleton], samples: dict) -> None:  # type: ignore[type-arg]
    for child_name, child in call.arguments:
        if isinstance(child, Call):
            _collect(child, child_name, names, uses, samples)
    if _worth(call):
        shape = skeleton(call)
        names.setdefault(shape, name)
        uses[shape] += 1
        samples.setdefault(shape, []).append(call)


def _inner(call: Call) -> Iterable[Skeleton]:
    return (skeleton(inner) for inner in call.calls() if inner is not call and _worth(inner))


def _free_name(row: str, taken: set[str]) -> str:
    base = "head" if row.startswith("aux.") else re.sub(r"[\d_]+[a-z]?$", "", row).lower() or "block"
    base = {"body": "branch", "shortcut": "projection"}.get(base, base)
    base = f"{base}_" if base in {"rows", "nn", "torch"} else base
    name, i = base, 2
    while name in taken:
        name, i = f"{base}_{i}", i + 1
    return name


def _function(samples: list[Call], name: str) -> Function | None:
    paths = [path for path, _ in samples[0].scalars()]
    columns = list(zip(*([value for _, value in call.scalars()] for call in samples), strict=True))
    varying: dict[tuple[Scalar, ...], str] = {}
    for path, column in zip(paths, columns, strict=True):
        typed = tuple((type(v), v) for v in column)
        if len(set(typed)) > 1 and column not in varying:
            varying[column] = _parameter_name(path, set(varying.values()))
    if len(varying) > 12:
        return None
    body = _with_parameters(samples[0], iter([varying.get(column) for column in columns]))
    return Function(name, tuple(varying.values()), body)


def _parameter_name(path: str, taken: set[str]) -> str:
    *outer, leaf = path.split(".")
    name = _WORDS.get(leaf, leaf)
    if name in taken:
        name = (
            "_".join([*(part for part in outer if part not in {"conv", "linear"}), name]) if outer else name
        )
    base, i = name, 2
    while name in taken:
        name, i = f"{base}{i}", i + 1
    return name


def _with_parameters(call: Call, names: Iterable[str | None]) -> Call:
    names = iter(names)
    arguments: list[tuple[str, Scalar | Call | Parameter]] = []
    for name, value in call.arguments:
        if isinstance(value, Call):
            arguments.append((name, _with_parameters(value, names)))
        else:
            parameter = next(names)
            arguments.append((name, Parameter(parameter) if parameter else value))
    return Call(call.function, tuple(arguments), call.named)


def _rewrite(call: Call, shape: Skeleton, function: Function) -> Call:
    if skeleton(call) == shape:
        values = {
            parameter.name: value
            for (_, parameter), (_, value) in zip(function.body.scalars(), call.scalars(), strict=True)
            if isinstance(parameter, Parameter)
        }
        return Call(function.name, tuple((p, values[p]) for p in function.parameters))
    arguments = tuple(
        (n, _rewrite(v, shape, function) if isinstance(v, Call) else v) for n, v in call.arguments
    )
    return Call(call.function, arguments, call.named)
