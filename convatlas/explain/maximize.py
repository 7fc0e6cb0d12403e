"""The picture that most excites a unit: gradient ascent on the pixels, kept to what looks like a picture.

Erhan et al. 2009 and Simonyan et al. 2013 climb the gradient; without restraint that ends in noise. What restrains
it here is of Olah et al. 2017 (Feature Visualization, distill.pub): the picture is held as frequencies scaled like
those of photos, and every step sees it shifted, turned and scaled a little. A network of grey pictures knows light
strokes on a dark ground: there the picture starts dark, and light and its edges cost something.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.define.preprocessing import Preprocessing

Objective = Callable[[nn.Module, Tensor], Tensor]

# Of grey pictures: the brightness to start with, as a logit, and what a step of the whole picture from dark to light,
# and all edges between, cost, as shares of what such a step could bring the unit at first. Set by eye on digits.
_DARK, _LIGHT, _EDGES = -2.0, 0.1, 0.05

# brightness, red against blue, green against both: photos vary along these, mostly along the first (Ohta et al. 1980)
_COLOR_AXES = ((1.0, 1.0, 1.0), (0.45, 0.0, -0.45), (-0.15, 0.3, -0.15))


def maximize(
    model: nn.Module,
    objective: Objective,
    count: int,
    shape: tuple[int, int, int],
    preprocessing: Preprocessing,
    *,
    steps: int = 160,
    rate: float = 0.05,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """(count, C, H, W) in 0..1, RGB or grey. objective(model, inputs (count, C, H, W)) -> scores (count,), each its own.

    The same seed gives the same pictures on one machine.
    """
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    channels, height, width = shape
    spectrum = torch.randn(count, channels, height, width // 2 + 1, 2, generator=generator) * 0.01
    spectrum = spectrum.to(device).requires_grad_()
    falls = _falls(height, width).to(device)
    axes = torch.tensor(_COLOR_AXES, device=device)
    optimizer = torch.optim.Adam([spectrum], rate)

    def picture() -> Tensor:
        waves = torch.view_as_complex(spectrum) * falls
        image = torch.fft.irfft2(waves, s=(height, width), norm="ortho")
        if channels == 3:
            return torch.einsum("nahw,ac->nchw", image, axes).sigmoid()
        return (image + _DARK).sigmoid() if channels == 1 else image.sigmoid()

    with torch.enable_grad():
        for step in range(steps):
            optimizer.zero_grad(set_to_none=True)
            image = picture()
            scores = objective(model, normalized(_moved(image, generator), preprocessing))
            gains = scores.sum()
            if channels == 1:
                if step == 0:
                    (slope,) = torch.autograd.grad(gains, image, retain_graph=True)
                    worth = slope.abs().sum((1, 2, 3))
                gains = gains - (worth * _price(image)).sum()
            # the spectrum alone takes gradients: the weights belong to the user
            (spectrum.grad,) = torch.autograd.grad(-gains, spectrum)
            optimizer.step()
            if progress is not None:
                progress(step + 1, steps)
    return picture().detach()


def _price(images: Tensor) -> Tensor:
    """What light and edges cost each of grey pictures (N, 1, H, W), a picture that is all light without edges _LIGHT."""
    down, across = images.diff(dim=2).abs(), images.diff(dim=3).abs()
    return _LIGHT * images.mean((1, 2, 3)) + _EDGES * (down.mean((1, 2, 3)) + across.mean((1, 2, 3)))


def normalized(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Pictures 0..1 (N, C, H, W), RGB or grey, as the network takes them; differentiable."""
    if preprocessing.channel_order == "bgr":
        images = images.flip(1)
    mean, std = (
        torch.tensor(v, device=images.device).view(1, -1, 1, 1)
        for v in (preprocessing.mean, preprocessing.std)
    )
    return (images * 255 / preprocessing.scale - mean) / std


def of_classes(indices: list[int]) -> Objective:
    """Picture i is scored by the logit of class indices[i]."""
    return lambda model, x: model(x)[torch.arange(len(indices), device=x.device), indices]


def of_channels(row: str, channels: list[int]) -> Objective:
    """Picture i is scored by the mean of channel channels[i] of a row's maps."""
    from convatlas.explain.subject import run

    def objective(model: nn.Module, x: Tensor) -> Tensor:
        _, caught = run(model, x, [row])
        return caught[row][torch.arange(len(channels), device=x.device), channels].mean((1, 2))

    return objective


def _falls(height: int, width: int) -> Tensor:
    """The size of each frequency's waves in photos, 1 / frequency, the whole picture's held finite."""
    rows, columns = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    frequency = (rows.square() + columns.square()).sqrt().clamp(min=1 / max(height, width))
    return math.sqrt(height * width) / 8 / (frequency * max(height, width))


def _moved(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shifted by up to 6 %, turned by up to 6 degrees, scaled by up to 10 %: the same for all pictures of a step."""
    shift_x, shift_y, turn, grow = (2 * torch.rand(4, generator=generator) - 1).tolist()
    angle, scale = math.radians(6 * turn), 1 + 0.1 * grow
    cosine, sine = math.cos(angle) / scale, math.sin(angle) / scale
    matrix = torch.tensor(
        [[cosine, -sine, 0.12 * shift_x], [sine, cosine, 0.12 * shift_y]], device=images.device
    )
    grid = F.affine_grid(matrix.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
