"""Dropout: parts of the input set to 0 at random in training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_dl.arguments import Probability
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.nn.functional.dropouts import (
    alpha_dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)
from tinygrad_dl.nn.module import Module
from tinygrad_dl.ops import dropout as dropout_ops
from tinygrad_dl.typing import ArrayT, RandomLike


class _Dropout(Module):
    def __init__(self, p: Probability = 0.5, inplace: bool = False, *, rng: RandomLike = None) -> None:
        if not 0 <= p <= 1:
            raise ValueRangeError(f"{type(self).__name__}: expected a probability p from 0 to 1, got {p!r}")
        self.p, self.inplace, self.rng = p, inplace, rng

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training, sets each element to 0 with probability p and scales the others by 1 / (1 - p).

    In evaluation it returns its input unchanged. `rng`: the generator to draw from instead of the default one.
    >>> from tinygrad_dl import Tensor
    >>> Dropout(0.5).eval()(Tensor([1.0, 2.0]))
    Tensor([1., 2.])
    """

    def forward(self, input: ArrayT) -> ArrayT:
        """Drop elements of the input."""
        if not self.training or not self.p:
            return input
        out: Any = dropout_ops.dropout(input, self.p, rng=self.rng)
        return out


class _ChannelDropout(_Dropout):
    function: Callable[..., Any]

    def forward(self, input: ArrayT) -> ArrayT:
        """Drop channels of the input."""
        return type(self).function(input, self.p, self.training, rng=self.rng)


class Dropout1d(_ChannelDropout):
    """Dropout of whole channels of x (N, C, L) or (C, L)."""

    function = staticmethod(dropout1d)


class Dropout2d(_ChannelDropout):
    """Dropout of whole channels of x (N, C, H, W) or (C, H, W).

    >>> from tinygrad_dl import Tensor
    >>> out = Dropout2d(0.5, rng=0)(Tensor([[[[1.0, 1.0]], [[1.0, 1.0]], [[1.0, 1.0]]]]))
    >>> [len(set(channel[0])) for channel in out.tolist()[0]]
    [1, 1, 1]
    """

    function = staticmethod(dropout2d)


class Dropout3d(_ChannelDropout):
    """Dropout of whole channels of x (N, C, D, H, W) or (C, D, H, W)."""

    function = staticmethod(dropout3d)


class AlphaDropout(_Dropout):
    """Dropout that preserves mean 0 and variance 1, for networks with SELU activations.

    Dropped elements are set to selu's limit -1.7581, then all are scaled and shifted.   Source: Klambauer 2017.
    >>> from tinygrad_dl import Tensor
    >>> AlphaDropout(0.5).eval()(Tensor([1.0, 2.0]))
    Tensor([1., 2.])
    """

    def forward(self, input: ArrayT) -> ArrayT:
        """Set elements of the input to selu's limit."""
        return alpha_dropout(input, self.p, self.training, rng=self.rng)


class FeatureAlphaDropout(_Dropout):
    """AlphaDropout of whole channels of x (N, C, ...)."""

    def forward(self, input: ArrayT) -> ArrayT:
        """Set channels of the input to selu's limit."""
        return feature_alpha_dropout(input, self.p, self.training, rng=self.rng)
