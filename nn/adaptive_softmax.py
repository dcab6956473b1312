"""The adaptive softmax: many classes in clusters, frequent ones near, rare ones behind smaller layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dl.errors import IndexRangeError, ShapeError, ValueRangeError
from tinygrad_dl.nn.containers import ModuleList, Sequential
from tinygrad_dl.nn.linear import Linear
from tinygrad_dl.nn.module import Module
from tinygrad_dl.ops.activations import log_softmax
from tinygrad_dl.ops.elementwise import where
from tinygrad_dl.ops.join import concat
from tinygrad_dl.ops.reduce import mean
from tinygrad_dl.ops.sort import argmax
from tinygrad_dl.tensor import Tensor


class AdaptiveOutput(NamedTuple):
    """What the adaptive softmax gives: the log-probability of each target (N,), and their negative mean."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-probabilities over very many classes, sorted by how frequent they are.

    p(class) = p_head(class) for classes below `cutoffs[0]`; for the others p_head(cluster) * p_cluster(class),
    with a cluster between each two cutoffs, its layer `div_value` times narrower than the one before.
    input (N, in_features) or (in_features,), target (N,) or () -> output (N,) or (), loss ().
    Source: Grave and others 2017, Efficient softmax approximation for GPUs.
    >>> AdaptiveLogSoftmaxWithLoss(4, 10, cutoffs=[2, 5]).log_prob(Tensor([[0.0] * 4])).shape
    (1, 10)
    """

    def __init__(
        self, in_features: int, n_classes: int, cutoffs: Sequence[int], div_value: float = 4.0,
        head_bias: bool = False, device: Any = None, dtype: Any = None, *, rng: Any = None,
    ) -> None:  # fmt: skip
        ends = list(cutoffs)
        if not ends:
            raise ValueRangeError("AdaptiveLogSoftmaxWithLoss: at least one cutoff is needed; none came")
        if (
            ends != sorted(set(ends))
            or ends[0] <= 0
            or ends[-1] > n_classes - 1
            or any(int(c) != c for c in ends)
        ):
            raise ValueRangeError(
                "AdaptiveLogSoftmaxWithLoss: cutoffs are rising, different whole numbers from 1 to "
                f"n_classes - 1 = {n_classes - 1}; {ends} came"
            )
        self.in_features, self.n_classes, self.div_value, self.head_bias = (
            in_features,
            n_classes,
            div_value,
            head_bias,
        )
        self.cutoffs = [*ends, n_classes]
        self.shortlist_size, self.n_clusters = self.cutoffs[0], len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        made = {"device": device, "dtype": dtype, "rng": rng}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **made)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(zip(self.cutoffs, self.cutoffs[1:])):
            width = int(in_features // div_value ** (i + 1))
            self.tail.append(
                Sequential(
                    Linear(in_features, width, bias=False, **made),
                    Linear(width, high - low, bias=False, **made),
                )
            )

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        for layer in (self.head, *(part for cluster in self.tail for part in cluster)):
            layer.reset_parameters()

    def forward(self, input: Any, target: Any) -> AdaptiveOutput:
        """The log-probability of each target, and the loss."""
        target = np.asarray(target.data if isinstance(target, Tensor) else target)
        rows = input if input.ndim == 2 else input[None]
        if input.ndim not in (1, 2) or target.shape != input.shape[:-1]:
            raise ShapeError(
                f"AdaptiveLogSoftmaxWithLoss: input (N, {self.in_features}) needs a target (N,); "
                f"{input.shape} and {target.shape} came"
            )
        classes = target.reshape(-1)
        wrong = classes[(classes < 0) | (classes >= self.n_classes)]
        if wrong.size:
            raise IndexRangeError(
                f"AdaptiveLogSoftmaxWithLoss: the target holds the class {wrong[0]}; "
                f"there are the classes 0 to {self.n_classes - 1}"
            )
        head = log_softmax(self.head(rows), axis=1)
        cluster = np.searchsorted(self.cutoffs, classes, side="right") - 1
        near = np.where(cluster < 0, classes, self.shortlist_size + cluster)
        output = head[np.arange(len(classes)), near]
        for i, layer in enumerate(self.tail):
            (mine,) = np.nonzero(cluster == i)
            if mine.size:
                inside = log_softmax(layer(rows[mine]), axis=1)
                output[mine] = output[mine] + inside[np.arange(mine.size), classes[mine] - self.cutoffs[i]]
        return AdaptiveOutput(output if input.ndim == 2 else output[0], -mean(output))

    def log_prob(self, input: Any) -> Tensor:
        """The log-probabilities of all classes: input (N, in_features) -> (N, n_classes)."""
        head = log_softmax(self.head(input), axis=1)
        parts = [head[:, : self.shortlist_size]]
        for i, layer in enumerate(self.tail):
            place = self.shortlist_size + i
            parts.append(log_softmax(layer(input), axis=1) + head[:, place : place + 1])
        return concat(parts, axis=1)

    def predict(self, input: Any) -> Tensor:
        """The most probable class of each row; clusters are looked into only where the head points at one."""
        first = argmax(self.head(input), axis=1)
        if bool((first < self.shortlist_size).all()):
            return first
        return where(first < self.shortlist_size, first, argmax(self.log_prob(input), axis=1))
