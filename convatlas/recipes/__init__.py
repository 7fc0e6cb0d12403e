"""Published and recommended runs, one function each; the names by which `--recipe` knows them."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from convatlas.errors import MisuseError
from convatlas.networks.catalogue import entry
from convatlas.recipes import fast, papers
from convatlas.training.recipe import Recipe

RECIPES: dict[str, Callable[[], Recipe]] = {
    "fast-digits": fast.digits,
    "fast-mnist": fast.mnist,
    "fast-grey": fast.grey,
    "fast-cifar": fast.cifar,
    "fast-imagenet": fast.imagenet,
    "fast-photos": fast.photos,
    "fine-tune": fast.finetune,
    "lenet": papers.lenet,
    "alexnet": papers.alexnet,
    "zfnet": papers.zfnet,
    "nin": papers.nin,
    "vgg": papers.vgg,
    "googlenet": papers.googlenet,
    "bn-inception": papers.bn_inception,
    "inception-v3": papers.inception_v3,
    "inception-v4": papers.inception_v4,
    "resnet-imagenet": papers.resnet_imagenet,
    "resnet-cifar": papers.resnet_cifar,
    "resnet110-cifar": papers.resnet110_cifar,
    "stochastic-depth": papers.stochastic_depth,
    "resnext": papers.resnext,
    "densenet-imagenet": papers.densenet_imagenet,
    "densenet-cifar": papers.densenet_cifar,
    "squeezenet": papers.squeezenet,
    "xception": papers.xception,
    "mobilenet-v1": papers.mobilenet_v1,
    "mobilenet-v2": papers.mobilenet_v2,
    "mobilenet-v3": papers.mobilenet_v3,
    "shufflenet": papers.shufflenet,
    "senet": papers.senet,
}

_BY_DATA = {
    "digits": "fast-digits",
    "mnist": "fast-grey",
    "fashion-mnist": "fast-grey",
    "cifar10": "fast-cifar",
    "cifar100": "fast-cifar",
    "cifar10-jpeg": "fast-cifar",
    "imagenet": "fast-imagenet",
}

_BY_FAMILY = {
    "lenet": "lenet",
    "alexnet": "alexnet",
    "zfnet": "zfnet",
    "nin": "nin",
    "vgg": "vgg",
    "googlenet": "googlenet",
    "resnext": "resnext",
    "squeezenet": "squeezenet",
    "xception": "xception",
    "shufflenet": "shufflenet",
    "senet": "senet",
}

# without batch norm a learning rate of 0.1 and more is out of reach: their own papers begin at 0.01
_WITHOUT_NORM = ("alexnet", "zfnet", "vgg", "googlenet", "squeezenet", "nin")


def recipe(name: str) -> Recipe:
    """The recipe of this name; MisuseError with the nearest names, and all."""
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=3, cutoff=0.4)
        hint = f"nearest: {', '.join(near)}; " if near else ""
        raise MisuseError(f"unknown recipe {name!r}; {hint}there are: {', '.join(RECIPES)}")
    return RECIPES[name]()


def of_paper(network: str) -> str:
    """The name of the recipe by which the paper trained this network."""
    found = entry(network)
    base = network.partition("@")[0]
    if base == "resnet110_stochastic_depth":
        return "stochastic-depth"
    if found.family == "mobilenet":
        return "-".join(base.split("_")[:2])
    if found.family == "inception":
        early = {
            "bn_inception": "bn-inception",
            "inception_v2": "inception-v3",
            "inception_v3": "inception-v3",
        }
        return early.get(base, "inception-v4")
    if found.family == "densenet":
        return "densenet-cifar" if "_k" in base else "densenet-imagenet"
    if found.family == "resnet":
        cifar = base in {f"{kind}{n}" for kind in ("plain", "resnet") for n in (20, 32, 44, 56, 110, 1202)}
        deep = base in {"resnet110", "resnet1202"}
        return "resnet110-cifar" if deep else "resnet-cifar" if cifar else "resnet-imagenet"
    return _BY_FAMILY[found.family]


def default(network: str, data: str, *, weights: bool = False) -> Recipe:
    """The recommended recipe for a network on data; `weights` says that it begins with trained ones.

    The fast recipe for the data, at a tenth of the learning rate for networks without normalization.
    """
    import dataclasses

    if weights:
        return RECIPES["fine-tune"]()
    if (network, data) == ("lenet5", "mnist"):
        return RECIPES["fast-mnist"]()  # two epochs are enough for this pair, and were measured for no other
    chosen = RECIPES[_BY_DATA.get(data, "fast-photos")]()
    fragile = entry(network).family in _WITHOUT_NORM and not network.partition("@")[0].endswith("_bn")
    if fragile and entry(network).family != "lenet":
        return dataclasses.replace(chosen, lr=chosen.lr / 10, clip=1.0)
    return chosen
