"""Losses as modules; each is a function in nn.functional too, which documents formula, shapes and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from tinygrad_dl.arguments import Count, NonNegative, OldBoolean, Positive, Probability, Real, Size
from tinygrad_dl.nn.functional.loss import classification as classes
from tinygrad_dl.nn.functional.loss import margin as margins
from tinygrad_dl.nn.functional.loss import regression as numbers
from tinygrad_dl.nn.functional.loss.arguments import named_reduction
from tinygrad_dl.nn.functional.loss.ctc import ctc_loss
from tinygrad_dl.nn.layers.linear import Linear
from tinygrad_dl.nn.module import Module
from tinygrad_dl.nn.parameter import Buffer
from tinygrad_dl.ops.losses import check_reduction
from tinygrad_dl.ops.shape import reshape
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, ArrayLike, DTypeLike, RandomLike


def _buffer(value: ArrayLike | None) -> Buffer | None:
    return None if value is None else Buffer(value)


class _Loss(Module):
    """Base of losses: the options are attributes, passed to the function by name."""

    function: Callable[..., Any]
    options: tuple[str, ...] = ("reduction",)
    reductions: tuple[str, ...] = ()

    _optional = {"weight": True, "pos_weight": True}

    def __init__(
        self, size_average: OldBoolean = None, reduce: OldBoolean = None, reduction: str = "mean"
    ) -> None:
        reduction = named_reduction(type(self).__name__, size_average, reduce, reduction)
        if reduction not in self.reductions:
            check_reduction(type(self).__name__, reduction)
        self.reduction = reduction

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """The loss of predictions."""
        return type(self).function(input, target, **{name: getattr(self, name) for name in self.options})


class L1Loss(_Loss):
    """The mean absolute error.

    >>> L1Loss()([1.0, 2.0], [1.0, 4.0])
    Tensor(1.)
    """

    function = staticmethod(numbers.l1_loss)


class MSELoss(_Loss):
    """The mean squared error; for regression.

    >>> MSELoss()([1.0, 2.0], [1.0, 4.0])
    Tensor(2.)
    """

    function = staticmethod(numbers.mse_loss)


class SmoothL1Loss(_Loss):
    """The absolute error, squared and scaled where it is below beta."""

    function = staticmethod(numbers.smooth_l1_loss)
    options = ("beta", "reduction")

    def __init__(
        self,
        size_average: OldBoolean = None,
        reduce: OldBoolean = None,
        reduction: str = "mean",
        beta: NonNegative = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta


class HuberLoss(_Loss):
    """The squared error up to delta, the absolute one farther from 0: less sensitive to outliers."""

    function = staticmethod(numbers.huber_loss)
    options = ("delta", "reduction")

    def __init__(self, reduction: str = "mean", delta: Positive = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta


class PoissonNLLLoss(_Loss):
    """The negative log-likelihood of counts; the input is the (log) rate."""

    function = staticmethod(numbers.poisson_nll_loss)
    options = ("log_input", "full", "eps", "reduction")

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: OldBoolean = None,
        eps: NonNegative = 1e-8,
        reduce: OldBoolean = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_input, self.full, self.eps = log_input, full, eps


class GaussianNLLLoss(_Loss):
    """The negative log-likelihood under normal distributions with given means and variances."""

    function = staticmethod(numbers.gaussian_nll_loss)
    options = ("full", "eps", "reduction")

    def __init__(self, *, full: bool = False, eps: NonNegative = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full, self.eps = full, eps

    def forward(self, input: ArrayLike, target: ArrayLike, var: ArrayLike) -> Tensor:  # type: ignore[override]
        """The loss of means and variances."""
        return numbers.gaussian_nll_loss(
            input, target, var, full=self.full, eps=self.eps, reduction=self.reduction
        )


class KLDivLoss(_Loss):
    """The Kullback-Leibler divergence of a target distribution from one given by log-probabilities.

    reduction="batchmean" is the divergence's definition.
    """

    function = staticmethod(numbers.kl_div)
    reductions = ("batchmean",)
    options = ("log_target", "reduction")

    def __init__(
        self,
        size_average: OldBoolean = None,
        reduce: OldBoolean = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target


class CrossEntropyLoss(_Loss):
    """The cross-entropy of the softmax of logits; for classification with one class per example.

    >>> CrossEntropyLoss()([[1000.0, 0.0]], [1])
    Tensor(1000.)
    """

    def __init__(
        self,
        weight: ArrayLike | None = None,
        size_average: OldBoolean = None,
        ignore_index: int = -100,
        reduce: OldBoolean = None,
        reduction: str = "mean",
        label_smoothing: Probability = 0.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.weight, self.ignore_index, self.label_smoothing = _buffer(weight), ignore_index, label_smoothing

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """The loss of logits."""
        # Written out: to gather the options by their names costs a small network 2 % of its step.
        return classes.cross_entropy(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )  # fmt: skip


class NLLLoss(_Loss):
    """The negative log-likelihood of classes, from log-probabilities (LogSoftmax)."""

    function = staticmethod(classes.nll_loss)
    options = ("weight", "ignore_index", "reduction")

    def __init__(
        self,
        weight: ArrayLike | None = None,
        size_average: OldBoolean = None,
        ignore_index: int = -100,
        reduce: OldBoolean = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.weight, self.ignore_index = _buffer(weight), ignore_index


class BCELoss(_Loss):
    """The binary cross-entropy of probabilities; for logits use BCEWithLogitsLoss, which is exact."""

    function = staticmethod(classes.binary_cross_entropy)
    options = ("weight", "reduction")

    def __init__(
        self,
        weight: ArrayLike | None = None,
        size_average: OldBoolean = None,
        reduce: OldBoolean = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.weight = _buffer(weight)


class BCEWithLogitsLoss(_Loss):
    """The binary cross-entropy of the logistic function of logits; for binary and multi-label classification.

    >>> BCEWithLogitsLoss()([-200.0], [1.0])
    Tensor(200.)
    """

    function = staticmethod(classes.binary_cross_entropy_with_logits)
    options = ("weight", "pos_weight", "reduction")

    def __init__(
        self,
        weight: ArrayLike | None = None,
        size_average: OldBoolean = None,
        reduce: OldBoolean = None,
        reduction: str = "mean",
        pos_weight: ArrayLike | None = None,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.weight, self.pos_weight = _buffer(weight), _buffer(pos_weight)


class SoftMarginLoss(_Loss):
    """The logistic loss of scores for targets -1 and 1."""

    function = staticmethod(classes.soft_margin_loss)


class MultiLabelSoftMarginLoss(_Loss):
    """The binary cross-entropy of logits for several labels, averaged over the labels."""

    function = staticmethod(classes.multilabel_soft_margin_loss)
    options = ("weight", "reduction")

    def __init__(
        self,
        weight: ArrayLike | None = None,
        size_average: OldBoolean = None,
        reduce: OldBoolean = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.weight = _buffer(weight)


class MarginRankingLoss(_Loss):
    """The hinge loss of a ranking: one score should exceed the other, as the target (1 or -1) says."""

    function = staticmethod(margins.margin_ranking_loss)
    options = ("margin", "reduction")

    def __init__(
        self,
        margin: Real = 0.0,
        size_average: OldBoolean = None,
        reduce: OldBoolean = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: ArrayLike, input2: ArrayLike, target: ArrayLike) -> Tensor:  # type: ignore[override]
        """The loss of two inputs."""
        return margins.margin_ranking_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class HingeEmbeddingLoss(_Loss):
    """The loss of distances of pairs that belong together (target 1) or not (target -1)."""

    function = staticmethod(margins.hinge_embedding_loss)
    options = ("margin", "reduction")

    def __init__(
        self,
        margin: Real = 1.0,
        size_average: OldBoolean = None,
        reduce: OldBoolean = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin


class CosineEmbeddingLoss(_Loss):
    """The loss of vectors that should point in the same direction (target 1) or not (target -1)."""

    function = staticmethod(margins.cosine_embedding_loss)
    options = ("margin", "reduction")

    def __init__(
        self,
        margin: Real = 0.0,
        size_average: OldBoolean = None,
        reduce: OldBoolean = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: ArrayLike, input2: ArrayLike, target: ArrayLike) -> Tensor:  # type: ignore[override]
        """The loss of two inputs."""
        return margins.cosine_embedding_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class MultiMarginLoss(_Loss):
    """The hinge loss for several classes."""

    function = staticmethod(margins.multi_margin_loss)
    options = ("p", "margin", "weight", "reduction")

    def __init__(
        self,
        p: Literal[1, 2] = 1,
        margin: Real = 1.0,
        weight: ArrayLike | None = None,
        size_average: OldBoolean = None,
        reduce: OldBoolean = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.p, self.margin, self.weight = p, margin, _buffer(weight)


class MultiLabelMarginLoss(_Loss):
    """The hinge loss for several labels, listed in the rows of the target."""

    function = staticmethod(margins.multilabel_margin_loss)


class TripletMarginLoss(_Loss):
    """The anchor should be closer to the positive example than to the negative one."""

    function = staticmethod(margins.triplet_margin_loss)
    options = ("margin", "p", "eps", "swap", "reduction")

    def __init__(
        self,
        margin: Positive = 1.0,
        p: float = 2.0,
        eps: Real = 1e-6,
        swap: bool = False,
        size_average: OldBoolean = None,
        reduce: OldBoolean = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap

    def forward(self, anchor: ArrayLike, positive: ArrayLike, negative: ArrayLike) -> Tensor:  # type: ignore[override]
        """The loss of three inputs."""
        return type(self).function(
            anchor, positive, negative, **{name: getattr(self, name) for name in self.options}
        )


class TripletMarginWithDistanceLoss(_Loss):
    """TripletMarginLoss with a custom distance."""

    function = staticmethod(margins.triplet_margin_with_distance_loss)
    options = ("distance_function", "margin", "swap", "reduction")

    def __init__(
        self,
        *,
        distance_function: Callable[[Any, Any], Any] | None = None,
        margin: Positive = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.distance_function, self.margin, self.swap = distance_function, margin, swap

    def forward(self, anchor: ArrayLike, positive: ArrayLike, negative: ArrayLike) -> Tensor:  # type: ignore[override]
        """The loss of three inputs."""
        return type(self).function(
            anchor, positive, negative, **{name: getattr(self, name) for name in self.options}
        )


class CTCLoss(_Loss):
    """The connectionist temporal classification loss of label sequences shorter than their inputs."""

    function = staticmethod(ctc_loss)
    options = ("blank", "zero_infinity", "reduction")

    def __init__(self, blank: Size = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__(reduction=reduction)
        self.blank, self.zero_infinity = blank, zero_infinity

    def forward(  # type: ignore[override]
        self, log_probs: ArrayLike, targets: ArrayLike, input_lengths: ArrayLike, target_lengths: ArrayLike
    ) -> Tensor:
        """The loss of log-probabilities (T, N, C) or (T, C)."""
        return ctc_loss(
            log_probs, targets, input_lengths, target_lengths, blank=self.blank, reduction=self.reduction,
            zero_infinity=self.zero_infinity,
        )  # fmt: skip


class LinearCrossEntropyLoss(_Loss):
    """A linear layer without bias by default, and the cross-entropy of its results.

    input (N, in) or (in,); target (N, *out_features) of integers, or (N, C, *out_features) of probabilities.
    `options` is accepted and changes nothing: in PyTorch it trades memory for time.
    """

    def __init__(
        self,
        in_features: Size,
        num_classes: Count,
        *,
        out_features: tuple[Size, ...] = (),
        bias: bool = False,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        reduction: str = "mean",
        weight: ArrayLike | None = None,
        ignore_index: int | None = None,
        label_smoothing: Probability = 0.0,
        options: Any = None,
        rng: RandomLike = None,
    ) -> None:
        super().__init__(reduction=reduction)
        self.num_classes, self.out_features, self.options = num_classes, tuple(out_features), options
        self.ignore_index, self.label_smoothing, self.weight = ignore_index, label_smoothing, _buffer(weight)
        outputs = num_classes
        for size in self.out_features:
            outputs *= size
        self.linear = Linear(in_features, outputs, bias, device, dtype, rng=rng)

    def forward(self, input: Array, target: ArrayLike) -> Tensor:  # type: ignore[override]
        """The loss of the input."""
        shape, layer = (self.num_classes, *self.out_features), self.linear
        return classes.linear_cross_entropy(
            input, reshape(layer.weight, (*shape, layer.in_features)), target,
            linear_bias=None if layer.bias is None else reshape(layer.bias, shape), weight=self.weight,
            reduction=self.reduction, ignore_index=self.ignore_index, label_smoothing=self.label_smoothing,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The sizes and options."""
        return (
            f"in_features={self.linear.in_features}, num_classes={self.num_classes}, "
            f"out_features={self.out_features}, bias={self.linear.bias is not None}, reduction={self.reduction}, "
            f"ignore_index={self.ignore_index}, label_smoothing={self.label_smoothing}, options={self.options}"
        )
