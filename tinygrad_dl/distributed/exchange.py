"""What every rank has, on every rank: sums and other reductions of arrays, and values of any kind."""

from __future__ import annotations

from typing import Any, TypeVar, get_args

import numpy as np

from tinygrad_dl.convert import describe, wrap
from tinygrad_dl.distributed.world import Reduction, world
from tinygrad_dl.errors import DTypeError, GraphError, ShapeError, ValueRangeError
from tinygrad_dl.nn.functional.synchronized import sum_over_ranks
from tinygrad_dl.tensor import Tensor

X = TypeVar("X")


def all_reduce(x: X, op: Reduction = "sum") -> X:
    """The sum, mean, maximum or minimum over the ranks of a number, an array or a Tensor, on every rank.

    out = sum_r x_r.   Shape: same as x. A new array: x stays as it is. Gradients flow through "sum" and "mean". All
    ranks call it, with one shape and dtype. Raises CommunicationError where these differ, ValueRangeError, DTypeError.

    >>> all_reduce(2.0)
    2.0
    """
    if not isinstance(op, str) or op not in get_args(Reduction):
        raise ValueRangeError(
            f"all_reduce: op: expected one of {', '.join(get_args(Reduction))}, got {op!r:.200}"
        )
    given: Any = x
    try:
        array = given._data if isinstance(x, Tensor) else np.asarray(x)
    except (ValueError, RecursionError):
        raise ShapeError("all_reduce: x: expected numbers, got rows of different lengths") from None
    if array.dtype.kind not in "biufc" or array.dtype.itemsize > 16:
        raise DTypeError(f"all_reduce: x: expected numbers, got {describe(x)}")
    records = isinstance(x, Tensor) and x.requires_grad
    if (records or array.dtype.kind == "c") and op in ("max", "min"):
        what = "a Tensor that requires grad" if records else array.dtype
        raise GraphError(f'all_reduce: op: expected "sum" or "mean" for {what}, got {op!r}')
    group = world()
    if group.size > 1:
        group.agree("all_reduce: x", (op, array.shape, str(array.dtype)))
    if records:
        total: Any = sum_over_ranks(given, group)
        return total if op == "sum" else total / group.size
    if array.dtype.byteorder not in "=|":
        array = array.astype(array.dtype.newbyteorder("="))
    result = group.reduce(array, op)
    if isinstance(x, Tensor):
        made: Any = wrap(result)
        return made
    if isinstance(x, np.ndarray):
        return result  # type: ignore[return-value]
    number: Any = result[()] if isinstance(x, np.generic) else result.item() if not result.ndim else result
    return number


def gather(value: X) -> list[X]:
    """The values of all ranks, in their order, on every rank: numbers, arrays, or anything that can be pickled.

    >>> gather("one process")
    ['one process']
    """
    return world().gather(value)


def barrier() -> None:
    """Return when every rank has come here.

    >>> barrier()
    """
    world().barrier()
