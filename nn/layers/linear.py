"""Fully connected layers."""

from __future__ import annotations

from tinygrad_dl.arguments import Size
from tinygrad_dl.nn import init
from tinygrad_dl.nn.module import Module
from tinygrad_dl.nn.warnings import warn_of_widening
from tinygrad_dl.ops.linear import bilinear, linear
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, DTypeLike, RandomLike


class Linear(Module):
    """A fully connected (affine) layer.

    out = x @ weight.T + bias.   x (..., in) -> (..., out); weight (out, in), bias (out,).
    Both are initialized uniformly in [-k, k], k = 1 / sqrt(in), as in PyTorch; nn.init has other initializers.
    >>> layer = Linear(3, 2)
    >>> layer(Tensor([[1.0, 2.0, 3.0]])).shape
    (1, 2)
    """

    _optional = {"bias": None}

    def __init__(
        self,
        in_features: Size,
        out_features: Size,
        bias: bool = True,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        *,
        rng: RandomLike = None,
    ) -> None:
        self.in_features, self.out_features = in_features, out_features
        self.weight = init.empty((out_features, in_features), dtype, device)
        self.bias = init.empty((out_features,), dtype, device) if bias else None
        self.reset_parameters(rng)

    def reset_parameters(self, rng: RandomLike = None) -> None:
        """Reinitialize weight and bias."""
        bound = self.in_features**-0.5 if self.in_features else 0.0
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                init.uniform_(parameter, -bound, bound, rng=rng)

    def forward(self, input: Array) -> Tensor:
        """Apply the layer to input (..., in)."""
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
    """A bilinear map of two inputs.

    out[n, o] = input1[n] @ weight[o] @ input2[n] + bias[o].   input1 (..., in1), input2 (..., in2) -> (..., out);
    weight (out, in1, in2), bias (out,). Both are initialized uniformly in [-k, k], k = 1 / sqrt(in1).
    >>> Bilinear(2, 3, 4)(Tensor([[1.0, 2.0]]), Tensor([[1.0, 2.0, 3.0]])).shape
    (1, 4)
    """

    _optional = {"bias": None}

    def __init__(
        self,
        in1_features: Size,
        in2_features: Size,
        out_features: Size,
        bias: bool = True,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        *,
        rng: RandomLike = None,
    ) -> None:
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        self.weight = init.empty((out_features, in1_features, in2_features), dtype, device)
        self.bias = init.empty((out_features,), dtype, device) if bias else None
        self.reset_parameters(rng)

    def reset_parameters(self, rng: RandomLike = None) -> None:
        """Reinitialize weight and bias."""
        bound = self.in1_features**-0.5 if self.in1_features else 0.0
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                init.uniform_(parameter, -bound, bound, rng=rng)

    def forward(self, input1: Array, input2: Array) -> Tensor:
        """Apply the layer to input1 (..., in1) and input2 (..., in2)."""
        return bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )
