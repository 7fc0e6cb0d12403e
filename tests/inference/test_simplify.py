"""The rewrites apply where they are legal, and nowhere else."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convatlas.inference.graph import Kind, record, simplify
from tests.inference.conftest import lived_in


def check(model: nn.Module, size: tuple[int, int, int] = (3, 9, 9)) -> tuple[dict[str, int], list[Kind]]:
    """Simplify, compare on fresh images, and give the counts and the kinds that are left."""
    lived_in(model)
    recording = record(model, torch.randn(2, *size))
    counts = simplify(recording)
    images = torch.randn(3, *size)
    with torch.no_grad():
        torch.testing.assert_close(recording.module(images), model(images), rtol=1e-5, atol=1e-5)
    return counts, [node.meta["kind"] for node in recording.nodes()]


def test_a_norm_after_a_convolution_folds_into_it() -> None:
    counts, kinds = check(
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    )
    assert counts == {"batch norms folded backwards": 1}
    assert kinds == [Kind.CONV, Kind.RELU]


def test_a_norm_before_a_convolution_folds_only_without_padding() -> None:
    _, kinds = check(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3)))
    assert kinds == [Kind.CONV]
    # the border sees zeros, which the norm would have moved
    _, kinds = check(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3, padding=1)))
    assert kinds == [Kind.AFFINE, Kind.CONV]


def test_folding_forward_knows_groups() -> None:
    _, kinds = check(nn.Sequential(nn.BatchNorm2d(6), nn.Conv2d(6, 8, 3, groups=2)), (6, 9, 9))
    assert kinds == [Kind.CONV]


def test_a_norm_does_not_fold_into_a_convolution_that_another_reads() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return y + self.norm(y).relu()

    _, kinds = check(Shared())
    assert Kind.AFFINE in kinds


def test_normalization_of_the_images_folds_into_the_first_convolution() -> None:
    class Normalized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
            return self.conv((x - mean.view(-1, 1, 1)) / std.view(-1, 1, 1))

    counts, kinds = check(Normalized())
    assert kinds == [Kind.CONV]
    assert counts["scales made affine"] == 2


def test_mean_pooling_goes_before_a_pointwise_convolution() -> None:
    model = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.AvgPool2d(2))
    counts, kinds = check(model, (8, 8, 8))
    assert counts["poolings moved before convolutions"] == 1
    assert kinds == [Kind.AFFINE, Kind.RELU, Kind.AVG_POOL, Kind.CONV]


def test_mean_pooling_stays_behind_a_convolution_that_mixes_places() -> None:
    _, kinds = check(nn.Sequential(nn.Conv2d(8, 4, 3, padding=1), nn.AvgPool2d(2)), (8, 8, 8))
    assert kinds == [Kind.CONV, Kind.AVG_POOL]


def test_the_scale_of_a_residual_folds_into_its_last_convolution() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return x + 0.17 * self.conv(x)

    _, kinds = check(Scaled())
    assert kinds == [Kind.CONV, Kind.ADD]
