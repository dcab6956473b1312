"""Losses fused with the activation they follow: exact for logits of any size, in one pass each way."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.backend import quietly
from tinygrad_dl.errors import DTypeError, IndexRangeError, ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.kernels.blas import sum_rows
from tinygrad_dl.op import Case, Domain, op
from tinygrad_dl.ops.activations import sigmoid
from tinygrad_dl.ops.elementwise import exp, log, where
from tinygrad_dl.ops.reduce import max, sum
from tinygrad_dl.ops.rounding import clip
from tinygrad_dl.ops.shape import reshape

REDUCTIONS = ("none", "mean", "sum")


def check_reduction(name: str, reduction: Any) -> None:
    """Refuse anything but "none", "mean" and "sum"."""
    if reduction not in REDUCTIONS:
        raise ValueRangeError(f'{name}: reduction is "mean", "sum" or "none"; {reduction!r} came')


def check_same_shape(name: str, x: Any, target: Any) -> None:
    """Refuse a prediction and a target that would have to broadcast: the loss would average the wrong pairs."""
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


def check_classes(name: str, x: Any, target: Any) -> None:
    """Refuse targets that are no class indices for the logits x (N, C, ...)."""
    a, b = x.shape, target.shape
    if b != (a[0], *a[2:]):
        advice = ""
        if b[:1] == a[:1] and b[1:] == (1,) and len(a) == 2:
            advice = " Drop its last axis with .squeeze(-1)?"
        elif len(a) == 2 and a[::-1][: len(b)] == b:
            advice = " Transpose the logits? Examples are rows."
        raise ShapeError(
            f"{name}: the logits have the shape {a}, the target {b}; class indices of the shape {(a[0], *a[2:])} "
            f"or probabilities of the shape {a} are needed.{advice}"
        )
    dtype = target.dtype
    if dtype.kind not in "iu":
        raise DTypeError(
            f"{name}: class indices are integers; a target of {dtype} came. Convert it with .astype('int64')."
        )


def _shared(g: Any, shape: tuple[int, ...], reduction: str) -> Any:
    """What each element's loss receives of the gradient of the reduced loss."""
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
    return quietly(_total, loss, reduction)


def _total(loss: np.ndarray, reduction: str) -> Any:
    total = np.add.reduce(loss, axis=None)
    return total if reduction == "sum" else total / loss.size


# Cross-entropy on class indices

FEW = 64  # classes


def _softmax(x: Any) -> Any:
    """The softmax along axis 1, in operations that record."""
    top = max(x, axis=1, keepdims=True)
    e = exp(x - (top.detach() if isinstance(top, Value) else top))
    return e / sum(e, axis=1, keepdims=True)


def _coefficients(
    target: np.ndarray, shape: Any, dtype: Any, weight: Any, reduction: Any, ignore_index: Any, smoothing: Any
) -> Any:
    """How much each log-probability counts in the loss (shape of x), and each sample's share of that (class axis 1).

    loss = -sum(a * log p): every form of cross-entropy on class indices is this, whatever the options.
    """
    counted = target != ignore_index
    safe = np.where(counted, target, 0)[:, None]
    weights = np.ones(shape[1], dtype) if weight is None else np.asarray(weight, dtype)
    mine = np.where(counted, weights[safe[:, 0]], 0).astype(dtype)
    a = np.zeros(shape, dtype)
    np.put_along_axis(a, safe, (1 - smoothing) * mine[:, None], 1)
    if smoothing:
        spread = (smoothing / shape[1]) * weights.reshape(-1, *[1] * (len(shape) - 2))
        a += spread * counted[:, None]
    if reduction == "mean" and mine.sum():
        a /= mine.sum()
    return a, a.sum(axis=1, keepdims=True)


def _exponentials(z: np.ndarray) -> Any:
    """z less its maximum along the first axis, the exponentials of that, and their sums along it."""
    z = z - np.maximum.reduce(z) if len(z) else z.copy()
    e = np.exp(z)
    return z, e, sum_rows(e) if e.ndim == 2 else np.add.reduce(e, axis=0)


def _places(z: np.ndarray, target: np.ndarray, ignore_index: int) -> Any:
    """Where in the memory of z (C, N) each sample's class stands; None if that cannot be told of all samples."""
    samples = np.arange(z.shape[1])
    try:
        if z.flags.c_contiguous:
            places = np.ravel_multi_index((target, samples), z.shape)
        else:
            places = np.ravel_multi_index((samples, target), z.shape[::-1])
    except (ValueError, TypeError):  # outside of the classes, perhaps to be ignored; or uint64
        return None
    return None if ignore_index >= 0 and (target == ignore_index).any() else places


def _cross_entropy_rule(
    g: Any, x: Any, x_shape: Any, x_dtype: Any, target: Any, weight: Any, reduction: Any, ignore_index: Any,
    label_smoothing: Any,
) -> Any:  # fmt: skip
    a, share = _coefficients(target, x_shape, x_dtype, weight, reduction, ignore_index, label_smoothing)
    if reduction == "none":
        g = reshape(g, (x_shape[0], 1, *x_shape[2:]))
    return g * (_softmax(x) * share - a)


def _cross_entropy_fast(
    g: Any, e: Any, s: Any, x_shape: Any, x_dtype: Any, target: Any, weight: Any, reduction: Any, ignore_index: Any,
    label_smoothing: Any, places: Any,
) -> Any:  # fmt: skip
    if places is None:
        a, share = _coefficients(target, x_shape, x_dtype, weight, reduction, ignore_index, label_smoothing)
        gx = (e / s).swapaxes(0, 1) * share
        gx -= a
        gx *= g if reduction != "none" else g[:, None]
        return gx
    each = g[()] / len(target) if reduction == "mean" else g  # a number: an array () takes longer
    gx = e * (each / s)
    gx.ravel("K")[places] -= each
    return gx.T


@op(
    _cross_entropy_rule,
    None,
    fast=(_cross_entropy_fast, None),
    cached=("e", "s", "places"),
    cases=(
        Case((4, 3), np.array([0, 2, 1, 1])), Case((4, 3), np.array([0, 2, 1, 1]), reduction="sum"),
        Case((3, 4), np.array([3, 0, 1]), reduction="none"),
        Case((4, 3), np.array([0, -100, 1, 1]), weight=np.array([1.0, 2.0, 0.5]), label_smoothing=0.1),
        Case((2, 3, 2), np.array([[0, 2], [1, -100]]), reduction="none"),
        Case((2, 3, 2), np.array([[0, 2], [1, 0]]), label_smoothing=0.2, reduction="sum"),
    ),
)  # fmt: skip
def softmax_cross_entropy(
    x: Any, target: Any, /, *, weight: Any = None, reduction: str = "mean", ignore_index: int = -100,
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
    classes, dtype = x.shape[1], x.dtype
    # Classes first: sums over few classes go over long rows, many times as quickly as over short ones.
    z = x.T.copy() if x.ndim == 2 and classes <= FEW else x.swapaxes(0, 1)
    z, e, s = quietly(_exponentials, z)
    if weight is None and not label_smoothing and x.ndim == 2 and dtype.kind == "f" and x.size:
        places = _places(z, target, ignore_index)
        if places is not None:
            loss = np.log(s)
            loss -= z.ravel("K")[places]
            return loss if reduction == "none" else _total(loss, reduction), e, s, places
    wrong = target[((target < 0) | (target >= classes)) & (target != ignore_index)]
    if wrong.size:
        raise IndexRangeError(
            f"cross_entropy: the target holds the class {wrong.flat[0]}; "
            f"logits of shape {x.shape} have the classes 0 to {classes - 1}"
        )
    if dtype.kind != "f":
        raise DTypeError(
            f"cross_entropy: floating logits are needed; {dtype} came. Convert them, such as with .astype('float32')."
        )
    z -= np.log(s)
    a, _ = _coefficients(target, x.shape, dtype, weight, reduction, ignore_index, label_smoothing)
    # 0 * -inf: a class that does not count, whatever its probability
    loss = -np.where(a == 0, 0, a * z.swapaxes(0, 1)).sum(axis=1)
    if reduction == "mean" and not (target != ignore_index).any():
        return dtype.type(np.nan), e, s, None  # the mean of no samples, whose gradient is 0
    return loss if reduction == "none" else np.add.reduce(loss, axis=None), e, s, None


# Binary cross-entropy on logits


def _bce_fast(g: Any, x: Any, target: Any, x_shape: Any, reduction: Any) -> Any:
    gx = np.multiply(x, 0.5, out=np.empty_like(x))
    np.tanh(gx, out=gx)
    gx += 1
    gx *= 0.5
    gx -= target
    gx *= _shared(g, x_shape, reduction)
    return gx


@op(
    lambda g, x, target, x_shape, reduction: _shared(g, x_shape, reduction) * (sigmoid(x) - target),
    lambda g, x, x_shape, reduction: _shared(g, x_shape, reduction) * -x,
    fast=(_bce_fast, lambda g, x, x_shape, reduction: _shared(g, x_shape, reduction) * -x),
    cases=(
        Case((2, 3), (2, 3)), Case((2, 3), (2, 3), reduction="sum"), Case((3,), (3,), reduction="none"),
        Case((2,), np.array([0.0, 1.0])),
    ),
    kinks="smooth at 0, where forms with max or abs are not",
)  # fmt: skip
def bce_with_logits(x: Any, target: Any, /, *, reduction: str = "mean") -> Any:
    """The binary cross-entropy of the logistic function of logits, exact at any size.

    loss = max(x, 0) - x * t + log(1 + e^-|x|) = -t log s(x) - (1 - t) log(1 - s(x)).
    x and target of the same shape -> (), or that shape with reduction "none".
    >>> bce_with_logits(np.array([0.0, -200.0]), np.array([1.0, 1.0]), reduction="none")
    array([  0.69314718, 200.        ])
    """
    loss = np.absolute(x, out=np.empty(x.shape, x.dtype if x.dtype.kind == "f" else np.float64))
    np.negative(loss, out=loss)
    np.exp(loss, out=loss)
    np.log1p(loss, out=loss)
    loss += np.maximum(x, 0)
    loss -= x * target
    return _reduced(loss, reduction)


def _bce_slope(x: Any, target: Any) -> Any:
    product = x * (1 - x)
    return (x - target) / where(product < 1e-12, 1e-12, product)


@op(
    lambda g, x, target: g * _bce_slope(x, target),
    lambda g, x: g * (_clamped_log(1 - x) - _clamped_log(x)),
    domain=(Domain(0.1, 0.9), Domain(0.1, 0.9)),
    cases=(Case((2, 3), (2, 3)), Case((3,), np.array([0.0, 1.0, 0.5])), Case((), ())),
    kinks="at 0 and 1 the slope is finite: (x - t) / 1e-12",
)
def binary_cross_entropy(x: Any, target: Any, /) -> Any:
    """The binary cross-entropy of each probability; of logits, bce_with_logits is exact.

    loss = -t log x - (1 - t) log(1 - x), logarithms held above -100.   Shape: same as x and target.
    >>> binary_cross_entropy(np.array([0.0, 0.5]), np.array([1.0, 1.0]))
    array([100.        ,   0.69314718])
    """
    with np.errstate(divide="ignore"):
        loss = np.maximum(np.log1p(-x), -100) * (target - 1)
        loss -= np.maximum(np.log(x), -100) * target
    return loss


def _clamped_log(x: Any) -> Any:
    small = x < 3.720075976020836e-44  # e^-100
    return where(small, -100, log(where(small, 1, x)))


# Squared error


def _squared_fast(g: Any, x: Any, y: Any, x_shape: Any, reduction: Any) -> Any:
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
)
def squared_error(x: Any, y: Any, /, *, reduction: str = "mean") -> Any:
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
)
def huber(x: Any, y: Any, /, delta: float = 1.0) -> Any:
    """Half the squared difference up to delta, and further out a line with the slope delta.

    loss = d^2 / 2 where |d| <= delta, delta * (|d| - delta / 2) elsewhere, d = x - y.   x and y of the same shape.
    >>> huber(np.array([0.5, 2.0]), np.array([0.0, 0.0]))
    array([0.125, 1.5  ])
    """
    d = x - y
    held = np.clip(d, -delta, delta)
    d -= held * 0.5  # held * (d - held / 2) is both branches at once
    return held * d
