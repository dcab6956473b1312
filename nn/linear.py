"""Fully connected layers."""

from __future__ import annotations

from typing import Any

from tinygrad_dl.nn import init
from tinygrad_dl.nn.module import Module
from tinygrad_dl.nn.notices import warn_of_widening
from tinygrad_dl.ops.linear import bilinear, linear
from tinygrad_dl.tensor import Tensor


class Linear(Module):
    """A fully connected layer.

    out = x @ weight.T + bias.   x (..., in) -> (..., out); weight (out, in), bias (out,).
    Both start uniform in [-k, k], k = 1 / sqrt(in), as in PyTorch; nn.init has other starts.
    >>> layer = Linear(3, 2)
    >>> layer(Tensor([[1.0, 2.0, 3.0]])).shape
    (1, 2)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None, *,
        rng: Any = None,
    ) -> None:  # fmt: skip
        self.in_features, self.out_features = in_features, out_features
        self.weight = init.empty((out_features, in_features), dtype, device)
        self.bias = init.empty((out_features,), dtype, device) if bias else None
        self.reset_parameters(rng)

    def reset_parameters(self, rng: Any = None) -> None:
        """Draw weight and bias anew."""
        bound = self.in_features**-0.5 if self.in_features else 0.0
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                init.uniform_(parameter, -bound, bound, rng=rng)

    def forward(self, input: Any) -> Tensor:
        """The layer's result for input (..., in)."""
        weight = self.weight
        if isinstance(input, Tensor) and input._data.dtype is not weight._data.dtype:
            warn_of_widening("Linear", input, weight)
        return linear(input, weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )


class Bilinear(Module):
    """A form that is linear in each of two inputs.

    out[n, o] = input1[n] @ weight[o] @ input2[n] + bias[o].   input1 (..., in1), input2 (..., in2) -> (..., out);
    weight (out, in1, in2), bias (out,). Both start uniform in [-k, k], k = 1 / sqrt(in1).
    >>> Bilinear(2, 3, 4)(Tensor([[1.0, 2.0]]), Tensor([[1.0, 2.0, 3.0]])).shape
    (1, 4)
    """

    def __init__(
        self, in1_features: int, in2_features: int, out_features: int, bias: bool = True, device: Any = None,
        dtype: Any = None, *, rng: Any = None,
    ) -> None:  # fmt: skip
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        self.weight = init.empty((out_features, in1_features, in2_features), dtype, device)
        self.bias = init.empty((out_features,), dtype, device) if bias else None
        self.reset_parameters(rng)

    def reset_parameters(self, rng: Any = None) -> None:
        """Draw weight and bias anew."""
        bound = self.in1_features**-0.5 if self.in1_features else 0.0
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                init.uniform_(parameter, -bound, bound, rng=rng)

    def forward(self, input1: Any, input2: Any) -> Tensor:
        """The layer's result for input1 (..., in1) and input2 (..., in2)."""
        return bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )
