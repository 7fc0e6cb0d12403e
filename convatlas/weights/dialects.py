"""How other libraries name and order their layers, and which of our networks their models are.

`order` ranks the parts of a layer's name in the order of our rows; it restores what a safetensors file lost by
sorting, and settles where a library's order differs from ours. Numbers rank as numbers. A name with a part
that is not listed is not of this dialect: so a file's source is told from its names, without patterns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

Rank = tuple[int, int]


@dataclass(frozen=True)
class Dialect:
    """One way to name the layers of one family.

    networks: our name -> the library's. order: parts of names, or whole beginnings of names, in our order;
    `ours` ranks our own rows likewise, where it is easier to follow theirs. separator: what parts are cut at
    besides the dot and the slash.
    """

    source: str
    networks: dict[str, str]
    order: tuple[str, ...]
    ours: tuple[str, ...] = ()
    separator: str = "."

    @cached_property
    def _places(self) -> dict[str, int]:
        return {part: at for at, part in enumerate(self.order, 1)}

    @cached_property
    def _own_places(self) -> dict[str, int]:
        return {part: at for at, part in enumerate(self.ours, 1)}

    def rank(self, name: str) -> tuple[Rank, ...] | None:
        """Sort key of a layer's name; None where the name is not of this dialect."""
        return _rank(name, self._places, self.separator)

    def knows(self, names: Iterable[str]) -> bool:
        """Whether every layer's name is of this dialect."""
        return all(self.rank(name) is not None for name in names)

    def own_rank(self, name: str) -> tuple[Rank, ...]:
        """Sort key of a slot of ours; rows that are not listed keep their order (all rank alike)."""
        return tuple((self._own_places.get(part, 0), 0) for part in name.split(".")) if self.ours else ()


def _rank(name: str, places: dict[str, int], separator: str) -> tuple[Rank, ...] | None:
    ranks, so_far = [], ""
    for part in name.replace("/", ".").replace(separator, ".").split("."):
        so_far = f"{so_far}.{part}" if so_far else part
        stem = part.rstrip("0123456789")
        if so_far in places:
            ranks.append((places[so_far], 0))
        elif part in places:
            ranks.append((places[part], 0))
        elif stem in places:
            ranks.append((places[stem], int(part[len(stem) :])))
        elif part.isdecimal():
            ranks.append((0, int(part)))
        else:
            return None
    return tuple(ranks)


def words(text: str) -> tuple[str, ...]:
    """Parts of names, written as one line."""
    return tuple(text.split())


def same(*names: str) -> dict[str, str]:
    """Networks that a library calls as we do."""
    return {name: name for name in names}


RESNETS = {f"resnet{n}": f"resnet{n}" for n in (18, 34)} | {
    f"resnet{n}_v1_5": f"resnet{n}" for n in (50, 101, 152)
}
VGGS = same(*(f"vgg{n}{bn}" for n in (11, 13, 16, 19) for bn in ("", "_bn")))
DENSENETS = same(*(f"densenet{n}" for n in (121, 161, 169, 201)))
CIFAR_RESNETS = same("resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "resnet1202")

BLOCK = "layer0 conv1 bn1 conv2 bn2 conv3 bn3 se se_module fc1 fc2 downsample layer fc"
DENSE = "features conv0 norm0 denseblock denselayer norm1 conv1 norm2 conv2 norm conv transition norm5 classifier"
INCEPTION_V3 = (
    "Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 Conv2d_3b_1x1 Conv2d_4a_3x3"
    " Mixed_5b Mixed_5c Mixed_5d Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e Mixed_7a Mixed_7b Mixed_7c"
    " branch1x1 branch5x5_1 branch5x5_2 branch7x7_1 branch7x7_2 branch7x7_3"
    " branch3x3 branch3x3_1 branch3x3_2 branch3x3_2a branch3x3_2b"
    " branch7x7x3_1 branch7x7x3_2 branch7x7x3_3 branch7x7x3_4"
    " branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3 branch3x3dbl_3a branch3x3dbl_3b"
    " branch7x7dbl_1 branch7x7dbl_2 branch7x7dbl_3 branch7x7dbl_4 branch7x7dbl_5 branch_pool"
    " conv0 conv1 conv bn AuxLogits.fc fc AuxLogits"
)
GOOGLENET = (
    "conv1 conv2 conv3 inception3a inception3b inception4a inception4b inception4c inception4d inception4e"
    " inception5a inception5b branch1 branch2 branch3 branch4 conv bn fc1 fc2 fc aux1 aux2"
)

DIALECTS: tuple[Dialect, ...] = (
    Dialect("torchvision", {"alexnet_owt": "alexnet"} | VGGS, words("features classifier")),
    Dialect("torchvision", RESNETS | same("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"), words(BLOCK)),
    Dialect("torchvision", DENSENETS, words(DENSE)),
    Dialect("torchvision", {"googlenet_bn": "googlenet"}, words(GOOGLENET)),
    Dialect(
        "torchvision",
        same("squeezenet1_0", "squeezenet1_1"),
        words("features squeeze expand1x1 expand3x3 classifier"),
    ),
    Dialect("torchvision", same("inception_v3"), words(INCEPTION_V3)),
    Dialect("torchvision", same("mobilenet_v2"), words("features conv classifier")),
    Dialect(
        "torchvision", same("mobilenet_v3_large", "mobilenet_v3_small"), words("features block fc1 fc2 classifier")
    ),
    Dialect(
        "torchvision",
        same("shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"),
        words("conv1 stage branch1 branch2 conv5 fc"),
    ),
    # akamaster/pytorch_resnet_cifar10 and the many that follow it
    Dialect(
        "torch",
        CIFAR_RESNETS | {"resnet110_stochastic_depth": "resnet110"},
        words("conv1 bn1 conv2 bn2 layer linear"),
    ),
)
