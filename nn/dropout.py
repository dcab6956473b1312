"""Dropout: parts of the input set to 0 at random while training."""

from __future__ import annotations

from typing import Any

from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.nn.module import Module
from tinygrad_dl.ops import layers
from tinygrad_dl.tensor import Tensor


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False, *, rng: Any = None) -> None:
        if not 0 <= p <= 1:
            raise ValueRangeError(f"{type(self).__name__}: p is a probability, from 0 to 1; {p!r} came")
        self.p, self.inplace, self.rng = p, inplace, rng

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training, sets each element to 0 with the probability p and scales the others by 1 / (1 - p).

    In evaluation it passes its input on. `rng`: the generator to draw from instead of the default one.
    >>> Dropout(0.5).eval()(Tensor([1.0, 2.0]))
    Tensor([1., 2.])
    """

    def forward(self, x: Any) -> Tensor:
        """x with some elements set to 0."""
        return layers.dropout(x, self.p, rng=self.rng) if self.training and self.p else x


class _ChannelDropout(_Dropout):
    axes: tuple[int, ...]

    def forward(self, x: Any) -> Tensor:
        """x with some channels set to 0."""
        if x.ndim not in self.axes:
            sizes = " or ".join(map(str, self.axes))
            raise ShapeError(f"{type(self).__name__}: x needs {sizes} axes; the shape {x.shape} came")
        if not self.training or not self.p:
            return x
        batched = 1 if len(self.axes) == 1 or x.ndim < max(self.axes) else 2
        shape = (*x.shape[:batched], *[1] * (x.ndim - batched))
        return layers.dropout(x, self.p, shape=shape, rng=self.rng)


class Dropout1d(_ChannelDropout):
    """Dropout of whole channels of x (N, C, L) or (C, L)."""

    axes = (2, 3)


class Dropout2d(_ChannelDropout):
    """Dropout of whole channels of x (N, C, H, W) or (C, H, W).

    >>> out = Dropout2d(0.5, rng=0)(Tensor([[[[1.0, 1.0]], [[1.0, 1.0]], [[1.0, 1.0]]]]))
    >>> [len(set(channel[0])) for channel in out.tolist()[0]]
    [1, 1, 1]
    """

    axes = (3, 4)


class Dropout3d(_ChannelDropout):
    """Dropout of whole channels of x (N, C, D, H, W) or (C, D, H, W)."""

    axes = (4, 5)
