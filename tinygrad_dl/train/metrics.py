"""Metrics by name, most of them scikit-learn's, and the predictions that a model's outputs stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError, missing_extra
from tinygrad_dl.typing import NDArray

#: function(target, prediction) -> value
Metric = Callable[[NDArray, NDArray], float]

# name -> function of sklearn.metrics and its options
SCIKIT_LEARN: dict[str, tuple[str, dict[str, Any]]] = {
    "precision": ("precision_score", {"average": "macro", "zero_division": 0}),
    "recall": ("recall_score", {"average": "macro", "zero_division": 0}),
    "f1": ("f1_score", {"average": "macro", "zero_division": 0}),
    "balanced_accuracy": ("balanced_accuracy_score", {}),
    "r2": ("r2_score", {}),
    "mean_absolute_error": ("mean_absolute_error", {}),
}
OWN = ("accuracy", "top5")


class Metrics:
    """Compute metrics from the outputs and targets of all batches: name -> value.

    `metrics`: names (accuracy, precision, recall, f1, balanced_accuracy, top5, r2, mean_absolute_error; precision,
    recall and f1 are macro averages), or a dict name -> function(target, prediction). Raises ValueRangeError,
    DTypeError.

    >>> Metrics(["accuracy"], None)([np.array([[2.0, 1.0], [0.0, 1.0]])], [np.array([0, 0])])
    {'accuracy': 0.5}
    """

    def __init__(self, metrics: Iterable[str] | Mapping[str, Metric], loss: Any) -> None:
        if isinstance(metrics, str):
            metrics = [metrics]
        self.loss = loss
        self.functions: dict[str, Metric | None] = {}
        named: dict[str, Any] = dict(metrics) if isinstance(metrics, Mapping) else dict.fromkeys(metrics)
        for name, function in named.items():
            if function is not None and not callable(function):
                raise DTypeError(
                    f"metrics: {name}: expected a function(target, prediction), got {function!r}"
                )
            if function is None and name not in OWN and name not in SCIKIT_LEARN:
                raise ValueRangeError(
                    f"metrics: expected one of {', '.join((*OWN, *SCIKIT_LEARN))}, got {name!r}. "
                    'For a metric of your own pass metrics={"name": function}.'
                )
            self.functions[name] = function or (_scikit_learn(name) if name in SCIKIT_LEARN else None)

    def __bool__(self) -> bool:
        return bool(self.functions)

    def __call__(self, outputs: list[np.ndarray], targets: list[np.ndarray]) -> dict[str, float]:
        output, target = np.concatenate(outputs), np.concatenate(targets)
        prediction = predictions(output, self.loss)
        if target.size == prediction.size:  # (N, 1) and (N,) are the same targets
            target = target.reshape(prediction.shape)
        values = {}
        for name, function in self.functions.items():
            if function is not None:
                value = float(function(target, prediction))
            elif name == "accuracy":
                if target.shape != prediction.shape:
                    raise ShapeError(
                        f"accuracy: expected targets {prediction.shape} for outputs {output.shape}, got {target.shape}"
                    )
                value = float(np.mean(target == prediction))
            else:
                top = np.argpartition(-output, min(5, output.shape[1]) - 1, axis=1)[:, :5]
                value = float(np.mean((top == target[:, None]).any(axis=1)))
            values[name] = value
        return values


def predictions(output: NDArray, loss: Any) -> NDArray:
    """Return the most probable class, 0 or 1 for a binary loss, otherwise the outputs themselves.

    output (N, C, ...), C > 1 -> (N, ...) with a cross-entropy; (N,) or (N, 1) with BCELoss or
    BCEWithLogitsLoss.
    """
    # By name, so that functions, modules and losses of your own are recognized alike.
    kind = type(loss).__name__ if not isinstance(loss, type) else loss.__name__
    name = getattr(loss, "__name__", kind).lower().replace("_", "")
    if "logits" in name or name.startswith(("bceloss", "binarycrossentropy")):
        return (output > (0 if "logits" in name else 0.5)).astype(np.int64)
    if output.ndim >= 2 and output.shape[1] > 1 and not name.startswith(("mse", "l1", "smoothl1", "huber")):
        return output.argmax(axis=1)
    return output


def _scikit_learn(name: str) -> Metric:
    try:
        import sklearn.metrics
    except ImportError:
        raise missing_extra("scikit-learn", "data", f"the metric {name}") from None
    function_name, options = SCIKIT_LEARN[name]
    function = getattr(sklearn.metrics, function_name)
    return lambda target, decision: function(target, decision, **options)
