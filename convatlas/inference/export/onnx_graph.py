"""A recording as an ONNX model: a batch of any size, nodes named as the rows they come from.

Written node by node from our own vocabulary, so that the names are ours, the batch axis cannot freeze, and no
tracer stands between the recording that was checked and the file.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, fx

from convatlas._version import __version__
from convatlas.errors import MisuseError
from convatlas.inference.engines.base import Unsuitable
from convatlas.inference.export.onnx_nodes import WRITERS
from convatlas.inference.export.onnx_opset import OPSET, OPSETS
from convatlas.inference.graph import Recording

INPUT, OUTPUT = "images", "logits"


class GraphWriter:
    """Collects nodes and weights; `emit` gives the name of the value a node makes."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[TensorProto] = []
        self.values: dict[fx.Node, str] = {}
        self._names: Counter[str] = Counter()

    def emit(
        self, op: str, inputs: list[str], row: str, kind: str, *, main: bool = False, **attributes: object
    ) -> str:
        """Append a node, named after its row, and after its kind where the row has several."""
        name = self._free(row if main and row else "/".join(part for part in (row, kind) if part))
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))  # type: ignore[arg-type]
        return name

    def weight(self, value: np.ndarray | Tensor, name: str) -> str:
        """An initializer; the name is made unique."""
        name = self._free(name)
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def value(self, node: object, name: str = "constant") -> str:
        """The name of what a node made; a constant is written when it is first read, under `name`."""
        if isinstance(node, (int, float)):
            return self.weight(np.array(node, np.float32), name)
        assert isinstance(node, fx.Node), node
        if node not in self.values:
            constant = self.recording.constant(node)
            assert constant is not None, node
            self.values[node] = self.weight(
                constant.float() if constant.is_floating_point() else constant, name
            )
        return self.values[node]

    def _free(self, name: str) -> str:
        self._names[name] += 1
        return name if self._names[name] == 1 else f"{name}_{self._names[name]}"


def onnx_model(recording: Recording, *, opset: int = OPSET, name: str = "convatlas") -> onnx.ModelProto:
    """The recording as an ONNX model, float32 (batch, C, H, W) in, float32 logits out.

    Unsuitable names the torch functions that have no place in it; MisuseError an opset that cannot be.
    """
    if opset not in OPSETS:
        raise MisuseError(
            f"opset {opset} is not one of {OPSETS.start} to {OPSETS.stop - 1}; {OPSET} suits every runtime of today"
        )
    writer = GraphWriter(recording)
    for node in recording.graph.nodes:
        if node.op == "placeholder":
            writer.values[node] = INPUT
        elif node.op == "output":
            last = writer.value(node.args[0])
        elif node.op != "get_attr":
            write = WRITERS.get(node.meta["kind"])
            made = write(writer, node) if write else None
            if made is None:
                row = node.meta["row"] or "the model"
                raise Unsuitable(
                    f"ONNX: {row} calls {node.meta.get('name', node.meta['kind'])}(), for which there is no rule"
                )
            writer.values[node] = made
    writer.nodes.append(helper.make_node("Identity", [last], [OUTPUT], name="output"))
    kind = TensorProto.UINT8 if recording.input_dtype is torch.uint8 else TensorProto.FLOAT
    images = helper.make_tensor_value_info(INPUT, kind, ["batch", *recording.input_shape[1:]])
    logits = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", *recording.output_shape[1:]])
    graph = helper.make_graph(writer.nodes, name, [images], [logits], writer.weights)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset)],
        producer_name="convatlas",
        producer_version=__version__,
    )
    model.ir_version = min(model.ir_version, 10)  # what runtimes of two years ago read
    return model
