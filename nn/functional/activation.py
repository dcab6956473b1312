"""Activations as functions, with PyTorch's arguments; the results of Tensors record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from tinygrad_dl.arguments import NonNegative, Positive, Real, refuse_unfit
from tinygrad_dl.convert import beside
from tinygrad_dl.dispatch import drawn
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.ops import activations, elementwise
from tinygrad_dl.ops.shape import reshape
from tinygrad_dl.ops.sort import argmax
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, ArrayT, DTypeLike, RandomLike, readable


class Unary(Protocol):
    """An activation without options: a Tensor in is a Tensor out, an array in is an array out."""

    def __call__(self, input: ArrayT) -> ArrayT: ...


class UnaryInPlace(Protocol):
    """An activation with PyTorch's `inplace`, which is accepted and changes nothing: the result is new."""

    def __call__(self, input: ArrayT, inplace: bool = False) -> ArrayT: ...


def _documented_as(op: Callable[..., Any], function: Any) -> Any:
    """The function under PyTorch's name for an operation, with the operation's docstring and its own signature."""
    name = op.__name__.replace("_", "")  # log_sigmoid is logsigmoid there
    function.__name__ = function.__qualname__ = name
    if hasattr(op, "op"):  # it explains its own errors
        function.op = op.op
    function.__doc__ = (op.__doc__ or "").replace(f"{op.__name__}(", f"{name}(")
    return readable(function)


def _unary(op: Callable[..., Any]) -> Unary:
    def function(input: ArrayT) -> ArrayT:
        return op(input)

    return _documented_as(op, function)


def _unary_in_place(op: Callable[..., Any]) -> UnaryInPlace:
    def function(input: ArrayT, inplace: bool = False) -> ArrayT:
        if inplace is not False and inplace is not True:
            refuse_unfit(function, (input,), {"inplace": inplace})
        return op(input)

    return _documented_as(op, function)


# The operations that PyTorch has under the same name: they differ in the argument's name, and in `inplace`.
sigmoid = _unary(activations.sigmoid)
tanh = _unary(activations.tanh)
logsigmoid = _unary(activations.log_sigmoid)
softsign = _unary(activations.softsign)
tanhshrink = _unary(activations.tanhshrink)
relu = _unary_in_place(activations.relu)
selu = _unary_in_place(activations.selu)
silu = _unary_in_place(activations.silu)
mish = _unary_in_place(activations.mish)
hardsigmoid = _unary_in_place(activations.hardsigmoid)
hardswish = _unary_in_place(activations.hardswish)


# With options


def relu6(input: Array, inplace: bool = False) -> Tensor:
    """The positive part, clamped to at most 6.

    out = min(max(input, 0), 6), with derivative 0 at 0 and 6.   Shape: same as input.
    >>> relu6(np.array([-1.0, 2.0, 8.0]))
    array([0., 2., 6.])
    """
    return activations.hardtanh(input, 0.0, 6.0)  # type: ignore[return-value]


def leaky_relu(input: Array, negative_slope: Real = 0.01, inplace: bool = False) -> Tensor:
    """The positive part plus a small multiple of the negative part.

    out = input where input > 0, negative_slope * input elsewhere.   Shape: same as input.
    >>> leaky_relu(np.array([-1.0, 2.0]), 0.1)
    array([-0.1,  2. ])
    """
    return activations.leaky_relu(input, negative_slope)  # type: ignore[return-value]


def elu(input: Array, alpha: Real = 1.0, inplace: bool = False) -> Tensor:
    """The input above 0, a saturating exponential below.

    out = input where input > 0, alpha * (e^input - 1) elsewhere.   Shape: same as input.   Source: Clevert 2016.
    >>> elu(np.array([-1.0, 2.0])).round(4)
    array([-0.6321,  2.    ])
    """
    return activations.elu(input, alpha)  # type: ignore[return-value]


def celu(input: Array, alpha: Real = 1.0, inplace: bool = False) -> Tensor:
    """elu with a derivative that is continuous at 0 for every alpha.

    out = input where input > 0, alpha * (e^(input / alpha) - 1) elsewhere.   Shape: same as input.
    >>> celu(np.array([-2.0, 2.0]), alpha=2.0).round(4)
    array([-1.2642,  2.    ])
    """
    if not alpha:
        raise ValueRangeError("celu: expected alpha other than 0, got 0")
    return activations.celu(input, alpha)


def gelu(input: Array, approximate: str = "none") -> Tensor:
    """The input times the standard normal distribution function, exactly or by the "tanh" approximation.

    out = input * (1 + erf(input / sqrt(2))) / 2.   Shape: same as input.   Raises ValueRangeError for another
    `approximate` than "none" and "tanh".
    >>> gelu(np.array([0.0, 1.0])).round(4)
    array([0.    , 0.8413])
    """
    if approximate not in ("none", "tanh"):
        raise ValueRangeError(f'gelu: expected approximate "none" or "tanh", got {approximate!r}')
    return activations.gelu(input) if approximate == "none" else activations.gelu_tanh(input)  # type: ignore[return-value]


def softplus(input: Array, beta: Real = 1.0, threshold: Real = 20.0) -> Tensor:
    """A smooth positive part.

    out = log(1 + e^(beta * input)) / beta, and input where beta * input > threshold.   Shape: same as input.
    >>> softplus(np.array([0.0, 100.0])).round(4)
    array([  0.6931, 100.    ])
    """
    return activations.softplus(input, beta, threshold)  # type: ignore[return-value]


def hardtanh(input: Array, min_val: Real = -1.0, max_val: Real = 1.0, inplace: bool = False) -> Tensor:
    """The input clamped to a range.

    out = min(max(input, min_val), max_val), with derivative 0 at both bounds.   Shape: same as input.
    >>> hardtanh(np.array([-2.0, 0.5, 2.0]))
    array([-1. ,  0.5,  1. ])
    """
    return activations.hardtanh(input, min_val, max_val)  # type: ignore[return-value]


def hardshrink(input: Array, lambd: Real = 0.5) -> Tensor:
    """Zero for values near zero, the input elsewhere.

    out = input where |input| > lambd, 0 elsewhere.   Shape: same as input.
    >>> hardshrink(np.array([-1.0, 0.2]))
    array([-1.,  0.])
    """
    return activations.hardshrink(input, lambd)  # type: ignore[return-value]


def softshrink(input: Array, lambd: NonNegative = 0.5) -> Tensor:
    """The input shrunk toward zero by lambd.

    out = sign(input) * max(|input| - lambd, 0).   Shape: same as input.
    >>> softshrink(np.array([-1.0, 0.2]))
    array([-0.5,  0. ])
    """
    return activations.softshrink(input, lambd)  # type: ignore[return-value]


def threshold(input: Array, threshold: Real, value: float, inplace: bool = False) -> Tensor:
    """The input where it is above a threshold, a constant elsewhere.

    out = input where input > threshold, value elsewhere.   Shape: same as input.
    >>> threshold(np.array([0.1, 3.0]), 1.0, -1.0)
    array([-1.,  3.])
    """
    return activations.threshold(input, threshold, value)  # type: ignore[return-value]


def glu(input: Array, dim: int = -1) -> Tensor:
    """One half of the channels along `dim`, gated by the other half.

    out = a * sigmoid(b), with input split into a and b along `dim`, which must have an even size.
    >>> glu(np.array([3.0, 0.0]))
    array([1.5])
    """
    return activations.glu(input, dim)


def _dim(name: str, dim: int | None, ndim: int) -> int:
    if dim is None:
        raise ValueRangeError(
            f"{name}: expected an axis, got dim=None. "
            "Pass dim=-1 for the last axis, or dim=1 for the channels of (N, C, ...)."
        )
    if not -max(ndim, 1) <= dim < max(ndim, 1):
        raise ValueRangeError(f"{name}: expected dim to be one of the {ndim} axes of the input, got {dim}")
    return dim


def _in(x: Array, dtype: DTypeLike | None) -> Any:
    return x if dtype is None else elementwise.astype(x, dtype)


def softmax(input: Array, dim: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
    """Exponentials normalized to sum to 1 along `dim`.

    >>> softmax(np.array([1000.0, 1000.0]), dim=-1)
    array([0.5, 0.5])
    """
    return activations.softmax(_in(input, dtype), axis=_dim("softmax", dim, input.ndim))


def log_softmax(input: Array, dim: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
    """The logarithm of softmax along `dim`, exact where softmax rounds to 0 or 1."""
    return activations.log_softmax(_in(input, dtype), axis=_dim("log_softmax", dim, input.ndim))


def softmin(input: Array, dim: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
    """The softmax of -x along `dim`."""
    return activations.softmax(-_in(input, dtype), axis=_dim("softmin", dim, input.ndim))


def softmax2d(input: Array) -> Tensor:
    """The softmax over the channels of x (N, C, H, W) or (C, H, W)."""
    if input.ndim not in (3, 4):
        raise ShapeError(f"Softmax2d: expected an input of 3 or 4 axes, got the shape {input.shape}")
    return activations.softmax(input, axis=-3)  # type: ignore[return-value]


def gumbel_softmax(
    logits: Array,
    tau: Positive = 1.0,
    hard: bool = False,
    eps: Real = 1e-10,
    dim: int = -1,
    *,
    rng: RandomLike = None,
) -> Tensor:
    """A differentiable random choice along `dim`: the softmax of (logits + Gumbel noise) / tau.

    `hard`: the result is one-hot, the gradient that of the soft choice. `eps` is accepted
    for PyTorch and ignored.   Source: Jang and others 2017.
    >>> gumbel_softmax(np.zeros(3), hard=True, rng=0).sum().item()
    1.0
    """
    dtype = logits.dtype
    noise = drawn(
        "gumbel_softmax", lambda g, size: g.gumbel(size=size).astype(dtype), logits.shape,
        f"rng.gumbel(size={{shape}}).astype(np.{dtype})", rng,
    )  # fmt: skip
    soft = activations.softmax((logits + noise) / tau, axis=dim)
    if not hard:
        return soft
    values: Any = soft.detach() if isinstance(soft, Tensor) else soft
    places = argmax(values, axis=dim, keepdims=True)
    along = beside(
        values, np.arange(values.shape[dim]).reshape(-1, *[1] * (values.ndim - 1 - dim % values.ndim))
    )
    chosen = (places == along).astype(values.dtype)
    # The value of the hard choice with the gradient of the soft one (straight-through estimator).
    return soft + (chosen - values)


def prelu(input: Array, weight: Array) -> Tensor:
    """The positive part plus a learned multiple of the negative part, shared or one per channel (axis 1)."""
    channels = weight.shape[0] if weight.ndim else 1
    if channels == 1:
        return activations.prelu(input, weight if input.ndim else reshape(weight, ()))  # type: ignore[return-value]
    if input.ndim < 2 or input.shape[1] != channels:
        raise ShapeError(
            f"prelu: expected one weight per channel (axis 1) of the input {input.shape}, got {channels}"
        )
    # One weight per channel: shaped to broadcast along axis 1.
    return activations.prelu(input, reshape(weight, (channels, *[1] * (input.ndim - 2))))


def rrelu(
    input: Array,
    lower: Real = 1 / 8,
    upper: Real = 1 / 3,
    training: bool = False,
    inplace: bool = False,
    *,
    rng: RandomLike = None,
) -> Tensor:
    """leaky_relu with a negative slope drawn per element in training, and the mean of the range in evaluation."""
    if not lower <= upper:
        raise ValueRangeError(
            f"rrelu: expected lower of at most upper, got lower={lower!r} and upper={upper!r}"
        )
    # The expected slope, so that evaluation is deterministic.
    if not training:
        return activations.leaky_relu(input, (lower + upper) / 2)  # type: ignore[return-value]
    dtype = input.dtype
    weights = drawn(
        "rrelu", lambda g, size: g.uniform(lower, upper, size).astype(dtype), input.shape,
        f"rng.uniform({lower}, {upper}, {{shape}}).astype(np.{dtype})", rng,
    )  # fmt: skip
    return activations.prelu(input, weights)
