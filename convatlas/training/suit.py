"""What a network and a data source need to fit each other: classes, preprocessing, the size of a test batch."""

from __future__ import annotations

from convatlas.data.sets import TensorSet
from convatlas.data.sources import DataSource
from convatlas.define import Network, elaborate, with_classes
from convatlas.define.preprocessing import NAMED, Preprocessing
from convatlas.errors import MisuseError
from convatlas.training.recipe import Recipe
from convatlas.training.schedule import side_at


def suited(network: Network, source: DataSource) -> Network:
    """The network with as many classes as the data has."""
    return with_classes(network, len(source.classes))


def check_sides(network: Network, recipe: Recipe) -> None:
    """MisuseError where --start-size begins with pictures that the network cannot take."""
    channels, height, width = network.input
    side = side_at(recipe, height, 0)
    if side == height:
        return
    try:
        small = elaborate(network, (channels, side, side * width // height)).parameters
    except MisuseError as error:
        raise MisuseError(
            f"--start-size {recipe.start_size} begins with a side of {side}: {error}"
        ) from error
    if small != elaborate(network).parameters:
        raise MisuseError(
            f"--start-size {recipe.start_size}: {network.name} has layers for one size of picture alone, {height}x{width}; "
            "leave it out"
        )


def preprocessing_for(network: Network, source: DataSource) -> Preprocessing:
    """How pictures of this data become this network's input, where no weights say otherwise."""
    channels, height, width = network.input
    if channels == 1:
        base = NAMED["digit"]
    elif isinstance(source.train, TensorSet):
        base = NAMED["cifar"]
    else:
        return NAMED["torchvision"].with_size(height, width)
    have = tuple(source.train.images.shape[2:]) if isinstance(source.train, TensorSet) else None
    # what the loader pads, prediction crops to the same size; what it enlarges, prediction resizes
    grown = have is None or min(height / have[0], width / have[1]) > 8 / 7 or height < have[0]
    return Preprocessing(
        resize=(height, width) if grown else None,
        crop=(height, width) if height != width else height,
        mean=base.mean,
        std=base.std,
        channel_order=base.channel_order,
        scale=base.scale,
    )


def test_batch(network: Network) -> int:
    """Pictures at a time in evaluation: some 16 M values of input."""
    channels, height, width = network.input
    return max(16, min(1000, (1 << 24) // (channels * height * width)))
