"""Definition to `torch.nn.Module`: build, the few modules of our own, initial weights."""

from convatlas.modules.blocks import ConvNet
from convatlas.modules.build import build
from convatlas.modules.initialize import initialize

__all__ = ["ConvNet", "build", "initialize"]
