"""What all losses do with their arguments: convert, validate and reduce."""

from __future__ import annotations

import warnings
from typing import Any, cast

import numpy as np

from tinygrad_dl.convert import values_of
from tinygrad_dl.creation import asarray
from tinygrad_dl.errors import DTypeError, GraphError, IndexRangeError, ShapeError
from tinygrad_dl.graph import Value
from tinygrad_dl.modes import check_values, modes
from tinygrad_dl.ops import reduce
from tinygrad_dl.ops.elementwise import astype
from tinygrad_dl.ops.losses import check_reduction, check_same_shape
from tinygrad_dl.typing import Array, ArrayLike, DTypeLike


def as_value(x: ArrayLike) -> Any:
    """Convert a list or a number to a Tensor; arrays and Tensors stay as they are."""
    return x if isinstance(x, (Value, np.ndarray)) else asarray(x)


def paired(name: str, input: ArrayLike, target: ArrayLike, reduction: str) -> tuple[Any, Any]:
    """Prediction and target as arrays of one shape, with the target converted to the prediction's dtype."""
    check_reduction(name, reduction)
    x, y = as_value(input), as_value(target)
    check_same_shape(name, x, y)
    if y.dtype != x.dtype and (y.dtype.kind in "biu" or x.dtype.kind == y.dtype.kind == "f"):
        y = y.astype(x.dtype)
    return x, y


def named_reduction(name: str, size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction, also from PyTorch's deprecated booleans."""
    if size_average is None and reduce is None:
        return reduction
    for old, value in (("size_average", size_average), ("reduce", reduce)):
        if isinstance(value, str):
            raise DTypeError(
                f"{name}: expected a boolean for PyTorch's deprecated `{old}`, got {value!r}. "
                f"Write reduction={value!r}."
            )
    averaged, summed = size_average is None or size_average, reduce is None or reduce
    effective = ("mean" if averaged else "sum") if summed else "none"
    warnings.warn(
        f"{name}: size_average and reduce are deprecated; use reduction={effective!r}.",
        stacklevel=3,
    )
    return effective


def reduced(loss: Array, reduction: str) -> Any:
    """Reduce losses: their mean, their sum, or no reduction."""
    if reduction == "none":
        return loss
    if reduction == "sum":
        return reduce.sum(loss)
    # The mean of no elements is nan, as in NumPy; its warning would name a line that is not the user's.
    return reduce.mean(loss) if loss.size else reduce.sum(loss) * np.asarray(np.nan, loss.dtype)


def integers(name: str, what: str, x: ArrayLike) -> np.ndarray:
    """Classes or lengths as an array of int64; DTypeError for floats, which would be cut off."""
    array = constant(as_value(x), None)
    if array.dtype.kind not in "iu" and array.size:
        raise DTypeError(
            f"{name}: expected integers in {what}, got {array.dtype}. Convert them with .astype('int64')."
        )
    return array if array.dtype == np.int64 else cast("Any", astype(array, np.int64))


def class_indices(name: str, target: ArrayLike, classes: int, ignored: int | None = None) -> np.ndarray:
    """A target of class indices as an array of int64, all of them classes, or `ignored`."""
    index = integers(name, "target", target)
    given = target if isinstance(target, (Value, np.ndarray)) else index
    check_values(_check_classes, values_of(given), name, classes, ignored, native=True)
    return index


def _check_classes(values: np.ndarray, name: str, classes: int, ignored: int | None) -> None:
    wrong = (values < 0) | (values >= classes)
    if ignored is not None:
        wrong &= values != ignored
    if wrong.any():
        raise IndexRangeError(
            f"{name}: expected target classes from 0 to {classes - 1}, got {values[wrong].flat[0]}"
        )


def class_weights(name: str, weight: ArrayLike | None, x: Any, classes: int) -> Any:
    """One weight for each class, in the dtype of the input; None stays None."""
    if weight is None:
        return None
    weights = as_value(weight)
    if not _has_derivative(weights):
        weights = constant(weights, x.dtype)
    elif weights.dtype != x.dtype:
        weights = astype(weights, x.dtype)
    if weights.shape != (classes,):
        raise ShapeError(
            f"{name}: expected weight to have one number for each of the {classes} classes of the input {x.shape}, "
            f"got the shape {weights.shape}"
        )
    return weights


def fixed_weights(name: str, weights: Any) -> Any:
    """The weights of classes for a loss without a derivative in them; GraphError if they want one."""
    if weights is not None and _has_derivative(weights):
        raise GraphError(
            f"{name}: no derivative with respect to weight for targets of classes. Call .detach() on it if no gradient "
            "should flow, or give targets of probabilities."
        )
    return weights


def _has_derivative(x: Any) -> bool:
    """Whether a value requires grad, or has a tangent."""
    if isinstance(x, Value) and x.node is not None and modes.recording:
        return True
    while isinstance(x, Value) and x.level is not None:
        if x.level.size is None:
            return True
        x = x.held
    return False


def elementwise_weight(name: str, what: str, weight: ArrayLike, x: Any) -> Any:
    """A weight of each element's loss, which broadcasts to the input and does not enlarge it."""
    w = as_value(weight)
    try:
        fits = np.broadcast_shapes(w.shape, x.shape) == x.shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"{name}: expected {what} to broadcast to the input {x.shape}, got the shape {w.shape}"
        )
    return w


def constant(x: ArrayLike | None, dtype: DTypeLike | None) -> Any:
    """Weights or targets as an array of a dtype (None: their own), detached from the graph; None stays None."""
    if x is None:
        return None
    if isinstance(x, Value) and x.level is not None:  # in func.vmap each example has its own
        array: Any = x.detach()
    else:
        array = np.asarray(x._data if isinstance(x, Value) else x)
    return array if dtype is None or array.dtype == dtype else astype(array, dtype)
