"""Linear and bilinear maps as functions, with PyTorch's arguments."""

from __future__ import annotations

from tinygrad_dl.ops import linear as linear_ops
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array


def linear(input: Array, weight: Array, bias: Array | None = None) -> Tensor:
    """The affine map of each row.

    out = input @ weight.T + bias.   input (..., in), weight (out, in), bias (out,) -> (..., out).

    >>> linear(np.array([[1.0, 2.0]]), weight=np.array([[3.0, 4.0]]), bias=np.array([0.5]))
    array([[11.5]])
    """
    return linear_ops.linear(input, weight, bias)


def bilinear(input1: Array, input2: Array, weight: Array, bias: Array | None = None) -> Tensor:
    """A bilinear map of two inputs.

    out[..., o] = input1[...] @ weight[o] @ input2[...] + bias[o].   input1 (..., in1), input2 (..., in2),
    weight (out, in1, in2), bias (out,) -> (..., out).
    >>> bilinear(np.array([[1.0, 2.0]]), np.array([[3.0]]), np.array([[[1.0], [1.0]]]))
    array([[9.]])
    """
    return linear_ops.bilinear(input1, input2, weight, bias)
