"""Classes as vectors of zeros and a one."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.creation import asarray
from tinygrad_dl.errors import DTypeError, IndexRangeError
from tinygrad_dl.graph import Value


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """Class indices as rows of zeros with a one at the class; as many classes as there are, by default.

    tensor (...) of integers -> (..., C) of integers.
    >>> one_hot(np.array([0, 2])).tolist()
    [[1, 0, 0], [0, 0, 1]]
    """
    index = np.asarray(tensor._data if isinstance(tensor, Value) else tensor)
    if index.dtype.kind not in "iu":
        raise DTypeError(f"one_hot: class indices are integers; {index.dtype} came")
    classes = int(index.max(initial=-1)) + 1 if num_classes == -1 else num_classes
    if index.size and (index.min() < 0 or index.max() >= classes):
        wrong = index.min() if index.min() < 0 else index.max()
        raise IndexRangeError(f"one_hot: the class {wrong} came; {classes} classes are 0 to {classes - 1}")
    out = (index[..., None] == np.arange(classes)).astype(np.int64)
    return out if isinstance(tensor, np.ndarray) else asarray(out)
