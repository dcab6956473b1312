"""The connectionist temporal classification loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.arguments import Size
from tinygrad_dl.convert import beside
from tinygrad_dl.dispatch import each_example
from tinygrad_dl.errors import IndexRangeError, ShapeError, ValueRangeError
from tinygrad_dl.modes import active, effect, tell
from tinygrad_dl.nn.functional.loss.arguments import as_value, integers, reduced
from tinygrad_dl.ops.activations import log_softmax
from tinygrad_dl.ops.elementwise import where
from tinygrad_dl.ops.index import take_along_axis
from tinygrad_dl.ops.join import concat, stack
from tinygrad_dl.ops.logic import equal, greater, less, logical_and
from tinygrad_dl.ops.losses import check_reduction
from tinygrad_dl.ops.shape import broadcast_to
from tinygrad_dl.ops.special import logsumexp
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, ArrayLike

NEVER = -1e30  # the log of a probability of 0; with -inf, differences of two of them would be nan


def _labels(targets: np.ndarray, lengths: np.ndarray, longest: int, blank: int, classes: int) -> np.ndarray:
    """The sequences as rows with a blank before, between and after the labels: (N, 2 * S + 1)."""
    labels = np.full((len(lengths), longest), blank)
    starts = np.cumsum(lengths) - lengths
    for n, length in enumerate(lengths):
        row = targets[n] if targets.ndim == 2 else targets[starts[n] :]
        if len(row) < length:
            raise ShapeError(
                f"ctc_loss: expected {length} labels in sequence {n}, as target_lengths says, got {len(row)}"
            )
        labels[n, :length] = row[:length]
    if ((labels < 0) | (labels >= classes)).any():
        raise IndexRangeError(
            f"ctc_loss: expected target classes from 0 to {classes - 1}, got a class outside of that range"
        )
    extended = np.full((len(lengths), 2 * longest + 1), blank)
    extended[:, 1::2] = labels
    return extended


@each_example
def ctc_loss(
    log_probs: ArrayLike,
    targets: ArrayLike,
    input_lengths: ArrayLike,
    target_lengths: ArrayLike,
    blank: Size = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """The negative log-probability of a label sequence, over all alignments with repeats and blanks.

    log_probs (T, N, C) or (T, C), results of log_softmax, or logits: they are normalized; targets (N, S), or all
    sequences in a row; lengths (N,). "mean" divides each loss by its target's length first. `zero_infinity`: a
    sequence too long for its input counts 0 instead of inf.   Source: Graves and others 2006.
    >>> ctc_loss(np.zeros((2, 1, 2)), np.array([[1]]), [2], [1], reduction="sum").round(4)
    np.float64(0.2877)
    """
    check_reduction("ctc_loss", reduction)
    logs, labels = as_value(log_probs), integers("ctc_loss", "targets", targets)
    inputs = integers("ctc_loss", "input_lengths", input_lengths)
    lengths = integers("ctc_loss", "target_lengths", target_lengths)
    if labels.ndim not in (1, 2):
        raise ShapeError(f"ctc_loss: expected targets (N, S), or all in a row, got the shape {labels.shape}")
    if logs.ndim not in (2, 3):
        raise ShapeError(f"ctc_loss: expected log_probs of shape (T, N, C) or (T, C), got {logs.shape}")
    single = logs.ndim == 2
    if single:
        logs = logs[:, None]
    steps, count, classes = logs.shape
    allowed = {(count,), ()} if single else {(count,)}
    if not {inputs.shape, lengths.shape} <= allowed or (labels.ndim == 2 and len(labels) != count):
        raise ShapeError(
            f"ctc_loss: expected {count} targets, input_lengths and target_lengths, one per sequence of log_probs "
            f"{logs.shape}, got the shapes {labels.shape}, {inputs.shape} and {lengths.shape}"
        )
    if not 0 <= blank < classes:
        raise IndexRangeError(f"ctc_loss: expected blank to be a class from 0 to {classes - 1}, got {blank}")
    rows = labels.ndim == 2 or single
    if active and not rows:
        tell("read", "ctc_loss of targets in a row, other than (N, S),")
    # What follows in a compiled step may not depend on the values of the lengths.
    longest = labels.shape[-1] if active and rows else int(np.max(lengths, initial=0))
    extended, skips, ends, possible, divisors, inputs = effect(
        _tables, labels, inputs, lengths, rows, longest, blank, classes, steps, logs.dtype
    )
    scores = _forward(log_softmax(logs, axis=2), extended, skips, inputs)
    last = where(possible, take_along_axis(scores, ends, axis=1), NEVER)
    losses = -logsumexp(last, axis=1)
    losses = where(greater(losses, -NEVER / 2), 0 if zero_infinity else np.inf, losses)
    losses = losses / divisors if reduction == "mean" else losses
    return losses[0] if single else reduced(losses, reduction)


def _tables(
    targets: np.ndarray, inputs: np.ndarray, lengths: np.ndarray, rows: bool, longest: int, blank: int, classes: int,
    steps: int, dtype: np.dtype,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """What the recursion reads of targets and lengths: integers and booleans, and the divisors of the mean.

    The extended sequences and which of their labels may be reached past a blank, (N, P); where the sequences end and
    whether that is an end, (N, 2); the divisors (N,); the input lengths (N, 1).
    """
    inputs, lengths = np.atleast_1d(inputs), np.atleast_1d(lengths)
    if (inputs < 0).any() or (lengths < 0).any():
        raise ValueRangeError("ctc_loss: expected lengths of at least 0, got a negative one")
    if (inputs > steps).any():
        raise ShapeError(
            f"ctc_loss: expected input lengths of at most {steps}, the steps of log_probs, got {inputs.max()}"
        )
    labels = np.atleast_2d(targets) if rows else targets
    extended = _labels(labels, lengths, longest, blank, classes)
    # A blank between two labels may be left out, unless they are equal.
    skips = np.zeros(extended.shape, bool)
    skips[:, 2:] = (extended[:, 2:] != blank) & (extended[:, 2:] != extended[:, :-2])
    ends = np.stack([2 * lengths, np.maximum(2 * lengths - 1, 0)], axis=1)
    possible = np.stack([lengths >= 0, lengths > 0], axis=1)
    return extended, skips, ends, possible, np.maximum(lengths, 1).astype(dtype), inputs[:, None]


def _forward(log_probs: Array, extended: np.ndarray, skips: np.ndarray, inputs: np.ndarray) -> Any:
    """The log-probability of ending at each position of the extended sequence (the forward algorithm)."""
    steps, count, _ = log_probs.shape
    positions = extended.shape[1]
    emitted = take_along_axis(log_probs, broadcast_to(extended, (steps, count, positions)), axis=2)
    never = beside(log_probs, np.full((count, 1), NEVER, log_probs.dtype))
    place = beside(log_probs, np.arange(positions))
    scores = where(logical_and(less(place, 2), greater(inputs, 0)), emitted[0] if steps else 0, NEVER)
    # Before the first step only the empty sequence is possible.
    scores = where(logical_and(equal(inputs, 0), equal(place, 0)), 0, scores)
    for t in range(1, steps):
        one = concat([never, scores[:, :-1]], axis=1)
        two = (
            where(skips, concat([never, never, scores[:, :-2]], axis=1)[:, :positions], NEVER)
            if positions > 2
            else None
        )
        ways = [scores, one] if two is None else [scores, one, two]
        moved = logsumexp(stack(ways), axis=0) + emitted[t]
        scores = where(greater(inputs, t), moved, scores)
    return scores
