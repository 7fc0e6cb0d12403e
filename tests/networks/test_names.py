"""Names and shapes of every network's state dict are frozen: weights that someone saved must load for ever.

Each line of a golden file is a module that holds weights. Numbered blocks that are alike share a line:
``stage1.block[1-3].body.conv1.conv`` stands for block1, block2 and block3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import pytest
import torch

from convatlas.modules import build
from convatlas.networks import catalogue


def modules(state: dict[str, torch.Tensor]) -> list[str]:
    """A line a module: its path, then its weights with their shapes."""
    held: dict[str, dict[str, list[str]]] = {}
    for name, value in state.items():
        path, _, leaf = name.rpartition(".")
        shape = "x".join(map(str, value.shape)) or "scalar"
        held.setdefault(path, {}).setdefault(shape, []).append(leaf)
    return [
        path + ": " + ", ".join(f"{' '.join(leaves)} {shape}" for shape, leaves in shapes.items())
        for path, shapes in held.items()
    ]


def folded(lines: Iterable[str]) -> list[str]:
    """Lines that differ in the number of one block alone, as one; nothing else is lost."""
    numbers: dict[str, list[int]] = {}
    for line in lines:
        found = re.search(r"(?<=\.block|\.layer)\d+(?=\.)", line)
        pattern = f"{line[: found.start()]}[{{}}]{line[found.end() :]}" if found else line
        numbers.setdefault(pattern, []).append(int(found[0]) if found else 0)
    return [pattern.replace("[{}]", f"[{ranges(found)}]") for pattern, found in numbers.items()]


def ranges(numbers: list[int]) -> str:
    """1-3,5 of 1, 2, 3, 5."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


@pytest.mark.parametrize("name", catalogue.names())
def test_names_and_shapes_of_the_state_dict_are_frozen(name: str, golden: Callable[[str, str], None]) -> None:
    with torch.device("meta"):
        state = build(catalogue.network(name), init=False).state_dict()
    golden(f"state_dict_names/{name}.txt", "\n".join(folded(modules(state))) + "\n")


def test_folding_loses_no_number() -> None:
    lines = [
        "a.block1.c: weight 1",
        "a.block2.c: weight 1",
        "a.block4.c: weight 1",
        "a.block3.c: weight 2",
        "fc: bias 3",
    ]
    assert folded(lines) == ["a.block[1-2,4].c: weight 1", "a.block[3].c: weight 2", "fc: bias 3"]
