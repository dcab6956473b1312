"""Activations: what stands between the linear layers."""

from __future__ import annotations

from typing import Any

from tinygrad_dl.nn.module import Module
from tinygrad_dl.ops import elementwise
from tinygrad_dl.tensor import Tensor


class ReLU(Module):
    """The positive part.

    out = max(x, 0), its derivative 0 at 0.   Shape: same as x.
    >>> ReLU()(Tensor([-1.0, 2.0]))
    Tensor([0., 2.])
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, x: Any) -> Tensor:
        """The activation of x."""
        return elementwise.relu(x)

    def extra_repr(self) -> str:
        """Whether it was asked to work in place; results are new Tensors all the same."""
        return "inplace=True" if self.inplace else ""


class Tanh(Module):
    """The hyperbolic tangent, in (-1, 1).

    >>> Tanh()(Tensor([0.0]))
    Tensor([0.])
    """

    def forward(self, x: Any) -> Tensor:
        """The activation of x."""
        return elementwise.tanh(x)


class Sigmoid(Module):
    """The logistic function, in (0, 1).

    out = 1 / (1 + e^-x).   Shape: same as x.
    >>> Sigmoid()(Tensor([0.0]))
    Tensor([0.5])
    """

    def forward(self, x: Any) -> Tensor:
        """The activation of x."""
        return elementwise.sigmoid(x)
