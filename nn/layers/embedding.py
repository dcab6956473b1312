"""Embeddings: rows of a table, looked up by index."""

from __future__ import annotations

from typing import Any, Literal

from tinygrad_dl.arguments import NonNegative, Real, Size
from tinygrad_dl.creation import asarray
from tinygrad_dl.errors import ShapeError
from tinygrad_dl.nn import init
from tinygrad_dl.nn.functional.embeddings import check_padding, embedding, embedding_bag
from tinygrad_dl.nn.module import Module
from tinygrad_dl.nn.parameter import Parameter
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, ArrayLike, DTypeLike, RandomLike


def _table(name: str, weight: ArrayLike, rows: int, width: int) -> Parameter:
    table = Parameter(weight)
    if table.shape != (rows, width):
        raise ShapeError(f"{name}: expected _weight of shape {(rows, width)}, got {table.shape}")
    return table


class Embedding(Module):
    """A table of vectors, looked up by index.

    out[...] = weight[input[...]].   input (...) of integers, weight (V, D) -> (..., D). Initialized normal, the row
    `padding_idx` at 0, which gets no gradient. With `max_norm` a call shortens long rows in place. For this and the
    other options see nn.functional.embedding.
    >>> Embedding(10, 3)(Tensor([1, 2])).shape
    (2, 3)
    """

    def __init__(
        self,
        num_embeddings: Size,
        embedding_dim: Size,
        padding_idx: int | None = None,
        max_norm: NonNegative | None = None,
        norm_type: Real = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: ArrayLike | None = None,
        _freeze: bool = False,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        *,
        rng: RandomLike = None,
    ) -> None:
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = check_padding("Embedding", padding_idx, num_embeddings)
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        if _weight is None:
            self.weight = init.empty((num_embeddings, embedding_dim), dtype, device)
            self.reset_parameters(rng)
        else:
            self.weight = _table(type(self).__name__, _weight, num_embeddings, embedding_dim)
        if _freeze:
            self.weight.requires_grad_(False)

    @classmethod
    def from_pretrained(
        cls, embeddings: ArrayLike, freeze: bool = True, padding_idx: int | None = None, **options: Any
    ) -> Embedding:
        """An embedding with a given table; `freeze`: it is not trained."""
        table = asarray(embeddings)
        if table.ndim != 2:
            raise ShapeError(f"from_pretrained: expected a table of shape (V, D), got {table.shape}")
        rows, width = table.shape
        return cls(rows, width, padding_idx, _weight=table.detach(), _freeze=freeze, **options)

    def reset_parameters(self, rng: RandomLike = None) -> None:
        """Reinitialize the table; the padding row is 0."""
        init.normal_(self.weight, rng=rng)
        # Row padding_idx never gets a gradient, so it stays 0.
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0

    def forward(self, input: Array) -> Tensor:
        """Look up the rows at the indices."""
        return embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq
        )

    def extra_repr(self) -> str:
        """The sizes."""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        return text if self.padding_idx is None else f"{text}, padding_idx={self.padding_idx}"


class EmbeddingBag(Module):
    """Sums, means or maxima of the rows of a table, one bag of indices at a time; see nn.functional.embedding_bag.

    >>> EmbeddingBag(10, 3)(Tensor([[1, 2], [3, 4]])).shape
    (2, 3)
    """

    def __init__(
        self,
        num_embeddings: Size,
        embedding_dim: Size,
        max_norm: NonNegative | None = None,
        norm_type: Real = 2.0,
        scale_grad_by_freq: bool = False,
        mode: Literal["sum", "mean", "max"] = "mean",
        sparse: bool = False,
        _weight: ArrayLike | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        *,
        rng: RandomLike = None,
    ) -> None:
        self.num_embeddings, self.embedding_dim, self.mode, self.sparse = (
            num_embeddings,
            embedding_dim,
            mode,
            sparse,
        )
        self.max_norm, self.norm_type, self.scale_grad_by_freq = max_norm, norm_type, scale_grad_by_freq
        self.include_last_offset = include_last_offset
        self.padding_idx = check_padding("EmbeddingBag", padding_idx, num_embeddings)
        self.weight = (
            _table("EmbeddingBag", _weight, num_embeddings, embedding_dim)
            if _weight is not None
            else init.empty((num_embeddings, embedding_dim), dtype, device)
        )
        if _weight is None:
            self.reset_parameters(rng)

    def reset_parameters(self, rng: RandomLike = None) -> None:
        """Reinitialize the table; the padding row is 0."""
        init.normal_(self.weight, rng=rng)
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0

    def forward(
        self, input: Array, offsets: Array | None = None, per_sample_weights: Array | None = None
    ) -> Tensor:
        """Reduce each bag to one row."""
        return embedding_bag(
            input, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.mode, False,
            per_sample_weights, self.include_last_offset, self.padding_idx,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The sizes and the mode."""
        return f"{self.num_embeddings}, {self.embedding_dim}, mode={self.mode!r}"
