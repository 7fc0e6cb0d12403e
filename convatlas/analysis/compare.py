"""Networks side by side: what is computed of each, and the one published result that can be compared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from convatlas.analysis.receptive_field import Fields, ReceptiveField
from convatlas.analysis.table import totals
from convatlas.define import Network, Shape, elaborate
from convatlas.define.facts import Accuracy

# How a published result was tested. Results of two protocols are never put in one column.
PROTOCOLS = {
    "single-crop": r"single crop|1 crop|center crop|single center crop",
    "10-crop": r"10 crops",
    "dense": r"dense evaluation|multi-scale, fully convolutional",
    "144-crop": r"144 crops",
}
_OTHER_TESTS = re.compile(r"\b[2-9] (networks|models)|ensemble|\b320\b|longer training|1 v4 and 3")
# CIFAR and MNIST have no crops at test time: there the protocol is how the training images were augmented.
_SMALL = ("pad-4 crop and flip", "dropout and augmentation", "linear decay", "trained with distortions", "")
_SMALL_SETS = ("CIFAR-10+ test", "CIFAR-10 test", "MNIST test")


@dataclass(frozen=True, slots=True)
class Row:
    """One network of a comparison. Accuracies in percent; bytes of float32; memory at batch 1 in inference.

    `receptive_field` is that of one value of the last feature maps, before global pooling or flattening.
    """

    name: str
    title: str
    family: str
    year: int
    input: Shape
    parameters: int
    bytes: int
    mult_adds: int
    depth: int
    receptive_field: ReceptiveField
    activation_bytes: int
    result: Accuracy | None

    @property
    def top1(self) -> float | None:
        """Published top-1 accuracy, turned from an error where that was printed."""
        return _accuracy(self.result, "top1")

    @property
    def top5(self) -> float | None:
        """Published top-5 accuracy."""
        return _accuracy(self.result, "top5")

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON and CSV have it."""
        field = self.receptive_field.to_dict()["size"]
        return {
            "name": self.name,
            "family": self.family,
            "year": self.year,
            "input": "x".join(map(str, self.input)),
            "parameters": self.parameters,
            "bytes": self.bytes,
            "mult_adds": self.mult_adds,
            "depth": self.depth,
            "receptive_field": "x".join(map(str, field)) if isinstance(field, list) else field,
            "activation_bytes": self.activation_bytes,
            "top1": self.top1,
            "top5": self.top5,
            "dataset": self.result.dataset if self.result else None,
            "protocol": self.result.protocol if self.result else None,
            "source": self.result.source if self.result else None,
        }


def row(
    network: Network,
    *,
    title: str = "",
    family: str = "",
    year: int = 0,
    results: Iterable[Accuracy] = (),
    protocol: str = "single-crop",
) -> Row:
    """Compute what is compared of `network`, and choose among its published `results` (see `published`)."""
    placed = elaborate(network)
    found = totals(placed)
    maps = [field for (_, p), field in zip(placed.operations(), Fields().walk(placed.body), strict=True) if len(p.output) == 3]  # fmt: skip
    return Row(
        name=network.name,
        title=title or network.name,
        family=family,
        year=year,
        input=network.input,
        parameters=found.parameters,
        bytes=found.bytes,
        mult_adds=found.mult_adds,
        depth=found.depth,
        receptive_field=maps[-1] if maps else found.receptive_field,
        activation_bytes=found.peak_bytes,
        result=published(results, protocol),
    )


def published(results: Iterable[Accuracy], protocol: str = "single-crop") -> Accuracy | None:
    """The one result of one network tested by `protocol`: the paper's before its release's before others'.

    ImageNet is taken on its validation set. None where nothing was published so: no other protocol stands in.
    Weights of a later recipe (torchvision's second ones) are left out: they tell of the recipe.
    """
    found = [result for result in results if _fits(result, protocol)]
    return min(found, key=_rank, default=None)


def _fits(result: Accuracy, protocol: str) -> bool:
    if result.dataset in _SMALL_SETS:
        return protocol == "single-crop"
    if result.dataset != "ImageNet-1k val" or "IMAGENET1K_V2" in result.source:
        return False
    return bool(re.search(PROTOCOLS[protocol], result.protocol)) and not _OTHER_TESTS.search(result.protocol)


def _rank(result: Accuracy) -> tuple[int, int, int]:
    source = result.source.lower()
    order = ("paper", "release", "readme of", "torchvision", "keras", "tf-slim", "")
    place = next(
        i for i, word in enumerate(order) if (source.startswith(word) if word == "paper" else word in source)
    )
    if result.dataset in _SMALL_SETS:
        augmented = next(i for i, words in enumerate(_SMALL) if words in result.protocol)
        return int(result.top1 is None), augmented, place
    return int(result.top1 is None), place, int(result.top5 is None)


def _accuracy(result: Accuracy | None, field: str) -> float | None:
    value = getattr(result, field, None)
    if result is None or value is None:
        return None
    return float(value) if result.kind == "accuracy" else round(100 - value, 3)


SORTS = (
    "name",
    "year",
    "parameters",
    "bytes",
    "mult_adds",
    "depth",
    "receptive_field",
    "activation_bytes",
    "top1",
    "top5",
)


def ordered(rows: Sequence[Row], column: str) -> list[Row]:
    """Rows sorted by a column of `SORTS`: from small to large, accuracies from best to worst, empty ones last."""
    if column not in SORTS:
        raise ValueError(f"cannot sort by {column!r}; columns: {', '.join(SORTS)}")

    def key(one: Row) -> Any:
        if column == "receptive_field":
            return one.receptive_field.vertical.size, one.receptive_field.horizontal.size
        value = getattr(one, column)
        if column.startswith("top"):
            return value is None, -(value or 0.0)
        return value

    return sorted(rows, key=key)
