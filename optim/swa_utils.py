"""Averages of weights over the steps: exponential moving averages and stochastic weight averaging."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from math import cos, pi
from typing import Any

import numpy as np

from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.modes import no_grad
from tinygrad_dl.optim.optimizer import Optimizer
from tinygrad_dl.optim.schedule import LRScheduler

Average = Callable[[np.ndarray, np.ndarray, int], Any]
AverageMany = Callable[[list[np.ndarray], list[np.ndarray], int], Any]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """average = decay * average + (1 - decay) * current, for AveragedModel. Raises ValueRangeError."""
    if not 0 <= decay <= 1:
        raise ValueRangeError(f"get_ema_avg_fn: decay: a number in [0, 1] is needed; {decay!r} came")
    return lambda average, current, count: average + (current - average) * (1.0 - decay)


def get_swa_avg_fn() -> Average:
    """average = average + (current - average) / (count + 1), the mean of all so far, for AveragedModel."""
    return lambda average, current, count: average + (current - average) / (count + 1)


def get_ema_multi_avg_fn(decay: float = 0.999) -> AverageMany:
    """As get_ema_avg_fn, but for `multi_avg_fn`: it changes a list of averages in place."""
    return _many(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> AverageMany:
    """As get_swa_avg_fn, but for `multi_avg_fn`: it changes a list of averages in place."""
    return _many(get_swa_avg_fn())


def _many(one: Average) -> AverageMany:
    def update(averages: list[np.ndarray], currents: list[np.ndarray], count: int) -> None:
        for average, current in zip(averages, currents):
            average[...] = one(average, current, count)

    return update


class AveragedModel:
    """A copy of a model whose weights are an average of the model's over the steps; call it like the model.

    `avg_fn(average, current, count)` works on arrays: by default the mean of all so far, with
    get_ema_avg_fn(decay) an exponential moving average; `multi_avg_fn` does so on lists, in place. Buffers are
    copied, or averaged with use_buffers. Raises ShapeError, DTypeError. Source: Izmailov et al. 2018.

    >>> from tinygrad_dl import nn
    >>> model = nn.Linear(1, 1)
    >>> ema = AveragedModel(model, avg_fn=get_ema_avg_fn(0.9))
    >>> for value in (0.0, 1.0):  # after each optimizer.step()
    ...     model.weight.data[...] = value
    ...     ema.update_parameters(model)
    >>> round(ema.module.weight.item(), 4)
    0.1
    """

    def __init__(
        self,
        model: Any,
        device: None = None,
        avg_fn: Average | None = None,
        multi_avg_fn: AverageMany | None = None,
        use_buffers: bool = False,
    ) -> None:
        if device is not None or (avg_fn is not None and multi_avg_fn is not None):
            raise ValueRangeError("AveragedModel: device has to be None, and one of avg_fn and multi_avg_fn")
        if not hasattr(model, "named_parameters"):
            raise DTypeError(f"AveragedModel: model: a module is needed; {type(model).__name__} came")
        self.module = deepcopy(model)
        self.n_averaged = 0
        self.multi_avg_fn = multi_avg_fn or _many(avg_fn or get_swa_avg_fn())
        self.use_buffers = use_buffers

    def update_parameters(self, model: Any) -> None:
        """Take the model's present weights into the average; the first time they are the average."""
        averages, currents = [], []
        pairs = [(True, *pair) for pair in _pairs(self.module.named_parameters(), model.named_parameters())]
        buffers = _pairs(self.module.named_buffers(), model.named_buffers())
        for averaged, old, new in (*pairs, *((self.use_buffers, *pair) for pair in buffers)):
            if averaged and self.n_averaged and old.dtype.kind == "f":
                averages.append(old._data)
                currents.append(new._data)
            else:
                old._data[...] = new._data
        if averages:
            self.multi_avg_fn(averages, currents, self.n_averaged)
        self.n_averaged += 1

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return self.module(*inputs, **options)

    def parameters(self) -> Iterator[Any]:
        """The averaged parameters."""
        return iter(self.module.parameters())

    def train(self, mode: bool = True) -> AveragedModel:
        """Put the averaged model into training mode."""
        self.module.train(mode)
        return self

    def eval(self) -> AveragedModel:
        """Put the averaged model into evaluation mode."""
        return self.train(False)

    def state_dict(self) -> dict[str, Any]:
        """The count as "n_averaged" and the averaged model's state with "module." before each name."""
        inner = {f"module.{name}": value for name, value in self.module.state_dict().items()}
        return {"n_averaged": np.array(self.n_averaged), **inner}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a `state_dict()`. Raises ValueRangeError without the count, else as the module's does."""
        if "n_averaged" not in state_dict:
            raise ValueRangeError('AveragedModel.load_state_dict: "n_averaged" is missing')
        inner = {name.removeprefix("module."): v for name, v in state_dict.items() if name != "n_averaged"}
        self.module.load_state_dict(inner)
        self.n_averaged = int(state_dict["n_averaged"])

    def __repr__(self) -> str:
        return f"AveragedModel(\n  n_averaged={self.n_averaged}\n  {self.module!r}\n)"


def _pairs(averaged: Iterable[Any], now: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Tensors of the same name, in both models."""
    one, other = dict(averaged), dict(now)
    for name in {**one, **other}:
        if name not in one or name not in other or one[name].shape != other[name].shape:
            raise ShapeError(
                f"AveragedModel: the model is another one: {name} is missing or has another shape"
            )
        yield one[name], other[name]


def update_bn(loader: Iterable[Any], model: Any) -> None:
    """Compute the running statistics of batch normalization anew, as the mean over the batches of a loader.

    Averaged weights need it: the averaged statistics are not theirs. Batches: inputs, or tuples that begin
    with them.
    """
    module = getattr(model, "module", model)
    norms = [part for part in module.modules() if hasattr(part, "reset_running_stats")]
    norms = [part for part in norms if getattr(part, "running_mean", None) is not None]
    if not norms:
        return
    before, training = [part.momentum for part in norms], module.training
    try:
        module.train()
        for part in norms:
            part.reset_running_stats()
            part.momentum = None  # the plain mean over the batches
        with no_grad():
            for batch in loader:
                module(batch[0] if isinstance(batch, (tuple, list)) else batch)
    finally:
        for part, momentum in zip(norms, before):
            part.momentum = momentum
        module.train(training)


class SWALR(LRScheduler):
    """From the rate that is set to swa_lr in anneal_epochs epochs ("cos" or "linear"), and swa_lr from then on.

    Raises ValueRangeError. Source: Izmailov et al. 2018.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = self.checked(optimizer)
        known = ("cos", "linear")
        self.refuse(anneal_strategy not in known, "anneal_strategy", '"cos" or "linear"', anneal_strategy)
        self.refuse(not anneal_epochs >= 0, "anneal_epochs", "a number of at least 0", anneal_epochs)
        self._anneal_strategy, self.anneal_epochs = anneal_strategy, anneal_epochs
        for group, rate in zip(optimizer.param_groups, self.each("swa_lr", swa_lr)):
            group["swa_lr"] = rate
        super().__init__(optimizer, last_epoch)

    def share(self, step: int) -> float:
        """How much of swa_lr is in the rate after so many steps."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return (1 - cos(pi * t)) / 2 if self._anneal_strategy == "cos" else t

    def get_lr(self) -> list[float]:
        step = self._step_count - 1 if self.anneal_epochs else max(1, self._step_count - 1)
        before, now = self.share(step - 1), self.share(step)
        rates = []
        for group in self.optimizer.param_groups:
            lr, end = float(group["lr"]), float(group["swa_lr"])
            # The rate may have been changed by another schedule: where it would have begun.
            begin = end if before == 1 else (lr - before * end) / (1 - before)
            rates.append(end * now + begin * (1 - now))
        return rates
