"""Embeddings: rows of a table, looked up by index."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.creation import asarray
from tinygrad_dl.errors import DTypeError, IndexRangeError, ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.nn import init
from tinygrad_dl.nn.module import Module
from tinygrad_dl.nn.parameter import Parameter
from tinygrad_dl.ops import reduce
from tinygrad_dl.ops.elementwise import where
from tinygrad_dl.ops.embedding import rows as lookup
from tinygrad_dl.tensor import Tensor


def _indices(name: str, input: Any, rows: int) -> np.ndarray:
    array = np.asarray(input._data if isinstance(input, Value) else input)
    if array.dtype.kind not in "iu":
        if array.size:
            raise DTypeError(
                f"{name}: indices are integers; {array.dtype} came. Convert them with .astype('int64')."
            )
        array = array.astype(np.int64)
    if array.size and (array.min() < 0 or array.max() >= rows):
        wrong = array.min() if array.min() < 0 else array.max()
        raise IndexRangeError(f"{name}: the index {wrong} came; the table has the rows 0 to {rows - 1}")
    return array


def _padding(name: str, padding_idx: int | None, rows: int) -> int | None:
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise ValueRangeError(f"{name}: padding_idx={padding_idx} is no row of a table of {rows}")
    return padding_idx % rows


def _shorten(table: np.ndarray, indices: np.ndarray, max_norm: float, norm_type: float) -> None:
    """Scale the rows that are looked up down to a norm, in place."""
    used = np.unique(indices)
    norms = np.linalg.norm(table[used], ord=norm_type, axis=1)
    long = norms > max_norm
    table[used[long]] *= (max_norm / (norms[long] + 1e-7))[:, None].astype(table.dtype)


def embedding(
    input: Any, weight: Any, padding_idx: int | None = None, max_norm: float | None = None, norm_type: float = 2.0,
    scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Any:  # fmt: skip
    """Rows of a table.

    out[...] = weight[input[...]].   input (...) of integers, weight (V, D) -> (..., D). The row `padding_idx` gets
    no gradient; rows longer than `max_norm` are shortened in place first; `scale_grad_by_freq` divides the
    gradient of a row by how often it was looked up. Gradients are dense whatever `sparse` says.
    >>> embedding(np.array([1, 1]), np.array([[1.0], [2.0]])).tolist()
    [[2.0], [2.0]]
    """
    if weight.ndim != 2:
        raise ShapeError(f"embedding: a table (V, D) is needed; the shape {weight.shape} came")
    indices = _indices("embedding", input, weight.shape[0])
    padding = _padding("embedding", padding_idx, weight.shape[0])
    if max_norm is not None:
        _shorten(weight._data if isinstance(weight, Value) else weight, indices, max_norm, norm_type)
    out = lookup(weight, indices)
    if not isinstance(out, Tensor) or not (scale_grad_by_freq or padding is not None):
        return out
    # The values stay; only what flows back is scaled or cut.
    if scale_grad_by_freq:
        counts = np.bincount(indices.reshape(-1), minlength=weight.shape[0])
        share = (1 / counts[indices])[..., None].astype(out.dtype)
        out = out * share + out.detach() * (1 - share)
    return out if padding is None else where((indices == padding)[..., None], out.detach(), out)


class Embedding(Module):
    """A table of vectors, looked up by index.

    out[...] = weight[input[...]].   input (...) of integers, weight (V, D) -> (..., D). Starts normal, the row
    `padding_idx` at 0; that row gets no gradient. For the other options see nn.functional.embedding.
    >>> Embedding(10, 3)(Tensor([1, 2])).shape
    (2, 3)
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None,
        max_norm: float | None = None, norm_type: float = 2.0, scale_grad_by_freq: bool = False,
        sparse: bool = False, _weight: Any = None, _freeze: bool = False, device: Any = None, dtype: Any = None,
        *, rng: Any = None,
    ) -> None:  # fmt: skip
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = _padding("Embedding", padding_idx, num_embeddings)
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        if _weight is None:
            self.weight = init.empty((num_embeddings, embedding_dim), dtype, device)
            self.reset_parameters(rng)
        else:
            self.weight = Parameter(_weight)
        if _freeze:
            self.weight.requires_grad_(False)

    @classmethod
    def from_pretrained(
        cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None, **options: Any
    ) -> Any:
        """An embedding whose table is given; `freeze`: it is not trained."""
        table = asarray(embeddings)
        if table.ndim != 2:
            raise ShapeError(f"from_pretrained: a table (V, D) is needed; the shape {table.shape} came")
        rows, width = table.shape
        return cls(rows, width, padding_idx, _weight=table.detach(), _freeze=freeze, **options)

    def reset_parameters(self, rng: Any = None) -> None:
        """Draw the table anew; the padding row is 0."""
        init.normal_(self.weight, rng=rng)
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0

    def forward(self, input: Any) -> Tensor:
        """The rows with these indices."""
        return embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq
        )

    def extra_repr(self) -> str:
        """The sizes."""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        return text if self.padding_idx is None else f"{text}, padding_idx={self.padding_idx}"


def embedding_bag(
    input: Any, weight: Any, offsets: Any = None, max_norm: float | None = None, norm_type: float = 2.0,
    scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False, per_sample_weights: Any = None,
    include_last_offset: bool = False, padding_idx: int | None = None,
) -> Any:  # fmt: skip
    """Sums, means or maxima of rows of a table, a bag of indices at a time.

    input (B, N): a bag a row; or (N,) with `offsets` (B,), where each bag starts -> (B, D). Indices equal to
    `padding_idx` do not count; `per_sample_weights`, of input's shape, multiply rows in mode "sum".
    >>> embedding_bag(np.array([0, 1, 1]), np.array([[1.0], [2.0]]), np.array([0, 2]), mode="sum").tolist()
    [[3.0], [2.0]]
    """
    name = "embedding_bag"
    if mode not in ("sum", "mean", "max"):
        raise ValueRangeError(f'{name}: mode is "sum", "mean" or "max"; {mode!r} came')
    indices = _indices(name, input, weight.shape[0])
    if per_sample_weights is not None and (mode != "sum" or per_sample_weights.shape != indices.shape):
        raise ValueRangeError(
            f'{name}: per_sample_weights need mode="sum" and the shape {indices.shape} of input'
        )
    if indices.ndim == 2 and offsets is None:
        starts = np.arange(indices.shape[0]) * indices.shape[1]
        indices = indices.reshape(-1)
        if per_sample_weights is not None:
            per_sample_weights = per_sample_weights.reshape(-1)
    elif indices.ndim == 1 and offsets is not None:
        starts = np.asarray(offsets._data if isinstance(offsets, Value) else offsets)
        starts = starts[:-1] if include_last_offset else starts
        if len(starts) and (starts[0] != 0 or (np.diff(starts) < 0).any() or starts[-1] > len(indices)):
            raise ValueRangeError(
                f"{name}: offsets start at 0, rise, and end within input; {starts.tolist()} came"
            )
    else:
        raise ShapeError(
            f"{name}: input (B, N) without offsets, or (N,) with offsets, is needed; {indices.shape} came"
        )
    sizes = np.diff(np.append(starts, len(indices)))
    longest = int(sizes.max(initial=0))
    # Bags as the rows of a rectangle, what lies behind a bag's end masked out.
    place = starts[:, None] + np.arange(longest)
    valid = np.arange(longest) < sizes[:, None]
    place = np.where(valid, place, 0)
    picked = indices[place] if len(indices) else np.zeros(place.shape, np.int64)
    padding = _padding(name, padding_idx, weight.shape[0])
    counted = valid if padding is None else np.logical_and(valid, picked != padding)
    rows = embedding(picked, weight, padding, max_norm, norm_type, scale_grad_by_freq)
    if mode == "max":
        if not longest:
            return reduce.sum(rows, axis=1)
        best = reduce.max(where(counted[..., None], rows, -np.inf), axis=1)
        return where(np.any(counted, axis=1, keepdims=True), best, 0)
    rows = where(counted[..., None], rows, 0)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights[place][..., None]
    total = reduce.sum(rows, axis=1)
    return (
        total if mode == "sum" else total / np.maximum(counted.sum(axis=1), 1)[:, None].astype(weight.dtype)
    )


class EmbeddingBag(Module):
    """Sums, means or maxima of the rows of a table, a bag of indices at a time; see nn.functional.embedding_bag.

    >>> EmbeddingBag(10, 3)(Tensor([[1, 2], [3, 4]])).shape
    (2, 3)
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, max_norm: float | None = None, norm_type: float = 2.0,
        scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False, _weight: Any = None,
        include_last_offset: bool = False, padding_idx: int | None = None, device: Any = None, dtype: Any = None,
        *, rng: Any = None,
    ) -> None:  # fmt: skip
        self.num_embeddings, self.embedding_dim, self.mode, self.sparse = (
            num_embeddings,
            embedding_dim,
            mode,
            sparse,
        )
        self.max_norm, self.norm_type, self.scale_grad_by_freq = max_norm, norm_type, scale_grad_by_freq
        self.include_last_offset = include_last_offset
        self.padding_idx = _padding("EmbeddingBag", padding_idx, num_embeddings)
        self.weight = (
            Parameter(_weight)
            if _weight is not None
            else init.empty((num_embeddings, embedding_dim), dtype, device)
        )
        if _weight is None:
            self.reset_parameters(rng)

    def reset_parameters(self, rng: Any = None) -> None:
        """Draw the table anew; the padding row is 0."""
        init.normal_(self.weight, rng=rng)
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0

    def forward(self, input: Any, offsets: Any = None, per_sample_weights: Any = None) -> Tensor:
        """One row a bag."""
        return embedding_bag(
            input, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.mode, False,
            per_sample_weights, self.include_last_offset, self.padding_idx,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The sizes and the mode."""
        return f"{self.num_embeddings}, {self.embedding_dim}, mode={self.mode!r}"
