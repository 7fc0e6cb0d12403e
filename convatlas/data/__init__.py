"""Datasets, decoding, preprocessing, loading, augmentation."""

from __future__ import annotations

from convatlas.data.augment import augment
from convatlas.data.augmentation import Augmentation
from convatlas.data.images import ImageError, read_image
from convatlas.data.loader import Batch, Loader
from convatlas.data.pixels import load, normalize, preprocess
from convatlas.data.randomness import batch_generator
from convatlas.data.sets import Dataset, FileSet, TensorSet
from convatlas.data.sources import DataSource, open_data

__all__ = [
    "Augmentation",
    "Batch",
    "DataSource",
    "Dataset",
    "FileSet",
    "ImageError",
    "Loader",
    "TensorSet",
    "augment",
    "batch_generator",
    "load",
    "normalize",
    "open_data",
    "preprocess",
    "read_image",
]
