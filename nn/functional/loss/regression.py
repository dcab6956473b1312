"""Losses of regression and of densities as functions, with PyTorch's arguments. They never broadcast."""

from __future__ import annotations

from math import log as log_of
from math import pi
from typing import Any

import numpy as np

from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.nn.functional.loss.arguments import as_value, named_reduction, paired, reduced
from tinygrad_dl.ops import losses
from tinygrad_dl.ops.elementwise import abs, exp, log, where
from tinygrad_dl.ops.losses import check_same_shape
from tinygrad_dl.ops.reduce import sum
from tinygrad_dl.ops.shape import expand_dims


def _weighted(name: str, loss: Any, reduction: str, weight: Any) -> Any:
    if weight is None:
        return reduced(loss, reduction)
    weight = as_value(weight)
    check_same_shape(f"{name} (weight)", loss, weight)
    loss = loss * weight
    return reduced(loss, reduction) if reduction != "mean" else sum(loss) / sum(weight)


def mse_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
    weight: Any = None,
) -> Any:  # fmt: skip
    """The squared error; with `weight`, a weighted mean.

    loss = (input - target)^2.   input and target of the same shape.
    >>> mse_loss([1.0, 2.0], [1.0, 4.0])
    Tensor(2.)
    """
    reduction = named_reduction("mse_loss", size_average, reduce, reduction)
    input, target = paired("mse_loss", input, target, reduction)
    if weight is None:
        return losses.squared_error(input, target, reduction=reduction)
    return _weighted("mse_loss", losses.squared_error(input, target, reduction="none"), reduction, weight)


def l1_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
    weight: Any = None,
) -> Any:  # fmt: skip
    """The absolute error; with `weight`, a weighted mean.

    loss = |input - target|.   input and target of the same shape.
    >>> l1_loss([1.0, 2.0], [1.0, 4.0])
    Tensor(1.)
    """
    reduction = named_reduction("l1_loss", size_average, reduce, reduction)
    input, target = paired("l1_loss", input, target, reduction)
    return _weighted("l1_loss", abs(input - target), reduction, weight)


def smooth_l1_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
    beta: float = 1.0,
) -> Any:  # fmt: skip
    """The absolute error, rounded off near 0.

    loss = d^2 / (2 beta) where |d| < beta, |d| - beta / 2 elsewhere, d = input - target.   Source: Girshick 2015.
    >>> smooth_l1_loss([0.0, 0.0], [0.5, 2.0], reduction="none")
    Tensor([0.125, 1.5  ])
    """
    reduction = named_reduction("smooth_l1_loss", size_average, reduce, reduction)
    if beta < 0:
        raise ValueRangeError(f"smooth_l1_loss: expected beta of at least 0, got {beta!r}")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    input, target = paired("smooth_l1_loss", input, target, reduction)
    return reduced(losses.huber(input, target, beta) / beta, reduction)


def huber_loss(
    input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Any:
    """The squared error near 0, the absolute one farther from 0: less sensitive to outliers.

    loss = d^2 / 2 where |d| <= delta, delta * (|d| - delta / 2) elsewhere, d = input - target.   Source: Huber 1964.
    >>> huber_loss([0.0, 0.0], [0.5, 2.0], reduction="none")
    Tensor([0.125, 1.5  ])
    """
    if delta <= 0:
        raise ValueRangeError(f"huber_loss: expected delta above 0, got {delta!r}")
    input, target = paired("huber_loss", input, target, reduction)
    return _weighted("huber_loss", losses.huber(input, target, delta), reduction, weight)


def poisson_nll_loss(
    input: Any, target: Any, log_input: bool = True, full: bool = False, size_average: Any = None,
    eps: float = 1e-8, reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """The negative log-likelihood of counts under a Poisson distribution.

    loss = e^input - target * input, the input being the log of the rate; or input - target * log(input + eps).
    `full`: with Stirling's term for log(target!), t log t - t + log(2 pi t) / 2 where t > 1.
    >>> poisson_nll_loss([0.0], [2.0])
    Tensor(1.)
    """
    reduction = named_reduction("poisson_nll_loss", size_average, reduce, reduction)
    input, target = paired("poisson_nll_loss", input, target, reduction)
    loss = exp(input) - target * input if log_input else input - target * log(input + eps)
    if full:
        large = target > 1
        t = where(large, target, 1)
        loss = loss + where(large, t * log(t) - t + 0.5 * log(t * (2 * pi)), 0)
    return reduced(loss, reduction)


def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Any:
    """The negative log-likelihood of targets under normal distributions with given means and variances.

    loss = (log var + (input - target)^2 / var) / 2, and log(2 pi) / 2 if `full`.   input and target (N, ...);
    var of that shape, without its last axis, or with one axis of size 1; variances below eps count as eps.
    >>> gaussian_nll_loss([0.0], [2.0], [1.0])
    Tensor(2.)
    """
    name = "gaussian_nll_loss"
    input, target = paired(name, input, target, reduction)
    if isinstance(var, (int, float)):
        if var < 0:
            raise ValueRangeError(f"{name}: expected variances of at least 0, got {var!r}")
        var = np.full(input.shape, var, input.dtype)
    var = as_value(var)
    if var.shape != input.shape:
        if var.shape == input.shape[:-1]:
            var = expand_dims(var, -1)
        elif var.ndim != input.ndim or [b for a, b in zip(input.shape, var.shape) if a != b] != [1]:
            raise ShapeError(
                f"{name}: expected var of the input's shape {input.shape}, or with one axis of size 1, or without the "
                f"last axis (one variance per row), got {var.shape}"
            )
    values = var._data if isinstance(var, Value) else var
    if (values < 0).any():
        raise ValueRangeError(f"{name}: expected variances of at least 0, got {values.min()}")
    # Held above eps as a constant: the gradient of a small variance should still push it up.
    var = var + np.maximum(eps - values, 0).astype(values.dtype)
    d = input - target
    loss = 0.5 * (log(var) + d * d / var)
    return reduced(loss + 0.5 * log_of(2 * pi) if full else loss, reduction)


def kl_div(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
    log_target: bool = False,
) -> Any:  # fmt: skip
    """The Kullback-Leibler divergence of a target distribution from one given by log-probabilities.

    loss = target * (log target - input), each; `log_target`: the target is given as its logarithm too.
    "batchmean" sums and divides by N, which is the divergence's definition; "mean" divides by all elements.
    >>> kl_div([[0.0, 0.0]], [[1.0, 0.0]], reduction="batchmean")
    Tensor(0.)
    """
    reduction = named_reduction("kl_div", size_average, reduce, reduction)
    batchmean = reduction == "batchmean"
    input, target = paired("kl_div", input, target, "sum" if batchmean else reduction)
    if log_target:
        loss = exp(target) * (target - input)
    else:
        zero = target == 0
        loss = where(zero, 0, target * log(where(zero, 1, target))) - target * input
    if batchmean:
        return sum(loss) / (input.shape[0] if input.ndim else 1)
    return reduced(loss, reduction)
