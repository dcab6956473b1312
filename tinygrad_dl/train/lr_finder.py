"""The learning-rate range test."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np

from tinygrad_dl.arguments import LARGEST, Bounds, Count, Positive, checked
from tinygrad_dl.data.dataset import DataLike
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.train.trainer import Trainer, loader_of
from tinygrad_dl.typing import RandomLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Rates(NamedTuple):
    """The outcome of a range test: the rate and loss of each step, the smoothed losses, and a suggested rate."""

    rates: list[float]
    losses: list[float]
    smooth: list[float]
    suggestion: float

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the loss against the rate; see viz.plot_rates."""
        from tinygrad_dl.viz.plots.range_test import plot_rates

        return plot_rates(self, ax)

    def __repr__(self) -> str:
        if not self.rates:
            return f"Rates(0 steps, suggestion {self.suggestion:.3g})"
        return (
            f"Rates({len(self.rates)} steps, lr {self.rates[0]:.3g} to {self.rates[-1]:.3g}, "
            f"lowest loss {min(self.smooth, default=float('nan')):.4g}, suggestion {self.suggestion:.3g})"
        )

    def _repr_html_(self) -> str:
        from tinygrad_dl import markup

        heading = f"suggested learning rate {markup.colored(f'{self.suggestion:.3g}', markup.GREEN)}"
        heading += f", from {len(self.rates)} steps"
        lines = [
            markup.Line("loss", self.rates, self.losses, markup.GRAY),
            markup.Line("smoothed", self.rates, self.smooth),
        ]
        marks = [
            markup.Mark("suggestion", rate, value)
            for rate, value in zip(self.rates, self.smooth)
            if rate == self.suggestion
        ]
        what = "The loss against the learning rate"
        return markup.paragraph(heading) + markup.chart(
            lines, what, marks[:1], x_label="learning rate", log_x=True
        )


@checked
def find_rate(
    trainer: Trainer,
    train: DataLike,
    low: Positive = 1e-6,
    high: Positive = 10.0,
    steps: Annotated[int, Bounds(least=10, most=LARGEST)] = 100,
    *,
    batch_size: Count = 64,
    rng: RandomLike = 0,
) -> Rates:
    """Run a learning-rate range test: train `steps` steps with a rate that grows from `low` to `high`.

    It works on copies: the model and the optimizer of the trainer are not changed. It ends early when the loss
    exceeds four times its minimum. The suggestion is the rate at which the smoothed loss falls fastest. Raises
    ValueRangeError.
    Source: Smith 2017, Cyclical Learning Rates.
    """
    if not low < high:
        raise ValueRangeError(f"find_rate: expected low below high, got low={low}, high={high}")
    loader = loader_of("find_rate: train", train, int(batch_size), shuffle=True, rng=rng)
    if not len(loader):
        raise ValueRangeError("find_rate: expected at least one batch, got none: the training part is empty")
    model, optimizer = copy.deepcopy((trainer.model, trainer.optimizer))
    epoch = getattr(loader, "epoch", None)
    probe = Trainer(model, trainer.loss, optimizer, progress="off", allow_nan=True, compile=False)
    # A subclass may override forward for batches of another structure.
    probe.forward = lambda batch: type(trainer).forward(probe, batch)  # type: ignore[method-assign]
    probe.loader, probe.batches = loader, len(loader)
    model.train()
    rates: list[float] = []
    losses: list[float] = []
    smooth: list[float] = []
    average = 0.0
    try:
        before = -1
        while before < len(rates) < steps:  # a loader that gives no more batches ends it
            before = len(rates)
            for batch in loader:
                rate = low * (high / low) ** (len(rates) / (steps - 1))
                for group in optimizer.param_groups:
                    group["lr"] = rate
                with np.errstate(all="ignore"):
                    loss = probe._train_step(batch)[2]
                # An exponential moving average, corrected for its start at 0 as in Adam.
                average = 0.9 * average + 0.1 * loss
                rates.append(rate)
                losses.append(loss)
                smooth.append(average / (1 - 0.9 ** len(rates)))
                if len(rates) <= 3 and not np.isfinite(loss):
                    raise ValueRangeError(
                        f"find_rate: expected finite losses at low rates, got {loss} at {rate:.2g} in step "
                        f"{len(rates)}. Is there nan in the data? Try a smaller low=."
                    )
                if len(rates) == steps or not np.isfinite(loss) or smooth[-1] > 4 * min(smooth) + 1e-12:
                    return Rates(rates, losses, smooth, _steepest(rates, smooth))
    finally:
        if epoch is not None:
            loader.epoch = epoch
    if not rates:
        raise ValueRangeError("find_rate: expected at least one batch, got none")
    return Rates(rates, losses, smooth, _steepest(rates, smooth))


def _steepest(rates: list[float], smooth: list[float]) -> float:
    """Return the rate at which the loss falls fastest per decade of the rate, before its minimum.

    The first tenth is skipped: the average is over a few batches there, and its fall is chance.
    """
    values = np.array(smooth)[np.isfinite(smooth)]
    begin = min(len(values) // 10 + 1, len(values) - 1)
    end = begin + int(values[begin:].argmin()) + 1
    if end - begin < 3:
        return rates[max(end - 1, 0)]
    width = min(5, (end - begin) // 2)  # the derivative is a difference over this many steps, against noise
    decrease = values[begin : end - width] - values[begin + width : end]
    return rates[begin + int(decrease.argmax()) + width // 2]
