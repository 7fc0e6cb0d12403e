"""Datasets, decoding, preprocessing, loading, augmentation.

Names are found when they are asked for: a recipe needs `Augmentation` alone, and `convatlas train --help` no torch.
`augment` is not among them: its module has its name, and stands here once it is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convatlas.lazy import lazily

if TYPE_CHECKING:
    from convatlas.data.augmentation import Augmentation
    from convatlas.data.images import ImageError, read_image
    from convatlas.data.loader import Batch, Loader
    from convatlas.data.pixels import load, normalize, preprocess
    from convatlas.data.randomness import batch_generator
    from convatlas.data.sets import Dataset, FileSet, TensorSet
    from convatlas.data.sources import DataSource, open_data

_HOME = {
    "Augmentation": "augmentation",
    "Batch": "loader",
    "DataSource": "sources",
    "Dataset": "sets",
    "FileSet": "sets",
    "ImageError": "images",
    "Loader": "loader",
    "TensorSet": "sets",
    "batch_generator": "randomness",
    "load": "pixels",
    "normalize": "pixels",
    "open_data": "sources",
    "preprocess": "pixels",
    "read_image": "images",
}

__all__ = [
    "Augmentation",
    "Batch",
    "DataSource",
    "Dataset",
    "FileSet",
    "ImageError",
    "Loader",
    "TensorSet",
    "batch_generator",
    "load",
    "normalize",
    "open_data",
    "preprocess",
    "read_image",
]


__getattr__, __dir__ = lazily(__name__, _HOME)
