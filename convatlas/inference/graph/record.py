"""Record a model: run it once on real numbers and write down, in one vocabulary, what it did.

Any `nn.Module` will do, ours or another's: nothing is parsed, every call into torch is seen as it happens
(`torch.overrides.TorchFunctionMode`), so a model that symbolic tracing refuses is recorded all the same. What
does not depend on the input is kept as a constant. What a recording cannot hold (another path for other
images) is found by the check that follows every recording: outputs against the model's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from convatlas.inference.graph.operations import FUNCTIONS, Kind
from convatlas.inference.graph.seen import NotRecordable, Seen
from convatlas.inference.graph.translate import translate

# images of the recording run: more than one, so that the batch axis is not taken for a width of one
BATCH = 2


class Recording:
    """A model as an fx graph of `Kind`s over constants; shapes are of a batch of `BATCH` images.

    `module` computes the same as the model did in eval mode. `node.meta` has "kind", "shape" and "row", the
    module path that the call came from.
    """

    def __init__(
        self,
        module: fx.GraphModule,
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        input_dtype: torch.dtype = torch.float32,
    ) -> None:
        self.module = module
        self.input_dtype = input_dtype
        self.input_shape = input_shape
        self.output_shape = output_shape

    @property
    def graph(self) -> fx.Graph:
        return self.module.graph

    def nodes(self, *kinds: Kind) -> list[fx.Node]:
        """The operations of these kinds, in order; all of them without an argument."""
        return [n for n in self.graph.nodes if "kind" in n.meta and (not kinds or n.meta["kind"] in kinds)]

    def constant(self, node: object) -> Tensor | None:
        """The value of a constant node, or None for anything else."""
        if isinstance(node, fx.Node) and node.op == "get_attr":
            return getattr(self.module, str(node.target))
        return None

    def add_constant(self, value: Tensor, before: fx.Node) -> fx.Node:
        """A node for a new constant, placed before a node."""
        with self.graph.inserting_before(before):
            return _constant(self.module, self.graph, value)

    def insert(
        self,
        kind: Kind,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        like: fx.Node,
        shape: tuple[int, ...],
    ) -> fx.Node:
        """A new operation before `like`, in its row."""
        with self.graph.inserting_before(like):
            node = self.graph.call_function(FUNCTIONS[kind], args, kwargs)
        node.meta.update(kind=kind, shape=shape, row=like.meta["row"])
        return node

    def replace(self, old: fx.Node, new: fx.Node) -> None:
        """Let everyone who read `old` read `new`, and forget `old`."""
        old.replace_all_uses_with(new)
        self.graph.erase_node(old)

    def finish(self) -> None:
        """Drop what nobody reads and make the module run the graph as it now is."""
        self.graph.eliminate_dead_code()
        used = {str(n.target) for n in self.graph.nodes if n.op == "get_attr"}
        for name in [name for name, _ in self.module.named_buffers() if name not in used]:
            delattr(self.module, name)
        self.module.recompile()

    def copy(self) -> Recording:
        """Another recording over the same constants, free to be rewritten."""
        module = fx.GraphModule(nn.Module(), fx.Graph())
        for name, value in self.module.named_buffers():
            module.register_buffer(name, value)
        graph = fx.Graph()
        output = graph.graph_copy(self.graph, val_map={})
        graph.output(output)
        module.graph = graph
        return Recording(module, self.input_shape, self.output_shape, self.input_dtype)


def record(model: nn.Module, example: Tensor) -> Recording:
    """Record what the model does to images like `example`, (N, C, H, W) of any N, in eval mode.

    NotRecordable says what stood in the way: an input or output that is no tensor, values read by Python.
    """
    images = example[:BATCH] if len(example) >= BATCH else torch.cat([example] * BATCH)[:BATCH]
    was_training = model.training
    model.eval()
    handles = []
    try:
        recorder = _Recorder(model, images)
        handles = recorder.watch(model)
        with torch.no_grad(), recorder:
            output = model(images)
    finally:
        for handle in handles:
            handle.remove()
        model.train(was_training)
    return recorder.result(output)


class _Recorder(TorchFunctionMode):
    def __init__(self, model: nn.Module, images: Tensor) -> None:
        super().__init__()
        self.graph = fx.Graph()
        self.module = fx.GraphModule(nn.Module(), fx.Graph())
        self.rows: list[str] = [""]
        # every tensor that passed is kept, or Python would give its id to the next one
        self.alive: list[Tensor] = [images]
        self.nodes: dict[int, fx.Node] = {id(images): self.graph.placeholder("images")}
        self.nodes[id(images)].meta.update(shape=tuple(images.shape), row="")
        self.images = images

    def watch(self, model: nn.Module) -> list[Any]:
        """Keep track of the module that is running; the handles take the hooks away again."""
        handles = []
        for name, module in model.named_modules():
            handles.append(module.register_forward_pre_hook(lambda _m, _x, name=name: self.rows.append(name)))
            handles.append(module.register_forward_hook(self._leave, always_call=True))
        return handles

    def _leave(self, *_: object) -> None:
        self.rows.pop()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        shapes = {id(t): tuple(t.shape) for t in _tensors((args, kwargs))}
        output = func(*args, **kwargs)
        self._write(Seen(func, args, kwargs, output, shapes))
        return output

    def _write(self, seen: Seen) -> None:
        outputs = [seen.output] if isinstance(seen.output, Tensor) else _tensors(seen.output)
        depends = any(id(t) in self.nodes for t in _tensors((seen.args, seen.kwargs)))
        if not outputs:
            if depends and seen.reads_values:
                raise NotRecordable(
                    f"Python reads values with {seen.name}() and may go another way for other images"
                )
            return
        self.alive += outputs
        if not depends or seen.only_shape:
            return  # a constant: taken up when something that depends on the input reads it
        for output, (kind, name, args, kwargs) in zip(outputs, translate(seen, outputs), strict=True):
            if kind is None:  # the same values: dropout at test time, contiguous(), a view of itself
                self.nodes[id(output)] = self._node(args[0])
                continue
            args = fx.node.map_aggregate(args, self._node)
            kwargs = fx.node.map_aggregate(kwargs, self._node)
            if kind is Kind.OTHER:
                node = (
                    self.graph.call_method(name, args, kwargs)
                    if hasattr(Tensor, name)
                    else self.graph.call_function(seen.func, args, kwargs)
                )
            else:
                node = self.graph.call_function(FUNCTIONS[kind], args, kwargs)
            node.meta.update(
                kind=kind, shape=tuple(output.shape), dtype=output.dtype, row=self.rows[-1], name=name
            )
            self.nodes[id(output)] = node

    def _node(self, value: Any) -> Any:
        """The node of a tensor; a tensor that no node made is a constant."""
        if not isinstance(value, Tensor):
            return value
        if id(value) not in self.nodes:
            self.alive.append(value)
            self.nodes[id(value)] = _constant(self.module, self.graph, value.detach().clone())
        return self.nodes[id(value)]

    def result(self, output: object) -> Recording:
        if not isinstance(output, Tensor):
            raise NotRecordable(f"the model answers a {type(output).__name__}, not one tensor of logits")
        if id(output) not in self.nodes:
            raise NotRecordable("the output does not depend on the input through torch functions")
        self.graph.output(self.nodes[id(output)])
        self.module.graph = self.graph
        return Recording(self.module, tuple(self.images.shape), tuple(output.shape), self.images.dtype)


def _tensors(value: object) -> list[Tensor]:
    """All tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [t for part in value for t in _tensors(part)]
    return []


def _constant(module: nn.Module, graph: fx.Graph, value: Tensor) -> fx.Node:
    number = len(module._buffers)  # noqa: SLF001  names need only differ
    while hasattr(module, f"c{number}"):
        number += 1
    module.register_buffer(f"c{number}", value)
    node = graph.get_attr(f"c{number}")
    node.meta.update(shape=tuple(value.shape), row="")
    return node
