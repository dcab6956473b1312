"""Data sets: a length, and examples by index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias, Union

import numpy as np

from tinygrad_dl import Tensor, asarray
from tinygrad_dl.arguments import brief, refuse_unfit
from tinygrad_dl.convert import describe
from tinygrad_dl.errors import DTypeError, IndexRangeError, ShapeError, ValueRangeError
from tinygrad_dl.typing import ArrayLike, NDArray

#: What selects one or several examples: an integer, a slice, integers or a boolean mask.
Index: TypeAlias = Union[int, slice, Sequence[int], NDArray]


class Examples(Protocol):
    """What works as a data set: a length, and examples by index from 0. Lists, tuples and arrays do."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


#: What a training loop takes: a data set, a tuple of arrays, or a loader of batches.
DataLike: TypeAlias = Union[Examples, Iterable[Any]]


class Dataset:
    """Base class of data sets: a subclass defines `__len__` and `__getitem__`, which returns one example.

    An example is an array, a number, or a tuple or dict of these. Any object with both methods works as a data
    set; deriving from this class adds iteration.
    """

    def __len__(self) -> int:
        raise DTypeError(f"{type(self).__name__} must define __len__, the number of its examples")

    def __getitem__(self, index: Index) -> Any:
        raise DTypeError(f"{type(self).__name__} must define __getitem__(i), which returns example i")

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))


class TensorDataset(Dataset):
    """A data set of arrays that share their first axis, such as inputs x (N, ...) and targets y (N,).

    `part` ("train", "dev", "test") is set by `split`; `classes` names the values of y; `name` is used in titles.
    Indexing returns a tuple of Tensors, for one example or several. Raises ShapeError for unequal lengths.

    >>> data = TensorDataset([[1.0, 2.0], [3.0, 4.0]], [0, 1])
    >>> data[1]
    (Tensor([3., 4.]), Tensor(1))
    """

    def __init__(
        self,
        *arrays: ArrayLike,
        part: str | None = None,
        classes: Sequence[str] | None = None,
        name: str = "",
    ) -> None:
        if not arrays:
            raise ValueRangeError(
                "TensorDataset: expected at least one array, such as TensorDataset(x, y), got none"
            )
        # NumPy arrays are shared, not copied: a data set may be most of the memory.
        self.arrays: tuple[NDArray, ...] = tuple(_array(i, a) for i, a in enumerate(arrays))
        refuse_unfit(_description, (), {"part": part, "classes": classes, "name": name}, "TensorDataset")
        self.part, self.classes, self.name = part, classes, name
        lengths = [a.shape[0] if a.ndim else None for a in self.arrays]
        if None in lengths or len(set(lengths)) > 1:
            shapes = ", ".join(str(a.shape) for a in self.arrays)
            hint = ""
            if all(a.ndim for a in self.arrays) and lengths[-1] in {a.shape[-1] for a in self.arrays[:-1]}:
                hint = " The first axis runs over the examples: transpose x from (features, examples)?"
            raise ShapeError(
                f"TensorDataset: expected first axes of equal length, got shapes {shapes}.{hint}"
            )

    @property
    def x(self) -> NDArray:
        """The first array: the inputs."""
        return self.arrays[0]

    @property
    def y(self) -> NDArray:
        """The last array: the targets."""
        return self.arrays[-1]

    def take(self, indices: Index) -> TensorDataset:
        """Return the examples at `indices` as a TensorDataset with the same description."""
        return self.replaced(*self._selected(indices))

    def replaced(self, *arrays: ArrayLike, part: str | None = None) -> TensorDataset:
        """Return a data set with its first arrays replaced by `arrays`, and the same description."""
        arrays = (*arrays, *self.arrays[len(arrays) :])
        return TensorDataset(
            *arrays, part=self.part if part is None else part, classes=self.classes, name=self.name
        )

    def __len__(self) -> int:
        return int(self.arrays[0].shape[0])

    def __getitem__(self, index: Index) -> tuple[Tensor, ...]:
        return tuple(map(asarray, self._selected(index)))

    def _selected(self, index: Index) -> tuple[NDArray, ...]:
        positions = _positions("TensorDataset", index, len(self))
        return tuple(a[positions] for a in self.arrays)

    def __repr__(self) -> str:
        what = ", ".join(f"{a.dtype}{a.shape}" for a in self.arrays)
        title = " ".join(filter(None, (self.name, self.part)))
        return f"TensorDataset({title + ': ' if title else ''}{what})"


class Subset(Dataset):
    """The examples of a data set at `indices`: integers, or a boolean mask with one value per example.

    Raises IndexRangeError for an index that it does not have, ShapeError, DTypeError.

    >>> len(Subset([10, 20, 30], [0, 2]))
    2
    """

    def __init__(self, dataset: Examples, indices: Index, part: str | None = None) -> None:
        sized = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
        if not sized or isinstance(dataset, (str, bytes)):
            raise DTypeError(
                "Subset: dataset: expected a data set with __len__ and __getitem__, got "
                f"{type(dataset).__name__}"
            )
        refuse_unfit(_description, (), {"part": part}, "Subset")
        positions = _positions("Subset", indices, len(dataset))
        self.dataset, self.part = dataset, part
        self.indices: NDArray = np.arange(len(dataset))[positions].reshape(-1)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Index) -> Any:
        positions = _positions("Subset", index, len(self))
        if isinstance(positions, int):
            return self.dataset[int(self.indices[positions])]
        return Subset(self.dataset, self.indices[positions], self.part)

    def __repr__(self) -> str:
        part = f"{self.part}: " if self.part else ""
        return f"Subset({part}{len(self)} of {len(self.dataset)} examples of {brief(self.dataset)})"


def _description(part: str | None = None, classes: Sequence[Any] | None = None, name: str = "") -> None:
    """What describes a data set, for refuse_unfit."""


def _array(i: int, a: ArrayLike) -> NDArray:
    if isinstance(a, np.ndarray):
        return np.asarray(a)
    try:
        return asarray(a).data
    except (DTypeError, ShapeError) as error:
        error.args = (f"TensorDataset: array {i}: {str(error).removeprefix('asarray: ')}",)
        raise


def _positions(called: str, index: Index | Tensor, n: int) -> int | slice | NDArray:
    """What selects examples, in a form that NumPy takes; integers are in range and refer to the first axis."""
    if isinstance(index, slice):
        return index
    try:
        array = index.data if isinstance(index, Tensor) else np.asarray(index)
    except (ValueError, RecursionError):
        raise ShapeError(f"{called}: indices: expected integers, got rows of different lengths") from None
    if not array.size and array.dtype.kind == "f":  # an empty list
        array = array.astype(np.intp)
    if array.dtype.kind not in "iub" or isinstance(index, (bool, np.bool_)):
        raise DTypeError(
            f"{called}: indices: expected integers, a slice or a boolean mask, got {describe(index)}"
        )
    if array.dtype.kind == "b":
        if array.size != n:
            raise ShapeError(
                f"{called}: indices: expected a mask with one value per example, ({n},), got {array.shape}"
            )
        return np.flatnonzero(array)
    outside = array[(array < -n) | (array >= n)]
    if outside.size:
        raise IndexRangeError(
            f"{called}: expected {'an index' if not array.ndim else 'indices'} below {n}, the number of examples, "
            f"got {outside.reshape(-1)[0]}"
        )
    return array if array.ndim else int(array)
