"""Diagnosis of a training run: its problems in words, each with the evidence and what to try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.train.history import History, format_value

if TYPE_CHECKING:
    from tinygrad_dl.train.monitor import Monitor
    from tinygrad_dl.train.trainer import Trainer

# Thresholds, on the side of silence: a healthy run must not be called ill (tests/train/test_diagnosis.py).
MIN_EPOCHS = 5
ACCURACY_GAP = 0.05  # training accuracy minus dev accuracy
LOSS_GAP = 1.5  # dev loss / training loss
LOSS_RISE = 1.2  # final dev loss / best dev loss
RATIO_LOW, RATIO_HIGH = 1e-5, 1e-1  # norm of an update / norm of its weight; about 1e-3 is usual
VANISHING = 1e-3  # norm of the gradient in the first layer / in the last layer
EXPLODING = 1e3
DEAD = 0.4  # fraction of units


class Finding(NamedTuple):
    """One problem of a run: its name, the evidence, what to try."""

    name: str
    evidence: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name}: {self.evidence}. {self.advice}"


class Findings(list[Finding]):
    """The problems of a run, one per line of its text."""

    def __repr__(self) -> str:
        return "\n".join(map(str, self)) or "no problem found"


def diagnose(
    history: History | Trainer, monitor: Monitor | None = None, target: float | None = None
) -> Findings:
    """Find the problems of a run: high variance or bias, a bad learning rate, bad gradients, dead units.

    `target`: the desired accuracy (or R²), for example human-level; below it on the training part the bias is high.
    `monitor`: a Monitor of the run, for gradients, updates and dead units. A healthy run gives an empty list. Raises
    ValueRangeError for an empty history.
    """
    history = history if isinstance(history, History) else getattr(history, "history", history)
    if not isinstance(history, History):
        raise DTypeError(f"diagnose: history: expected a History or a Trainer, got {type(history).__name__}")
    if monitor is not None and not hasattr(monitor, "gradients"):
        raise DTypeError(f"diagnose: monitor: expected a Monitor, got {type(monitor).__name__}")
    if target is not None and not isinstance(target, (int, float, np.integer, np.floating)):
        raise DTypeError(f"diagnose: target: expected a number, got {target!r}")
    if not len(history):
        raise ValueRangeError("diagnose: expected a history of at least one epoch, got an empty one")
    found = [*_learning_rate(history), *_bias_and_variance(history, target)]
    if monitor is not None and monitor.steps:
        found += [*_gradients(monitor), *_dead(monitor), *_updates(monitor)]
    return Findings(found)


def _metric(history: History) -> str | None:
    return next(
        (name for name in history.names if history.higher_is_better(name) and f"dev_{name}" in history), None
    )


def _bias_and_variance(history: History, target: float | None) -> list[Finding]:
    found = []
    metric = _metric(history)
    # The first two signs count most: a dev loss that turned up, then a gap in the metric; losses only without one.
    if "dev_loss" in history and len(history) >= MIN_EPOCHS:
        dev = np.array(history["dev_loss"], float)
        best, end = float(np.nanmin(dev)), float(np.mean(dev[-2:]))
        best_epoch, loss = int(np.nanargmin(dev)) + 1, float(history["loss"][-1])
        if end > LOSS_RISE * best and best_epoch < 0.8 * len(dev) and loss < history["loss"][best_epoch - 1]:
            found.append(
                Finding(
                    "high variance (overfitting)",
                    f"the dev loss was best in epoch {best_epoch} ({format_value(best)}) and rose to "
                    f"{format_value(end)}, while the training loss kept falling, to {format_value(loss)}",
                    "Try early stopping, more data or augmentation, dropout, weight decay, a smaller model.",
                )
            )
        elif metric is not None and history[metric][-1] - history[f"dev_{metric}"][-1] > ACCURACY_GAP:
            train, dev_value = history[metric][-1], history[f"dev_{metric}"][-1]
            found.append(
                Finding(
                    "high variance (overfitting)",
                    f"the {metric} is {train:.3f} on the training part and {dev_value:.3f} on the dev part",
                    "Try more data or augmentation, dropout, weight decay, a smaller model.",
                )
            )
        elif metric is None and end > LOSS_GAP * max(loss, 1e-12) and end - loss > 1e-3:
            found.append(
                Finding(
                    "high variance (overfitting)",
                    f"the loss is {format_value(loss)} on the training part and {format_value(end)} on the dev part",
                    "Try more data, weight decay, a smaller model.",
                )
            )
    quantity = metric or next((name for name in history.names if history.higher_is_better(name)), None)
    if target is not None and quantity is not None and history[quantity][-1] < target:
        found.append(
            Finding(
                "high bias (underfitting)",
                f"the {quantity} on the training part itself is {history[quantity][-1]:.3f}, below the target "
                f"of {target:g}",
                "Try a larger model, longer training, a better learning rate, less regularization.",
            )
        )
    return found


def _learning_rate(history: History) -> list[Finding]:
    loss = np.array(history["loss"], float)
    rate = f" ({format_value(float(history['lr'][0]))})" if "lr" in history else ""
    if not np.isfinite(loss).all():
        epoch = int(np.flatnonzero(~np.isfinite(loss))[0]) + 1
        return [
            Finding(
                "learning rate too high",
                f"the loss became {loss[epoch - 1]} in epoch {epoch}",
                f"Try a tenth of the learning rate{rate}, clipping, or look for nan in the data.",
            )
        ]
    if len(loss) < MIN_EPOCHS:
        return []
    changes = np.diff(loss)
    increases = changes[changes > 0.1 * np.abs(loss[:-1])]
    if loss[-1] > 1.5 * loss[0] or len(increases) > 0.25 * len(changes):
        return [
            Finding(
                "learning rate too high",
                f"the training loss rose by more than a tenth in {len(increases)} of {len(changes)} epochs; it was "
                f"{format_value(float(loss[0]))} at first and is {format_value(float(loss[-1]))}",
                f"Try a third or a tenth of the learning rate{rate}, or larger batches.",
            )
        ]
    quarter = max(2, len(loss) // 4)
    recent = (loss[-quarter] - loss[-1]) / max(abs(loss[0]), 1e-12)
    total = (loss[0] - loss[-1]) / max(abs(loss[0]), 1e-12)
    falling = recent > 0.15 * total and np.mean(changes[-quarter:] < 0) > 0.9 and total > 0
    if falling and total < 0.8:
        return [
            Finding(
                "learning rate too low, or training too short",
                f"the training loss is still falling steadily: {100 * recent / total:.0f} % of its total decrease "
                f"came in the last {quarter} of {len(loss)} epochs",
                f"Try three times the learning rate{rate}, or more epochs.",
            )
        ]
    return []


def _weights(monitor: Monitor) -> list[tuple[str, list[dict[str, Any]]]]:
    return [(name, records) for name, records in monitor.gradients.items() if name.endswith("weight")]


def _gradients(monitor: Monitor) -> list[Finding]:
    layers = [(name, float(np.median([r["norm"] for r in records]))) for name, records in _weights(monitor)]
    layers = [(name, norm) for name, norm in layers if np.isfinite(norm)]
    if len(layers) < 2:
        return []
    (first, begin), (last, end) = layers[0], layers[-1]
    evidence = (
        f"the gradient's norm is {format_value(begin)} in {first} and {format_value(end)} in {last} (medians)"
    )
    if begin < VANISHING * end:
        return [
            Finding(
                "vanishing gradients",
                evidence,
                "Try ReLU in place of sigmoid or tanh, He initialization, batch normalization, residual connections.",
            )
        ]
    if begin > EXPLODING * end or max(norm for _, norm in layers) > EXPLODING:
        return [
            Finding(
                "exploding gradients",
                evidence,
                "Try gradient clipping, smaller initial weights, batch normalization, a lower learning rate.",
            )
        ]
    return []


def _dead(monitor: Monitor) -> list[Finding]:
    found = []
    for name, records in monitor.activations.items():
        recent = [r["dead"] for r in records[-3:] if np.isfinite(r["dead"])]
        if recent and min(recent) > DEAD:
            found.append(
                Finding(
                    "dead units",
                    f"{100 * min(recent):.0f} % of the units of {name} were 0 for the whole batch at the end",
                    "Try a lower learning rate, He initialization, batch normalization, or LeakyReLU.",
                )
            )
    return found


def _updates(monitor: Monitor) -> list[Finding]:
    ratios = {
        name: float(np.nanmedian([r["ratio"] for r in records]))
        for name, records in _weights(monitor)
        if np.isfinite([r["ratio"] for r in records]).any()
    }
    low = [name for name, ratio in ratios.items() if ratio < RATIO_LOW]
    high = [name for name, ratio in ratios.items() if ratio > RATIO_HIGH]
    found = []
    if low:
        found.append(
            Finding(
                "updates too small",
                f"a step changes {', '.join(low)} by {format_value(ratios[low[0]])} of its norm; about 0.001 is usual",
                "Try a higher learning rate.",
            )
        )
    if high:
        found.append(
            Finding(
                "updates too large",
                f"a step changes {', '.join(high)} by {format_value(ratios[high[0]])} of its norm; "
                "about 0.001 is usual",
                "Try a lower learning rate.",
            )
        )
    return found
