"""The language: a network is a value. Standard library only.

Operations and combinators are immutable; `elaborate` gives shapes and counts; the edits make new networks.
"""

from convatlas.define.combinators import (
    Combinator,
    Concat,
    Dense,
    Gate,
    Residual,
    Separable,
    Sequential,
    Towers,
)
from convatlas.define.edits import (
    replace,
    scale_width,
    with_classes,
    with_input,
    without_aux,
    without_normalization,
    without_shortcuts,
)
from convatlas.define.elaborate import Elaborated, Placed, elaborate
from convatlas.define.network import Network, repeat
from convatlas.define.operations import (
    LRN,
    RBF,
    AdaptiveAvgPool,
    AvgPool,
    BatchNorm,
    ChannelShuffle,
    Conv,
    DepthwiseConv,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GlobalMaxPool,
    HardSigmoid,
    HardSwish,
    Linear,
    MaxPool,
    Node,
    Operation,
    PadShortcut,
    ReLU,
    ReLU6,
    Sigmoid,
    Slice,
    Softmax,
    Subsampling,
    TableConv,
    Tanh,
)
from convatlas.define.shape import Shape, ShapeError

__all__ = [
    "LRN", "RBF", "AdaptiveAvgPool", "AvgPool", "BatchNorm", "ChannelShuffle", "Combinator", "Concat", "Conv", "Dense",
    "DepthwiseConv", "Dropout", "Elaborated", "Flatten", "Gate", "GlobalAvgPool", "GlobalMaxPool", "HardSigmoid", "HardSwish",
    "Linear", "MaxPool", "Network", "Node", "Operation", "PadShortcut", "Placed", "ReLU", "ReLU6", "Residual",
    "Separable", "Sequential", "Shape", "ShapeError", "Sigmoid", "Slice", "Softmax", "Subsampling", "TableConv", "Tanh",
    "Towers", "elaborate", "repeat", "replace", "scale_width", "with_classes", "with_input", "without_aux",
    "without_normalization", "without_shortcuts",
]  # fmt: skip
