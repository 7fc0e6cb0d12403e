"""All operations, by name: immutable records, one file a kind."""

from __future__ import annotations

from convatlas.define.channels import ChannelShuffle, Flatten, PadShortcut, Slice
from convatlas.define.operation import Node, Operation, Pair, pair
from convatlas.define.pointwise import (
    LRN,
    BatchNorm,
    Dropout,
    HardSigmoid,
    HardSwish,
    ReLU,
    ReLU6,
    Sigmoid,
    Softmax,
    Tanh,
)
from convatlas.define.pooling import (
    AdaptiveAvgPool,
    AvgPool,
    GlobalAvgPool,
    GlobalMaxPool,
    MaxPool,
    Subsampling,
)
from convatlas.define.weighted import RBF, Conv, DepthwiseConv, Linear, TableConv
from convatlas.define.window import Padding

OPERATIONS: tuple[type[Operation], ...] = (
    Conv, DepthwiseConv, TableConv, Linear, MaxPool, AvgPool, Subsampling, AdaptiveAvgPool, GlobalAvgPool, GlobalMaxPool,
    BatchNorm, LRN, ReLU, ReLU6, HardSwish, HardSigmoid, Sigmoid, Tanh, Softmax, Dropout, Flatten, ChannelShuffle, Slice,
    PadShortcut, RBF,
)  # fmt: skip

__all__ = [
    "LRN",
    "OPERATIONS",
    "RBF",
    "AdaptiveAvgPool",
    "AvgPool",
    "BatchNorm",
    "ChannelShuffle",
    "Conv",
    "DepthwiseConv",
    "Dropout",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "HardSigmoid",
    "HardSwish",
    "Linear",
    "MaxPool",
    "Node",
    "Operation",
    "PadShortcut",
    "Padding",
    "Pair",
    "ReLU",
    "ReLU6",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Subsampling",
    "TableConv",
    "Tanh",
    "pair",
]
