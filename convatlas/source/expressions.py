"""An elaborated network as constructor calls of torch: what `module_source` prints, before it is made short."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from convatlas.define import Placed
from convatlas.define import combinators as c
from convatlas.define import operations as o
from convatlas.define.window import Padding

Scalar = int | float | bool | str | None | tuple[object, ...]  # what stands as a literal


@dataclass(frozen=True)
class Parameter:
    """Stands where a function's parameter of this name is printed in place of a literal."""

    name: str


@dataclass(frozen=True)
class Call:
    """``function(name=argument, ...)``. `named` arguments print their names; an argument is a literal or a call."""

    function: str
    arguments: tuple[tuple[str, Scalar | Call | Parameter], ...]
    named: bool = False

    def scalars(self, path: str = "") -> Iterator[tuple[str, Scalar | Parameter]]:
        """(dotted path, literal) of every literal below, in order."""
        for name, value in self.arguments:
            here = f"{path}.{name}" if path else name
            if isinstance(value, Call):
                yield from value.scalars(here)
            else:
                yield here, value

    def calls(self) -> Iterator[Call]:
        """All calls below and this one, inner ones first."""
        for _, value in self.arguments:
            if isinstance(value, Call):
                yield from value.calls()
        yield self


def expression(placed: Placed, *, inplace: bool = False) -> Call:
    """The call that makes `placed`'s module."""
    node = placed.node
    if isinstance(node, o.Operation):
        return _operation(node, placed, inplace=inplace)
    match node:
        case c.Sequential() | c.Towers():
            return Call("rows", series(placed.children), named=True)
        case c.Gate():
            return Call("Gate", series(placed.children), named=True)
        case c.Concat() | c.Dense():
            parallel = tuple((name, expression(child)) for name, child in placed.children)
            return Call(type(node).__name__, parallel, named=True)
        case c.Residual():
            children = tuple(
                (name, expression(child, inplace=name == "then" and node.survival == 1))
                for name, child in placed.children
            )
            settings = (("scale", node.scale), ("survival", node.survival))
            kept = tuple((name, value) for name, value in settings if value != 1)
            return Call("Residual", (*children, *kept), named=True)
    raise TypeError(f"{type(node).__name__}: no source for it")


_OWN_OUTPUT = (
    o.Conv,
    o.DepthwiseConv,
    o.TableConv,
    o.Linear,
    o.BatchNorm,
)  # as in modules.build: safe before an in-place ReLU


def series(children: tuple[tuple[str, Placed], ...]) -> tuple[tuple[str, Call], ...]:
    """The calls of rows one after another: a ReLU works in place where nobody else reads what it overwrites."""
    before: Placed | None = None
    rows = []
    for name, child in children:
        rows.append(
            (name, expression(child, inplace=before is not None and isinstance(before.node, _OWN_OUTPUT)))
        )
        before = child
    return tuple(rows)


def _short(value: o.Pair) -> o.Pair:
    return value[0] if isinstance(value, tuple) and value[0] == value[1] else value


def _pads(placed: Placed) -> tuple[int, int, int, int]:
    """Padding left, right, top, bottom that the windows read on this input; negative where rows are left over."""
    rows, columns = placed.node.windows(placed.input)  # type: ignore[attr-defined]
    sides = []
    for w, n in ((columns, placed.input[2]), (rows, placed.input[1])):
        sides += [w.before, (w.output - 1) * w.stride + w.span - w.before - n]
    return tuple(sides)


def _symmetric(placed: Placed) -> o.Pair | None:
    """Padding as torch takes it, or None where the sides differ in what they need."""
    rows, columns = placed.node.windows(placed.input)  # type: ignore[attr-defined]
    for w, n in ((rows, placed.input[1]), (columns, placed.input[2])):
        if (n + 2 * w.before - w.span) // w.stride + 1 != w.output:
            return None
    return _short((rows.before, columns.before))


def _conv(node: o.Conv | o.DepthwiseConv, placed: Placed) -> Call:
    depthwise = isinstance(node, o.DepthwiseConv)
    even = _symmetric(placed)
    arguments: list[tuple[str, Scalar]] = [
        ("in_channels", placed.input[0]),
        ("out_channels", placed.output[0]),
        ("kernel_size", _short(node.kernel)),
        ("stride", _short(node.stride)),
    ]
    arguments.append(("padding", even) if even is not None else ("pads", _pads(placed)))
    groups = placed.input[0] if depthwise else node.groups  # type: ignore[union-attr]
    optional = (
        ("groups", groups, 1),
        ("bias", node.bias, True),
        ("dilation", getattr(node, "dilation", 1), 1),
    )
    arguments += [(name, value) for name, value, default in optional if value != default]
    return Call("nn.Conv2d" if even is not None else "PaddedConv2d", tuple(arguments))


def _pool(node: o.MaxPool | o.AvgPool, placed: Placed) -> Call:
    kernel, stride = _short(node.kernel), _short(node.kernel if node.stride is None else node.stride)
    rows, columns = node.windows(placed.input)
    native = (
        _rule_free(node.padding)
        and all(2 * w.before <= w.kernel for w in (rows, columns))
        and (node.ceil or _symmetric(placed) is not None)
    )
    average = isinstance(node, o.AvgPool)
    if native:
        arguments: list[tuple[str, Scalar]] = [("kernel_size", kernel), ("stride", stride)]
        optional = [("padding", _short((rows.before, columns.before)), 0), ("ceil_mode", node.ceil, False)]
        if isinstance(node, o.AvgPool):
            optional.append(("count_include_pad", node.count_include_pad, True))
        arguments += [(name, value) for name, value, default in optional if value != default]
        return Call("nn.AvgPool2d" if average else "nn.MaxPool2d", tuple(arguments))
    arguments = [("kernel_size", kernel), ("stride", stride), ("pads", _pads(placed))]
    if isinstance(node, o.AvgPool):
        arguments.append(("count_include_pad", node.count_include_pad))
    return Call("PaddedAvgPool2d" if average else "PaddedMaxPool2d", tuple(arguments))


def _rule_free(padding: Padding) -> bool:
    """Whether torch's own pooling knows this padding: numbers, or odd kernels under the start-point rule."""
    return padding != "same_tf"


def _operation(node: o.Operation, placed: Placed, *, inplace: bool) -> Call:
    in_place = (("inplace", True),) if inplace else ()
    match node:
        case o.Conv() | o.DepthwiseConv():
            return _conv(node, placed)
        case o.Linear():
            bias = () if node.bias else (("bias", False),)
            return Call("nn.Linear", (("in_features", placed.input[0]), ("out_features", node.width), *bias))
        case o.MaxPool() | o.AvgPool():
            return _pool(node, placed)
        case o.BatchNorm():
            optional = (("eps", node.eps, 1e-5), ("momentum", node.momentum, 0.1))
            kept = tuple((name, value) for name, value, default in optional if value != default)
            return Call(
                "nn.BatchNorm2d" if node.scale else "ShiftedNorm2d",
                (("num_features", placed.input[0]), *kept),
            )
        case o.LRN():
            settings = (
                ("size", node.size),
                ("alpha", node.alpha * node.size),
                ("beta", node.beta),
                ("k", node.k),
            )
            return Call("nn.LocalResponseNorm", settings)
        case o.ReLU():
            return Call("nn.ReLU", in_place)
        case o.ReLU6():
            return Call("nn.ReLU6", in_place)
        case o.Tanh():
            return (
                Call("nn.Tanh", ())
                if (node.scale, node.slope) == (1, 1)
                else Call("Tanh", (("scale", node.scale), ("slope", node.slope)))
            )
        case o.Softmax():
            return Call("nn.Softmax", (("dim", 1),))
        case o.Dropout():
            return Call("nn.Dropout", (("p", node.p),))
        case o.PadShortcut():
            added = node.width - placed.input[0]
            before = added // 2 if node.where == "both" else 0
            return Call(
                "PadShortcut", (("stride", node.stride), ("before", before), ("after", added - before))
            )
        case o.AdaptiveAvgPool():
            return Call("nn.AdaptiveAvgPool2d", (("output_size", _short(node.size)),))
        case o.Subsampling():
            return Call(
                "Subsampling",
                (
                    ("channels", placed.input[0]),
                    ("kernel_size", node.kernel),
                    ("stride", node.stride or node.kernel),
                ),
            )
        case o.TableConv():
            head = (
                ("in_channels", placed.input[0]),
                ("kernel_size", _short(node.kernel)),
                ("stride", _short(node.stride)),
            )
            return Call(
                "TableConv2d", (*head, ("pads", _pads(placed)), ("bias", node.bias), ("table", node.table))
            )
        case o.RBF():
            return Call("RBF", (("codes", node.codes),))
        case o.ChannelShuffle():
            return Call("ChannelShuffle", (("groups", node.groups),))
        case o.Slice():
            return Call("Slice", (("part", node.part), ("parts", node.parts)))
    plain = {
        o.HardSwish: "nn.Hardswish", o.HardSigmoid: "nn.Hardsigmoid", o.Sigmoid: "nn.Sigmoid", o.Flatten: "nn.Flatten",
        o.GlobalAvgPool: "GlobalAvgPool", o.GlobalMaxPool: "GlobalMaxPool",
    }  # fmt: skip
    return Call(plain[type(node)], ())
