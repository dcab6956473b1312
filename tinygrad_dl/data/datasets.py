"""Data sets: real ones bundled with scikit-learn, the 2-D point sets of the courses, MNIST, and files of your own.

The point sets are drawn with NumPy's legacy generator and the courses' seeds, so that they match bit for bit.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import numpy as np

from tinygrad_dl import get_default_dtype
from tinygrad_dl.arguments import Bounds, Count, NonNegative, checked
from tinygrad_dl.data.archives import load_cats, load_npz
from tinygrad_dl.data.dataset import TensorDataset
from tinygrad_dl.data.idx import load_fashion_mnist, load_mnist
from tinygrad_dl.data.tables import load_csv
from tinygrad_dl.errors import DTypeError, ValueRangeError, missing_extra
from tinygrad_dl.typing import ArrayLike, DTypeLike, NDArray

__all__ = [
    "blobs",
    "circles",
    "load_breast_cancer",
    "load_cats",
    "load_csv",
    "load_diabetes",
    "load_digits",
    "load_fashion_mnist",
    "load_iris",
    "load_mnist",
    "load_npz",
    "load_wine",
    "moons",
    "planar_flower",
    "spirals",
]


# Numbers that NumPy's legacy generator takes.
Seed: TypeAlias = Annotated[int, Bounds(least=0, most=2**32 - 1)]


def _sklearn_datasets(caller: str) -> Any:
    try:
        import sklearn.datasets
    except ImportError:
        raise missing_extra("scikit-learn", "data", caller) from None
    return sklearn.datasets


def _load_bundled(name: str, title: str, dtype: DTypeLike | None) -> TensorDataset:
    bunch = getattr(_sklearn_datasets(f"load_{name}"), f"load_{name}")()
    # Regression targets have no names.
    names = getattr(bunch, "target_names", None)
    y = (
        bunch.target.astype(np.int64)
        if names is not None
        else _converted(f"load_{name}", bunch.target, dtype)
    )
    classes = None if names is None else [str(label) for label in names]
    return TensorDataset(_converted(f"load_{name}", bunch.data, dtype), y, classes=classes, name=title)


def _converted(called: str, values: ArrayLike, dtype: DTypeLike | None) -> NDArray:
    """The values in a dtype, by default the default one. Raises DTypeError if it would cut something off."""
    with np.errstate(all="ignore"):
        converted = np.asarray(values).astype(dtype or get_default_dtype())
    if converted.dtype.kind != "f" and not np.array_equal(converted, np.asarray(values)):
        raise DTypeError(
            f"{called}: dtype: expected one that holds the values, such as float32, got {converted.dtype}"
        )
    return converted


@checked
def load_digits(dtype: DTypeLike | None = None) -> TensorDataset:
    """Scans of handwritten digits: x (1797, 64), 8 by 8 pixels from 0 to 16, in row-major order; y (1797,), 0 to 9.

    Source: E. Alpaydin, C. Kaynak, UCI repository 1998 (the test part), from scikit-learn.
    """
    return _load_bundled("digits", "digits", dtype)


@checked
def load_iris(dtype: DTypeLike | None = None) -> TensorDataset:
    """Iris flowers: x (150, 4), lengths and widths of sepals and petals in cm; y (150,), 3 species."""
    return _load_bundled("iris", "iris", dtype)


@checked
def load_wine(dtype: DTypeLike | None = None) -> TensorDataset:
    """Chemical analysis of wines: x (178, 13); y (178,), 3 growers."""
    return _load_bundled("wine", "wine", dtype)


@checked
def load_breast_cancer(dtype: DTypeLike | None = None) -> TensorDataset:
    """Measurements of cell nuclei: x (569, 30); y (569,), 0 malignant, 1 benign."""
    return _load_bundled("breast_cancer", "breast cancer", dtype)


@checked
def load_diabetes(dtype: DTypeLike | None = None) -> TensorDataset:
    """Diabetes patients: x (442, 10), centered and scaled; y (442,), a measure of disease progression (regression)."""
    return _load_bundled("diabetes", "diabetes", dtype)


def _legacy_generator(seed: int) -> Any:
    return np.random.RandomState(seed)  # the courses' generator: their printed results depend on its bits


def _points(x: ArrayLike, y: ArrayLike, name: str, dtype: DTypeLike | None) -> TensorDataset:
    y = np.asarray(y, dtype=np.int64)
    classes = [str(c) for c in range(int(y.max(initial=0)) + 1)]
    return TensorDataset(_converted(name.replace(" ", "_"), x, dtype), y, classes=classes, name=name)


@checked
def planar_flower(
    n: Count = 400, noise: NonNegative = 0.2, seed: Seed = 1, dtype: DTypeLike | None = None
) -> TensorDataset:
    """A flower whose petals alternate between two classes: x (n, 2), y (n,).

    Angles t = linspace(0, 3.12) or (3.12, 6.24) and radii 4 sin(4t), both with Gaussian noise.
    Source: Deep Learning Specialization, course 1 week 3, whose points are the default.

    >>> planar_flower().x.shape
    (400, 2)
    """
    if n < 2 or n % 2:
        raise ValueRangeError(f"planar_flower: n: expected an even number of points, got {n!r}")
    rng = _legacy_generator(seed)
    half = n // 2
    petals = []
    for label in (0, 1):
        t = np.linspace(label * 3.12, (label + 1) * 3.12, half) + rng.randn(half) * noise
        radius = 4 * np.sin(4 * t) + rng.randn(half) * noise
        petals.append(np.stack((radius * np.sin(t), radius * np.cos(t)), axis=1))
    return _points(np.concatenate(petals), np.repeat([0, 1], half), "planar flower", dtype)


@checked
def spirals(
    n: Count = 300,
    classes: Count = 3,
    noise: NonNegative = 0.2,
    seed: Seed = 1984,
    dtype: DTypeLike | None = None,
) -> TensorDataset:
    """The arms of a spiral, one per class: x (n, 2), y (n,), sorted by class.

    Point i of m in arm j has radius i/m and angle 4j + 4i/m, with Gaussian noise.
    Source: Deep Learning from Scratch 2, chapter 1, whose points are the default.

    >>> spirals().y[[0, 100, 200]].tolist()
    [0, 1, 2]
    """
    if n < classes or n % classes:
        raise ValueRangeError(f"spirals: n: expected a multiple of the {classes} classes, got {n!r}")
    m = n // classes
    radius = np.tile(np.arange(m) / m, classes)
    arm = np.repeat(np.arange(classes), m)
    angle = 4.0 * arm + 4.0 * radius + _legacy_generator(seed).randn(n) * noise
    x = np.stack((radius * np.sin(angle), radius * np.cos(angle)), axis=1)
    return _points(x, arm, "spirals", dtype)


@checked
def circles(
    n: Count = 300,
    noise: NonNegative = 0.05,
    factor: Annotated[float, Bounds(least=0, below=1)] = 0.8,
    seed: Seed = 1,
    dtype: DTypeLike | None = None,
) -> TensorDataset:
    """Two concentric circles, the inner one `factor` times as large: x (n, 2), y (n,), 1 on the inner circle.

    The defaults are the training points of course 2 week 1 of the Deep Learning Specialization; n=100,
    seed=2 its test points.
    """
    x, y = _sklearn_datasets("circles").make_circles(
        int(n), noise=float(noise), factor=float(factor), random_state=_legacy_generator(seed)
    )
    return _points(x, y, "circles", dtype)


@checked
def moons(
    n: Count = 300, noise: NonNegative = 0.2, seed: Seed = 3, dtype: DTypeLike | None = None
) -> TensorDataset:
    """Two interleaving half circles: x (n, 2), y (n,).

    The defaults are the points of course 2 week 2 of the Deep Learning Specialization.
    """
    x, y = _sklearn_datasets("moons").make_moons(
        int(n), noise=float(noise), random_state=_legacy_generator(seed)
    )
    return _points(x, y, "moons", dtype)


@checked
def blobs(
    n: Count = 200, centers: Count = 6, std: NonNegative = 1.0, seed: Seed = 5, dtype: DTypeLike | None = None
) -> TensorDataset:
    """Isotropic Gaussian blobs around random centers, one per class: x (n, 2), y (n,).

    The defaults are the points of course 1 week 3 of the Deep Learning Specialization, which takes the labels modulo 2.
    """
    x, y = _sklearn_datasets("blobs").make_blobs(
        int(n), centers=int(centers), cluster_std=float(std), random_state=_legacy_generator(seed)
    )
    return _points(x, y, "blobs", dtype)
