"""The adaptive softmax: rare classes in clusters with smaller layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dl.arguments import Count, Positive, Size
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.nn.containers import ModuleList, Sequential
from tinygrad_dl.nn.functional.loss.arguments import class_indices, integers
from tinygrad_dl.nn.layers.linear import Linear
from tinygrad_dl.nn.module import Module
from tinygrad_dl.ops.activations import log_softmax
from tinygrad_dl.ops.elementwise import where
from tinygrad_dl.ops.join import concat
from tinygrad_dl.ops.reduce import mean
from tinygrad_dl.ops.sort import argmax
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, ArrayLike, DTypeLike, RandomLike


class AdaptiveOutput(NamedTuple):
    """The result of the adaptive softmax: the log-probability of each target (N,), and their negative mean."""

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
        self,
        in_features: Size,
        n_classes: Count,
        cutoffs: Sequence[int],
        div_value: Positive = 4.0,
        head_bias: bool = False,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        *,
        rng: RandomLike = None,
    ) -> None:
        ends = list(cutoffs)
        if not ends:
            raise ValueRangeError("AdaptiveLogSoftmaxWithLoss: expected at least one cutoff, got none")
        if (
            ends != sorted(set(ends))
            or ends[0] <= 0
            or ends[-1] > n_classes - 1
            or any(int(c) != c for c in ends)
        ):
            raise ValueRangeError(
                "AdaptiveLogSoftmaxWithLoss: expected cutoffs that are strictly increasing integers from 1 to "
                f"n_classes - 1 = {n_classes - 1}, got {ends}"
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
        options: dict[str, Any] = {"device": device, "dtype": dtype, "rng": rng}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **options)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(zip(self.cutoffs, self.cutoffs[1:])):
            width = int(in_features // div_value ** (i + 1))
            self.tail.append(
                Sequential(
                    Linear(in_features, width, bias=False, **options),
                    Linear(width, high - low, bias=False, **options),
                )
            )

    def reset_parameters(self) -> None:
        """Reinitialize all weights."""
        for layer in (self.head, *(part for cluster in self.tail for part in cluster)):
            layer.reset_parameters()

    def forward(self, input: Array, target: ArrayLike) -> AdaptiveOutput:
        """The log-probability of each target, and the loss."""
        target = integers("AdaptiveLogSoftmaxWithLoss", "target", target)
        rows = input if input.ndim == 2 else input[None]
        if input.ndim not in (1, 2) or target.shape != input.shape[:-1]:
            raise ShapeError(
                f"AdaptiveLogSoftmaxWithLoss: expected input (N, {self.in_features}) and target (N,), "
                f"got {input.shape} and {target.shape}"
            )
        classes = class_indices("AdaptiveLogSoftmaxWithLoss", target, self.n_classes).reshape(-1)
        head = log_softmax(self.head(rows), axis=1)
        # -1 for the classes of the shortlist, else the number of the cluster.
        cluster = np.searchsorted(self.cutoffs, classes, side="right") - 1
        index = np.where(cluster < 0, classes, self.shortlist_size + cluster)
        output = head[np.arange(len(classes)), index]
        for i, layer in enumerate(self.tail):
            (members,) = np.nonzero(cluster == i)
            if members.size:
                within = log_softmax(layer(rows[members]), axis=1)
                output[members] = (
                    output[members] + within[np.arange(members.size), classes[members] - self.cutoffs[i]]
                )
        return AdaptiveOutput(output if input.ndim == 2 else output[0], -mean(output))

    def log_prob(self, input: Array) -> Tensor:
        """The log-probabilities of all classes: input (N, in_features) -> (N, n_classes)."""
        head = log_softmax(self.head(input), axis=1)
        parts = [head[:, : self.shortlist_size]]
        for i, layer in enumerate(self.tail):
            column = self.shortlist_size + i
            parts.append(log_softmax(layer(input), axis=1) + head[:, column : column + 1])
        return concat(parts, axis=1)

    def predict(self, input: Array) -> Tensor:
        """The most probable class of each row; clusters are evaluated only where the head selects one."""
        first = argmax(self.head(input), axis=1)
        if bool((first < self.shortlist_size).all()):
            return first
        return where(first < self.shortlist_size, first, argmax(self.log_prob(input), axis=1))
