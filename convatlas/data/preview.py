"""A picture of what each augmentation does to some photos of a set."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from convatlas.data.augment import augment
from convatlas.data.augmentation import Augmentation
from convatlas.data.loader import Loader
from convatlas.data.randomness import batch_generator
from convatlas.data.sets import Dataset
from convatlas.drawing.contact_sheet import contact_sheet


def shown(size: int) -> dict[str, Augmentation]:
    """Each augmentation alone, strong enough to be seen, by the name of its field."""
    photos = size >= 96
    unit = max(size // 8, 1)
    found = {"none": Augmentation()}
    if photos:
        found |= {
            "crop=random (AlexNet)": Augmentation(crop="random"),
            "crop=resized (Inception)": Augmentation(crop="resized"),
            "crop=jitter (VGG)": Augmentation(crop="jitter", short_side=(size * 8 // 7, size * 16 // 7)),
        }
    return found | {
        f"padding={unit}": Augmentation(padding=unit),
        "flip=0.5": Augmentation(flip=0.5),
        "pca_noise=0.1 (AlexNet)": Augmentation(pca_noise=0.1),
        "brightness, contrast, saturation=0.4": Augmentation(brightness=0.4, contrast=0.4, saturation=0.4),
        "hue=0.1": Augmentation(hue=0.1),
        "rotate=15": Augmentation(rotate=15),
        "shear=0.2": Augmentation(shear=0.2),
        "zoom=0.2": Augmentation(zoom=0.2),
        "translate=0.1": Augmentation(translate=0.1),
        "rand_augment=2": Augmentation(rand_augment=2),
        f"cutout={size // 2}": Augmentation(cutout=size // 2),
        "mixup=1.0": Augmentation(mixup=1.0),
        "cutmix=1.0": Augmentation(cutmix=1.0),
    }


def preview(
    dataset: Dataset,
    size: int,
    chosen: dict[str, Augmentation] | None = None,
    pictures: int = 6,
    seed: int = 0,
) -> str:
    """An SVG: a row an augmentation, a column a picture, the same pictures in every row."""
    from convatlas.data.color import color_components

    if chosen is None:
        channels = dataset.images.shape[1] if hasattr(dataset, "images") else 3
        color = ("pca_noise", "brightness", "hue")
        chosen = {k: v for k, v in shown(size).items() if channels == 3 or not k.startswith(color)}
    some = dataset.subset(_across_classes(dataset.labels.tolist())[:pictures])
    components = color_components(some) if any(a.pca_noise for a in chosen.values()) else None
    cells = []
    for name, augmentation in chosen.items():
        loader = Loader(some, len(some), size, True, augmentation, seed, drop_last=False)
        ((images, labels),) = loader.epoch(0)
        generator = batch_generator(seed, 0, 0)
        values, _ = augment(images, labels, augmentation, generator, None, len(dataset.classes), components)
        cells += [(_png(v), name if i == 0 else "") for i, v in enumerate(values)]
    return contact_sheet(cells, title="What each augmentation does", columns=pictures)


def _across_classes(labels: list[int]) -> list[int]:
    """Indices of the first of every class, then of their second ones, and so on."""
    before: Counter[int] = Counter()
    places = []
    for index, label in enumerate(labels):
        places.append((before[label], label, index))
        before[label] += 1
    return [index for *_, index in sorted(places)]


def _png(values: Tensor) -> bytes:
    pixels = (values * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)).save(
        buffer, "PNG"
    )
    return buffer.getvalue()
