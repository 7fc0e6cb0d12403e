"""The small classes that torch.nn lacks, as they are printed into a stand-alone file, where a network needs them."""

from __future__ import annotations

HELPERS: dict[str, str] = {
    "rows": '''
def rows(**modules: nn.Module) -> nn.Sequential:
    """Modules one after another, under their names."""
    return nn.Sequential(OrderedDict(modules))
''',
    "Concat": '''
class Concat(nn.Module):
    """Branches on one input, their channels joined."""

    def __init__(self, **branches: nn.Module) -> None:
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.children()], 1)
''',
    "Dense": '''
class Dense(nn.Module):
    """Each step sees the input and the outputs of all steps before it."""

    def __init__(self, **steps: nn.Module) -> None:
        super().__init__()
        for name, step in steps.items():
            self.add_module(name, step)

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for step in self.children():
            features.append(step(torch.cat(features, 1)))
        return torch.cat(features, 1)
''',
    "Residual": '''
class Residual(nn.Module):
    """shortcut(x) + scale * body(x), then `then`; the body survives a training batch with a probability."""

    def __init__(
        self,
        body: nn.Module,
        shortcut: nn.Module | None = None,
        then: nn.Module | None = None,
        scale: float = 1.0,
        survival: float = 1.0,
    ) -> None:
        super().__init__()
        self.body, self.scale, self.survival = body, scale, survival
        self.shortcut = shortcut or nn.Identity()
        self.then = then or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.shortcut(x)
        if not self.training:
            y = y + self.body(x) * (self.scale * self.survival)
        elif self.survival == 1 or torch.rand(()) < self.survival:
            y = y + self.body(x) * self.scale
        return self.then(y)
''',
    "Gate": '''
class Gate(nn.Sequential):
    """Squeeze and excite: one weight a channel, computed from the input, times the input."""

    def __init__(self, **rows: nn.Module) -> None:
        super().__init__(OrderedDict(rows))

    def forward(self, x: Tensor) -> Tensor:
        return x * super().forward(x)[:, :, None, None]
''',
    "GlobalAvgPool": '''
class GlobalAvgPool(nn.Module):
    """(N, C, H, W) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))
''',
    "GlobalMaxPool": '''
class GlobalMaxPool(nn.Module):
    """(N, C, H, W) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax((2, 3))
''',
    "PaddedConv2d": '''
class PaddedConv2d(nn.Conv2d):
    """Convolution whose padding (left, right, top, bottom) differs between the sides."""

    def __init__(self, inputs: int, width: int, kernel: int, stride: int, pads: tuple[int, ...], **settings: object) -> None:
        super().__init__(inputs, width, kernel, stride, **settings)
        self.pads = pads

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.pads))
''',
    "PaddedMaxPool2d": '''
class PaddedMaxPool2d(nn.MaxPool2d):
    """Max pooling whose padding (left, right, top, bottom) differs between the sides."""

    def __init__(self, kernel: int, stride: int, pads: tuple[int, ...]) -> None:
        super().__init__(kernel, stride)
        self.pads = pads

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.pads, value=float("-inf")))
''',
    "PaddedAvgPool2d": '''
class PaddedAvgPool2d(nn.AvgPool2d):
    """Average pooling whose padding (left, right, top, bottom) differs between the sides, counted or not."""

    def __init__(self, kernel: int, stride: int, pads: tuple[int, ...], count: bool) -> None:
        super().__init__(kernel, stride)
        self.pads, self.count = pads, count

    def forward(self, x: Tensor) -> Tensor:
        mean = super().forward(F.pad(x, self.pads))
        return mean if self.count else mean / super().forward(F.pad(torch.ones_like(x), self.pads))
''',
    "ShiftedNorm2d": '''
class ShiftedNorm2d(nn.BatchNorm2d):
    """Batch normalization that trains a shift and no scale."""

    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(width, eps, momentum)
        del self.weight
        self.register_buffer("weight", torch.ones(width), persistent=False)
''',
    "Tanh": '''
class Tanh(nn.Module):
    """scale * tanh(slope * x)."""

    def __init__(self, scale: float, slope: float) -> None:
        super().__init__()
        self.scale, self.slope = scale, slope

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * torch.tanh(self.slope * x)
''',
    "PadShortcut": '''
class PadShortcut(nn.Module):
    """Shortcut without parameters: every stride-th row and column, channels of zeros before and after."""

    def __init__(self, stride: int, before: int, after: int) -> None:
        super().__init__()
        self.stride, self.before, self.after = stride, before, after

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))
''',
    "Subsampling": '''
class Subsampling(nn.Module):
    """Sum of each window, times a trained coefficient a map, plus a trained bias."""

    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.weight = nn.Parameter(torch.full((channels,), 1 / kernel**2))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        total = F.avg_pool2d(x, self.kernel, self.stride) * self.kernel**2
        return total * self.weight[:, None, None] + self.bias[:, None, None]
''',
    "TableConv2d": '''
class TableConv2d(nn.Module):
    """Convolution whose map i reads only the input maps table[i]: one kernel a connection."""

    def __init__(
        self, inputs: int, kernel: int, stride: int, pads: tuple[int, ...], bias: bool, table: tuple[tuple[int, ...], ...]
    ) -> None:
        super().__init__()
        size = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        self.inputs, self.width, self.size, self.stride, self.pads = inputs, len(table), size, stride, pads
        self.weight = nn.Parameter(torch.randn(sum(map(len, table)), *size) / (len(table[0]) * size[0] * size[1]) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(len(table))) if bias else None
        index = [i * inputs + j for i, maps in enumerate(table) for j in maps]
        self.register_buffer("index", torch.tensor(index), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        kernels = self.weight.new_zeros(self.width * self.inputs, *self.size).index_copy(0, self.index, self.weight)
        return F.conv2d(F.pad(x, self.pads), kernels.view(self.width, self.inputs, *self.size), self.bias, self.stride)
''',
    "RBF": '''
class RBF(nn.Module):
    """Negated squared distance to a fixed code a class."""

    def __init__(self, codes: tuple[tuple[int, ...], ...]) -> None:
        super().__init__()
        self.register_buffer("codes", torch.tensor(codes, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        return -(x.unsqueeze(1) - self.codes).square().sum(2)
''',
    "ChannelShuffle": '''
class ChannelShuffle(nn.Module):
    """Transpose (groups, channels / groups) along the channels."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x.view(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w)
''',
    "Slice": '''
class Slice(nn.Module):
    """Channels of one of several equal parts."""

    def __init__(self, part: int, parts: int) -> None:
        super().__init__()
        self.part, self.parts = part, parts

    def forward(self, x: Tensor) -> Tensor:
        return x.chunk(self.parts, 1)[self.part]
''',
}
