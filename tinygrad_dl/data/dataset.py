"""Data sets: anything with a length and examples by number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_dl import Tensor, asarray
from tinygrad_dl.errors import DTypeError, IndexRangeError, ShapeError, ValueRangeError


class Dataset:
    """Base of data sets: a subclass defines `__len__` and `__getitem__`, which gives one example.

    An example is an array, a number, or a tuple or dict of these. It is enough to have both methods;
    deriving from this class adds iteration.
    """

    def __len__(self) -> int:
        raise DTypeError(f"{type(self).__name__} has to define __len__, the number of its examples")

    def __getitem__(self, index: Any) -> Any:
        raise DTypeError(f"{type(self).__name__} has to define __getitem__(i), which gives example i")

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))


class TensorDataset(Dataset):
    """Arrays whose first axes run over the same examples, such as inputs x (N, ...) and targets y (N,).

    `part` ("train", "dev", "test") is set by `split`; `classes` names the values of y; `name` is for titles.
    Indexing gives a tuple of Tensors, of one example or of several. Raises ShapeError for unequal lengths.

    >>> data = TensorDataset([[1.0, 2.0], [3.0, 4.0]], [0, 1])
    >>> data[1]
    (Tensor([3., 4.]), Tensor(1))
    """

    def __init__(
        self,
        *arrays: Any,
        part: str | None = None,
        classes: Sequence[str] | None = None,
        name: str = "",
    ) -> None:
        if not arrays:
            raise ValueRangeError("TensorDataset: at least one array is needed, such as TensorDataset(x, y)")
        self.arrays: tuple[np.ndarray, ...] = tuple(
            np.asarray(a) if isinstance(a, np.ndarray) else asarray(a).data for a in arrays
        )
        self.part, self.classes, self.name = part, classes, name
        lengths = [a.shape[0] if a.ndim else None for a in self.arrays]
        if None in lengths or len(set(lengths)) > 1:
            shapes = ", ".join(str(a.shape) for a in self.arrays)
            hint = ""
            if all(a.ndim for a in self.arrays) and lengths[-1] in {a.shape[-1] for a in self.arrays[:-1]}:
                hint = " Examples come first here: transpose x from (features, examples)?"
            raise ShapeError(
                f"TensorDataset: the first axes have to be equally long; the shapes are {shapes}.{hint}"
            )

    @property
    def x(self) -> np.ndarray:
        """The first array: the inputs."""
        return self.arrays[0]

    @property
    def y(self) -> np.ndarray:
        """The last array: the targets."""
        return self.arrays[-1]

    def take(self, indices: Any) -> TensorDataset:
        """The examples at these indices, as a data set of the same kind."""
        return self.replaced(*(a[indices] for a in self.arrays))

    def replaced(self, *arrays: Any, part: str | None = None) -> TensorDataset:
        """A data set with other arrays and the same description; fewer arrays replace the first ones."""
        arrays = (*arrays, *self.arrays[len(arrays) :])
        return TensorDataset(*arrays, part=part or self.part, classes=self.classes, name=self.name)

    def __len__(self) -> int:
        return self.arrays[0].shape[0]

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        try:
            return tuple(asarray(a[index]) for a in self.arrays)
        except IndexError:
            raise IndexRangeError(f"TensorDataset: example {index} of {len(self)} does not exist") from None

    def __repr__(self) -> str:
        what = ", ".join(f"{a.dtype}{a.shape}" for a in self.arrays)
        title = " ".join(filter(None, (self.name, self.part)))
        return f"TensorDataset({title + ': ' if title else ''}{what})"


class Subset(Dataset):
    """Some examples of a data set, by their numbers in it. Raises IndexRangeError for others.

    >>> len(Subset([10, 20, 30], [0, 2]))
    2
    """

    def __init__(self, dataset: Any, indices: Any, part: str | None = None) -> None:
        self.dataset, self.part = dataset, part
        self.indices = np.asarray(indices, dtype=np.intp).reshape(-1)
        wrong = self.indices[(self.indices < -len(dataset)) | (self.indices >= len(dataset))]
        if len(wrong):
            raise IndexRangeError(f"Subset: example {wrong[0]} of {len(dataset)} does not exist")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, (int, np.integer)):
            return self.dataset[int(self.indices[index])]
        return Subset(self.dataset, self.indices[index], self.part)
