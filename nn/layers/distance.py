"""Similarity and distance of vectors, as modules."""

from __future__ import annotations

from tinygrad_dl.arguments import NonNegative, Real
from tinygrad_dl.nn.functional.distance import cosine_similarity, pairwise_distance
from tinygrad_dl.nn.module import Module
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along `dim`; see nn.functional.cosine_similarity."""

    def __init__(self, dim: int = 1, eps: NonNegative = 1e-8) -> None:
        self.dim, self.eps = dim, eps

    def forward(self, x1: Array, x2: Array) -> Tensor:
        """The cosine similarities."""
        return cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The p-norm of the difference of vectors along the last axis; see nn.functional.pairwise_distance."""

    def __init__(self, p: float = 2.0, eps: Real = 1e-6, keepdim: bool = False) -> None:
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Array, x2: Array) -> Tensor:
        """The distances."""
        return pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
