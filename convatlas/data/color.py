"""Color noise as one affine map a picture: brightness, contrast, saturation, hue and PCA noise in a single pass.

Each of them is a 3x3 matrix and an offset in RGB, so their product is one too; applied at once they cost one small
matrix product where five passes over the batch would cost five. The order is fixed: brightness, contrast,
saturation, hue, PCA noise; values are clamped once, at the end.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from convatlas.data.augmentation import Augmentation
from convatlas.data.images import ImageError, read_image
from convatlas.data.sets import Dataset, TensorSet

# Of ImageNet's training pixels in 0..1, as published with fb.resnet.torch; columns are the directions.
IMAGENET_EIGENVALUES = (0.2175, 0.0188, 0.0045)
IMAGENET_EIGENVECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)
_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow's "L"


def imagenet_components() -> Tensor:
    """Eigenvectors times eigenvalues (3, 3): a column a component."""
    return torch.tensor(IMAGENET_EIGENVECTORS) * torch.tensor(IMAGENET_EIGENVALUES)


def color_components(dataset: Dataset, pictures: int = 2000) -> Tensor:
    """Principal components of a training set's RGB values in 0..1, each times its eigenvalue: (3, 3), columns.

    Krizhevsky et al. 2012, §4.1. Photos are taken evenly from the set, at most `pictures`; those that cannot be
    read are left out.
    """
    step = max(1, len(dataset) // pictures)
    total, outer, count = torch.zeros(3, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64), 0
    for index in range(0, len(dataset), step):
        if isinstance(dataset, TensorSet):
            values = dataset.images[index].to(torch.float64).flatten(1) / 255
            values = values.expand(3, -1) if len(values) == 1 else values
        else:
            try:
                image = read_image(dataset.read(index), dataset.label_of(index))
            except ImageError:
                continue
            image.thumbnail((64, 64))
            pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
            values = pixels.view(-1, 3).to(torch.float64).T / 255
        total += values.sum(1)
        outer += values @ values.T
        count += values.shape[1]
    mean = total / max(count, 1)
    eigenvalues, eigenvectors = torch.linalg.eigh(outer / max(count, 1) - torch.outer(mean, mean))
    return (eigenvectors * eigenvalues.clamp(min=0)).flip(1).to(torch.float32)


def color_map(
    images: Tensor, augmentation: Augmentation, generator: torch.Generator, components: Tensor | None = None
) -> tuple[Tensor, Tensor] | None:
    """Matrices (N, 3, 3) and offsets (N, 3) for bytes (N, 3, H, W); None where nothing is asked for."""
    a = augmentation
    if not (a.brightness or a.contrast or a.saturation or a.hue or a.pca_noise):
        return None
    n, device = len(images), images.device
    draws = torch.rand(4, n, device=device, generator=generator) * 2 - 1
    identity, luma = torch.eye(3, device=device), torch.tensor(_LUMA, device=device)
    matrix = identity.expand(n, 3, 3)
    offset = torch.zeros(n, 3, device=device)
    if a.brightness:
        matrix = matrix * (1 + a.brightness * draws[0]).clamp(min=0).view(n, 1, 1)
    if a.contrast:
        factor = (1 + a.contrast * draws[1]).clamp(min=0).view(n, 1, 1)
        # towards the mean luma of the picture, as brightness left it
        mean = images.mean((2, 3), dtype=torch.float32)
        grey = torch.einsum("nij,nj,i->n", matrix, mean, luma)
        matrix = matrix * factor
        offset = offset + ((1 - factor.view(n)) * grey).view(n, 1)
    if a.saturation:
        factor = (1 + a.saturation * draws[2]).clamp(min=0).view(n, 1, 1)
        turn = identity * factor + (1 - factor) * luma.expand(3, 3)
        matrix, offset = turn @ matrix, (turn @ offset[:, :, None])[:, :, 0]
    if a.hue:
        turn = _hue_turn(a.hue * draws[3] * 2 * math.pi)
        matrix, offset = turn @ matrix, (turn @ offset[:, :, None])[:, :, 0]
    if a.pca_noise:
        scale = torch.randn(n, 3, device=device, generator=generator) * a.pca_noise
        directions = (imagenet_components() if components is None else components).to(device)
        offset = offset + 255 * scale @ directions.T
    return matrix, offset


def apply_color(values: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """Map floats 0..255 (N, 3, H, W), clamped to 0..255 again; memory is channels last."""
    n, _, height, width = values.shape
    pixels = values.permute(0, 2, 3, 1).reshape(n, height * width, 3)
    mapped = torch.baddbmm(offset[:, None, :], pixels, matrix.transpose(1, 2)).clamp_(0, 255)
    return mapped.view(n, height, width, 3).permute(0, 3, 1, 2)


def _hue_turn(angle: Tensor) -> Tensor:
    """Rotation of color about the grey axis by radians (N,): (N, 3, 3); luma's weights are not kept, greys are."""
    cosine, sine = torch.cos(angle).view(-1, 1, 1), torch.sin(angle).view(-1, 1, 1)
    identity = torch.eye(3, device=angle.device)
    third = torch.full((3, 3), 1 / 3, device=angle.device)
    root = 1 / math.sqrt(3)
    cross = torch.tensor([[0, -root, root], [root, 0, -root], [-root, root, 0]], device=angle.device)
    return cosine * identity + (1 - cosine) * third + sine * cross
