"""The connectionist temporal classification loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.arguments import Size
from tinygrad_dl.dispatch import each_example
from tinygrad_dl.errors import IndexRangeError, ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.nn.functional.loss.arguments import as_value, integers, reduced
from tinygrad_dl.ops.activations import log_softmax
from tinygrad_dl.ops.elementwise import where
from tinygrad_dl.ops.index import take_along_axis
from tinygrad_dl.ops.join import concat, stack
from tinygrad_dl.ops.losses import check_reduction
from tinygrad_dl.ops.special import logsumexp
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, ArrayLike

NEVER = -1e30  # the log of a probability of 0; with -inf, differences of two of them would be nan


def _labels(targets: np.ndarray, lengths: np.ndarray, blank: int, classes: int) -> np.ndarray:
    """The sequences as rows with a blank before, between and after the labels: (N, 2 * S + 1)."""
    longest = int(lengths.max(initial=0))
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
    inputs = np.atleast_1d(integers("ctc_loss", "input_lengths", input_lengths))
    lengths = np.atleast_1d(integers("ctc_loss", "target_lengths", target_lengths))
    if (inputs < 0).any() or (lengths < 0).any():
        raise ValueRangeError("ctc_loss: expected lengths of at least 0, got a negative one")
    if labels.ndim not in (1, 2):
        raise ShapeError(f"ctc_loss: expected targets (N, S), or all in a row, got the shape {labels.shape}")
    if logs.ndim == 2:
        losses = ctc_loss(logs[:, None], labels.reshape(1, -1), inputs, lengths, blank, "none", zero_infinity)
        return losses[0] if reduction != "mean" else losses[0] / max(int(lengths[0]), 1)
    if logs.ndim != 3:
        raise ShapeError(f"ctc_loss: expected log_probs of shape (T, N, C) or (T, C), got {logs.shape}")
    steps, count, classes = logs.shape
    if inputs.shape != (count,) or lengths.shape != (count,) or (labels.ndim == 2 and len(labels) != count):
        raise ShapeError(
            f"ctc_loss: expected {count} targets, input_lengths and target_lengths, one per sequence of log_probs "
            f"{logs.shape}, got the shapes {labels.shape}, {inputs.shape} and {lengths.shape}"
        )
    if (inputs > steps).any():
        raise ShapeError(
            f"ctc_loss: expected input lengths of at most {steps}, the steps of log_probs, got {inputs.max()}"
        )
    if not 0 <= blank < classes:
        raise IndexRangeError(f"ctc_loss: expected blank to be a class from 0 to {classes - 1}, got {blank}")
    extended = _labels(labels, lengths, blank, classes)
    scores = _forward(log_softmax(logs, axis=2), extended, blank, inputs)
    ends = np.stack([2 * lengths, np.maximum(2 * lengths - 1, 0)], axis=1)
    last = take_along_axis(scores, ends, axis=1)
    last = where(np.stack([ends[:, 0] >= 0, lengths > 0], axis=1), last, NEVER)
    losses = -logsumexp(last, axis=1)
    values = losses._data if isinstance(losses, Value) else losses
    losses = where(values > -NEVER / 2, 0 if zero_infinity else np.inf, losses)
    return reduced(
        losses / np.maximum(lengths, 1).astype(values.dtype) if reduction == "mean" else losses, reduction
    )


def _forward(log_probs: Array, extended: np.ndarray, blank: int, inputs: np.ndarray) -> Any:
    """The log-probability of ending at each position of the extended sequence (the forward algorithm)."""
    steps, count, _ = log_probs.shape
    positions = extended.shape[1]
    index = np.broadcast_to(extended, (steps, count, positions))
    emitted = take_along_axis(log_probs, index, axis=2)
    never = np.full((count, 1), NEVER, log_probs.dtype)
    # A blank between two labels may be left out, unless they are equal.
    skips = np.zeros((count, positions), bool)
    skips[:, 2:] = (extended[:, 2:] != blank) & (extended[:, 2:] != extended[:, :-2])
    scores = where((np.arange(positions) < 2) & (inputs > 0)[:, None], emitted[0] if steps else 0, NEVER)
    # Before the first step only the empty sequence is possible.
    scores = where((inputs == 0)[:, None] & (np.arange(positions) == 0), 0, scores)
    for t in range(1, steps):
        one = concat([never, scores[:, :-1]], axis=1)
        two = (
            where(skips, concat([never, never, scores[:, :-2]], axis=1)[:, :positions], NEVER)
            if positions > 2
            else None
        )
        ways = [scores, one] if two is None else [scores, one, two]
        moved = logsumexp(stack(ways), axis=0) + emitted[t]
        scores = where((t < inputs)[:, None], moved, scores)
    return scores
