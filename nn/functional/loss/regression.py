"""Losses of regression and of densities as functions, with PyTorch's arguments. They never broadcast."""

from __future__ import annotations

from math import log as log_of
from math import pi
from typing import Any

import numpy as np

from tinygrad_dl.arguments import NonNegative, Positive
from tinygrad_dl.convert import values_of
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.modes import check_values
from tinygrad_dl.nn.functional.loss.arguments import as_value, named_reduction, paired, reduced
from tinygrad_dl.ops import losses
from tinygrad_dl.ops.accumulate import accumulating
from tinygrad_dl.ops.elementwise import abs, exp, log, where
from tinygrad_dl.ops.losses import check_same_shape
from tinygrad_dl.ops.reduce import sum
from tinygrad_dl.ops.rounding import clip
from tinygrad_dl.ops.shape import expand_dims
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, ArrayLike


def _weighted(name: str, loss: Array, reduction: str, weight: ArrayLike | None) -> Any:
    if weight is None:
        return reduced(loss, reduction)
    weights = as_value(weight)
    check_same_shape(f"{name} (weight)", loss, weights)
    loss = loss * weights
    return reduced(loss, reduction) if reduction != "mean" else sum(loss) / sum(weights)


def mse_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: ArrayLike | None = None,
) -> Tensor:
    """The squared error; with `weight`, a weighted mean.

    loss = (input - target)^2.   input and target of the same shape.
    >>> mse_loss([1.0, 2.0], [1.0, 4.0])
    Tensor(2.)
    """
    reduction = named_reduction("mse_loss", size_average, reduce, reduction)
    x, y = paired("mse_loss", input, target, reduction)
    if weight is None:
        return losses.squared_error(x, y, reduction=reduction)
    return _weighted("mse_loss", losses.squared_error(x, y, reduction="none"), reduction, weight)


def l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: ArrayLike | None = None,
) -> Tensor:
    """The absolute error; with `weight`, a weighted mean.

    loss = |input - target|.   input and target of the same shape.
    >>> l1_loss([1.0, 2.0], [1.0, 4.0])
    Tensor(1.)
    """
    reduction = named_reduction("l1_loss", size_average, reduce, reduction)
    x, y = paired("l1_loss", input, target, reduction)
    return _weighted("l1_loss", abs(x - y), reduction, weight)


def smooth_l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: NonNegative = 1.0,
) -> Tensor:
    """The absolute error, smoothed near 0.

    loss = d^2 / (2 beta) where |d| < beta, |d| - beta / 2 elsewhere, d = input - target.   Source: Girshick 2015.
    >>> smooth_l1_loss([0.0, 0.0], [0.5, 2.0], reduction="none")
    Tensor([0.125, 1.5  ])
    """
    reduction = named_reduction("smooth_l1_loss", size_average, reduce, reduction)
    if beta < 0:
        raise ValueRangeError(f"smooth_l1_loss: expected beta of at least 0, got {beta!r}")
    # The limit of beta -> 0; the formula would divide by 0.
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    x, y = paired("smooth_l1_loss", input, target, reduction)
    return reduced(losses.huber(x, y, beta) / beta, reduction)


def huber_loss(
    input: ArrayLike,
    target: ArrayLike,
    reduction: str = "mean",
    delta: Positive = 1.0,
    weight: ArrayLike | None = None,
) -> Tensor:
    """The squared error near 0, the absolute one farther from 0: less sensitive to outliers.

    loss = d^2 / 2 where |d| <= delta, delta * (|d| - delta / 2) elsewhere, d = input - target.   Source: Huber 1964.
    >>> huber_loss([0.0, 0.0], [0.5, 2.0], reduction="none")
    Tensor([0.125, 1.5  ])
    """
    if delta <= 0:
        raise ValueRangeError(f"huber_loss: expected delta above 0, got {delta!r}")
    x, y = paired("huber_loss", input, target, reduction)
    return _weighted("huber_loss", losses.huber(x, y, delta), reduction, weight)


def poisson_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: NonNegative = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The negative log-likelihood of counts under a Poisson distribution.

    loss = e^input - target * input, the input being the log of the rate; or input - target * log(input + eps).
    `full`: with Stirling's term for log(target!), t log t - t + log(2 pi t) / 2 where t > 1.
    >>> poisson_nll_loss([0.0], [2.0])
    Tensor(1.)
    """
    reduction = named_reduction("poisson_nll_loss", size_average, reduce, reduction)
    x, y = paired("poisson_nll_loss", input, target, reduction)
    loss = exp(x) - y * x if log_input else x - y * log(x + eps)
    if full:
        large = y > 1
        t = where(large, y, 1)
        loss = loss + where(large, t * log(t) - t + 0.5 * log(t * (2 * pi)), 0)
    return reduced(loss, reduction)


def gaussian_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    var: ArrayLike | float,
    full: bool = False,
    eps: NonNegative = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """The negative log-likelihood of targets under normal distributions with given means and variances.

    loss = (log var + (input - target)^2 / var) / 2, and log(2 pi) / 2 if `full`.   input and target (N, ...);
    var of that shape, without its last axis, or with one axis of size 1; variances below eps count as eps.
    >>> gaussian_nll_loss([0.0], [2.0], [1.0])
    Tensor(2.)
    """
    name = "gaussian_nll_loss"
    x, y = paired(name, input, target, reduction)
    if isinstance(var, (int, float)) and var < 0:
        raise ValueRangeError(f"{name}: expected variances of at least 0, got {var!r}")
    variance = as_value(np.full(x.shape, var, x.dtype) if isinstance(var, (int, float)) else var)
    if variance.shape != x.shape:
        if variance.shape == x.shape[:-1]:
            variance = expand_dims(variance, -1)
        elif variance.ndim != x.ndim or [b for a, b in zip(x.shape, variance.shape) if a != b] != [1]:
            raise ShapeError(
                f"{name}: expected var of the input's shape {x.shape}, or with one axis of size 1, or without the "
                f"last axis (one variance per row), got {variance.shape}"
            )
    check_values(_check_variances, values_of(variance), name)
    # The correction to eps is a constant, so that the gradient still increases a variance that is too small.
    constant: Any = variance.detach() if isinstance(variance, Tensor) else variance
    variance = variance + clip(eps - constant, 0).astype(constant.dtype)
    d = x - y
    loss = 0.5 * (log(variance) + d * d / variance)
    return reduced(loss + 0.5 * log_of(2 * pi) if full else loss, reduction)


def _check_variances(values: np.ndarray, name: str) -> None:
    if (values < 0).any():
        raise ValueRangeError(f"{name}: expected variances of at least 0, got {values.min()}")


@accumulating
def kl_div(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """The Kullback-Leibler divergence of a target distribution from one given by log-probabilities.

    loss = target * (log target - input), each; `log_target`: the target is given as its logarithm too.
    "batchmean" sums and divides by N, which is the divergence's definition; "mean" divides by all elements.
    >>> kl_div([[0.0, 0.0]], [[1.0, 0.0]], reduction="batchmean")
    Tensor(0.)
    """
    reduction = named_reduction("kl_div", size_average, reduce, reduction)
    batchmean = reduction == "batchmean"
    x, y = paired("kl_div", input, target, "sum" if batchmean else reduction)
    if log_target:
        loss = exp(y) * (y - x)
    else:
        zero = y == 0
        loss = where(zero, 0, y * log(where(zero, 1, y))) - y * x
    if batchmean:
        return sum(loss) / (x.shape[0] if x.ndim else 1)
    return reduced(loss, reduction)
