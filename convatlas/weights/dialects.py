"""How other libraries name and order their layers, and which of our networks their models are.

`order` ranks the parts of a layer's name in the order of our rows; it restores what a safetensors file lost by
sorting, and settles where a library's order differs from ours. Numbers rank as numbers. A name with a part
that is not listed is not of this dialect: so a file's source is told from its names, without patterns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

Rank = tuple[int, int]
NUMBERS = 1_000_000  # a bare number ranks behind all words


@dataclass(frozen=True)
class Dialect:
    """One way to name the layers of one family, shared by `sources`, of which the first is assumed.

    networks: our name -> the library's. order: parts of names, or whole beginnings of names, in our order.
    ours: parts of our own names (without their numbers, if need be) that stand behind the rest, in this order,
    where theirs do: Keras numbers shortcuts by themselves. separator: what names are cut at besides the dot and the slash.
    """

    sources: tuple[str, ...]
    networks: dict[str, str]
    order: tuple[str, ...]
    ours: tuple[str, ...] = ()
    separator: str = "."

    @property
    def source(self) -> str:
        """The source that is assumed."""
        return self.sources[0]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {part: at for at, part in enumerate(self.order, 1)}

    def rank(self, name: str) -> tuple[Rank, ...] | None:
        """Sort key of a layer's name; None where the name is not of this dialect."""
        ranks, so_far = [], ""
        for part in name.replace("/", ".").replace(self.separator, ".").split("."):
            so_far = f"{so_far}.{part}" if so_far else part
            stem = part.rstrip("0123456789")
            if so_far in self._places:
                ranks.append((self._places[so_far], 0))
            elif part in self._places:
                ranks.append((self._places[part], 0))
            elif stem in self._places:
                ranks.append((self._places[stem], int(part[len(stem) :])))
            elif part.isdecimal():
                ranks.append((NUMBERS, int(part)))
            else:
                return None
        return tuple(ranks)

    def knows(self, names: Iterable[str]) -> bool:
        """Whether every layer's name is of this dialect."""
        return all(self.rank(name) is not None for name in names)

    def own_rank(self, name: str) -> int:
        """Sort key of a slot of ours; equal ones keep the order of computation, auxiliary heads are last."""
        places = {part: at for at, part in enumerate(self.ours, 1)}
        parts = [part if part in places else part.rstrip("0123456789") for part in name.split(".")]
        return NUMBERS if name.startswith("aux.") else max(places.get(part, 0) for part in parts)


def words(*lines: str) -> tuple[str, ...]:
    """Parts of names, written as lines of words."""
    return tuple(word for line in lines for word in line.split())


def same(*names: str) -> dict[str, str]:
    """Networks that a library calls as we do."""
    return {name: name for name in names}


def letters(prefix: str, *stages: str) -> str:
    """Caffe's blocks: res2a res2b res2c for "2:abc"."""
    return " ".join(f"{prefix}{stage[0]}{letter}" for stage in stages for letter in stage[2:])


# fmt: off
RESNETS = {"resnet18": "resnet18", "resnet34": "resnet34"} | {f"resnet{n}_v1_5": f"resnet{n}" for n in (50, 101, 152)}
RESNEXTS = same("resnext50_32x4d", "resnext101_32x4d", "resnext101_64x4d", "resnext101_32x8d")
VGGS = same(*(f"vgg{n}{bn}" for n in (11, 13, 16, 19) for bn in ("", "_bn")))
DENSENETS = same("densenet121", "densenet161", "densenet169", "densenet201", "densenet264")
SHUFFLENETS = same("shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0")
CIFAR = same("resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "resnet1202")
CIFAR |= {"resnet110_stochastic_depth": "resnet110"}
GOOGLE_ROWS = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")

TORCH: tuple[Dialect, ...] = (
    Dialect(("torchvision",), {"alexnet_owt": "alexnet"} | VGGS, words("features classifier")),
    Dialect(
        ("torchvision", "timm"), RESNETS | RESNEXTS | {"se_resnet50_v1_5": "seresnet50"},
        words("conv1 bn1 conv2 bn2 conv3 bn3 se fc1 fc2 downsample layer fc"),
    ),
    Dialect(
        ("torchvision", "timm"), DENSENETS,
        words(
            "features conv0 norm0 denseblock1 transition1 denseblock2 transition2 denseblock3 transition3 denseblock4",
            "denselayer norm1 conv1 norm2 conv2 norm conv norm5 classifier",
        ),
    ),
    Dialect(
        ("torchvision",), {"googlenet_bn": "googlenet"},
        words(
            "conv1 conv2 conv3", *(f"inception{row}" for row in GOOGLE_ROWS),
            "branch1 branch2 branch3 branch4 conv bn fc1 fc2 fc aux1 aux2",
        ),
    ),
    Dialect(("torchvision",), same("squeezenet1_0", "squeezenet1_1"), words("features squeeze expand1x1 expand3x3 classifier")),
    Dialect(
        ("torchvision", "timm"), same("inception_v3"),
        words(
            "Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 Conv2d_3b_1x1 Conv2d_4a_3x3",
            "Mixed_5b Mixed_5c Mixed_5d Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e Mixed_7a Mixed_7b Mixed_7c",
            "branch1x1 branch5x5_1 branch5x5_2 branch7x7_1 branch7x7_2 branch7x7_3",
            "branch3x3 branch3x3_1 branch3x3_2 branch3x3_2a branch3x3_2b",
            "branch7x7x3_1 branch7x7x3_2 branch7x7x3_3 branch7x7x3_4",
            "branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3 branch3x3dbl_3a branch3x3dbl_3b",
            "branch7x7dbl_1 branch7x7dbl_2 branch7x7dbl_3 branch7x7dbl_4 branch7x7dbl_5 branch_pool",
            "conv0 conv1 conv bn fc AuxLogits",
        ),
    ),
    Dialect(("torchvision",), same("mobilenet_v2"), words("features conv classifier")),
    Dialect(("torchvision",), same("mobilenet_v3_large", "mobilenet_v3_small"), words("features block fc1 fc2 classifier")),
    Dialect(("torchvision",), SHUFFLENETS, words("conv1 stage branch1 branch2 conv5 fc")),
    Dialect(("timm",), VGGS, words("features pre_logits fc1 fc2 head fc")),
    Dialect(
        ("timm",), {f"se_resnet{n}": f"legacy_seresnet{n}" for n in (50, 101, 152)} | {"senet154": "legacy_senet154"},
        words("layer0 conv1 bn1 conv2 bn2 conv3 bn3 se_module fc1 fc2 downsample layer last_linear"),
    ),
    Dialect(
        ("timm",), same("inception_v4"),
        words(
            "features branch0 branch1 branch1_0 branch1_1a branch1_1b branch2 branch2_0 branch2_1 branch2_2 branch2_3a",
            "branch2_3b branch3 conv bn last_linear",
        ),
    ),
    Dialect(
        ("timm",), same("inception_resnet_v2"),
        words(
            "conv2d_1a conv2d_2a conv2d_2b conv2d_3b conv2d_4a mixed_5b repeat mixed_6a repeat_1 mixed_7a repeat_2",
            "block8 conv2d_7b branch0 branch1 branch2 branch3 conv2d conv bn classif",
        ),
    ),
    Dialect(
        ("timm",), {"xception": "legacy_xception"},
        words("conv1 bn1 conv2 bn2 block rep conv3 bn3 conv4 bn4 pointwise skip skipbn fc"),
    ),
    Dialect(
        ("timm",), {"mobilenet_v1": "mobilenetv1_100"},
        words("conv_stem bn1 blocks conv_dw conv_pw bn2 classifier"),
    ),
    # a depthwise separable block, the first of v2 and v3, has its 1x1 behind; an inverted residual before
    Dialect(
        ("timm",),
        {"mobilenet_v2": "mobilenetv2_100"}
        | {f"mobilenet_v3_{size}": f"mobilenetv3_{size}_100" for size in ("large", "small")},
        words(
            "conv_stem bn1 blocks conv_pw conv_dw se conv_reduce conv_expand blocks.0.0.conv_pw conv_pwl conv",
            "bn2 bn3 conv_head classifier",
        ),
    ),
    # akamaster/pytorch_resnet_cifar10 and the many that follow it
    Dialect(("torch",), CIFAR, words("conv1 bn1 conv2 bn2 layer linear")),
)

KERAS: tuple[Dialect, ...] = (
    Dialect(("keras",), same("vgg16", "vgg19"), words("block conv fc predictions"), separator="_"),
    Dialect(
        ("keras",), same("resnet50", "resnet101", "resnet152"),
        words("conv block 1 2 3 0 bn predictions"), separator="_",
    ),
    Dialect(
        ("keras",), DENSENETS,
        words("conv1 conv2 pool2 conv3 pool3 conv4 pool4 conv5 block bn conv predictions fc"), separator="_",
    ),
    Dialect(("keras",), same("inception_v3"), words("conv2d convolution2d batch batchnormalization normalization predictions"), separator="_"),
    Dialect(
        ("keras",), same("inception_resnet_v2"),
        words("conv2d convolution2d batch batchnormalization normalization conv 7b bn block35 block17 block8 predictions"),
        ours=("up", "fc"), separator="_",
    ),
    Dialect(
        ("keras",), same("xception"),
        words("block conv sepconv depthwise pointwise bn conv2d convolution2d batch batchnormalization normalization predictions"),
        ours=("shortcut", "fc"), separator="_",
    ),
    Dialect(
        ("keras",), same("mobilenet_v1", "mobilenet_v1_x0_75", "mobilenet_v1_x0_5", "mobilenet_v1_x0_25"),
        words("conv1 conv dw pw preds bn predictions"),
        ours=("bn1", "bn2", "depthwise", "pointwise", "fc"), separator="_",
    ),
    Dialect(
        ("keras",), same("mobilenet_v2"),
        words("Conv1 bn expanded conv block expand depthwise project BN Conv predictions Logits"), separator="_",
    ),
    Dialect(
        ("keras",), same("mobilenet_v3_large", "mobilenet_v3_small"),
        words("conv bn expanded expand depthwise squeeze excite project logits predictions"),
        ours=("conv_last", "bn_last", "fc1", "bneck", "fc"), separator="_",
    ),
)

CAFFE: tuple[Dialect, ...] = (
    Dialect(
        ("caffe",), same("resnet50", "resnet101", "resnet152"),
        words(
            "conv1 bn", letters("res", "2:abc", "3:abcd", "4:abcdef", "5:abc"),
            letters("bn", "2:abc", "3:abcd", "4:abcdef", "5:abc"), "branch2a branch2b branch2c branch1 fc",
        ),
        separator="_",
    ),
    Dialect(
        ("caffe",), same("googlenet"),
        words(
            "conv1 conv2", *(f"inception_{row}" for row in GOOGLE_ROWS),
            "7x7_s2 1x1 3x3_reduce 3x3 5x5_reduce 5x5 pool_proj loss3 loss1 loss2 conv fc classifier",
        ),
    ),
)
# fmt: on

DIALECTS = TORCH + KERAS + CAFFE
