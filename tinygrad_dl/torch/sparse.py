"""torch.sparse: sparse Tensors by way of dense ones, which have the same values; a warning says so.

What is not listed in a sparse Tensor is 0 in the dense one, so that a listed 0 is not told apart from it.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from tinygrad_dl.tensor import Tensor as Value
from tinygrad_dl.torch.boundary import made
from tinygrad_dl.torch.creation import as_tensor, zeros
from tinygrad_dl.torch.dtypes import check_device
from tinygrad_dl.torch.registry import TORCH
from tinygrad_dl.torch.tensor import Tensor


def _notice(stacklevel: int = 3) -> None:
    warnings.warn(
        "torch.sparse: a dense Tensor with the same values is used in the place of a sparse one.",
        stacklevel=stacklevel,
    )


def sparse_coo_tensor(
    indices: Any, values: Any = None, size: Any = None, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False, check_invariants: Any = None, is_coalesced: Any = None,
) -> Any:  # fmt: skip
    """The dense Tensor with these values at these indices, one column each; values at the same index are added."""
    check_device(device)
    _notice()
    if values is None:  # sizes alone
        return zeros(tuple(indices if size is None else size), dtype=dtype, requires_grad=requires_grad)
    places = np.asarray(indices._data if isinstance(indices, Value) else indices, np.int64)
    given = as_tensor(values, dtype)
    rest = tuple(given.shape[1:])
    if size is None:
        size = (*(int(n) + 1 for n in places.max(1)), *rest)
    if (places < 0).any() or (places >= np.array(size[: len(places)])[:, None]).any():
        raise RuntimeError(f"sparse_coo_tensor: an index is out of bounds for the size {tuple(size)}")
    result = zeros(tuple(size), dtype=given.dtype).index_put(
        tuple(made(i) for i in places), given, accumulate=True
    )
    return result.requires_grad_() if requires_grad else result


def sparse_csr_tensor(crow_indices: Any, col_indices: Any, values: Any, size: Any = None, **how: Any) -> Any:
    """The dense Tensor with these values, of which `crow_indices` counts those of each row."""
    counts = np.diff(np.asarray(crow_indices._data if isinstance(crow_indices, Value) else crow_indices))
    columns = np.asarray(col_indices._data if isinstance(col_indices, Value) else col_indices, np.int64)
    if size is None:
        size = (len(counts), int(columns.max()) + 1)
    rows = np.repeat(np.arange(len(counts)), counts)
    return sparse_coo_tensor(np.stack([rows, columns]), values, size, **how)


def _to_sparse(self: Any, *args: Any, **kwargs: Any) -> Any:
    """The values in memory of their own: sparse Tensors are dense here."""
    _notice()
    return self.clone()


def _listed(self: Any) -> Any:
    return np.stack(np.nonzero(self._data)) if self._data.ndim else np.zeros((0, 1), np.int64)


def _softmax(of: str) -> Any:
    def call(input: Any, dim: int, *, dtype: Any = None) -> Any:
        x = input if dtype is None else input.to(dtype)
        there = made(x._data != 0)
        found = TORCH[of](TORCH["where"](there, x, -math.inf), dim)
        return TORCH["where"](there, found, 0.0)

    call.__name__, call.__doc__ = of, f"`{of}` of the elements that are not 0."
    return call


METHODS_OF_SPARSE: dict[str, Any] = {
    "to_sparse": _to_sparse,
    "to_sparse_coo": _to_sparse,
    "to_sparse_csr": _to_sparse,
    "to_sparse_csc": _to_sparse,
    "indices": lambda self: made(_listed(self)),
    "values": lambda self: self[tuple(made(i) for i in _listed(self))],
    "is_coalesced": lambda self: True,
    "sparse_dim": lambda self: int(self._data.ndim),
    "dense_dim": lambda self: 0,
    "_nnz": lambda self: int(np.count_nonzero(self._data)),
    "sparse_mask": lambda self, mask: TORCH["where"](made(mask._data != 0), self, 0.0),
}
for _name, _function in METHODS_OF_SPARSE.items():
    setattr(Tensor, _name, _function)


def _typed(dtype: str) -> Any:
    def create(indices: Any, values: Any, size: Any = None) -> Any:
        return sparse_coo_tensor(indices, values, size, dtype=dtype)

    return create


# Typed constructors of old programs
FloatTensor, DoubleTensor, HalfTensor = _typed("float32"), _typed("float64"), _typed("float16")
LongTensor, IntTensor = _typed("int64"), _typed("int32")
mm = smm = spmm = hspmm = TORCH["matmul"]
addmm = sspaddmm = TORCH["addmm"]
sum = TORCH["sum"]
softmax, log_softmax = _softmax("softmax"), _softmax("log_softmax")
TORCH.update(smm=mm, spmm=mm, hspmm=mm, dsmm=mm, hsmm=mm, sspaddmm=addmm)
