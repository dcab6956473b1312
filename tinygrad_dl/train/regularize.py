"""Callbacks that act on gradients and weights: clipping, penalties, averaged weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.nn.utils import clip_grad_norm_, clip_grad_value_
from tinygrad_dl.train.callback import Callback

if TYPE_CHECKING:
    from tinygrad_dl.train.trainer import Trainer


class ClipGradients(Callback):
    """Before each step scale all gradients to a norm of at most `norm`, or hold each element within ±`value`.

    A gradient of nan or infinity raises AnomalyError naming the parameter. `share` is how many steps were
    clipped.
    """

    def __init__(self, norm: float | None = None, value: float | None = None) -> None:
        if (norm is None) == (value is None) or not (norm or value or 0) > 0:
            raise ValueRangeError(f"ClipGradients: a norm or a value above 0 is needed; {norm}, {value} came")
        self.norm, self.value = norm, value
        self.steps = self.clipped = 0

    @property
    def share(self) -> float:
        """The share of steps in which the norm was above its limit, from 0 to 1."""
        return self.clipped / max(self.steps, 1)

    def on_backward(self, trainer: Trainer) -> None:
        if self.norm is None:
            clip_grad_value_(trainer.model, self.value or 0.0)
            return
        total = float(clip_grad_norm_(trainer.model.named_parameters(), self.norm, error_if_nonfinite=True))
        self.steps += 1
        self.clipped += total > self.norm

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "clipped": self.clipped}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.steps, self.clipped = state["steps"], state["clipped"]


class Penalty(Callback):
    """Draw weights towards 0: the loss grows by l1 * sum(abs(w)) + l2 / 2 * sum(w**2), over w with two axes or more.

    Added to the gradients, so that the printed loss stays that of the data; biases and scales are left alone.
    Raises ValueRangeError.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        if not (l1 >= 0 and l2 >= 0 and l1 + l2 > 0):
            raise ValueRangeError(f"Penalty: l1 and l2 of at least 0, one above, are needed; {l1}, {l2} came")
        self.l1, self.l2 = l1, l2

    def on_backward(self, trainer: Trainer) -> None:
        for p in trainer.model.parameters():
            if p.ndim > 1 and p.grad is not None:
                g, w = p.grad.data, p.data
                if self.l1:
                    g += self.l1 * np.sign(w)
                if self.l2:
                    g += self.l2 * w


class AveragedWeights(Callback):
    """An exponential average of the weights over the steps, which takes their place when training ends.

    average = decay * average + (1 - decay) * weights, begun at the first weights. `with
    averaged.swapped(model):` has the average in place for a while. Raises ValueRangeError.
    """

    def __init__(self, decay: float = 0.999, apply: bool = True) -> None:
        if not 0 < decay < 1:
            raise ValueRangeError(f"AveragedWeights: decay between 0 and 1 is needed; {decay} came")
        self.decay, self.apply = decay, apply
        self.average: dict[str, np.ndarray] = {}

    def on_fit_begin(self, trainer: Trainer) -> None:
        if not self.average:
            self.average = {name: p.data.copy() for name, p in trainer.model.named_parameters()}

    def on_batch_end(self, trainer: Trainer) -> None:
        for name, p in trainer.model.named_parameters():
            average = self.average[name]
            average += (1 - self.decay) * (p.data - average)

    @contextmanager
    def swapped(self, model: Any) -> Iterator[None]:
        """The averaged weights in the model, for a while."""
        before = {name: p.data.copy() for name, p in model.named_parameters()}
        self._put(model, self.average)
        try:
            yield
        finally:
            self._put(model, before)

    def _put(self, model: Any, values: Mapping[str, np.ndarray]) -> None:
        for name, p in model.named_parameters():
            p.data[...] = values[name]

    def on_fit_end(self, trainer: Trainer) -> None:
        if self.apply and self.average and not trainer.interrupted:
            self._put(trainer.model, self.average)

    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.average = {name: np.array(value) for name, value in state["average"].items()}
