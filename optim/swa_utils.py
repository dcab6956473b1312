"""Averages of weights over training steps: exponential moving averages and stochastic weight averaging."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from functools import partial
from math import cos, pi
from typing import Any

import numpy as np

from tinygrad_dl.arguments import NonNegative, Probability, Size, checked
from tinygrad_dl.convert import describe
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.modes import effect, no_grad
from tinygrad_dl.nn.module import Module
from tinygrad_dl.optim.optimizer import Optimizer
from tinygrad_dl.optim.scheduler import LastEpoch, LRScheduler
from tinygrad_dl.optim.typing import Group
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import NDArray

Average = Callable[[NDArray, NDArray, int], Any]
AverageMany = Callable[[list[NDArray], list[NDArray], int], Any]
Named = Iterable[tuple[str, Tensor]]


@checked
def get_ema_avg_fn(decay: Probability = 0.999) -> Average:
    """average = decay * average + (1 - decay) * current, for AveragedModel. Raises ValueRangeError."""
    return partial(_moving, float(decay))


def get_swa_avg_fn() -> Average:
    """average = average + (current - average) / (count + 1), the mean of all weights so far, for AveragedModel."""
    return _mean


@checked
def get_ema_multi_avg_fn(decay: Probability = 0.999) -> AverageMany:
    """The same for `multi_avg_fn`: it updates a list of averages in place."""
    return partial(_each, get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> AverageMany:
    """The same for `multi_avg_fn`: it updates a list of averages in place."""
    return partial(_each, _mean)


# Functions of the module, not of functions: an AveragedModel that has them can be pickled.
def _moving(decay: float, average: NDArray, current: NDArray, count: int) -> Any:
    return average + (current - average) * (1.0 - decay)


def _mean(average: NDArray, current: NDArray, count: int) -> Any:
    return average + (current - average) / (count + 1)


def _each(one: Average, averages: list[NDArray], currents: list[NDArray], count: int) -> None:
    for average, current in zip(averages, currents):
        average[...] = one(average, current, count)


class AveragedModel(Module):
    """A copy of a model whose weights are an average of the model's over the steps; a module like the model.

    `avg_fn(average, current, count)` works on arrays: by default it is the mean of all weights so far, with
    get_ema_avg_fn(decay) an exponential moving average; `multi_avg_fn` does the same with lists, in place. Buffers are
    copied, or averaged with use_buffers. The count is the buffer `n_averaged`, the model the module `module`.
    Raises ShapeError, DTypeError. Source: Izmailov et al. 2018.

    >>> from tinygrad_dl import nn
    >>> model = nn.Linear(1, 1)
    >>> ema = AveragedModel(model, avg_fn=get_ema_avg_fn(0.9))
    >>> for value in (0.0, 1.0):  # after each optimizer.step()
    ...     model.weight.data[...] = value
    ...     ema.update_parameters(model)
    >>> round(ema.module.weight.item(), 4)
    0.1
    """

    module: Any
    n_averaged: Any

    def __init__(
        self,
        model: Any,
        device: None = None,
        avg_fn: Average | None = None,
        multi_avg_fn: AverageMany | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if device is not None or (avg_fn is not None and multi_avg_fn is not None):
            raise ValueRangeError(
                "AveragedModel: expected device=None and at most one of avg_fn and multi_avg_fn"
            )
        _validate_module("AveragedModel", model)
        for option, function in (("avg_fn", avg_fn), ("multi_avg_fn", multi_avg_fn)):
            if function is not None and not callable(function):
                raise DTypeError(f"AveragedModel: {option}: expected a function, got {describe(function)}")
        if not isinstance(use_buffers, (bool, int)):
            raise DTypeError(
                f"AveragedModel: use_buffers: expected True or False, got {describe(use_buffers)}"
            )
        self.register_buffer("n_averaged", np.array(0))
        self.module = deepcopy(model)
        self.multi_avg_fn = multi_avg_fn or partial(_each, avg_fn or _mean)
        self.use_buffers = use_buffers

    def forward(self, *inputs: Any, **options: Any) -> Any:
        return self.module(*inputs, **options)

    def update_parameters(self, model: Any) -> None:
        """Include the model's current weights in the average; the first ones are the average."""
        _validate_module("AveragedModel.update_parameters", model)
        tensors = [*self.module.parameters(), *self.module.buffers(), self.n_averaged]
        effect(AveragedModel._include, self, model, changes=tensors)

    def _include(self, model: Any) -> None:
        averages, currents = [], []
        count = int(self.n_averaged)
        pairs = [(True, *pair) for pair in _pairs(self.module.named_parameters(), model.named_parameters())]
        buffers = _pairs(self.module.named_buffers(), model.named_buffers())
        for averaged, old, new in [*pairs, *((self.use_buffers, *pair) for pair in buffers)]:
            if averaged and count and old.dtype.kind in "fc":
                averages.append(old._data)
                currents.append(new._data)
            else:
                old._data[...] = new._data
        if averages:
            self.multi_avg_fn(averages, currents, count)
        self.n_averaged.data[...] = count + 1


def _validate_module(where: str, model: Any) -> None:
    if not isinstance(model, Module):
        raise DTypeError(f"{where}: model: expected a module, got {type(model).__name__}")


def _pairs(averaged: Named, current: Named) -> Iterator[tuple[Tensor, Tensor]]:
    """Tensors of the same name, in both models."""
    one, other = dict(averaged), dict(current)
    for name in {**one, **other}:
        if name not in one or name not in other or one[name].shape != other[name].shape:
            raise ShapeError(
                f"AveragedModel: model: expected the model that is averaged, got one where {name} is missing or has "
                "another shape"
            )
        yield one[name], other[name]


def update_bn(loader: Iterable[Any], model: Any) -> None:
    """Recompute the running statistics of batch normalization as the mean over the batches of a loader.

    Averaged weights need this: averages of the statistics are not the statistics of averages. Each batch is an
    input, or a tuple that begins with one.
    """
    _validate_module("update_bn", model)
    if isinstance(loader, (str, bytes)) or not isinstance(loader, Iterable):
        raise DTypeError(f"update_bn: loader: expected batches, such as a DataLoader, got {describe(loader)}")
    module = model
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
                x = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
                if isinstance(x, (str, bytes, int, float, type(None))):
                    raise DTypeError(
                        f"update_bn: loader: expected batches: inputs, or tuples that begin with one, got {describe(x)}"
                    )
                module(x)
    finally:
        for part, momentum in zip(norms, before):
            part.momentum = momentum
        module.train(training)


class SWALR(LRScheduler):
    """From the current rate to swa_lr over anneal_epochs epochs ("cos" or "linear"), and swa_lr from then on.

    Raises ValueRangeError. Source: Izmailov et al. 2018.
    """

    @checked
    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: NonNegative | Sequence[NonNegative],
        anneal_epochs: Size = 10,
        anneal_strategy: str = "cos",
        last_epoch: LastEpoch = -1,
    ) -> None:
        self.optimizer = self.validate_optimizer(optimizer)
        known = ("cos", "linear")
        self.validate(anneal_strategy in known, "anneal_strategy", '"cos" or "linear"', anneal_strategy)
        self._anneal_strategy, self.anneal_epochs = anneal_strategy, anneal_epochs
        for group, rate in zip(optimizer.param_groups, self.per_group("swa_lr", swa_lr)):
            group["swa_lr"] = rate
        super().__init__(optimizer, last_epoch)

    def include_group(self, group: Group) -> None:
        scheduled = self.optimizer.param_groups[: len(self.base_lrs)]
        group.setdefault("swa_lr", self.shared("swa_lr", [other["swa_lr"] for other in scheduled]))
        super().include_group(group)

    def weight_of_swa_lr(self, step: int) -> float:
        """The weight of swa_lr in the rate after `step` steps, from 0 to 1."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return (1 - cos(pi * t)) / 2 if self._anneal_strategy == "cos" else t

    def get_lr(self) -> list[float]:
        step = self._step_count - 1 if self.anneal_epochs else max(1, self._step_count - 1)
        previous, current = self.weight_of_swa_lr(step - 1), self.weight_of_swa_lr(step)
        lrs = []
        for group in self.optimizer.param_groups:
            lr, end = float(group["lr"]), float(group["swa_lr"])
            # Another schedule may have changed the rate: the initial rate that would have led to it.
            begin = end if previous == 1 else (lr - previous * end) / (1 - previous)
            lrs.append(end * current + begin * (1 - current))
        return lrs
