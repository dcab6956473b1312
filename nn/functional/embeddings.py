"""Rows of a table looked up by index, and one-hot vectors."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from tinygrad_dl.arguments import LARGEST, Bounds, NonNegative, Real
from tinygrad_dl.convert import constant, values_of
from tinygrad_dl.creation import asarray
from tinygrad_dl.dispatch import each_example
from tinygrad_dl.errors import DTypeError, IndexRangeError, ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.modes import active, check_values, effect, tell
from tinygrad_dl.ops import embedding as embedding_ops
from tinygrad_dl.ops import reduce
from tinygrad_dl.ops.elementwise import astype, maximum, where
from tinygrad_dl.ops.index import take
from tinygrad_dl.ops.logic import equal, not_equal
from tinygrad_dl.ops.shape import expand_dims
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, ArrayLike


def _indices(name: str, input: Array, rows: int, natively: bool = True) -> np.ndarray:
    array = np.asarray(values_of(input))
    if array.dtype.kind not in "iu":
        if array.size:
            raise DTypeError(
                f"{name}: expected integer indices, got {array.dtype}. Convert them with .astype('int64')."
            )
        array = array.astype(np.int64)
    check_values(_check_indices, array, name, rows, native=natively)
    return array


def _check_indices(array: np.ndarray, name: str, rows: int) -> None:
    if array.size and (array.min() < 0 or array.max() >= rows):
        wrong = array.min() if array.min() < 0 else array.max()
        raise IndexRangeError(
            f"{name}: expected indices from 0 to {rows - 1}, the rows of the table, got {wrong}"
        )


def _check_one_hot(index: np.ndarray, classes: int) -> None:
    if index.size and (index.min() < 0 or index.max() >= classes):
        wrong = index.min() if index.min() < 0 else index.max()
        raise IndexRangeError(f"one_hot: expected classes from 0 to {classes - 1}, got {wrong}")


def check_padding(name: str, padding_idx: int | None, rows: int) -> int | None:
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise ValueRangeError(
            f"{name}: expected padding_idx to be a row of the table, which has {rows} rows, got {padding_idx}"
        )
    return padding_idx % rows


def _shorten(table: Array, indices: np.ndarray, max_norm: float, norm_type: float) -> None:
    """Scale looked-up rows that are too long down to a norm, in place."""
    rows = table._data if isinstance(table, Value) else table
    used = np.unique(indices)
    norms = np.linalg.norm(rows[used], ord=norm_type, axis=1)
    long = norms > max_norm
    # 1e-7 as in PyTorch, whose results this reproduces.
    rows[used[long]] *= (max_norm / (norms[long] + 1e-7))[:, None].astype(rows.dtype)


def _scaled(out: Tensor, indices: np.ndarray) -> Tensor:
    """The looked-up rows, with gradients divided by how often each index is looked up."""
    share, rest = effect(_shares, indices, out.dtype)
    return out * share + out.detach() * rest


def _shares(indices: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """One divided by how often each index is there, and the rest to 1."""
    counts = np.bincount(indices.reshape(-1), minlength=1)
    share = (1 / np.maximum(counts[indices], 1))[..., None].astype(dtype)
    return share, 1 - share


def embedding(
    input: Array,
    weight: Array,
    padding_idx: int | None = None,
    max_norm: NonNegative | None = None,
    norm_type: Real = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of a table at the given indices.

    out[...] = weight[input[...]].   input (...) of integers, weight (V, D) -> (..., D). The row `padding_idx` gets
    no gradient; `scale_grad_by_freq` divides the gradient of a row by how often it was looked up. Gradients are dense
    whatever `sparse` says. Rows longer than `max_norm` are shortened first, in place: what was computed from the
    table before, in the same graph, would get wrong gradients; compute that from a copy, `weight * 1`.
    >>> embedding(np.array([1, 1]), np.array([[1.0], [2.0]])).tolist()
    [[2.0], [2.0]]
    """
    if weight.ndim != 2:
        raise ShapeError(f"embedding: expected a table of shape (V, D), got {weight.shape}")
    indices: Any = _indices("embedding", input, weight.shape[0], weight.dtype != np.float16)
    mapped = isinstance(input, Value) and input.level is not None
    if mapped:  # in func.vmap each example has its own
        indices = input
    padding = check_padding("embedding", padding_idx, weight.shape[0])
    if max_norm is not None:
        effect(_shorten, weight, indices, max_norm, norm_type, changes=(weight,))
    out = take(weight, indices, axis=0) if mapped else embedding_ops.rows(weight, indices)
    if not isinstance(out, Tensor) or not (scale_grad_by_freq or padding is not None):
        return out  # type: ignore[return-value]
    # The values stay; only the gradient is scaled or zeroed.
    if scale_grad_by_freq:
        out = _scaled(out, indices)
    if padding is None:
        return out
    return where(expand_dims(equal(indices, padding), axis=-1), out.detach(), out)


@each_example
def embedding_bag(
    input: Array,
    weight: Array,
    offsets: Array | None = None,
    max_norm: NonNegative | None = None,
    norm_type: Real = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Array | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Sums, means or maxima of rows of a table, one bag of indices at a time.

    input (B, N): one bag per row; or (N,) with `offsets` (B,), where each bag starts -> (B, D). Indices equal to
    `padding_idx` do not count; `per_sample_weights`, of input's shape, multiply rows in mode "sum".
    >>> embedding_bag(np.array([0, 1, 1]), np.array([[1.0], [2.0]]), np.array([0, 2]), mode="sum").tolist()
    [[3.0], [2.0]]
    """
    name = "embedding_bag"
    if mode not in ("sum", "mean", "max"):
        raise ValueRangeError(f'{name}: expected mode "sum", "mean" or "max", got {mode!r}')
    indices = _indices(name, input, weight.shape[0], False)
    if per_sample_weights is not None and (mode != "sum" or per_sample_weights.shape != indices.shape):
        raise ValueRangeError(
            f"{name}: expected per_sample_weights with mode='sum' and of the input's shape {indices.shape}, "
            f"got mode={mode!r} and the shape {per_sample_weights.shape}"
        )
    padding = check_padding(name, padding_idx, weight.shape[0])
    if indices.ndim == 2 and offsets is None:
        bags, count = None, indices.shape[0]
    elif indices.ndim == 1 and offsets is not None:
        starts = np.asarray(offsets._data if isinstance(offsets, Value) else offsets)
        count = max(len(starts) - include_last_offset, 0)
        bags = effect(_bags, starts, len(indices), count)
    else:
        raise ShapeError(
            f"{name}: expected input (B, N) without offsets, or (N,) with offsets, got {indices.shape}"
        )
    rows: Any = embedding(indices, weight, padding, max_norm, norm_type, scale_grad_by_freq)
    counted = None if padding is None else not_equal(indices, padding)
    if mode == "max":
        return _largest(rows, counted, bags, count)
    if counted is not None:
        rows = where(expand_dims(counted, -1), rows, 0)
    if per_sample_weights is not None:
        rows = rows * expand_dims(per_sample_weights, -1)
    total = reduce.sum(rows, axis=1) if bags is None else embedding_ops.scatter_rows(rows, bags, count)
    if mode == "sum":
        return total
    # An empty bag has mean 0, not nan, as in PyTorch.
    if bags is not None:
        return total / effect(_sizes, indices, bags, padding, count, weight.dtype)
    if counted is None:
        return total / max(indices.shape[1], 1)
    return total / maximum(astype(reduce.sum(counted, axis=1, keepdims=True), weight.dtype), 1)


def _bags(starts: np.ndarray, length: int, count: int) -> np.ndarray:
    """The number of the bag of each index, from where the bags start."""
    starts = starts[:count]
    if len(starts) and (starts[0] != 0 or (np.diff(starts) < 0).any() or starts[-1] > length):
        raise ValueRangeError(
            "embedding_bag: expected offsets that start at 0, never decrease and end within input, "
            f"got {starts.tolist()}"
        )
    return np.repeat(np.arange(count), np.diff(np.append(starts, length if count else 0)))


def _sizes(
    indices: np.ndarray, bags: np.ndarray, padding: int | None, count: int, dtype: np.dtype
) -> np.ndarray:
    """How many indices of each bag count, at least 1: (B, 1)."""
    counted = np.ones(indices.shape, bool) if padding is None else indices != padding
    sizes = np.bincount(bags[counted], minlength=count)
    return np.asarray(np.maximum(sizes, 1)[:, None].astype(dtype))


def _largest(rows: Any, counted: Any, bags: np.ndarray | None, count: int) -> Any:
    """The largest element of each bag, 0 in a bag without counted rows."""
    if bags is not None:
        if active:
            tell("read", "embedding_bag of the largest elements of bags with offsets")
        # Bags as the rows of a rectangle, places after a bag's end not counted.
        sizes = np.bincount(bags, minlength=count)
        across = np.arange(int(sizes.max(initial=0)))
        inside = across < sizes[:, None]
        place = np.where(inside, (np.cumsum(sizes) - sizes)[:, None] + across, 0)
        counted = inside if counted is None else np.logical_and(inside, counted[place])
        rows = take(rows, place, axis=0)
    if not rows.shape[1]:
        return reduce.sum(rows, axis=1)
    if counted is None:
        return reduce.max(rows, axis=1)
    # -inf never wins.
    best = reduce.max(where(expand_dims(counted, -1), rows, -np.inf), axis=1)
    return where(reduce.any(counted, axis=1, keepdims=True), best, 0)


def one_hot(tensor: ArrayLike, num_classes: Annotated[int, Bounds(least=-1, most=LARGEST)] = -1) -> Tensor:
    """One-hot vectors of class indices; by default with as many classes as the largest index needs.

    tensor (...) of integers -> (..., C) of integers.
    >>> one_hot(np.array([0, 2])).tolist()
    [[1, 0, 0], [0, 0, 1]]
    """
    index = np.asarray(values_of(tensor))
    if index.dtype.kind not in "iu":
        raise DTypeError(f"one_hot: expected integer class indices, got {index.dtype}")
    if active and num_classes == -1:
        tell("read", "one_hot without a number of classes")
    classes = int(index.max(initial=-1)) + 1 if num_classes == -1 else num_classes
    check_values(_check_one_hot, index, classes, native=True)
    if active and isinstance(tensor, Value) and tensor.level is None:  # an operation, which watchers see
        return embedding_ops.rows(constant(np.eye(classes, dtype=np.int64)), index)
    each: Any = tensor if isinstance(tensor, Value) and tensor.level is not None else index
    out = (each[..., None] == np.arange(classes)).astype(np.int64)
    return out if isinstance(tensor, np.ndarray) else asarray(out)
