"""Preprocessing inside the graph: whole uint8 pixels go in, resized and cropped by the caller."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convatlas.define.preprocessing import Preprocessing
from convatlas.errors import MisuseError

LAYOUTS = ("nhwc", "nchw")


class FromPixels(nn.Module):
    """uint8 pixels 0..255, RGB or grey, as (N, H, W, C) or (N, C, H, W), to the model's logits.

    The normalization is one scale and shift a channel; the network after it keeps its rows under `network`.
    """

    def __init__(self, model: nn.Module, preprocessing: Preprocessing, layout: str) -> None:
        super().__init__()
        if layout not in LAYOUTS:
            raise MisuseError(f"unknown layout {layout!r} of uint8 images; there are {', '.join(LAYOUTS)}")
        self.network = model
        self.last = layout == "nhwc"
        self.reverse = preprocessing.channel_order == "bgr"
        scale = 1 / (preprocessing.scale * torch.tensor(preprocessing.std, dtype=torch.float64))
        shift = -torch.tensor(preprocessing.mean, dtype=torch.float64) / torch.tensor(
            preprocessing.std, dtype=torch.float64
        )
        self.register_buffer("scale", scale.float().view(1, -1, 1, 1))
        self.register_buffer("shift", shift.float().view(1, -1, 1, 1))

    scale: Tensor
    shift: Tensor

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (N, classes)."""
        x = pixels.to(self.scale.dtype)
        if self.last:
            x = x.permute(0, 3, 1, 2)
        if self.reverse:  # RGB to BGR, in operations that every format has
            x = torch.cat([x[:, 2:3], x[:, 1:2], x[:, 0:1]], 1)
        return self.network(x * self.scale + self.shift)


class InPrecision(nn.Module):
    """Float32 in and out, the model's own weights in between in another precision."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = model.to(dtype)
        self.dtype = dtype

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        return self.network(images.to(self.dtype)).float()
