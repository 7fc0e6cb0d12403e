"""Recipes made to reach the usual accuracy in a fraction of the usual time.

One-cycle learning rate, label smoothing, no weight decay on norms and biases: the effect of each is in the sources
named; what a recipe reaches here, on which machine and over how many seeds, is in benchmarks/reports.
"""

from __future__ import annotations

from dataclasses import replace

from convatlas.data.augmentation import Augmentation
from convatlas.training.recipe import Recipe

# what most of them share; each says what it does otherwise
_ONE_CYCLE = Recipe(
    optimizer="nesterov",
    weight_decay=5e-4,
    no_decay_on_norms_and_biases=True,
    schedule="one_cycle",
    peak=0.3,
)


def digits() -> Recipe:
    """Small sets of small pictures: UCI's 1,797 digits to 98 % in seconds on two CPU cores."""
    return replace(
        _ONE_CYCLE,
        name="fast digits",
        source="ConvAtlas; benchmarks/reports",
        epochs=16,
        batch=64,
        lr=0.05,
        augmentation=Augmentation(padding=2),
        label_smoothing=0.05,
    )


def mnist() -> Recipe:
    """MNIST with LeNet-5: 99 % in 2 epochs, thanks to Muon's orthogonal steps. Other networks want `grey`."""
    return Recipe(
        name="fast mnist",
        source="ConvAtlas; benchmarks/reports; Jordan et al. 2024 (Muon)",
        epochs=2,
        batch=512,
        optimizer="muon",
        lr=0.08,
        schedule="one_cycle",
        peak=0.3,
        augmentation=Augmentation(padding=1),
    )


def grey() -> Recipe:
    """MNIST with other networks, Fashion-MNIST with any: sets of small grey pictures, in 8 epochs."""
    return replace(
        _ONE_CYCLE,
        name="fast grey",
        source="ConvAtlas",
        epochs=8,
        batch=256,
        lr=0.06,
        augmentation=Augmentation(padding=2),
    )


def cifar() -> Recipe:
    """CIFAR-10 and -100 in 30 epochs instead of He et al.'s 164: one-cycle, label smoothing (Smith & Topin 2018)."""
    return replace(
        _ONE_CYCLE,
        name="fast cifar",
        source="Smith & Topin 2018 (super-convergence); Page 2018 (How to train your ResNet)",
        epochs=30,
        batch=128,
        lr=0.2,
        label_smoothing=0.1,
        augmentation=Augmentation(padding=4, flip=0.5),
    )


def imagenet() -> Recipe:
    """ImageNet in 18 epochs: progressive resizing and one-cycle (Howard et al. 2018; Leclerc et al. 2022, FFCV)."""
    return replace(
        _ONE_CYCLE,
        name="fast imagenet",
        source="Leclerc et al. 2022, FFCV, rn18_16_epochs and rn50_16_epochs: lr 1.7 at batch 1024, wd 5e-5",
        epochs=18,
        batch=1024,
        optimizer="sgd",
        lr=1.7,
        weight_decay=5e-5,
        peak=2 / 18,
        label_smoothing=0.1,
        start_size=160,
        full_size_at=0.8,
        augmentation=Augmentation(crop="resized", area=(0.25, 1.0), flip=0.5),
    )


def photos() -> Recipe:
    """A folder of photos from nothing: small sets need epochs more than speed."""
    return replace(
        _ONE_CYCLE,
        name="fast photos",
        source="ConvAtlas",
        epochs=40,
        batch=64,
        lr=0.05,
        peak=0.25,
        label_smoothing=0.1,
        augmentation=Augmentation(crop="resized", area=(0.25, 1.0), flip=0.5),
    )


def finetune() -> Recipe:
    """Photos, from weights: the head on cached features first, then all, the early rows least.

    Howard & Ruder 2018 (gradual unfreezing, discriminative rates); Kumar et al. 2022 (head first keeps features).
    """
    return replace(
        _ONE_CYCLE,
        name="fast fine-tuning",
        source="Howard & Ruder 2018; Kumar et al. 2022 (LP-FT)",
        epochs=8,
        batch=32,
        lr=0.003,
        weight_decay=1e-4,
        clip=1.0,
        peak=0.2,
        label_smoothing=0.1,
        augmentation=Augmentation(crop="resized", area=(0.35, 1.0), flip=0.5),
        head_epochs=20,
        head_lr=0.002,
        layer_decay=0.9,
    )
