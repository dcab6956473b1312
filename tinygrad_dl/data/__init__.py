"""Data sets, data loading, augmentation and preprocessing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinygrad_dl.data import datasets
from tinygrad_dl.data.augment import (
    Affine,
    Augmentation,
    Color,
    Compose,
    Crop,
    Flip,
    Noise,
    Rotate,
    Shear,
    Shift,
    Zoom,
)
from tinygrad_dl.data.blocks import MemmapDataset
from tinygrad_dl.data.dataset import Dataset, Subset, TensorDataset
from tinygrad_dl.data.images import Images, load_images
from tinygrad_dl.data.loader import DataLoader
from tinygrad_dl.data.prepare import Standardize
from tinygrad_dl.data.shards import ShardedDataset
from tinygrad_dl.data.split import split
from tinygrad_dl.data.tables import Table, load_csv

Colour = Color  # the former name

__all__ = [
    "Affine",
    "Augmentation",
    "Color",
    "Compose",
    "Crop",
    "DataLoader",
    "Dataset",
    "Flip",
    "Images",
    "MemmapDataset",
    "Noise",
    "Rotate",
    "ShardedDataset",
    "Shear",
    "Shift",
    "Standardize",
    "Subset",
    "Table",
    "TensorDataset",
    "Zoom",
    "datasets",
    "load_csv",
    "load_images",
    "split",
]


if not TYPE_CHECKING:

    def __getattr__(name):
        from tinygrad_dl.vocabulary import unknown

        raise unknown(__name__, name, __all__)
