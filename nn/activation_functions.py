"""Activations as functions, with PyTorch's arguments; the results of Tensors record."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.config import default_rng
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.ops import activations, elementwise
from tinygrad_dl.ops.shape import reshape

# `inplace` is accepted and changes nothing: the result is a new Tensor.


def relu(input: Any, inplace: bool = False) -> Any:
    """The positive part: max(x, 0), with derivative 0 at 0."""
    return activations.relu(input)


def selu(input: Any, inplace: bool = False) -> Any:
    """elu with the two constants that keep mean 0 and variance 1 from layer to layer."""
    return activations.selu(input)


def silu(input: Any, inplace: bool = False) -> Any:
    """The value times its logistic function: x / (1 + e^-x)."""
    return activations.silu(input)


def mish(input: Any, inplace: bool = False) -> Any:
    """The value times the hyperbolic tangent of its softplus."""
    return activations.mish(input)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """The logistic function in three lines: min(max(x / 6 + 1/2, 0), 1)."""
    return activations.hardsigmoid(input)


def hardswish(input: Any, inplace: bool = False) -> Any:
    """The value times its hardsigmoid."""
    return activations.hardswish(input)


def sigmoid(input: Any) -> Any:
    """The logistic function: 1 / (1 + e^-x)."""
    return activations.sigmoid(input)


def tanh(input: Any) -> Any:
    """The hyperbolic tangent."""
    return activations.tanh(input)


def softsign(input: Any) -> Any:
    """A curve like tanh that levels off slowly: x / (1 + |x|)."""
    return activations.softsign(input)


def tanhshrink(input: Any) -> Any:
    """What tanh takes away: x - tanh(x)."""
    return activations.tanhshrink(input)


def logsigmoid(input: Any) -> Any:
    """The logarithm of the logistic function, exact at any size."""
    return activations.log_sigmoid(input)


def relu6(input: Any, inplace: bool = False) -> Any:
    """The positive part, held below 6.   out = min(max(x, 0), 6)."""
    return activations.hardtanh(input, 0.0, 6.0)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """The positive part, and a small multiple of the negative part."""
    return activations.leaky_relu(input, negative_slope)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """The value above 0, alpha * (e^x - 1) below."""
    return activations.elu(input, alpha)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """The value above 0, alpha * (e^(x / alpha) - 1) below."""
    return activations.celu(input, alpha)


def gelu(input: Any, approximate: str = "none") -> Any:
    """The value times the normal distribution function, exactly or by the "tanh" approximation."""
    if approximate not in ("none", "tanh"):
        raise ValueRangeError(f'gelu: approximate is "none" or "tanh"; {approximate!r} came')
    return activations.gelu(input) if approximate == "none" else activations.gelu_tanh(input)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """A smooth positive part: log(1 + e^(beta * x)) / beta, and x where beta * x > threshold."""
    return activations.softplus(input, beta, threshold)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """The value held between two bounds."""
    return activations.hardtanh(input, min_val, max_val)


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """The value where |x| > lambd, 0 elsewhere."""
    return activations.hardshrink(input, lambd)


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """The value moved towards zero by lambd, and zero nearer than that."""
    return activations.softshrink(input, lambd)


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """The value where it lies above a threshold, another one elsewhere."""
    return activations.threshold(input, threshold, value)


def glu(input: Any, dim: int = -1) -> Any:
    """One half of the channels along `dim`, gated by the other."""
    return activations.glu(input, dim)


def _dim(name: str, dim: int | None, ndim: int) -> int:
    if dim is None:
        raise ValueRangeError(
            f"{name}: say along which axis, such as dim=-1 for the last or dim=1 for the channels of (N, C, ...)"
        )
    if not -max(ndim, 1) <= dim < max(ndim, 1):
        raise ValueRangeError(f"{name}: dim={dim} is no axis of an array with {ndim} axes")
    return dim


def _in(x: Any, dtype: Any) -> Any:
    return x if dtype is None else elementwise.astype(x, dtype)


def softmax(input: Any, dim: int | None = None, dtype: Any = None) -> Any:
    """Exponentials made to sum to one along `dim`.

    >>> softmax(np.array([1000.0, 1000.0]), dim=-1)
    array([0.5, 0.5])
    """
    return activations.softmax(_in(input, dtype), axis=_dim("softmax", dim, input.ndim))


def log_softmax(input: Any, dim: int | None = None, dtype: Any = None) -> Any:
    """The logarithm of softmax along `dim`, exact where softmax rounds to 0 or 1."""
    return activations.log_softmax(_in(input, dtype), axis=_dim("log_softmax", dim, input.ndim))


def softmin(input: Any, dim: int | None = None, dtype: Any = None) -> Any:
    """The softmax of -x along `dim`."""
    return activations.softmax(-_in(input, dtype), axis=_dim("softmin", dim, input.ndim))


def softmax2d(input: Any) -> Any:
    """The softmax over the channels of x (N, C, H, W) or (C, H, W)."""
    if input.ndim not in (3, 4):
        raise ShapeError(f"Softmax2d: x needs 3 or 4 axes; the shape {input.shape} came")
    return activations.softmax(input, axis=-3)


def gumbel_softmax(
    logits: Any, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, dim: int = -1, *, rng: Any = None
) -> Any:
    """A random choice along `dim` that has a gradient: the softmax of (logits + Gumbel noise) / tau.

    `hard`: the result is one-hot, the gradient that of the soft choice. `eps` is PyTorch's and
    changes nothing.   Source: Jang and others 2017.
    >>> gumbel_softmax(np.zeros(3), hard=True, rng=0).sum().item()
    1.0
    """
    noise = default_rng(rng).gumbel(size=logits.shape).astype(logits.dtype)
    soft = activations.softmax((logits + noise) / tau, axis=dim)
    if not hard:
        return soft
    values = soft.detach().numpy() if hasattr(soft, "detach") else soft
    chosen = np.zeros_like(values)
    np.put_along_axis(chosen, np.expand_dims(values.argmax(axis=dim), dim), 1, axis=dim)
    return soft + (chosen - values)


def prelu(input: Any, weight: Any) -> Any:
    """The positive part, and a learnt multiple of the negative part: one, or one a channel (axis 1)."""
    channels = weight.shape[0] if weight.ndim else 1
    if channels == 1:
        return activations.prelu(input, weight if input.ndim else reshape(weight, ()))
    if input.ndim < 2 or input.shape[1] != channels:
        raise ShapeError(
            f"prelu: weight has {channels} slopes; axis 1 of the shape {input.shape} needs that size"
        )
    return activations.prelu(input, reshape(weight, (channels, *[1] * (input.ndim - 2))))


def rrelu(
    input: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False, *,
    rng: Any = None,
) -> Any:  # fmt: skip
    """leaky_relu with a slope drawn for each element while training; in evaluation their mean."""
    if not training:
        return activations.leaky_relu(input, (lower + upper) / 2)
    slopes = default_rng(rng).uniform(lower, upper, input.shape).astype(input.dtype)
    return activations.prelu(input, slopes)
