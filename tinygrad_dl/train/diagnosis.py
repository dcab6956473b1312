"""Diagnosis: what a run's figures say about it, in words, each with its evidence and what to try."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.train.history import History, rises, shown

# Below these the evidence is too thin for a word.
LEAST_EPOCHS = 5
GAP = 0.05  # of an accuracy, between training and dev part
LOSS_GAP = 1.5  # of losses, dev over training
RISE = 1.2  # of the dev loss at the end over its best
RATIO_LOW, RATIO_HIGH = 1e-5, 1e-1  # of an update over its weight; about 1e-3 is usual
VANISHING = 1e-3  # of a gradient's norm in the first layer over that in the last
EXPLODING = 1e3
DEAD = 0.4


class Finding(NamedTuple):
    """One thing that a run shows: its name, the evidence, what to try."""

    name: str
    evidence: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name}: {self.evidence}. {self.advice}"


def diagnose(history: Any, monitor: Any = None, target: float | None = None) -> list[Finding]:
    """What a run suffers from: high variance or bias, a learning rate too high or too low, gradients, dead units.

    `target`: the accuracy (or R²) hoped for, e.g. a human's; below it on the training part the bias is high.
    `monitor`: a Monitor of the run, for what happens inside the layers. Nothing found: an empty list. Raises
    ValueRangeError for an empty history.
    """
    history = history if isinstance(history, History) else history.history
    if not len(history):
        raise ValueRangeError("diagnose: the history is empty: no epoch has ended")
    found = [*_rate(history), *_bias_and_variance(history, target)]
    if monitor is not None and monitor.steps:
        found += [*_gradients(monitor), *_dead(monitor), *_updates(monitor)]
    return found


def _metric(history: History) -> str | None:
    return next((name for name in history.names if rises(name) and f"dev_{name}" in history), None)


def _bias_and_variance(history: History, target: float | None) -> list[Finding]:
    found = []
    metric = _metric(history)
    if "dev_loss" in history and len(history) >= LEAST_EPOCHS:
        dev = np.array(history["dev_loss"], float)
        best, end = float(np.nanmin(dev)), float(np.mean(dev[-2:]))
        at, loss = int(np.nanargmin(dev)) + 1, float(history["loss"][-1])
        if end > RISE * best and at < 0.8 * len(dev) and loss < history["loss"][at - 1]:
            found.append(
                Finding(
                    "high variance (overfitting)",
                    f"the dev loss was best in epoch {at} ({shown(best)}) and rose to {shown(end)}, while "
                    "the "
                    f"training loss went on falling, to {shown(loss)}",
                    "Try early stopping, more data or augmentation, dropout, weight decay, a smaller model.",
                )
            )
        elif metric is not None and history[metric][-1] - history[f"dev_{metric}"][-1] > GAP:
            train, held = history[metric][-1], history[f"dev_{metric}"][-1]
            found.append(
                Finding(
                    "high variance (overfitting)",
                    f"the {metric} is {train:.3f} on the training part and {held:.3f} on the dev part",
                    "Try more data or augmentation, dropout, weight decay, a smaller model.",
                )
            )
        elif metric is None and end > LOSS_GAP * max(loss, 1e-12) and end - loss > 1e-3:
            found.append(
                Finding(
                    "high variance (overfitting)",
                    f"the loss is {shown(loss)} on the training part and {shown(end)} on the dev part",
                    "Try more data, weight decay, a smaller model.",
                )
            )
    scored = metric or next((name for name in history.names if rises(name)), None)
    if target is not None and scored is not None and history[scored][-1] < target:
        found.append(
            Finding(
                "high bias (underfitting)",
                f"the {scored} on the training part itself is {history[scored][-1]:.3f}, below the target "
                f"of {target:g}",
                "Try a larger model, longer training, a better learning rate, less regularisation.",
            )
        )
    return found


def _rate(history: History) -> list[Finding]:
    loss = np.array(history["loss"], float)
    rate = f" ({shown(float(history['lr'][0]))})" if "lr" in history else ""
    if not np.isfinite(loss).all():
        at = int(np.flatnonzero(~np.isfinite(loss))[0]) + 1
        return [
            Finding(
                "learning rate too high",
                f"the loss became {loss[at - 1]} in epoch {at}",
                f"Try a tenth of the learning rate{rate}, clipping, or look for nan in the data.",
            )
        ]
    if len(loss) < LEAST_EPOCHS:
        return []
    steps = np.diff(loss)
    up = steps[steps > 0.1 * np.abs(loss[:-1])]
    if loss[-1] > 1.5 * loss[0] or len(up) > 0.25 * len(steps):
        return [
            Finding(
                "learning rate too high",
                f"the training loss rose by more than a tenth in {len(up)} of {len(steps)} epochs; it was "
                f"{shown(float(loss[0]))} at first and is {shown(float(loss[-1]))}",
                f"Try a third or a tenth of the learning rate{rate}, or larger batches.",
            )
        ]
    quarter = max(2, len(loss) // 4)
    recent = (loss[-quarter] - loss[-1]) / max(abs(loss[0]), 1e-12)
    total = (loss[0] - loss[-1]) / max(abs(loss[0]), 1e-12)
    falling = recent > 0.15 * total and np.mean(steps[-quarter:] < 0) > 0.9 and total > 0
    if falling and total < 0.8:
        return [
            Finding(
                "learning rate too low, or training too short",
                f"the training loss still falls steadily: by {100 * recent / total:.0f} % of its whole "
                "way in the last "
                f"{quarter} of {len(loss)} epochs",
                f"Try three times the learning rate{rate}, or more epochs.",
            )
        ]
    return []


def _weights(monitor: Any) -> list[tuple[str, list[dict[str, Any]]]]:
    return [(name, figures) for name, figures in monitor.gradients.items() if name.endswith("weight")]


def _gradients(monitor: Any) -> list[Finding]:
    layers = [(name, float(np.median([f["norm"] for f in figures]))) for name, figures in _weights(monitor)]
    layers = [(name, norm) for name, norm in layers if np.isfinite(norm)]
    if len(layers) < 2:
        return []
    (first, begin), (last, end) = layers[0], layers[-1]
    evidence = f"the gradient's norm is {shown(begin)} in {first} and {shown(end)} in {last} (medians)"
    if begin < VANISHING * end:
        return [
            Finding(
                "vanishing gradients",
                evidence,
                "Try ReLU in place of sigmoid or tanh, He initialisation, batch normalisation, residual "
                "connections.",
            )
        ]
    if begin > EXPLODING * end or max(norm for _, norm in layers) > EXPLODING:
        return [
            Finding(
                "exploding gradients",
                evidence,
                "Try clipping the gradients' norm, smaller initial weights, batch normalisation, a lower "
                "learning rate.",
            )
        ]
    return []


def _dead(monitor: Any) -> list[Finding]:
    found = []
    for name, figures in monitor.activations.items():
        late = [f["dead"] for f in figures[-3:] if np.isfinite(f["dead"])]
        if late and min(late) > DEAD:
            found.append(
                Finding(
                    "dead units",
                    f"{100 * min(late):.0f} % of the units of {name} gave 0 for a whole batch at the end",
                    "Try a lower learning rate, He initialisation, batch normalisation, or LeakyReLU.",
                )
            )
    return found


def _updates(monitor: Any) -> list[Finding]:
    ratios = {
        name: float(np.nanmedian([f["ratio"] for f in figures]))
        for name, figures in _weights(monitor)
        if np.isfinite([f["ratio"] for f in figures]).any()
    }
    low = [name for name, ratio in ratios.items() if ratio < RATIO_LOW]
    high = [name for name, ratio in ratios.items() if ratio > RATIO_HIGH]
    found = []
    if low:
        found.append(
            Finding(
                "updates too small",
                f"a step changes {', '.join(low)} by {shown(ratios[low[0]])} of its norm; about 0.001 is "
                "usual",
                "Try a higher learning rate.",
            )
        )
    if high:
        found.append(
            Finding(
                "updates too large",
                f"a step changes {', '.join(high)} by {shown(ratios[high[0]])} of its norm; about 0.001 "
                "is usual",
                "Try a lower learning rate.",
            )
        )
    return found
