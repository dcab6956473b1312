"""tinygrad_dl.data."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

from tests.fuzz.harness import Call, calls_of, with_arguments
from tinygrad_dl import data
from tinygrad_dl.data import idx


def dataset() -> data.TensorDataset:
    rng = np.random.default_rng(0)
    return data.TensorDataset(rng.random((6, 2), np.float32), np.arange(6) % 2)


def images() -> np.ndarray:
    return np.random.default_rng(0).random((2, 3, 6, 6))


@cache
def folder() -> str:
    """A folder with a table, arrays and an IDX file."""
    path = tempfile.mkdtemp()
    with open(os.path.join(path, "t.csv"), "w") as file:
        file.write("a,b,y\n1,2,0.5\n3,4,1.5\n")
    np.savez(os.path.join(path, "d.npz"), x=np.ones((3, 2)), y=np.arange(3))
    np.save(os.path.join(path, "x.npy"), np.ones((3, 2)))
    with open(os.path.join(path, "a.idx"), "wb") as binary:
        binary.write(bytes([0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 3]))
    return path


TABLE = {
    "TensorDataset": lambda: with_arguments(np.ones((6, 2)), np.arange(6)),
    "DataLoader": lambda: with_arguments(dataset(), 2),
    "split": lambda: with_arguments(dataset(), [4, 2]),
    "split labels": lambda: with_arguments(dataset(), (0.5, 0.5), stratify=True, groups=np.arange(6)),
    "Subset": lambda: with_arguments(dataset(), [0, 1]),
    "Standardize": lambda: with_arguments(),
    "Affine": lambda: with_arguments(),
    "Color": lambda: with_arguments(),
    "Compose": lambda: with_arguments(data.Flip(), data.Noise()),
    "Crop": lambda: with_arguments(4),
    "Flip": lambda: with_arguments(),
    "Noise": lambda: with_arguments(),
    "Rotate": lambda: with_arguments(),
    "Shear": lambda: with_arguments(),
    "Shift": lambda: with_arguments(),
    "Zoom": lambda: with_arguments(),
}
TABLE["Table"] = lambda: with_arguments({"a": [1.0, 2.0, 3.0], "y": [1.5, 2.5, 3.5]}, "y", quiet=True)
TABLE["MemmapDataset"] = lambda: with_arguments(os.path.join(folder(), "x.npy"), buffer_size=2)
TABLE["ShardedDataset"] = lambda: with_arguments(folder(), "x", "y")
TABLE["Crop"] = lambda: with_arguments((4, 4))
DATASETS = {
    "planar_flower": lambda: with_arguments(20),
    "spirals": lambda: with_arguments(30, 3),
    "circles": lambda: with_arguments(20),
    "moons": lambda: with_arguments(20),
    "blobs": lambda: with_arguments(20, 2),
    "load_iris": lambda: with_arguments(),
    "load_csv": lambda: with_arguments(os.path.join(folder(), "t.csv"), "y"),
    "load_npz": lambda: with_arguments(os.path.join(folder(), "d.npz"), "x", "y"),
}


def method(name: str, make: Callable[[], Callable[..., Any]], *args: Any) -> Call:
    return Call(name, lambda: (make(), args, {}))


def calls() -> Iterator[Call]:
    yield from calls_of(data, TABLE)
    yield from calls_of(data.datasets, DATASETS)
    yield Call("read_idx", lambda: (idx.read_idx, (os.path.join(folder(), "a.idx"),), {}))
    yield method("TensorDataset[]", lambda: dataset().__getitem__, 1)
    yield method("TensorDataset.take", lambda: dataset().take, [0, 1])
    yield method("TensorDataset.replaced", lambda: dataset().replaced, np.ones((6, 3)))
    yield method("Subset[]", lambda: data.Subset(dataset(), [0, 1]).__getitem__, 1)
    yield method("Standardize.fit", lambda: data.Standardize().fit, np.ones((3, 2)))
    yield method("Standardize()", lambda: data.Standardize().fit(np.eye(3)), np.ones((3, 3)))
    yield method("Standardize.inverse", lambda: data.Standardize().fit(np.eye(3)).inverse, np.ones((3, 3)))
    yield method(
        "Standardize.load_state_dict", lambda: data.Standardize().load_state_dict, {"mean": 0.0, "std": 1.0}
    )
    yield method(
        "MemmapDataset[]", lambda: data.MemmapDataset(os.path.join(folder(), "x.npy")).__getitem__, 1
    )
    yield method(
        "DataLoader.load_state_dict",
        lambda: data.DataLoader(dataset()).load_state_dict,
        {"seed": 0, "epoch": 1, "batch": 2},
    )
    for make in (data.Flip, data.Noise, data.Color, lambda: data.Crop((4, 4))):
        name = type(make()).__name__
        yield Call(f"{name}()", lambda make=make: (make(), (images(),), {"rng": 0}))  # type: ignore[misc]
