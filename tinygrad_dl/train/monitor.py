"""Monitor: statistics of activations, gradients and updates during training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl.arguments import Count, checked
from tinygrad_dl.train.callback import Callback
from tinygrad_dl.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tinygrad_dl.nn import Module
    from tinygrad_dl.train.trainer import Trainer

BINS = 40


class Monitor(Callback):
    """Record statistics of activations, gradients and updates of each layer in every `every`-th step.

    `steps`: the steps recorded, from 1. `activations[layer]`, one dict per step: mean, std, histogram (counts,
    edges), `dead`: the fraction of units that were 0 for the whole batch, nan for layers whose minimum is not 0.
    `gradients[parameter]`: norm, weight (the norm of the parameter), histogram, `ratio`: the norm of the update
    divided by that of the parameter. Numbers only: no Tensor is kept alive. It goes on recording in further fits of
    the same Trainer, and begins again in another. Raises ValueRangeError.
    """

    last = True

    @checked
    def __init__(self, every: Count = 50) -> None:
        self.every = int(every)
        self._trainer: Trainer | None = None
        self._hooks: list[Any] = []
        self._begin()

    def _begin(self) -> None:
        self.steps: list[int] = []
        self.activations: dict[str, list[dict[str, Any]]] = {}
        self.gradients: dict[str, list[dict[str, Any]]] = {}
        self._step = 0
        self._before: dict[str, np.ndarray] = {}

    def on_fit_begin(self, trainer: Trainer) -> None:
        self.on_fit_end(trainer)  # hooks that an interrupted fit has left
        if self._trainer is not None and self._trainer is not trainer:
            self._begin()
        self._trainer = trainer
        for name, module in trainer.model.named_modules():
            if not list(module.children()):
                self._hooks.append(
                    module.register_forward_hook(self._forward_hook(name or type(module).__name__))
                )

    def _forward_hook(self, name: str) -> Callable[[Module, Any, Any], None]:
        def measure(module: Module, inputs: object, output: Any) -> None:
            if self._due() and module.training and hasattr(output, "data"):
                self.activations.setdefault(name, []).append(_activation(output.data))

        return measure

    def watches_step(self) -> bool:
        return self._due()

    def _due(self) -> bool:
        return self._step % self.every == 0

    def on_backward(self, trainer: Trainer) -> None:
        if not self._due():
            return
        self.steps.append(self._step + 1)
        for name, p in trainer.model.named_parameters():
            if p.grad is not None:
                g = p.grad.data
                self._before[name] = p.data.copy()
                self.gradients.setdefault(name, []).append(
                    {
                        "norm": _norm(g),
                        "weight": _norm(p.data),
                        "histogram": _histogram(g),
                        "ratio": float("nan"),
                    }
                )

    def on_batch_end(self, trainer: Trainer) -> None:
        if self._due():
            for name, p in trainer.model.named_parameters():
                if name in self._before:
                    latest = self.gradients[name][-1]
                    latest["ratio"] = _norm(p.data - self._before[name]) / max(latest["weight"], 1e-12)
            self._before.clear()
        self._step += 1

    def state_dict(self) -> dict[str, Any]:
        return {"step": self._step}  # so that a resumed run records the steps that follow

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._step = state.get("step", 0)

    def on_fit_end(self, trainer: Trainer) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()


def _norm(array: NDArray) -> float:
    return float(np.sqrt(np.sum(np.square(array, dtype=np.float64))))  # float32 squares may overflow


def _histogram(array: NDArray) -> tuple[NDArray, NDArray]:
    finite = array[np.isfinite(array)].astype(np.float64)
    counts, edges = (
        np.histogram(finite, BINS) if finite.size else (np.zeros(BINS, int), np.linspace(0, 1, BINS + 1))
    )
    return counts, edges


def _activation(array: NDArray) -> dict[str, Any]:
    dead = float("nan")
    # A minimum of exactly 0 is the mark of ReLU and its relatives; other activations have no dead units.
    if array.ndim > 1 and array.size and array.min() == 0:
        units = np.moveaxis(array, 1, 0).reshape(array.shape[1], -1)
        dead = float((units == 0).all(axis=1).mean())
    wide = array.astype(np.float64)
    return {
        "mean": float(wide.mean()),
        "std": float(wide.std()),
        "histogram": _histogram(array),
        "dead": dead,
    }
