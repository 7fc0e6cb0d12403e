"""`module_source`: the stand-alone file, to read, to teach with, to take away. It imports torch and nothing else."""

from __future__ import annotations

import re

from convatlas.define import Network, elaborate
from convatlas.define.shape import show
from convatlas.source.expressions import Call, Parameter, expression, series
from convatlas.source.factor import Factored, Function, factor
from convatlas.source.helpers import HELPERS

_WIDTH = 110


def module_source(network: Network) -> str:
    """Python source of an `nn.Module` equivalent to the definition, with the same state dict keys.

    Blocks that differ in numbers alone become functions; each row carries its output shape as a comment.
    """
    elaborated = elaborate(network)
    rows = list(series(elaborated.rows))
    heads = [(f"aux.{row}", expression(head)) for row, head in elaborated.aux]
    factored = factor(rows + heads)
    title = class_name(network.name)
    body = _class(title, factored, [(n, show(p.output)) for n, p in elaborated.rows])
    functions = [_function(function) for function in factored.functions]
    text = "\n\n".join([*functions, body])
    helpers = [source.strip("\n") for name, source in HELPERS.items() if re.search(rf"\b{name}\(", text)]
    parts = [_head(network, " ".join([*helpers, text])), *helpers, *functions, body]
    return "\n\n\n".join(part.strip("\n") for part in parts) + "\n"


def class_name(name: str) -> str:
    """``se_resnet50`` -> ``SeResnet50``."""
    words = re.sub(r"\W+", "_", name).strip("_") or "network"
    title = "".join(part[:1].upper() + part[1:] for part in words.split("_"))
    return f"Net{title}" if title[:1].isdigit() else title


def _head(network: Network, text: str) -> str:
    imports = ["from __future__ import annotations\n"]
    if "OrderedDict(" in text:
        imports.append("from collections import OrderedDict\n")
    imports += ["import torch", "from torch import Tensor, nn"]
    if re.search(r"\bF\.", text):
        imports.append("from torch.nn import functional as F")
    title = network.name or "network"
    return (
        f'"""{title}, for images of {show(network.input)}. Written by ConvAtlas from its definition."""\n\n'
        + "\n".join(imports)
    )


def _function(function: Function) -> str:
    parameters = ", ".join(function.parameters)
    return f"def {function.name}({parameters}):\n    return {_render(function.body, 4, 7)}"


def _class(title: str, factored: Factored, shapes: list[tuple[str, str]]) -> str:
    rows = dict(factored.rows)
    lines = [f"class {title}(nn.Module):", "    def __init__(self) -> None:", "        super().__init__()"]
    lines += [f"        self.{name} = {_render(rows[name], 8, len(name) + 8)}" for name, _ in shapes]
    heads = [name for name in rows if name.startswith("aux.")]
    if heads:
        lines.append("        self.aux = nn.ModuleDict({")
        lines += [f'            "{name[4:]}": {_render(rows[name], 12, len(name))},' for name in heads]
        lines.append("        })")
    width = max(len(name) for name, _ in shapes)
    lines += ["", "    def forward(self, x: Tensor) -> Tensor:"]
    lines += [f"        x = self.{name}(x){' ' * (width - len(name))}  # {shape}" for name, shape in shapes]
    lines.append("        return x")
    if heads:
        lines += [
            "",
            "    def forward_with_aux(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:",
            "        heads = []",
        ]
        for name, _ in shapes:
            lines.append(f"        x = self.{name}(x)")
            if f"aux.{name}" in rows:
                lines.append(f'        heads.append(self.aux["{name}"](x))')
        lines.append("        return x, heads")
    return "\n".join(lines)


def _render(value: object, indent: int, used: int) -> str:
    """`value` as source; broken over lines, one argument each, where it would not fit behind `used` columns."""
    if isinstance(value, Parameter):
        return value.name
    if not isinstance(value, Call):
        return repr(value)
    parts = [_argument(value, name, argument, indent + 4) for name, argument in value.arguments]
    flat = f"{value.function}({', '.join(parts)})"
    if "\n" not in flat and indent + used + len(flat) <= _WIDTH:
        return flat
    if not value.named and "\n" not in flat:
        return flat  # a call of plain numbers reads best on its line, even a long one
    pad = " " * (indent + 4)
    return (
        f"{value.function}(\n"
        + "".join(f"{pad}{part},\n" for part in _folded(value, parts))
        + " " * indent
        + ")"
    )


# arguments that read well without their names
_POSITIONAL = {
    "in_channels",
    "out_channels",
    "kernel_size",
    "in_features",
    "out_features",
    "num_features",
    "p",
}
# what our own small classes take by name; the rest of theirs are positional
_KEYWORDS = {"PaddedConv2d": {"groups", "bias", "dilation"}, "ShiftedNorm2d": {"eps", "momentum"}}


def _argument(call: Call, name: str, argument: object, indent: int) -> str:
    text = _render(argument, indent, len(name) + 2)
    if call.function.startswith("nn."):
        by_name = name not in _POSITIONAL
    else:
        by_name = call.named or isinstance(argument, Call) or name in _KEYWORDS.get(call.function, ())
    return f"{name}={text}" if by_name else text


def _folded(call: Call, parts: list[str]) -> list[str]:
    """Runs of equal calls under numbered names, block2=b(64), block3=b(64)..., as one comprehension."""
    if not call.named:
        return parts
    folded: list[str] = []
    names = [name for name, _ in call.arguments]
    bodies = [part[len(name) + 1 :] for name, part in zip(names, parts, strict=True)]
    i = 0
    while i < len(parts):
        match = re.fullmatch(r"(.*?)(\d+)", names[i])
        j = i + 1
        while (
            match
            and j < len(parts)
            and bodies[j] == bodies[i]
            and names[j] == f"{match[1]}{int(match[2]) + j - i}"
        ):
            j += 1
        if match and j - i >= 3:
            first, last = int(match[2]), int(match[2]) + j - i
            folded.append(f'**{{f"{match[1]}{{i}}": {bodies[i]} for i in range({first}, {last})}}')
        else:
            folded += parts[i:j]
        i = j
    return folded
