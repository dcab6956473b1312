"""Metrics by name, most of them scikit-learn's, and the predictions that a model's outputs stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from tinygrad_dl.directions import Mode
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError, missing_extra
from tinygrad_dl.graph import Value
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
NEED_CLASSES = ("accuracy", "precision", "recall", "f1", "balanced_accuracy")
# What the history holds besides the metrics.
RESERVED = ("epoch", "loss", "lr", "seconds")
MANY = 1 << 20  # numbers of outputs that are kept until they are reduced to predictions

# What the outputs of a loss are, by the name of its class or function: probabilities and logits of yes, scores of
# classes, or numbers. A loss with another name is not guessed at.
Kind = Literal["probability", "logit", "classes", "numbers"]
KINDS: dict[str, Kind] = {
    "BCELoss": "probability",
    "binary_cross_entropy": "probability",
    "BCEWithLogitsLoss": "logit",
    "binary_cross_entropy_with_logits": "logit",
    "MultiLabelSoftMarginLoss": "logit",
    "multilabel_soft_margin_loss": "logit",
    "CrossEntropyLoss": "classes",
    "cross_entropy": "classes",
    "NLLLoss": "classes",
    "nll_loss": "classes",
    "MultiMarginLoss": "classes",
    "multi_margin_loss": "classes",
    "MSELoss": "numbers",
    "mse_loss": "numbers",
    "L1Loss": "numbers",
    "l1_loss": "numbers",
    "SmoothL1Loss": "numbers",
    "smooth_l1_loss": "numbers",
    "HuberLoss": "numbers",
    "huber_loss": "numbers",
    "PoissonNLLLoss": "numbers",
    "poisson_nll_loss": "numbers",
    "GaussianNLLLoss": "numbers",
    "gaussian_nll_loss": "numbers",
}


class Metrics:
    """Compute metrics from the outputs and targets of all batches: name -> value.

    `metrics`: names (accuracy, precision, recall, f1, balanced_accuracy, top5, r2, mean_absolute_error; precision,
    recall and f1 are macro averages), or a dict name -> function(target, prediction), or (function, "max") or
    (function, "min") to say which values are better. `decide(output)`: the predictions, for a loss of your own.
    Raises ValueRangeError, DTypeError.

    >>> Metrics(["accuracy"], None)([np.array([[2.0, 1.0], [0.0, 1.0]])], [np.array([0, 0])])
    {'accuracy': 0.5}
    """

    def __init__(
        self,
        metrics: str | Iterable[str] | Mapping[str, Metric | tuple[Metric, Mode] | None],
        loss: Callable[..., Any] | None,
        decide: Callable[[NDArray], Any] | None = None,
    ) -> None:
        if isinstance(metrics, str):
            metrics = [metrics]
        if not isinstance(metrics, Iterable) or isinstance(metrics, (bytes, np.ndarray, Value)):
            raise DTypeError(
                f"metrics: expected names such as ['accuracy'], or a dict name -> function, got {metrics!r}"
            )
        if decide is not None and not callable(decide):
            raise DTypeError(f"decide: expected a function(output) -> predictions, got {decide!r}")
        self.loss, self.decide = loss, decide
        self.functions: dict[str, Metric | None] = {}
        self.modes: dict[str, Mode] = {}
        named = metrics if isinstance(metrics, Mapping) else dict.fromkeys(_strings(metrics))
        function: Any
        for name, function in named.items():
            if not isinstance(name, str):
                raise DTypeError(f"metrics: expected names that are strings, got {name!r}")
            if name in RESERVED or name.startswith("dev_"):
                raise ValueRangeError(
                    f"metrics: expected a name other than {', '.join(RESERVED)} and dev_*, which the history uses "
                    f"itself, got {name!r}"
                )
            if isinstance(function, tuple):
                function, mode = function if len(function) == 2 else (function, None)
                if mode not in ("max", "min"):
                    raise ValueRangeError(
                        f'metrics: {name}: expected (function, "max") or (function, "min"), got mode {mode!r}'
                    )
                self.modes[name] = mode
            if function is not None and not callable(function):
                raise DTypeError(
                    f"metrics: {name}: expected a function(target, prediction), got {function!r}"
                )
            if function is None and name not in OWN and name not in SCIKIT_LEARN:
                raise ValueRangeError(
                    f"metrics: expected one of {', '.join((*OWN, *SCIKIT_LEARN))}, got {name!r}. "
                    'For a metric of your own pass metrics={"name": function}.'
                )
            metric: Any = function or (_scikit_learn(name) if name in SCIKIT_LEARN else None)
            self.functions[name] = metric
        self.named = {name for name, function in named.items() if function is None}

    def __bool__(self) -> bool:
        return bool(self.functions)

    def refuse_undecided(self, output: NDArray, target: NDArray) -> None:
        """Raise for outputs whose classes are not known, on the first batch instead of after an epoch."""
        prediction = predictions(output, self.loss, target, self.decide)
        needing = [name for name in NEED_CLASSES if name in self.named]
        if needing and prediction.dtype.kind not in "biuOSU":
            loss = getattr(self.loss, "__name__", type(self.loss).__name__)
            raise ValueRangeError(
                f"{needing[0]}: expected outputs whose classes are known, got {output.dtype} outputs {output.shape} of "
                f"the loss {loss}. Pass decide= to the Trainer: a function(output) that returns the predicted "
                "classes, such as lambda output: output > 0."
            )

    def __call__(self, outputs: list[NDArray], targets: list[NDArray]) -> dict[str, float]:
        results = Results(self)
        for output, target in zip(outputs, targets, strict=True):
            results.add(output, target)
        return results.values()

    def reduced(self, output: NDArray, target: NDArray) -> tuple[NDArray, NDArray | None]:
        """What the metrics need of outputs: the predictions, and of which examples the target is among the top five."""
        self.refuse_undecided(output, target)
        prediction = predictions(output, self.loss, target, self.decide)
        return prediction, _in_top5(output, target) if "top5" in self.named else None

    def values(self, prediction: NDArray, top5: NDArray | None, target: NDArray) -> dict[str, float]:
        """The metrics of all predictions."""
        if target.size == prediction.size:  # (N, 1) and (N,) are the same targets
            target = target.reshape(prediction.shape)
        found = {}
        for name in self.functions:
            if name == "top5" and top5 is not None:
                found[name] = float(np.mean(top5))
            else:
                found[name] = self._value(name, target, prediction)
        return found

    def _value(self, name: str, target: NDArray, prediction: NDArray) -> float:
        function = self.functions[name]
        if function is None:
            if target.shape != prediction.shape:
                raise ShapeError(
                    f"accuracy: expected targets of the predictions' shape {prediction.shape}, got {target.shape}"
                )
            return float(np.mean(target == prediction))
        if name not in self.named:
            value = function(target, prediction)
            try:
                return float(value)
            except (TypeError, ValueError):
                raise DTypeError(
                    f"metrics: {name}: expected a function that returns a number, got {value!r}"
                ) from None
        try:
            return float(function(target, prediction))
        except (TypeError, ValueError) as error:
            raise ValueRangeError(f"metrics: {name}: scikit-learn: {error}") from None


class Results:
    """What metrics need of the batches of an epoch.

    Outputs are kept up to MANY numbers, and then reduced to predictions: a language model has one output for each word
    of its vocabulary, and one prediction.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self._outputs: list[NDArray] = []  # of the last batches
        self._count = 0  # numbers in them
        # One entry for each batch; None for one of which another rank has all examples.
        self._predictions: list[NDArray | None] = []
        self._top5: list[NDArray | None] = []
        self._targets: list[NDArray | None] = []

    def add(self, output: NDArray | None, target: NDArray | None) -> None:
        """Note a batch."""
        if output is None:
            self._reduce()
            self._predictions.append(None)
            self._top5.append(None)
        else:
            self._outputs.append(output)
            self._count += output.size
        self._targets.append(target)
        if self._count > MANY:
            self._reduce()

    def _reduce(self) -> None:
        outputs, self._outputs, self._count = self._outputs, [], 0
        if not outputs:
            return
        targets = self._targets[len(self._predictions) :]
        prediction, top5 = self.metrics.reduced(_joined(outputs), _joined(targets))
        ends = np.cumsum([len(output) for output in outputs[:-1]], dtype=int)
        self._predictions += np.split(prediction, ends)
        self._top5 += [None] * len(outputs) if top5 is None else np.split(top5, ends)

    def columns(self) -> list[list[NDArray | None]]:
        """For each batch its predictions, its hits of the top five, and its targets."""
        self._reduce()
        return [self._predictions, self._top5, self._targets]

    def load(self, columns: Iterable[Sequence[NDArray | None]]) -> None:
        """Go on from what `columns` returned."""
        self._predictions, self._top5, self._targets = map(list, columns)

    def joined(self) -> list[NDArray | None]:
        """The same of all batches together; None where there is nothing."""
        return [_joined([x for x in column if x is not None]) for column in self.columns()]

    def values(self) -> dict[str, float]:
        """The metrics of all batches."""
        prediction, top5, target = self.joined()
        if prediction is None or target is None:
            raise ValueRangeError("metrics: expected at least one batch, got none")
        return self.metrics.values(prediction, top5, target)


def _joined(parts: Sequence[NDArray | None]) -> Any:
    try:
        return np.concatenate(parts) if parts else None  # type: ignore[arg-type]
    except ValueError as error:
        raise ShapeError(
            f"metrics: expected batches whose shapes differ in the first axis only: {error}"
        ) from None


def _in_top5(output: NDArray, target: NDArray) -> NDArray:
    """Whether each target is one of the five classes of the highest scores."""
    if output.ndim < 2 or target.shape != (len(output), *output.shape[2:]):
        raise ShapeError(
            f"top5: expected outputs (N, classes) and targets (N,), got {output.shape} and {target.shape}"
        )
    top = np.argpartition(-output, min(5, output.shape[1]) - 1, axis=1)[:, :5]
    hits: NDArray = (top == target[:, None]).any(axis=1)
    return hits


def _strings(metrics: Iterable[Any]) -> list[str]:
    names = list(metrics)
    for name in names:
        if not isinstance(name, str):
            raise DTypeError(
                f"metrics: expected names such as 'accuracy', got {name!r}. "
                'For a metric of your own pass metrics={"name": function}.'
            )
    return names


def _kind(loss: object) -> Kind | None:
    """What the outputs of a loss are; None for a loss of your own. A subclass has the outputs of its base class."""
    while isinstance(loss, partial):
        loss = loss.func
    if isinstance(loss, type) or hasattr(loss, "__code__"):
        return KINDS.get(getattr(loss, "__name__", ""))
    return next((KINDS[base.__name__] for base in type(loss).__mro__ if base.__name__ in KINDS), None)


def predictions(
    output: NDArray,
    loss: object,
    target: NDArray | None = None,
    decide: Callable[[NDArray], Any] | None = None,
) -> NDArray:
    """Return the most probable class, 0 or 1 for a binary loss, otherwise the outputs themselves.

    output (N, C, ...), C > 1 -> (N, ...) with a cross-entropy, or with any loss whose targets are class indices
    (N, ...); the same shape with BCELoss or BCEWithLogitsLoss. `decide(output)` takes precedence.
    """
    if decide is not None:
        decided = decide(output)
        return np.asarray(decided._data if isinstance(decided, Value) else decided)
    kind = _kind(loss)
    if kind == "probability":
        return (output > 0.5).astype(np.int64)
    if kind == "logit":
        return (output > 0).astype(np.int64)
    scores = output.ndim >= 2 and output.shape[1] > 1
    indices = (
        target is None
        or target.dtype.kind in "iu"
        and target.size == output.size // max(output.shape[1] if scores else 1, 1)
    )
    if scores and (kind == "classes" or (kind is None and indices)):
        return output.argmax(axis=1)
    return output


def _scikit_learn(name: str) -> Metric:
    try:
        import sklearn.metrics
    except ImportError:
        raise missing_extra("scikit-learn", "data", f"the metric {name}") from None
    function_name, options = SCIKIT_LEARN[name]
    function = getattr(sklearn.metrics, function_name)
    return lambda target, prediction: function(target, prediction, **options)
