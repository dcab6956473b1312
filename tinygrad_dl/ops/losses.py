"""Losses fused with the activation they follow: exact for logits of any size, in one pass each way."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import numpy as np

from tinygrad_dl.batching import Call, merged
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.kernels import losses as kernels
from tinygrad_dl.kernels.losses import check_classes as check_classes
from tinygrad_dl.kernels.losses import check_range, coefficients
from tinygrad_dl.modes import effect
from tinygrad_dl.op import Case, Domain, Joint, op
from tinygrad_dl.ops.activations import sigmoid
from tinygrad_dl.ops.elementwise import exp, log, where
from tinygrad_dl.ops.index import take
from tinygrad_dl.ops.logic import equal, not_equal
from tinygrad_dl.ops.reduce import max, sum
from tinygrad_dl.ops.rounding import clip
from tinygrad_dl.ops.shape import reshape
from tinygrad_dl.typing import Array, DTypeLike, NDArray, Shape

REDUCTIONS = ("none", "mean", "sum")


def check_reduction(name: str, reduction: str) -> None:
    """Raise unless the reduction is "none", "mean" or "sum"."""
    if reduction not in REDUCTIONS:
        raise ValueRangeError(f'{name}: expected a reduction of "mean", "sum" or "none", got {reduction!r}')


def check_same_shape(name: str, x: Array, target: Array) -> None:
    """Raise if prediction and target would have to broadcast: the loss would average the wrong pairs."""
    a, b = x.shape, target.shape
    if a == b:
        return
    if a[:-1] == b and a[-1] == 1:
        advice = "Drop the last axis of the prediction with .squeeze(-1)?"
    elif b[:-1] == a and b[-1] == 1:
        advice = "Drop the last axis of the target with .squeeze(-1)?"
    elif a == b[::-1]:
        advice = "Transpose one of them?"
    elif len(a) == 2 and len(b) == 1 and a[0] == b[0]:
        advice = "For class indices use cross_entropy; for other targets give each prediction its own."
    else:
        advice = "Each prediction needs one target: reshape one of them."
    raise ShapeError(
        f"{name}: the prediction has the shape {a}, the target {b}; losses do not broadcast. {advice}"
    )


def _shared(g: NDArray, shape: tuple[int, ...], reduction: str) -> NDArray:
    """The gradient of each element's loss, from that of the reduced loss."""
    if reduction != "mean":
        return g
    count = 1
    for size in shape:
        count *= size
    return g / count if count else g


def _reduced(loss: np.ndarray, reduction: str) -> Any:
    if reduction == "none":
        return loss
    # The mean of nothing and the sum of opposite infinities are nan; a warning would point at a line not the user's.
    with np.errstate(all="ignore"):
        return _total(loss, reduction)


def _total(loss: np.ndarray, reduction: str) -> Any:
    total = np.add.reduce(loss, axis=None)
    return total if reduction == "sum" else total / loss.size


def _change(of_each: Any, shape: Shape, reduction: str) -> Any:
    """The change of the reduced loss from that of each element's."""
    return of_each if reduction == "none" else sum(_shared(of_each, shape, reduction))


def _loss_all(call: Call) -> Any:
    each = call.run(call.full(0), call.full(1), reduction="none")
    return _reduced_all(call, each, prod(call.shape()))


def _reduced_all(call: Call, each: Any, count: Any) -> Any:
    """The loss of each example, from those of its elements; `count`: by how much the mean divides."""
    reduction = call.options["reduction"]
    if reduction == "none":
        return each
    total = sum(each, axis=tuple(range(1, each.ndim)))
    if reduction == "sum":
        return total
    nothing = equal(count, 0)
    return where(nothing, np.nan, total / where(nothing, 1, count))


# Cross-entropy on class indices


def _softmax(x: Array) -> Any:
    """The softmax along axis 1, in operations that record."""
    top = max(x, axis=1, keepdims=True)
    e = exp(x - (top.detach() if hasattr(top, "detach") else top))
    return e / sum(e, axis=1, keepdims=True)


def _cross_entropy_rule(
    g: NDArray, x: NDArray, x_shape: Shape, x_dtype: DTypeLike, target: NDArray, weight: NDArray | None,
    reduction: str, ignore_index: int, label_smoothing: float,
) -> NDArray:  # fmt: skip
    # Recorded, a compiled step makes them again from the targets of each run.
    make = partial(effect, coefficients) if isinstance(g, Value) else coefficients
    a, share = make(target, x_shape, x_dtype, weight, reduction, ignore_index, label_smoothing)
    if reduction == "none":
        g = reshape(g, (x_shape[0], 1, *x_shape[2:]))
    return g * (_softmax(x) * share - a)


def _of_cross_entropy(
    ts: Any, x: Any, x_shape: Shape, x_dtype: DTypeLike, target: Any, weight: Any, reduction: str, ignore_index: int,
    label_smoothing: float,
) -> Any:  # fmt: skip
    a, share = coefficients(target, x_shape, x_dtype, weight, reduction, ignore_index, label_smoothing)
    changes = ts[0] * (_softmax(x) * share - a)
    return sum(changes, axis=1) if reduction == "none" else sum(changes)


def _cross_entropy_all(call: Call) -> Any:
    x, target, weight = merged(call.full(0)), merged(call.full(1)), call.options["weight"]
    each = call.split(call.run(x, target, reduction="none"))
    counted = call.split(not_equal(target, call.options["ignore_index"]))
    if weight is not None:
        counted = call.split(take(np.asarray(weight), where(merged(counted), target, 0))) * counted
    return _reduced_all(call, each, sum(counted, axis=tuple(range(1, counted.ndim)), dtype=each.dtype))


@op(
    _cross_entropy_rule,
    None,
    fast=(kernels.softmax_cross_entropy_gradient, None),
    kernel=kernels.softmax_cross_entropy,
    cached=("e", "s", "positions"),
    cases=(
        Case((4, 3), np.array([0, 2, 1, 1])), Case((4, 3), np.array([0, 2, 1, 1]), reduction="sum"),
        Case((3, 4), np.array([3, 0, 1]), reduction="none"),
        Case((4, 3), np.array([0, -100, 1, 1]), weight=np.array([1.0, 2.0, 0.5]), label_smoothing=0.1),
        Case((2, 3, 2), np.array([[0, 2], [1, -100]]), reduction="none"),
        Case((2, 3, 2), np.array([[0, 2], [1, 0]]), label_smoothing=0.2, reduction="sum"),
    ), accumulates=True,
    batch=_cross_entropy_all, jvp=Joint(_of_cross_entropy, kernels.softmax_cross_entropy_change),
    real=True,
    math=(r"-\frac{1}{N} \sum_n \ln p_{n, t_n}, \quad p = \operatorname{softmax}(x)", r"\frac{g}{N} (p - t)", ""),
)  # fmt: skip
def softmax_cross_entropy(
    x: NDArray, target: NDArray, /, *, weight: NDArray | None = None, reduction: str = "mean", ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Any:  # fmt: skip
    """The negative log-probability that the softmax of logits gives to the right class.

    loss_n = -w[t] * log softmax(x_n)[t], its mean weighted by w[t] or its sum. `label_smoothing` e: the target is
    1 - e for the class and e / C for each; `ignore_index`: targets that do not count.
    x (N, C, ...), target (N, ...) of integers -> () or, with reduction "none", (N, ...).
    >>> softmax_cross_entropy(np.array([[1000.0, 0.0]]), np.array([1]))
    np.float64(1000.0)
    """
    check_classes("cross_entropy", x, target)
    check_range(x, target, ignore_index)
    a, _ = coefficients(target, x.shape, x.dtype, weight, reduction, ignore_index, label_smoothing)
    if reduction == "mean" and not (target != ignore_index).any():
        return x.dtype.type(np.nan)  # the mean of no samples
    with np.errstate(all="ignore"):
        z = x - np.max(x, axis=1, keepdims=True, initial=-np.inf)
        log_p = z - np.log(np.sum(np.exp(z), axis=1, keepdims=True))
        loss = -np.where(a == 0, 0, a * log_p).sum(axis=1)  # a == 0: not even infinity counts
    return loss if reduction == "none" else loss.sum()


# Binary cross-entropy on logits


@op(
    lambda g, x, target, x_shape, reduction: _shared(g, x_shape, reduction) * (sigmoid(x) - target),
    lambda g, x, x_shape, reduction: _shared(g, x_shape, reduction) * -x,
    cases=(
        Case((2, 3), (2, 3)), Case((2, 3), (2, 3), reduction="sum"), Case((3,), (3,), reduction="none"),
        Case((2,), np.array([0.0, 1.0])),
    ),
    kinks="smooth at 0, where forms with max or abs are not", accumulates=True,
    batch=_loss_all,
    jvp=(
        lambda t, x, target, x_shape, reduction: _change(t * (sigmoid(x) - target), x_shape, reduction),
        lambda t, x, x_shape, reduction: _change(t * -x, x_shape, reduction),
    ),
    real=True,
    math=(
        r"-\frac{1}{N} \sum_n (t_n \ln \sigma(x_n) + (1 - t_n) \ln(1 - \sigma(x_n)))",
        r"\frac{g}{N} (\sigma(x) - t)",
        r"-\frac{g}{N} x",
    ),
)  # fmt: skip
def bce_with_logits(x: NDArray, target: NDArray, /, *, reduction: str = "mean") -> Any:
    """The binary cross-entropy of the logistic function of logits, exact at any size.

    loss = max(x, 0) - x * t + log(1 + e^-|x|) = -t log s(x) - (1 - t) log(1 - s(x)).
    x and target of the same shape -> (), or that shape with reduction "none".
    >>> bce_with_logits(np.array([0.0, -200.0]), np.array([1.0, 1.0]), reduction="none")
    array([  0.69314718, 200.        ])
    """
    loss = np.maximum(x, 0) - x * target + np.log1p(np.exp(-np.abs(x)))
    return _reduced(loss, reduction)


def _bce_derivative(x: NDArray, target: NDArray) -> NDArray:
    product = x * (1 - x)
    return (x - target) / where(product < 1e-12, 1e-12, product)


@op(
    lambda g, x, target: g * _bce_derivative(x, target),
    lambda g, x: g * (_clamped_log(1 - x) - _clamped_log(x)),
    domain=(Domain(0.1, 0.9), Domain(0.1, 0.9)),
    cases=(Case((2, 3), (2, 3)), Case((3,), np.array([0.0, 1.0, 0.5])), Case((), ())),
    kinks="at 0 and 1 the derivative is finite: (x - t) / 1e-12",
    accumulates=True,
    elementwise=True,
    real=True,
    math=(
        r"-(t \ln x + (1 - t) \ln(1 - x))",
        r"g \cdot \frac{x - t}{x (1 - x)}",
        r"g \cdot (\ln(1 - x) - \ln x)",
    ),
)
def binary_cross_entropy(x: NDArray, target: NDArray, /) -> Any:
    """The binary cross-entropy of each probability; of logits, bce_with_logits is exact.

    loss = -t log x - (1 - t) log(1 - x), logarithms clamped to at least -100.   Shape: same as x and target.
    >>> binary_cross_entropy(np.array([0.0, 0.5]), np.array([1.0, 1.0]))
    array([100.        ,   0.69314718])
    """
    with np.errstate(divide="ignore"):
        loss = np.maximum(np.log1p(-x), -100) * (target - 1)
        loss -= np.maximum(np.log(x), -100) * target
    return loss


def _clamped_log(x: NDArray) -> NDArray:
    small = x < 3.720075976020836e-44  # e^-100
    return where(small, -100, log(where(small, 1, x)))


# Squared error


def _squared_fast(g: NDArray, x: NDArray, y: NDArray, x_shape: Shape, reduction: str) -> NDArray:
    d = np.subtract(x, y)
    d *= 2 * _shared(g, x_shape, reduction)
    return d


@op(
    lambda g, x, y, x_shape, reduction: _shared(g, x_shape, reduction) * 2 * (x - y),
    lambda g, x, y, x_shape, reduction: _shared(g, x_shape, reduction) * 2 * (y - x),
    fast=(
        _squared_fast,
        lambda g, x, y, x_shape, reduction: _squared_fast(g, y, x, x_shape, reduction),
    ),
    cases=(Case((2, 3), (2, 3)), Case((2, 3), (2, 3), reduction="sum"), Case((3,), (3,), reduction="none")),
    accumulates=True,
    batch=_loss_all,
    jvp=(
        lambda t, x, y, x_shape, reduction: _change(t * 2 * (x - y), x_shape, reduction),
        lambda t, x, y, x_shape, reduction: _change(t * 2 * (y - x), x_shape, reduction),
    ),
    real=True,
    math=(r"\frac{1}{N} \sum_n (x_n - y_n)^2", r"\frac{2 g}{N} (x - y)", r"\frac{2 g}{N} (y - x)"),
)
def squared_error(x: NDArray, y: NDArray, /, *, reduction: str = "mean") -> Any:
    """The squared difference of predictions and targets: its mean, its sum, or each.

    loss = (x - y)^2.   x and y of the same shape -> (), or that shape with reduction "none".
    >>> squared_error(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    np.float64(2.0)
    """
    d = np.subtract(x, y)
    d *= d
    return _reduced(d, reduction)


# Huber


@op(
    lambda g, x, y, delta: g * clip(x - y, -delta, delta),
    lambda g, x, y, delta: g * clip(y - x, -delta, delta),
    domain=(Domain(-1, 1), Domain(2, 4)),
    cases=(Case((2, 3), (2, 3), 0.5), Case((2, 3), (2, 3), delta=9.0), Case((), ())),
    accumulates=True,
    elementwise=True,
    real=True,
    math=(
        r"\begin{cases} \frac{1}{2} d^2 & \lvert d \rvert \le \delta \\ \delta (\lvert d "
        r"\rvert - \frac{\delta}{2}) & \text{else} \end{cases}, \quad d = x - y",
        r"g \cdot \operatorname{clip}(d, -\delta, \delta)",
        r"-g \cdot \operatorname{clip}(d, -\delta, \delta)",
    ),
)
def huber(x: NDArray, y: NDArray, /, delta: float = 1.0) -> Any:
    """Half the squared difference up to delta, and a line of slope delta further out.

    loss = d^2 / 2 where |d| <= delta, delta * (|d| - delta / 2) elsewhere, d = x - y.   x and y of the same shape.
    >>> huber(np.array([0.5, 2.0]), np.array([0.0, 0.0]))
    array([0.125, 1.5  ])
    """
    d = x - y
    inside = np.clip(d, -delta, delta)
    d -= inside * 0.5  # inside * (d - inside / 2) is both branches at once
    return inside * d
