"""Short forms for the published results that many families quote. Figures are in percent."""

from __future__ import annotations

from convatlas.define.facts import Accuracy

IMAGENET = "ImageNet-1k val"


def error(
    top1: float | None,
    top5: float | None,
    protocol: str,
    source: str,
    *,
    dataset: str = IMAGENET,
    checked: str = "seen",
) -> Accuracy:
    """An error rate, as the papers print it."""
    return Accuracy(dataset, "error", top1, top5, protocol, source, checked)


def accuracy(
    top1: float | None,
    top5: float | None,
    protocol: str,
    source: str,
    *,
    dataset: str = IMAGENET,
    checked: str = "seen",
) -> Accuracy:
    """An accuracy, as the releases of weights print it."""
    return Accuracy(dataset, "accuracy", top1, top5, protocol, source, checked)


def torchvision(top1: float, top5: float, crop: int = 224, resize: int = 256) -> Accuracy:
    """The accuracy of torchvision's first published weights."""
    return accuracy(top1, top5, f"single crop {crop}, resize {resize}", "torchvision IMAGENET1K_V1")


def torchvision_v2(top1: float, top5: float) -> Accuracy:
    """The accuracy of torchvision's second weights, of a longer recipe than the paper's."""
    return accuracy(top1, top5, "single crop 224, resize 232", "torchvision IMAGENET1K_V2")


def keras(top1: float, top5: float) -> Accuracy:
    """The accuracy that the documentation of Keras Applications gives."""
    return accuracy(top1, top5, "single center crop, Keras preprocessing", "Keras Applications table")


def slim(top1: float, top5: float, protocol: str = "single crop") -> Accuracy:
    """The accuracy that TF-slim's readme gives."""
    return accuracy(top1, top5, protocol, "TF-slim readme")
