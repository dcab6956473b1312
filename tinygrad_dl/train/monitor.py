"""Monitor: what happens inside the layers while they learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.train.callback import Callback

if TYPE_CHECKING:
    from tinygrad_dl.train.trainer import Trainer

BINS = 40


class Monitor(Callback):
    """Measure activations, gradients and updates of each layer, `every` so many steps; it keeps figures, no Tensors.

    `steps`: the steps measured, from 1. `activations[layer]`, a dict a step: mean, std, a histogram
    (counts, edges), `dead`: the share of units that were 0 for the whole batch, of layers whose least
    output is 0, else nan. `gradients[parameter]`: norm, weight (its norm), histogram, `ratio`: norm of the
    update over that of the weight.
    """

    last = True

    def __init__(self, every: int = 50) -> None:
        if every < 1:
            raise ValueRangeError(f"Monitor: every of at least 1 is needed; {every} came")
        self.every = every
        self.steps: list[int] = []
        self.activations: dict[str, list[dict[str, Any]]] = {}
        self.gradients: dict[str, list[dict[str, Any]]] = {}
        self._hooks: list[Any] = []
        self._step = 0
        self._before: dict[str, np.ndarray] = {}

    def on_fit_begin(self, trainer: Trainer) -> None:
        self._trainer = trainer
        for name, module in trainer.model.named_modules():
            if not list(module.children()):
                self._hooks.append(module.register_forward_hook(self._hook(name or type(module).__name__)))

    def _hook(self, name: str) -> Any:
        def measure(module: Any, inputs: Any, output: Any) -> None:
            if self._due() and module.training and hasattr(output, "data"):
                self.activations.setdefault(name, []).append(_activation(output.data))

        return measure

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
                    figures = self.gradients[name][-1]
                    figures["ratio"] = _norm(p.data - self._before[name]) / max(figures["weight"], 1e-12)
            self._before.clear()
        self._step += 1

    def on_fit_end(self, trainer: Trainer) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()


def _norm(array: np.ndarray) -> float:
    return float(np.sqrt(np.sum(np.square(array, dtype=np.float64))))


def _histogram(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    finite = array[np.isfinite(array)].astype(np.float64)
    counts, edges = (
        np.histogram(finite, BINS) if finite.size else (np.zeros(BINS, int), np.linspace(0, 1, BINS + 1))
    )
    return counts, edges


def _activation(array: np.ndarray) -> dict[str, Any]:
    dead = float("nan")
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
