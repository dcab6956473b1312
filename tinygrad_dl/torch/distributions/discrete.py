"""Distributions that are given by probabilities or by logits, and the Poisson distribution."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from tinygrad_dl.modes import no_grad
from tinygrad_dl.torch import creation
from tinygrad_dl.torch.distributions import constraints
from tinygrad_dl.torch.distributions.distribution import (
    Distribution,
    ExponentialFamily,
    Parametric,
    broadcast_all,
    lazy,
    sizes,
)
from tinygrad_dl.torch.distributions.gamma import Gamma
from tinygrad_dl.torch.distributions.transforms import inside
from tinygrad_dl.torch.nn import functional
from tinygrad_dl.torch.registry import TORCH as T

F: Any = functional


class _Given(Distribution):
    """What is given by probabilities or by logits: the other of the two is computed when it is asked for."""

    probs: Any
    logits: Any

    def _give(self, probs: Any, logits: Any) -> Any:
        """Keep the one that was given."""
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        self._name, given = ("logits", logits) if probs is None else ("probs", probs)
        (given,) = broadcast_all(given)
        setattr(self, self._name, given)
        return given

    @property
    def param_shape(self) -> Any:
        """The shape of what was given."""
        return self._param.shape

    @property
    def _param(self) -> Any:
        return vars(self)[self._name]

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The distribution with its parameters repeated to a batch shape."""
        from copy import copy

        new, shape = copy(self), sizes(batch_shape)
        for name in self.arg_constraints:
            if name in vars(self):
                own = vars(self)[name]
                event = own.shape[own.dim() - self._param_axes :] if name in ("probs", "logits") else ()
                setattr(new, name, own.expand(*shape, *event))
        Distribution.__init__(new, shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    _param_axes = 0


class _Binary(_Given):
    """Success or failure, with the probability of success."""

    arg_constraints: ClassVar[Any] = {"probs": constraints.unit_interval, "logits": constraints.real}

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None) -> None:
        super().__init__(self._give(probs, logits).shape, (), validate_args)

    @lazy
    def probs(self) -> Any:
        return self.logits.sigmoid()

    @lazy
    def logits(self) -> Any:
        eps = float(np.finfo(self.probs.dtype.dtype).eps)
        clamped = self.probs.clamp(eps, 1 - eps)
        return clamped.log() - (-clamped).log1p()


class Bernoulli(_Binary, ExponentialFamily):
    """1 with the probability p, else 0."""

    support = constraints.boolean
    has_enumerate_support = True

    @property
    def mean(self) -> Any:
        return self.probs

    @property
    def mode(self) -> Any:
        return (self.probs >= 0.5).to(self.probs).masked_fill(self.probs == 0.5, math.nan)

    @property
    def variance(self) -> Any:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            return creation.bernoulli(self.probs.expand(self._extended_shape(sample_shape)))

    def _log_prob(self, value: Any) -> Any:
        logits, value = T["broadcast_tensors"](self.logits, value)
        return -F.binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self) -> Any:
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True) -> Any:
        return self._enumerated(creation.arange(2, dtype=self._param.dtype), expand)


class ContinuousBernoulli(_Binary, ExponentialFamily):
    """Numbers between 0 and 1 with the density p ** x * (1 - p) ** (1 - x) times a constant.

    Within `lims` of p, where the formulas divide by nearly 0, series around 1/2 are used. Source: Loaiza-Ganem and
    Cunningham 2019.
    """

    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self,
        probs: Any = None,
        logits: Any = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: Any = None,
    ) -> None:
        self._lims = lims
        if probs is not None:
            (probs,) = broadcast_all(probs)
            if validate_args is not None and not bool(constraints.unit_interval.check(probs).all()):
                raise ValueError("The parameter probs has invalid values")
            probs = _within(probs)
        super().__init__(probs, logits, validate_args)

    @lazy
    def probs(self) -> Any:
        return _within(self.logits.sigmoid())

    @property
    def _regular(self) -> Any:
        """Where the formulas divide by enough."""
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    @property
    def _cut(self) -> Any:
        """The probabilities, those close to 1/2 replaced."""
        return T["where"](self._regular, self.probs, self._lims[0])

    def _log_norm(self) -> Any:
        p = self._cut
        formula = ((-p).log1p() - p.log()).abs().log() - (1 - 2 * p).abs().log()
        x = (self.probs - 0.5).pow(2)
        return T["where"](self._regular, formula, math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * x) * x)

    @property
    def mean(self) -> Any:
        p, x = self._cut, self.probs - 0.5
        formula = p / (2 * p - 1) + 1 / ((-p).log1p() - p.log())
        return T["where"](self._regular, formula, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * x.pow(2)) * x)

    @property
    def variance(self) -> Any:
        p, x = self._cut, (self.probs - 0.5).pow(2)
        formula = p * (p - 1) / (1 - 2 * p).pow(2) + 1 / ((-p).log1p() - p.log()).pow(2)
        return T["where"](self._regular, formula, 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.icdf(creation.rand(self._extended_shape(sample_shape), dtype=self.probs.dtype))

    def _log_prob(self, value: Any) -> Any:
        logits, value = T["broadcast_tensors"](self.logits, value)
        return -F.binary_cross_entropy_with_logits(logits, value, reduction="none") + self._log_norm()

    def _cdf(self, value: Any) -> Any:
        p = self._cut
        formula = (p.pow(value) * (1 - p).pow(1 - value) + p - 1) / (2 * p - 1)
        return T["where"](self._regular, formula, value).masked_fill(value <= 0, 0).masked_fill(value >= 1, 1)

    def icdf(self, value: Any) -> Any:
        p = self._cut
        formula = ((-p + value * (2 * p - 1)).log1p() - (-p).log1p()) / (p.log() - (-p).log1p())
        return T["where"](self._regular, formula, value)

    def entropy(self) -> Any:
        failure, success = (-self.probs).log1p(), self.probs.log()
        return self.mean * (failure - success) - self._log_norm() - failure


def _within(p: Any) -> Any:
    eps = float(np.finfo(p.dtype.dtype).eps)
    return p.clamp(eps, 1 - eps)


class Geometric(_Binary):
    """The number of failures before the first success."""

    support = constraints.nonnegative_integer

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None) -> None:
        super().__init__(probs, logits, validate_args)
        if self._validate_args and probs is not None and not bool((self.probs > 0).all()):
            raise ValueError(
                f"Expected parameter probs (Tensor of shape {tuple(self.probs.shape)}) of distribution {self!r} to be "
                f"positive but found invalid values:\n{self.probs}"
            )

    @property
    def mean(self) -> Any:
        return 1 / self.probs - 1

    @property
    def mode(self) -> Any:
        return creation.zeros_like(self.probs)

    @property
    def variance(self) -> Any:
        return (1 / self.probs - 1) / self.probs

    def sample(self, sample_shape: Any = ()) -> Any:
        tiny = float(np.finfo(self.probs.dtype.dtype).tiny)
        with no_grad():
            u = creation.rand(self._extended_shape(sample_shape), dtype=self.probs.dtype).clamp(min=tiny)
            return (u.log() / (-self.probs).log1p()).floor()

    def _log_prob(self, value: Any) -> Any:
        value, p = T["broadcast_tensors"](value, self.probs)
        p = p.masked_fill((p == 1) & (value == 0), 0)
        return value * (-p).log1p() + self.probs.log()

    def entropy(self) -> Any:
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs


class _Counted(_Binary):
    """Several trials."""

    def __init__(
        self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: Any = None
    ) -> None:
        given = self._give(probs, logits)
        self.total_count, given = broadcast_all(total_count, given)
        self.total_count = self.total_count.type_as(given)
        setattr(self, self._name, given)
        Distribution.__init__(self, given.shape, (), validate_args)


class Binomial(_Counted):
    """The number of successes of several trials."""

    arg_constraints: ClassVar[Any] = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    has_enumerate_support = True

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Any:
        return self.total_count * self.probs

    @property
    def mode(self) -> Any:
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return creation.binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def _log_prob(self, value: Any) -> Any:
        n = self.total_count
        # n * log(1 + exp(logits)), where large logits do not overflow
        above = (self.logits.abs() + self.logits) / 2
        normalizer = n * above + n * (-self.logits.abs()).exp().log1p() - (n + 1).lgamma()
        return value * self.logits - (value + 1).lgamma() - (n - value + 1).lgamma() - normalizer

    def entropy(self) -> Any:
        n = int(self.total_count.max())
        if not bool((self.total_count.min() == n).all()):
            raise NotImplementedError("Inhomogeneous total count not supported by `entropy`.")
        found = self._log_prob(self.enumerate_support(False))
        return -(found.exp() * found).sum(0)

    def enumerate_support(self, expand: bool = True) -> Any:
        n = int(self.total_count.max())
        if int(self.total_count.min()) != n:
            raise NotImplementedError("Inhomogeneous total count not supported by `enumerate_support`.")
        return self._enumerated(creation.arange(1 + n, dtype=self._param.dtype), expand)


class NegativeBinomial(_Counted):
    """The number of successes before a number of failures."""

    arg_constraints: ClassVar[Any] = {
        "total_count": constraints.nonnegative,
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    @property
    def mean(self) -> Any:
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Any:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Any:
        return self.mean / (-self.logits).sigmoid()

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            rates = Gamma(self.total_count, (-self.logits).exp(), validate_args=False).sample(sample_shape)
            return creation.poisson(rates)

    def _log_prob(self, value: Any) -> Any:
        n = self.total_count
        draws = n * F.logsigmoid(-self.logits) + value * F.logsigmoid(self.logits)
        orders = (n + value).lgamma() - (1.0 + value).lgamma() - n.lgamma()
        return draws + orders.masked_fill(n + value == 0.0, 0.0)


class Poisson(Parametric, ExponentialFamily):
    """The Poisson distribution."""

    arg_constraints: ClassVar[Any] = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer

    @property
    def mean(self) -> Any:
        return self.rate

    variance = mean

    @property
    def mode(self) -> Any:
        return self.rate.floor()

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            return creation.poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def _log_prob(self, value: Any) -> Any:
        return T["xlogy"](value, self.rate) - self.rate - (value + 1).lgamma()


class _Classes(_Given):
    """One of several classes, with probabilities along the last axis."""

    arg_constraints: ClassVar[Any] = {"probs": constraints.simplex, "logits": constraints.real_vector}
    _param_axes = 1

    def _give(self, probs: Any, logits: Any) -> Any:
        given = super()._give(probs, logits)
        if given.dim() < 1:
            raise ValueError(f"`{self._name}` parameter must be at least one-dimensional.")
        if probs is None:
            given = given - given.logsumexp(-1, keepdim=True)
        else:
            given = given / given.sum(-1, keepdim=True)
        setattr(self, self._name, given)
        return given

    @lazy
    def probs(self) -> Any:
        return F.softmax(self.logits, -1)

    @lazy
    def logits(self) -> Any:
        return _within(self.probs).log()

    @property
    def _num_events(self) -> int:
        return int(self._param.shape[-1])


class Categorical(_Classes):
    """One of several classes, as its number."""

    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None) -> None:
        super().__init__(self._give(probs, logits).shape[:-1], (), validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def mean(self) -> Any:
        return creation.full(self._batch_shape, math.nan, dtype=self.probs.dtype)

    variance = mean

    @property
    def mode(self) -> Any:
        return self.probs.argmax(-1)

    def sample(self, sample_shape: Any = ()) -> Any:
        shape = sizes(sample_shape)
        rows = self.probs.detach().reshape(-1, self._num_events)
        drawn = creation.multinomial(rows, math.prod(shape), True).t()
        return drawn.reshape(*shape, *self._batch_shape)

    def _log_prob(self, value: Any) -> Any:
        value = value.long().unsqueeze(-1)
        shape = np.broadcast_shapes(value.shape[:-1], self.logits.shape[:-1])
        logits = self.logits.expand(*shape, self._num_events)
        return logits.gather(-1, value.expand(*shape, 1)).squeeze(-1)

    def entropy(self) -> Any:
        smallest = float(np.finfo(self.logits.dtype.dtype).min)
        return -(self.logits.clamp(min=smallest) * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Any:
        return self._enumerated(creation.arange(self._num_events), expand)


class _OverClasses(_Classes):
    """Vectors with one number for each class."""

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None) -> None:
        shape = self._give(probs, logits).shape
        super().__init__(shape[:-1], shape[-1:], validate_args)

    @property
    def _categorical(self) -> Any:
        return Categorical(**{self._name: self._param}, validate_args=False)


class OneHotCategorical(_OverClasses):
    """One of several classes, as a vector with a 1."""

    support = constraints.one_hot
    has_enumerate_support = True

    @property
    def mean(self) -> Any:
        return self.probs

    @property
    def mode(self) -> Any:
        return F.one_hot(self.probs.argmax(-1), self._num_events).to(self.probs.dtype)

    @property
    def variance(self) -> Any:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        return F.one_hot(self._categorical.sample(sample_shape), self._num_events).to(self.probs.dtype)

    def _log_prob(self, value: Any) -> Any:
        return self._categorical._log_prob(value.argmax(-1))

    def entropy(self) -> Any:
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Any:
        n = self._num_events
        values = creation.eye(n, dtype=self._param.dtype).view(n, *(1,) * len(self._batch_shape), n)
        return values.expand(n, *self._batch_shape, n) if expand else values


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """One-hot draws with the gradient of the probabilities."""

    has_rsample = True

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.sample(sample_shape) + (self.probs - self.probs.detach())


class Multinomial(_OverClasses):
    """How often each class comes in several draws."""

    def __init__(
        self, total_count: int = 1, probs: Any = None, logits: Any = None, validate_args: Any = None
    ) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        super().__init__(probs, logits, validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        return constraints.multinomial(self.total_count)

    @property
    def mean(self) -> Any:
        return self.probs * self.total_count

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        drawn = self._categorical.sample((self.total_count, *sizes(sample_shape)))
        return F.one_hot(drawn, self._num_events).sum(0).to(self.probs.dtype)

    def _log_prob(self, value: Any) -> Any:
        logits, value = T["broadcast_tensors"](self.logits, value)
        logits = logits.masked_fill((value == 0) & (logits == -math.inf), 0.0)
        return (value.sum(-1) + 1).lgamma() - (value + 1).lgamma().sum(-1) + (logits * value).sum(-1)

    def entropy(self) -> Any:
        n = self.total_count
        counts = Binomial(n, self.probs, validate_args=False)
        support = creation.arange(1.0, n + 1, dtype=self.probs.dtype).view(-1, *(1,) * self.probs.dim())
        spread = (counts._log_prob(support).exp() * (support + 1).lgamma()).sum((0, -1))
        return n * self._categorical.entropy() - math.lgamma(n + 1) + spread


# Relaxed draws, which have a gradient


class LogitRelaxedBernoulli(_Binary):
    """The logits of relaxed draws of 0 and 1."""

    support = constraints.real
    has_rsample = True

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: Any = None
    ) -> None:
        self.temperature = temperature
        super().__init__(probs, logits, validate_args)

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        p, u = inside(self.probs.expand(shape)), inside(creation.rand(shape, dtype=self.probs.dtype))
        return (u.log() - (-u).log1p() + p.log() - (-p).log1p()) / self.temperature

    def _log_prob(self, value: Any) -> Any:
        difference = self.logits - value * self.temperature
        return _log(self.temperature) + difference - 2 * difference.exp().log1p()


class ExpRelaxedCategorical(_OverClasses):
    """The logarithms of relaxed one-hot draws."""

    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: Any = None
    ) -> None:
        self.temperature = temperature
        super().__init__(probs, logits, validate_args)

    def rsample(self, sample_shape: Any = ()) -> Any:
        u = inside(creation.rand(self._extended_shape(sample_shape), dtype=self.logits.dtype))
        scores = (self.logits - (-u.log()).log()) / self.temperature
        return scores - scores.logsumexp(-1, keepdim=True)

    def _log_prob(self, value: Any) -> Any:
        k = self._num_events
        score = self.logits - value * self.temperature
        score = (score - score.logsumexp(-1, keepdim=True)).sum(-1)
        return score + math.lgamma(k) + (k - 1) * _log(self.temperature)


def _log(x: Any) -> Any:
    return math.log(x) if isinstance(x, (int, float)) else x.log()
