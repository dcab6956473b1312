"""The learning-rate range test."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dl.data import DataLoader
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.train.trainer import Trainer


class Rates(NamedTuple):
    """What the test measured: a rate and a loss a step, the losses smoothed, and a rate to begin with."""

    rates: list[float]
    losses: list[float]
    smooth: list[float]
    suggestion: float

    def plot(self, ax: Any = None) -> Any:
        """The loss against the rate; see viz.plot_rates."""
        from tinygrad_dl.viz.surface import plot_rates

        return plot_rates(self, ax)


def find_rate(
    trainer: Trainer,
    train: Any,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    *,
    batch_size: int = 64,
    rng: Any = 0,
) -> Rates:
    """Train `steps` steps with a rate that grows from low to high, and see where the loss falls fastest.

    It works on copies: model and optimizer of the trainer stay as they are. It ends early when the loss is
    four times its least. The suggestion is where the smoothed loss falls fastest. Raises ValueRangeError.
    Source: Smith 2017, Cyclical Learning Rates.
    """
    if not 0 < low < high or steps < 10:
        raise ValueRangeError(
            f"find_rate: 0 < low < high and steps of at least 10 are needed; {low}, {high}, {steps} came"
        )
    model, optimizer = copy.deepcopy((trainer.model, trainer.optimizer))
    loader = train if isinstance(train, DataLoader) else DataLoader(train, batch_size, shuffle=True, rng=rng)
    if not len(loader):
        raise ValueRangeError("find_rate: the training part has no batch")
    epoch = loader.epoch
    probe = Trainer(model, trainer.loss, optimizer, progress="off", allow_nan=True)
    probe.forward = lambda batch: type(trainer).forward(probe, batch)  # type: ignore[method-assign]
    model.train()
    rates: list[float] = []
    losses: list[float] = []
    smooth: list[float] = []
    average = 0.0
    try:
        while len(rates) < steps:
            for batch in loader:
                rate = low * (high / low) ** (len(rates) / (steps - 1))
                for group in optimizer.param_groups:
                    group["lr"] = rate
                with np.errstate(all="ignore"):
                    loss = probe._train_on(batch)[2]
                average = 0.9 * average + 0.1 * loss
                rates.append(rate)
                losses.append(loss)
                smooth.append(average / (1 - 0.9 ** len(rates)))
                if len(rates) == steps or not np.isfinite(loss) or smooth[-1] > 4 * min(smooth) + 1e-12:
                    return Rates(rates, losses, smooth, _steepest(rates, smooth))
    finally:
        loader.epoch = epoch
    return Rates(rates, losses, smooth, _steepest(rates, smooth))


def _steepest(rates: list[float], smooth: list[float]) -> float:
    """The rate at which the loss falls fastest for each tenfold of the rate, before its least value.

    The first tenth is left out: there the average is of a few batches, and its fall is chance.
    """
    values = np.array(smooth)[np.isfinite(smooth)]
    begin = min(len(values) // 10 + 1, len(values) - 1)
    end = begin + int(values[begin:].argmin()) + 1
    if end - begin < 3:
        return rates[max(end - 1, 0)]
    reach = min(5, (end - begin) // 2)
    fall = values[begin : end - reach] - values[begin + reach : end]
    return rates[begin + int(fall.argmax()) + reach // 2]
