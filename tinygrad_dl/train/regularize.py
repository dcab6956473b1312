"""Callbacks that act on gradients and weights: clipping, L1 and L2 penalties, averaged weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from tinygrad_dl.arguments import Bounds, NonNegative, Positive, checked
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.modes import effect
from tinygrad_dl.nn.utils import clip_grad_norm_, clip_grad_value_
from tinygrad_dl.train.callback import Callback, GradientCallback
from tinygrad_dl.typing import NDArray

if TYPE_CHECKING:
    from tinygrad_dl.nn import Module
    from tinygrad_dl.train.trainer import Trainer


class ClipGradients(GradientCallback):
    """Before each step scale all gradients to a total norm of at most `norm`, or clip each element to ±`value`.

    With `norm`, a gradient of nan or infinity raises AnomalyError naming the parameter, and `share` is the
    fraction of steps of the last fit that were clipped. Raises ValueRangeError.
    """

    @checked
    def __init__(self, norm: Positive | None = None, value: Positive | None = None) -> None:
        if (norm is None) == (value is None):
            raise ValueRangeError(
                f"ClipGradients: expected either norm or value above 0, got norm={norm}, value={value}"
            )
        self.norm, self.value = norm, value
        self.steps = self.clipped = 0

    def on_fit_begin(self, trainer: Trainer) -> None:
        if not trainer.resuming:
            self.steps = self.clipped = 0

    @property
    def share(self) -> float:
        """The fraction of steps in which the norm exceeded its limit."""
        return self.clipped / max(self.steps, 1)

    def change(self) -> tuple[Any, ...]:
        return (_clipped_norm, self.norm) if self.norm is not None else (clip_grad_value_, self.value)

    def note(self, result: Any) -> None:
        if self.norm is not None:
            self.steps += 1
            self.clipped += float(result) > self.norm

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "clipped": self.clipped}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.steps, self.clipped = state["steps"], state["clipped"]


class Penalty(GradientCallback):
    """L1 and L2 penalties: l1 * sum(abs(w)) + l2 / 2 * sum(w**2) over all parameters w of two or more axes.

    Their gradient l1 * sign(w) + l2 * w is added to that of the loss, so the printed loss is that of the data alone;
    biases and normalization scales have one axis and are not penalized. Raises ValueRangeError.
    """

    @checked
    def __init__(self, l1: NonNegative = 0.0, l2: NonNegative = 0.0) -> None:
        if not l1 + l2 > 0:
            raise ValueRangeError(
                f"Penalty: expected l1 and l2 of at least 0, one of them above, got l1={l1}, l2={l2}"
            )
        self.l1, self.l2 = l1, l2

    def change(self) -> tuple[Any, ...]:
        return _penalized, self.l1, self.l2


def _clipped_norm(model: Module, norm: float) -> Any:
    return clip_grad_norm_(model.named_parameters(), norm, error_if_nonfinite=True)


def _penalized(model: Module, l1: float, l2: float) -> None:
    effect(_add_penalty, [p for p in model.parameters() if p.ndim > 1], l1, l2, gradients=True)


def _add_penalty(weights: list[Any], l1: float, l2: float) -> None:
    for p in weights:
        if p.grad is not None:
            g, w = p.grad.data, p.data
            if l1:
                g += l1 * np.sign(w)
            if l2:
                g += l2 * w


class AveragedWeights(Callback):
    """An exponential moving average of the weights, which replaces them when training ends.

    average = decay * average + (1 - decay) * weights after each step, starting from the initial weights. `with
    averaged.swapped(model):` uses the average temporarily. Each fit begins a new average. Raises ValueRangeError.
    """

    @checked
    def __init__(self, decay: Annotated[float, Bounds(above=0, below=1)] = 0.999, apply: bool = True) -> None:
        self.decay, self.apply = decay, apply
        self.average: dict[str, NDArray] = {}

    def on_fit_begin(self, trainer: Trainer) -> None:
        if not trainer.resuming:
            self.average = {name: p.data.copy() for name, p in trainer.model.named_parameters()}

    def on_batch_end(self, trainer: Trainer) -> None:
        for name, p in trainer.model.named_parameters():
            average = self.average[name]
            average += (1 - self.decay) * (p.data - average)  # in place

    @contextmanager
    def swapped(self, model: Module) -> Iterator[None]:
        """Use the averaged weights in the model within a `with` block."""
        shapes = {name: p.shape for name, p in model.named_parameters()}
        averaged = {name: value.shape for name, value in self.average.items()}
        if shapes != averaged:
            raise ShapeError(
                "AveragedWeights.swapped: expected the model that was trained with it, got one with other parameters"
            )
        original = {name: p.data.copy() for name, p in model.named_parameters()}
        try:
            self._copy_into(model, self.average)
            yield
        finally:
            self._copy_into(model, original)

    def _copy_into(self, model: Module, values: Mapping[str, NDArray]) -> None:
        for name, p in model.named_parameters():
            p.data[...] = values[name]

    def on_fit_end(self, trainer: Trainer) -> None:
        if self.apply and self.average and not trainer.interrupted:
            self._copy_into(trainer.model, self.average)

    def state_dict(self) -> dict[str, Any]:
        return {"average": {name: value.copy() for name, value in self.average.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.average = {name: np.array(value) for name, value in state["average"].items()}
