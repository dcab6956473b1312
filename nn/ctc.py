"""The connectionist temporal classification loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.errors import IndexRangeError, ShapeError
from tinygrad_dl.graph import Value
from tinygrad_dl.nn.loss_arguments import as_value, constant, reduced
from tinygrad_dl.ops.activations import log_softmax
from tinygrad_dl.ops.elementwise import where
from tinygrad_dl.ops.index import take_along_axis
from tinygrad_dl.ops.join import concat, stack
from tinygrad_dl.ops.losses import check_reduction
from tinygrad_dl.ops.special import logsumexp

NEVER = -1e30  # the log of a probability of 0; with -inf, differences of two of them would be nan


def _labels(targets: np.ndarray, lengths: np.ndarray, blank: int, classes: int) -> np.ndarray:
    """The sequences as rows with a blank in front of, between and behind all labels: (N, 2 * S + 1)."""
    longest = int(lengths.max(initial=0))
    labels = np.full((len(lengths), longest), blank)
    starts = np.cumsum(lengths) - lengths
    for n, length in enumerate(lengths):
        row = targets[n] if targets.ndim == 2 else targets[starts[n] :]
        if len(row) < length:
            raise ShapeError(
                f"ctc_loss: sequence {n} has {len(row)} labels, but target_lengths says {length}"
            )
        labels[n, :length] = row[:length]
    if ((labels < 0) | (labels >= classes)).any():
        raise IndexRangeError(f"ctc_loss: a target holds a class outside of 0 to {classes - 1}")
    extended = np.full((len(lengths), 2 * longest + 1), blank)
    extended[:, 1::2] = labels
    return extended


def ctc_loss(
    log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0,
    reduction: str = "mean", zero_infinity: bool = False,
) -> Any:  # fmt: skip
    """The negative log-probability of a label sequence, over all ways to stretch it with repeats and blanks.

    log_probs (T, N, C) or (T, C), results of log_softmax, or logits: they are normalised; targets (N, S), or all
    sequences in a row; lengths (N,). "mean" divides each loss by its target's length first. `zero_infinity`: a
    sequence too long for its input counts 0 instead of inf.   Source: Graves and others 2006.
    >>> ctc_loss(np.zeros((2, 1, 2)), np.array([[1]]), [2], [1], reduction="sum").round(4)
    np.float64(0.2877)
    """
    check_reduction("ctc_loss", reduction)
    log_probs, targets = as_value(log_probs), constant(as_value(targets), np.int64)
    inputs, lengths = (
        constant(np.atleast_1d(np.asarray(v)), np.int64) for v in map(_plain, (input_lengths, target_lengths))
    )
    if log_probs.ndim == 2:
        losses = ctc_loss(
            log_probs[:, None], targets.reshape(1, -1), inputs, lengths, blank, "none", zero_infinity
        )
        return losses[0] if reduction != "mean" else losses[0] / max(int(lengths[0]), 1)
    if log_probs.ndim != 3:
        raise ShapeError(
            f"ctc_loss: log_probs (T, N, C) or (T, C) are needed; the shape {log_probs.shape} came"
        )
    steps, count, classes = log_probs.shape
    if inputs.shape != (count,) or lengths.shape != (count,) or (targets.ndim == 2 and len(targets) != count):
        raise ShapeError(
            f"ctc_loss: log_probs {log_probs.shape} hold {count} sequences; targets {targets.shape}, input_lengths "
            f"{inputs.shape} and target_lengths {lengths.shape} must as well"
        )
    if (inputs > steps).any():
        raise ShapeError(f"ctc_loss: an input length of {inputs.max()} came; log_probs have {steps} steps")
    if not 0 <= blank < classes:
        raise IndexRangeError(f"ctc_loss: blank={blank} is no class from 0 to {classes - 1}")
    extended = _labels(targets, lengths, blank, classes)
    scores = _forward(log_softmax(log_probs, axis=2), extended, blank, inputs)
    ends = np.stack([2 * lengths, np.maximum(2 * lengths - 1, 0)], axis=1)
    last = take_along_axis(scores, ends, axis=1)
    last = where(np.stack([ends[:, 0] >= 0, lengths > 0], axis=1), last, NEVER)
    losses = -logsumexp(last, axis=1)
    values = losses._data if isinstance(losses, Value) else losses
    losses = where(values > -NEVER / 2, 0 if zero_infinity else np.inf, losses)
    return reduced(
        losses / np.maximum(lengths, 1).astype(values.dtype) if reduction == "mean" else losses, reduction
    )


def _plain(x: Any) -> Any:
    return x._data if isinstance(x, Value) else x


def _forward(log_probs: Any, extended: np.ndarray, blank: int, inputs: np.ndarray) -> Any:
    """For each place in the extended sequence, the log-probability of being there when the input ends."""
    steps, count, _ = log_probs.shape
    places = extended.shape[1]
    index = np.broadcast_to(extended, (steps, count, places))
    emitted = take_along_axis(log_probs, index, axis=2)
    never = np.full((count, 1), NEVER, log_probs.dtype)
    # A blank between two labels may be left out, unless they are equal.
    skips = np.zeros((count, places), bool)
    skips[:, 2:] = (extended[:, 2:] != blank) & (extended[:, 2:] != extended[:, :-2])
    scores = where((np.arange(places) < 2) & (inputs > 0)[:, None], emitted[0] if steps else 0, NEVER)
    # Before the first step nothing is said: only the empty sequence is possible.
    scores = where((inputs == 0)[:, None] & (np.arange(places) == 0), 0, scores)
    for t in range(1, steps):
        one = concat([never, scores[:, :-1]], axis=1)
        two = (
            where(skips, concat([never, never, scores[:, :-2]], axis=1)[:, :places], NEVER)
            if places > 2
            else None
        )
        ways = [scores, one] if two is None else [scores, one, two]
        moved = logsumexp(stack(ways), axis=0) + emitted[t]
        scores = where((t < inputs)[:, None], moved, scores)
    return scores
