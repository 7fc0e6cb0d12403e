"""Descriptors made by hand, as modules: pictures (N, C, H, W) in 0..1 to vectors (N, D), a batch at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def grey(x: Tensor) -> Tensor:
    """(N, 1, H, W): the luma of colour pictures (ITU-R BT.601)."""
    if x.shape[1] == 1:
        return x
    return (x * x.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)


def gradients(x: Tensor) -> tuple[Tensor, Tensor]:
    """Strength and direction (radians) of the brightness gradient, (N, H, W): the channel where it is strongest."""
    down, right = torch.zeros_like(x), torch.zeros_like(x)
    down[:, :, 1:-1] = x[:, :, 2:] - x[:, :, :-2]
    right[..., 1:-1] = x[..., 2:] - x[..., :-2]
    strength = torch.hypot(down, right)
    best = strength.argmax(1, keepdim=True)
    return strength.gather(1, best)[:, 0], torch.atan2(down, right).gather(1, best)[:, 0]


class Pixels(nn.Module):
    """The pixels themselves."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


class HOG(nn.Module):
    """Histograms of oriented gradients: 9 directions, cells, 2x2 blocks, L2-Hys (Dalal & Triggs 2005).

    Directions are not shared between neighbouring bins, nor cells between neighbours, as scikit-image has it.
    """

    def __init__(self, side: int, bins: int = 9) -> None:
        super().__init__()
        self.cell, self.bins = 4 if side <= 32 else 8, bins

    def forward(self, x: Tensor) -> Tensor:
        strength, angle = gradients(x)
        turn = torch.remainder(torch.rad2deg(angle), 180)
        bins = (turn / (180 / self.bins)).floor().long().clamp(max=self.bins - 1)
        planes = strength.new_zeros(len(x), self.bins, *strength.shape[1:])
        planes.scatter_(1, bins[:, None], strength[:, None])
        cells = F.avg_pool2d(planes, self.cell)
        blocks = cells.unfold(2, 2, 1).unfold(3, 2, 1)  # (N, bins, rows, columns, 2, 2)
        blocks = blocks.permute(0, 2, 3, 4, 5, 1).flatten(3)
        return _clipped(blocks).flatten(1)


def _clipped(vectors: Tensor, eps: float = 1e-5) -> Tensor:
    """L2-Hys: unit length, no entry above 0.2, unit length again (Lowe 2004, §6.1)."""
    vectors = vectors / (vectors.square().sum(-1, keepdim=True) + eps**2).sqrt()
    vectors = vectors.clamp(max=0.2)
    return vectors / (vectors.square().sum(-1, keepdim=True) + eps**2).sqrt()


class LBP(nn.Module):
    """Local binary patterns: which of 8 neighbours are as bright, counted in a 4x4 grid (Ojala 1996; Ahonen 2006).

    The 58 patterns of at most two changes around the circle have a bin each, all others share one (Ojala 2002).
    """

    bin_of: Tensor

    def __init__(self, grid: int = 4) -> None:
        super().__init__()
        self.grid = grid
        even = [p for p in range(256) if (p ^ ((p >> 1) | ((p & 1) << 7))).bit_count() <= 2]
        table = torch.full((256,), len(even))
        table[even] = torch.arange(len(even))
        self.register_buffer("bin_of", table, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = grey(x)[:, 0]
        middle = x[:, 1:-1, 1:-1]
        around = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
        height, width = middle.shape[1:]
        pattern = torch.zeros_like(middle, dtype=torch.long)
        for place, (y, z) in enumerate(around):
            pattern += (x[:, y : y + height, z : z + width] >= middle).long() << place
        planes = F.one_hot(self.bin_of[pattern], 59).permute(0, 3, 1, 2).float()
        shares = F.adaptive_avg_pool2d(planes, self.grid)
        return shares.sqrt().flatten(1)  # Hellinger's distance between histograms becomes the plain one


class Gist(nn.Module):
    """The spatial envelope: energy of Gabor filters, 4 scales by 8 directions, in a 4x4 grid (Oliva & Torralba 2001)."""

    filters: Tensor

    def __init__(self, side: int, scales: int = 4, directions: int = 8) -> None:
        super().__init__()
        self.side, self.margin = side, side // 4
        whole = side + 2 * self.margin
        rows, columns = torch.meshgrid(torch.fft.fftfreq(whole), torch.fft.fftfreq(whole), indexing="ij")
        radius, angle = torch.hypot(rows, columns), torch.atan2(rows, columns)
        filters = []
        for scale in range(scales):
            center = 0.3 / 1.85**scale  # cycles a pixel
            for k in range(directions):
                off = torch.remainder(angle - math.pi * k / directions + math.pi, 2 * math.pi) - math.pi
                along = torch.exp(-10 * 0.35 * (radius / center - 1).square())
                across = torch.exp(-2 * math.pi * (off * directions / 16 * 1.5).square())
                filters.append(along * across)
        self.register_buffer("filters", torch.stack(filters), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        m = self.margin
        padded = F.pad(grey(x), [m, m, m, m], mode="reflect")
        waves = torch.fft.fft2(padded[:, 0])
        found = [torch.fft.ifft2(waves * one).abs()[:, m:-m, m:-m] for one in self.filters]
        return F.adaptive_avg_pool2d(torch.stack(found, 1), 4).flatten(1)


class SIFT(nn.Module):
    """Dense SIFT as a bag of visual words (Lowe 2004; Csurka 2004), counted in the whole and its quarters.

    The words are the centres of k-means over descriptors of the training pictures; `fit_words` learns them. The
    pyramid of two levels is that of Lazebnik et al. 2006.
    """

    words: Tensor

    def __init__(self, side: int, words: int = 200) -> None:
        super().__init__()
        self.bin, self.step = (3, 2) if side <= 32 else (4, 8)
        self.register_buffer("words", torch.zeros(words, 128))

    def descriptors(self, x: Tensor) -> Tensor:
        """(N, 128, rows, columns): 4x4 bins of 8 directions at each place of a grid."""
        strength, angle = gradients(x)
        place = torch.remainder(angle / (2 * math.pi), 1) * 8
        low = place.floor()
        share = place - low
        planes = strength.new_zeros(len(x), 8, *strength.shape[1:])
        planes.scatter_add_(1, (low.long() % 8)[:, None], (strength * (1 - share))[:, None])
        planes.scatter_add_(1, ((low.long() + 1) % 8)[:, None], (strength * share)[:, None])
        sums = F.avg_pool2d(planes, self.bin, 1)
        rows, columns = (n - 3 * self.bin for n in sums.shape[2:])
        parts = [
            sums[
                :,
                :,
                y * self.bin : y * self.bin + rows : self.step,
                z * self.bin : z * self.bin + columns : self.step,
            ]
            for y in range(4)
            for z in range(4)
        ]
        return _clipped(torch.cat(parts, 1).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        found = self.descriptors(x)
        flat = found.permute(0, 2, 3, 1).flatten(0, 2)
        nearest = torch.cdist(flat, self.words).argmin(1).view(len(x), *found.shape[2:])
        planes = F.one_hot(nearest, len(self.words)).permute(0, 3, 1, 2).float()
        levels = [F.adaptive_avg_pool2d(planes, size).flatten(1) for size in (1, 2)]
        return torch.cat(levels, 1).sqrt()


def fit_words(sift: SIFT, images: Callable[[], Tensor], seed: int) -> None:
    """Learn the words from the descriptors of `images()` (N, C, H, W) in 0..1."""
    from sklearn.cluster import MiniBatchKMeans

    found = sift.descriptors(images()).permute(0, 2, 3, 1).flatten(0, 2)
    found = found[found.square().sum(1) > 0.5]  # flat ground has no direction
    order = torch.randperm(len(found), generator=torch.Generator().manual_seed(seed))[:50_000]
    means = MiniBatchKMeans(len(sift.words), batch_size=4096, n_init=1, random_state=seed)
    means.fit(found[order].numpy())
    sift.words.copy_(torch.from_numpy(means.cluster_centers_))


DESCRIPTORS: dict[str, Callable[[int], nn.Module]] = {
    "pixels": lambda _side: Pixels(),
    "hog": HOG,
    "lbp": lambda _side: LBP(),
    "gist": Gist,
    "sift": SIFT,
}
