"""Each augmentation does what its paper says, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from torch import Tensor

from convatlas.data.augment import augment
from convatlas.data.augmentation import Augmentation
from convatlas.data.color import color_components, imagenet_components
from convatlas.data.mixing import beta
from convatlas.data.rand_augment import OPERATIONS
from convatlas.data.randomness import batch_generator
from convatlas.data.sets import TensorSet
from convatlas.errors import MisuseError


def batch(n: int = 6, channels: int = 3, size: int = 16, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8, generator=g)
    return images.contiguous(memory_format=torch.channels_last)


def run(images: Tensor, seed: int = 0, **fields: object) -> Tensor:
    """Values 0..255 after one augmentation."""
    labels = torch.zeros(len(images), dtype=torch.int64)
    values, _ = augment(images, labels, Augmentation(**fields), batch_generator(seed, 0, 0), classes=2)
    return values * 255


def test_no_augmentation_leaves_the_pixels() -> None:
    assert torch.allclose(run(batch()), batch().float(), atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [16, 15])
def test_a_flip_mirrors_or_leaves_each_picture(channels: int, size: int) -> None:
    images = batch(64, channels, size)
    out = run(images, flip=0.5).round().to(torch.uint8)
    flipped = [torch.equal(o, i.flip(2)) for o, i in zip(out, images, strict=True)]
    kept = [torch.equal(o, i) for o, i in zip(out, images, strict=True)]
    assert all(a != b for a, b in zip(flipped, kept, strict=True))
    assert 16 < sum(flipped) < 48
    assert torch.equal(run(images, flip=1.0).round().to(torch.uint8), images.flip(3))


def test_padding_shifts_by_at_most_itself_and_fills_with_zeros() -> None:
    # He et al. 2016, §4.2: 4 pixels padded on each side, a 32x32 crop
    images = batch(300, 3, 12)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    out = run(images, padding=2).round().to(torch.uint8)
    seen = set()
    for o, p in zip(out, padded, strict=True):
        places = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if torch.equal(o, p[:, top : top + 12, left : left + 12])
        ]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) == 25


def test_alexnets_noise_shifts_each_picture_along_the_components() -> None:
    # Krizhevsky et al. 2012, §4.1: [p1 p2 p3][a1 l1, a2 l2, a3 l3], a ~ N(0, 0.1), the same for all pixels
    images = torch.full((4000, 3, 1, 1), 128, dtype=torch.uint8)
    shift = (run(images, pca_noise=0.1) - 128)[:, :, 0, 0].double() / 255
    directions = imagenet_components().double()
    expected = 0.01 * directions @ directions.T
    assert torch.allclose(shift.T @ shift / 4000, expected, atol=6e-5)
    one = run(batch(1), pca_noise=0.1) - batch(1).float()
    inner = one[:, :, (batch(1) > 60).all(1)[0] & (batch(1) < 195).all(1)[0]]
    assert (inner.std(2) < 1e-3).all()


def test_components_are_those_of_the_training_set() -> None:
    g = torch.Generator().manual_seed(1)
    values = (
        torch.randn(50, 3, 20, 20, generator=g) * torch.tensor([40.0, 20, 8]).view(3, 1, 1) + 128
    ).clamp(0, 255)
    found = color_components(TensorSet(values.to(torch.uint8), torch.zeros(50), ("a",)))
    scale = found.norm(dim=0)
    assert scale.tolist() == pytest.approx([(d / 255) ** 2 for d in (40, 20, 8)], rel=0.1)
    assert torch.allclose(found.abs() / scale, torch.eye(3), atol=0.1)


def test_imagenets_components_are_orthogonal() -> None:
    c = imagenet_components()
    assert torch.allclose((c / c.norm(dim=0)).T @ (c / c.norm(dim=0)), torch.eye(3), atol=2e-3)


@pytest.mark.parametrize(
    ("field", "enhance"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
    ],
)
def test_color_jitter_is_pillows_enhancement_of_some_factor(field: str, enhance: type) -> None:
    g = torch.Generator().manual_seed(3)
    images = torch.randint(70, 170, (8, 3, 12, 12), dtype=torch.uint8, generator=g)  # no clamping in reach
    out = run(images, **{field: 0.4})
    for before, after in zip(images, out, strict=True):
        photo = Image.fromarray(before.permute(1, 2, 0).numpy())
        errors = [
            np.abs(np.asarray(enhance(photo).enhance(f), np.float64) - after.permute(1, 2, 0).numpy()).max()
            for f in np.linspace(0.6, 1.4, 161)
        ]
        assert min(errors) < 2.5


def test_hue_keeps_greys_and_the_sum_of_channels() -> None:
    grey = torch.full((5, 3, 4, 4), 90, dtype=torch.uint8)
    assert torch.allclose(run(grey, hue=0.3), grey.float(), atol=1e-3)
    g = torch.Generator().manual_seed(0)
    mild = torch.randint(100, 150, (5, 3, 4, 4), dtype=torch.uint8, generator=g)
    out = run(mild, hue=0.2)
    assert torch.allclose(out.sum(1), mild.float().sum(1), atol=1e-2)
    assert not torch.allclose(out, mild.float(), atol=2)


def test_cutout_blanks_one_square_after_normalization() -> None:
    out = run(torch.full((50, 3, 32, 32), 200, dtype=torch.uint8), cutout=8)
    for picture in out:
        rows, columns = (picture[0] == 0).nonzero().T
        assert len(rows) == (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
        assert rows.max() - rows.min() < 8
        assert len(rows) <= 64


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_soft_labels_say_how_much_of_each_picture_there_is(name: str) -> None:
    images = torch.zeros(4, 3, 20, 20, dtype=torch.uint8)
    images[2:] = 255  # the partner is the batch mirrored: black with white
    labels = torch.tensor([0, 0, 1, 1])
    for seed in range(20):
        values, targets = augment(
            images, labels, Augmentation(**{name: 1.0}), batch_generator(seed, 0, 0), classes=2
        )
        assert torch.allclose(values.mean((1, 2, 3)), targets[:, 1], atol=1e-4)
        assert torch.allclose(targets.sum(1), torch.ones(4))
    assert len(values.unique()) > 1


def test_mixup_and_cutmix_take_turns() -> None:
    images = torch.zeros(2, 3, 20, 20, dtype=torch.uint8)
    images[1] = 255
    kinds = set()
    for seed in range(20):
        a = Augmentation(mixup=1.0, cutmix=1.0)
        values, _ = augment(images, torch.tensor([0, 1]), a, batch_generator(seed, 0, 0), classes=2)
        kinds.add("cutmix" if set(values.unique().tolist()) <= {0.0, 1.0} else "mixup")
    assert kinds == {"mixup", "cutmix"}
    with pytest.raises(MisuseError, match="number of classes"):
        augment(images, torch.tensor([0, 1]), Augmentation(mixup=0.2), batch_generator(0, 0, 0))


def test_shares_follow_the_beta_distribution() -> None:
    g = batch_generator(0, 0, 0)
    values = torch.stack([beta(0.5, torch.device("cpu"), g) for _ in range(3000)])
    assert float(values.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(values.var()) == pytest.approx(1 / 8, abs=0.01)  # 1 / (4 (2a + 1))


def test_a_turn_of_ninety_degrees_is_a_turn() -> None:
    from convatlas.data.warp import affine, affine_matrix

    image = batch(1, 3, 9).float()
    o, one = torch.zeros(1), torch.ones(1)
    turned = affine(image, affine_matrix(torch.full((1,), np.pi / 2), o, o, one, o, o, 1.0))
    assert any(torch.allclose(turned, image.rot90(k, (2, 3)), atol=1e-2) for k in (1, 3))
    shifted = affine(image, affine_matrix(o, o, o, one, torch.full((1,), 1 / 9), o, 1.0))
    assert torch.allclose(shifted[..., 1:], image[..., :-1], atol=1e-2)
    oblong = batch(1, 3, 8)[:, :, :4].float()
    turned = affine(oblong, affine_matrix(torch.full((1,), np.pi / 2), o, o, one, o, o, 2.0))
    assert any(torch.allclose(turned[..., 2:6], oblong[..., 2:6].rot90(k, (2, 3)), atol=1e-2) for k in (1, 3))


def test_rand_augments_operations_are_pillows(shared_data: Path) -> None:
    path = sorted((shared_data / "photos/imagenette/train").glob("*/*"))[5]
    with Image.open(path) as file:
        photo = file.convert("RGB").resize((64, 48))
    x = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None].float()
    plus = torch.ones(1)
    peers = {
        "autocontrast": ImageOps.autocontrast(photo),
        "equalize": ImageOps.equalize(photo),
        "solarize": ImageOps.solarize(photo, 128),
        "posterize": ImageOps.posterize(photo, 6),
        "saturation": ImageEnhance.Color(photo).enhance(1.45),
        "contrast": ImageEnhance.Contrast(photo).enhance(1.45),
        "brightness": ImageEnhance.Brightness(photo).enhance(1.45),
        "sharpness": ImageEnhance.Sharpness(photo).enhance(1.45),
    }
    assert ImageFilter.SMOOTH.filterargs[3] == (1, 1, 1, 1, 5, 1, 1, 1, 1)
    for name, peer in peers.items():
        ours = OPERATIONS[name](x, 0.5, plus).clamp(0, 255)[0].permute(1, 2, 0).numpy()
        difference = np.abs(ours - np.asarray(peer, np.float64))[1:-1, 1:-1]
        assert difference.mean() < 1.5, name
        assert np.percentile(difference, 99) <= 4, name


@given(st.integers(0, 99), st.integers(1, 4), st.floats(0, 10), st.sampled_from([1, 3]))
def test_rand_augment_stays_in_range_and_shape(
    seed: int, count: int, magnitude: float, channels: int
) -> None:
    images = batch(12, channels, 12, seed)
    out = run(images, seed, rand_augment=count, rand_magnitude=magnitude)
    assert out.shape == images.shape
    assert out.min() >= 0
    assert out.max() <= 255.01


@given(st.integers(0, 99))
def test_a_batchs_randomness_is_its_own(seed: int) -> None:
    everything = {"flip": 0.5, "padding": 2, "pca_noise": 0.1, "brightness": 0.3, "rotate": 10.0, "cutout": 4,
                  "rand_augment": 1, "mixup": 0.3, "cutmix": 1.0}  # fmt: skip
    images, before = batch(), batch()
    assert torch.equal(run(images, seed, **everything), run(images, seed, **everything))
    assert not torch.equal(run(images, seed, **everything), run(images, seed + 1, **everything))
    assert torch.equal(images, before)


def test_an_augmentation_survives_json_and_refuses_unknown_fields() -> None:
    a = Augmentation(crop="jitter", short_side=(256, 512), flip=0.5, pca_noise=0.1)
    assert Augmentation.from_dict(json.loads(json.dumps(a.to_dict()))) == a
    for wrong in ({"flipp": 1}, {"flip": 2}, {"crop": "middle"}, {"crop": "jitter"}, [1], None):
        with pytest.raises(MisuseError, match="augmentation"):
            Augmentation.from_dict(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, v) for name in ("mixup", "rotate", "hue", "brightness", "shear", "pca_noise", "rand_magnitude",
                                 "cutmix", "contrast", "saturation", "translate", "zoom", "flip")
          for v in (float("nan"), float("inf"), -1.0, "0.1")],
        *[(name, v) for name in ("padding", "cutout", "rand_augment") for v in (-1, 10**9, 1.5, float("nan"), True)],
        *[("area", v) for v in ((float("nan"),) * 2, (1, 2, 3), (0, 0), (0.5, 0.1), (0.1, 1.5), (), 0.5, None)],
        *[("ratio", v) for v in ((0, 0), (-1, 2), (1,), (2, 1), (1, float("inf")), "11")],
        *[("short_side", v) for v in ((0, 1), (256.5, 512), (512, 256), (1, 10**9), (256,))],
    ],
)  # fmt: skip
def test_an_augmentation_that_cannot_be_is_refused(name: str, value: object) -> None:
    with pytest.raises(MisuseError, match=f"augmentation: {name} is .*, received"):
        Augmentation(**{name: value})  # type: ignore[arg-type]
