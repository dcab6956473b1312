"""Distributions that are made of others: transformed, independent along axes, and mixtures."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from tinygrad_dl.modes import no_grad
from tinygrad_dl.torch import creation
from tinygrad_dl.torch.distributions import constraints
from tinygrad_dl.torch.distributions.discrete import ExpRelaxedCategorical, LogitRelaxedBernoulli
from tinygrad_dl.torch.distributions.distribution import Distribution, Parametric, sizes, sum_rightmost
from tinygrad_dl.torch.distributions.gamma import Exponential, Gamma
from tinygrad_dl.torch.distributions.location_scale import Cauchy, Normal, Uniform
from tinygrad_dl.torch.distributions.transforms import (
    AbsTransform,
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    PowerTransform,
    SigmoidTransform,
    StickBreakingTransform,
    Transform,
)
from tinygrad_dl.torch.nn import functional as F
from tinygrad_dl.torch.registry import TORCH as T


class Independent(Distribution):
    """The last batch axes of a distribution as axes of the event."""

    def __init__(
        self, base_distribution: Any, reinterpreted_batch_ndims: int, validate_args: Any = None
    ) -> None:
        base, n = base_distribution, reinterpreted_batch_ndims
        if n > len(base.batch_shape):
            raise ValueError(
                f"Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), actual {n} vs "
                f"{len(base.batch_shape)}"
            )
        cut = len(base.batch_shape) - n
        self.base_dist, self.reinterpreted_batch_ndims = base, n
        super().__init__(base.batch_shape[:cut], base.batch_shape[cut:] + base.event_shape, validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        inner = self._event_shape[: self.reinterpreted_batch_ndims]
        new = Independent(
            self.base_dist.expand((*sizes(batch_shape), *inner)), self.reinterpreted_batch_ndims, False
        )
        new._validate_args = self._validate_args
        return new

    @property
    def has_rsample(self) -> Any:
        return self.base_dist.has_rsample

    @property
    def support(self) -> Any:
        found, n = self.base_dist.support, self.reinterpreted_batch_ndims
        return constraints.independent(found, n) if n else found

    @property
    def mean(self) -> Any:
        return self.base_dist.mean

    @property
    def mode(self) -> Any:
        return self.base_dist.mode

    @property
    def variance(self) -> Any:
        return self.base_dist.variance

    def sample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Any) -> Any:
        return sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Any:
        return sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def enumerate_support(self, expand: bool = True) -> Any:
        if self.reinterpreted_batch_ndims:
            raise NotImplementedError("Enumeration over cartesian product is not implemented")
        return self.base_dist.enumerate_support(expand)

    def __repr__(self) -> str:
        return f"Independent({self.base_dist!r}, {self.reinterpreted_batch_ndims})"


class MixtureSameFamily(Distribution):
    """A mixture, along the last batch axis, of distributions of one kind."""

    def __init__(
        self, mixture_distribution: Any, component_distribution: Any, validate_args: Any = None
    ) -> None:
        weights, parts = mixture_distribution, component_distribution
        if weights.probs.shape[-1] != parts.batch_shape[-1]:
            raise ValueError(
                f"`mixture_distribution component` ({weights.probs.shape[-1]}) does not equal "
                f"`component_distribution.batch_shape[-1]` ({parts.batch_shape[-1]})"
            )
        self.mixture_distribution, self.component_distribution = weights, parts
        super().__init__(parts.batch_shape[:-1], parts.event_shape, validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        shape, n = sizes(batch_shape), self.mixture_distribution.probs.shape[-1]
        weights, parts = (
            self.mixture_distribution.expand(shape),
            self.component_distribution.expand((*shape, n)),
        )
        return MixtureSameFamily(weights, parts, self._validate_args)

    @property
    def support(self) -> Any:
        return constraints.MixtureSameFamilyConstraint(self.component_distribution.support)

    def _pad(self, x: Any) -> Any:
        return x.reshape(*x.shape, *(1,) * len(self._event_shape))

    @property
    def mean(self) -> Any:
        dim = -1 - len(self._event_shape)
        return (self._pad(self.mixture_distribution.probs) * self.component_distribution.mean).sum(dim)

    @property
    def variance(self) -> Any:
        dim, parts = -1 - len(self._event_shape), self.component_distribution
        weights = self._pad(self.mixture_distribution.probs)
        spread = (parts.mean - self.mean.unsqueeze(dim)).pow(2)
        return (weights * parts.variance).sum(dim) + (weights * spread).sum(dim)

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            dim = -1 - len(self._event_shape)
            which = self._pad(self.mixture_distribution.sample(sample_shape).unsqueeze(-1))
            drawn = self.component_distribution.sample(sample_shape)
            places = which.expand(*drawn.shape[:dim], 1, *self._event_shape)
            return drawn.gather(dim, places).squeeze(dim)

    def _log_prob(self, value: Any) -> Any:
        found = self.component_distribution.log_prob(value.unsqueeze(-1 - len(self._event_shape)))
        return (found + F.log_softmax(self.mixture_distribution.logits, -1)).logsumexp(-1)

    def _cdf(self, value: Any) -> Any:
        found = self.component_distribution.cdf(value.unsqueeze(-1 - len(self._event_shape)))
        return (found * self.mixture_distribution.probs).sum(-1)

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self.mixture_distribution!r},\n  {self.component_distribution!r})"


class TransformedDistribution(Distribution):
    """A distribution after transforms."""

    def __init__(self, base_distribution: Any, transforms: Any, validate_args: Any = None) -> None:
        self.transforms = [transforms] if isinstance(transforms, Transform) else list(transforms)
        if not all(isinstance(t, Transform) for t in self.transforms):
            raise ValueError(f"transforms must be a Transform or a list of Transforms, but was {transforms}")
        base, whole = base_distribution, ComposeTransform(self.transforms)
        shape, axes = base.batch_shape + base.event_shape, len(base.event_shape)
        if len(shape) < whole.domain.event_dim:
            raise ValueError(
                f"base_distribution needs to have shape with size at least {whole.domain.event_dim}, but got {shape}."
            )
        after = tuple(whole.forward_shape(shape))
        before = tuple(whole.inverse_shape(after))
        if tuple(shape) != before:
            base = base.expand(before[: len(before) - axes])
        more = whole.domain.event_dim - axes
        self.base_dist = Independent(base, more) if more > 0 else base
        cut = len(after) - whole.codomain.event_dim - max(axes - whole.domain.event_dim, 0)
        super().__init__(after[:cut], after[cut:], validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        from copy import copy

        shape = (*sizes(batch_shape), *self._event_shape)
        for t in reversed(self.transforms):
            shape = tuple(t.inverse_shape(shape))
        base = self.base_dist
        new = copy(self)
        new.base_dist = base.expand(shape[: len(shape) - len(base.event_shape)])
        Distribution.__init__(new, sizes(batch_shape), self._event_shape, self._validate_args)
        return new

    @property
    def has_rsample(self) -> Any:
        return self.base_dist.has_rsample

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Any:
        if not self.transforms:
            return self.base_dist.support
        found = self.transforms[-1].codomain
        more = len(self._event_shape) - found.event_dim
        return constraints.independent(found, more) if more > 0 else found

    def _after(self, x: Any) -> Any:
        for transform in self.transforms:
            x = transform(x)
        return x

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            return self._after(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self._after(self.base_dist.rsample(sample_shape))

    def _log_prob(self, value: Any) -> Any:
        total: Any = 0.0
        axes = len(self._event_shape)
        for transform in reversed(self.transforms):
            before = transform.inv(value)
            axes += transform.domain.event_dim - transform.codomain.event_dim
            part = transform.log_abs_det_jacobian(before, value)
            total, value = total - sum_rightmost(part, axes - transform.domain.event_dim), before
        return total + sum_rightmost(self.base_dist.log_prob(value), axes - len(self.base_dist.event_shape))

    def _sign(self) -> Any:
        return math.prod([t.sign for t in self.transforms])

    def _cdf(self, value: Any) -> Any:
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        return self._turned(self.base_dist.cdf(value))

    def icdf(self, value: Any) -> Any:
        return self._after(self.base_dist.icdf(self._turned(value)))

    def _turned(self, p: Any) -> Any:
        """A probability, or 1 minus it where the transforms decrease."""
        sign = self._sign()
        return p if isinstance(sign, int) and sign == 1 else sign * (p - 0.5) + 0.5


class _Transformed(Parametric, TransformedDistribution):
    """A distribution with parameters of its own that transforms make of another one."""

    def _parts(self) -> tuple[Any, Any]:
        """The base and the transforms."""
        raise NotImplementedError

    def _build(self, batch_shape: Any, validate_args: Any) -> None:
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            for name, constraint in self.arg_constraints.items():
                self._check_parameter(name, constraint)
        base, transforms = self._parts()
        TransformedDistribution.__init__(self, base, transforms, False)
        if validate_args is None:
            del self._validate_args
        else:
            self._validate_args = validate_args


class LogNormal(_Transformed):
    """exp of a normal number."""

    arg_constraints: ClassVar[Any] = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.positive

    def _parts(self) -> tuple[Any, Any]:
        return Normal(self.loc, self.scale), [ExpTransform()]

    @property
    def mean(self) -> Any:
        return (self.loc + self.scale.pow(2) / 2).exp()

    @property
    def mode(self) -> Any:
        return (self.loc - self.scale.square()).exp()

    @property
    def variance(self) -> Any:
        return self.scale.pow(2).expm1() * (2 * self.loc + self.scale.pow(2)).exp()

    def entropy(self) -> Any:
        return self.base_dist.entropy() + self.loc


class _Half(_Transformed):
    """The absolute value of a number that is distributed alike on both sides of 0."""

    arg_constraints: ClassVar[Any] = {"scale": constraints.positive}
    support = constraints.nonnegative
    _whole: ClassVar[Any]

    def _parts(self) -> tuple[Any, Any]:
        return self._whole(creation.zeros_like(self.scale), self.scale), [AbsTransform()]

    @property
    def mode(self) -> Any:
        return creation.zeros_like(self.scale)

    def _log_prob(self, value: Any) -> Any:
        return T["where"](value >= 0, self.base_dist.log_prob(value) + math.log(2), -math.inf)

    def _cdf(self, value: Any) -> Any:
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, value: Any) -> Any:
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self) -> Any:
        return self.base_dist.entropy() - math.log(2)


class HalfNormal(_Half):
    """The absolute value of a normal number."""

    _whole = Normal

    @property
    def mean(self) -> Any:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> Any:
        return self.scale.pow(2) * (1 - 2 / math.pi)


class HalfCauchy(_Half):
    """The absolute value of a Cauchy number."""

    _whole = Cauchy

    @property
    def mean(self) -> Any:
        return creation.full_like(self.scale, math.inf)

    @property
    def variance(self) -> Any:
        return self.base_dist.variance


class Weibull(_Transformed):
    """The Weibull distribution."""

    arg_constraints: ClassVar[Any] = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive

    def _parts(self) -> tuple[Any, Any]:
        transforms = [PowerTransform(self.concentration.reciprocal()), AffineTransform(0, self.scale)]
        return Exponential(creation.ones_like(self.scale)), transforms

    @property
    def mean(self) -> Any:
        return self.scale * (1 + self.concentration.reciprocal()).lgamma().exp()

    @property
    def mode(self) -> Any:
        c = self.concentration
        return self.scale * ((c - 1) / c).pow(c.reciprocal())

    @property
    def variance(self) -> Any:
        inverse = self.concentration.reciprocal()
        return self.scale.pow(2) * ((1 + 2 * inverse).lgamma().exp() - (2 * (1 + inverse).lgamma()).exp())

    def entropy(self) -> Any:
        inverse = self.concentration.reciprocal()
        return np.euler_gamma * (1 - inverse) + (self.scale * inverse).log() + 1


class Pareto(_Transformed):
    """The Pareto distribution."""

    arg_constraints: ClassVar[Any] = {"scale": constraints.positive, "alpha": constraints.positive}

    def _parts(self) -> tuple[Any, Any]:
        return Exponential(self.alpha), [ExpTransform(), AffineTransform(0, self.scale)]

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Any:
        a = self.alpha.clamp(min=1)
        return a * self.scale / (a - 1)

    @property
    def mode(self) -> Any:
        return self.scale

    @property
    def variance(self) -> Any:
        a = self.alpha.clamp(min=2)
        return self.scale.pow(2) * a / ((a - 1).pow(2) * (a - 2))

    def entropy(self) -> Any:
        return (self.scale / self.alpha).log() + (1 + self.alpha.reciprocal())


class Kumaraswamy(_Transformed):
    """The Kumaraswamy distribution."""

    arg_constraints: ClassVar[Any] = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval

    def _parts(self) -> tuple[Any, Any]:
        zeros = creation.zeros_like(self.concentration0)
        powers = [PowerTransform(c.reciprocal()) for c in (self.concentration0, self.concentration1)]
        base = Uniform(zeros, zeros + 1, validate_args=False)
        return base, [powers[0], AffineTransform(1.0, -1.0), powers[1]]

    def _moment(self, n: int) -> Any:
        a, b = 1 + n / self.concentration1, self.concentration0
        return b * (a.lgamma() + b.lgamma() - (a + b).lgamma()).exp()

    @property
    def mean(self) -> Any:
        return self._moment(1)

    @property
    def mode(self) -> Any:
        a, b = self.concentration1, self.concentration0
        found = a.reciprocal() * ((-b).log1p() - (-a * b).log1p())
        return found.exp().masked_fill((b < 1) | (a < 1), math.nan)

    @property
    def variance(self) -> Any:
        return self._moment(2) - self.mean.pow(2)

    def entropy(self) -> Any:
        a, b = self.concentration1, self.concentration0
        harmonic = (b + 1).digamma() + np.euler_gamma
        return 1 - b.reciprocal() + (1 - a.reciprocal()) * harmonic - a.log() - b.log()


class InverseGamma(_Transformed):
    """1 / x of a gamma number x."""

    arg_constraints: ClassVar[Any] = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.positive

    def _parts(self) -> tuple[Any, Any]:
        minus = -creation.ones((), dtype=self.rate.dtype)
        return Gamma(self.concentration, self.rate), [PowerTransform(minus)]

    @property
    def mean(self) -> Any:
        return (self.rate / (self.concentration - 1)).masked_fill(self.concentration <= 1, math.inf)

    @property
    def mode(self) -> Any:
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Any:
        a = self.concentration
        found = self.rate.square() / ((a - 1).square() * (a - 2))
        return found.masked_fill(a <= 2, math.inf)

    def entropy(self) -> Any:
        a = self.concentration
        return a + self.rate.log() + a.lgamma() - (1 + a) * a.digamma()


class LogisticNormal(TransformedDistribution):
    """Probabilities: StickBreakingTransform of a normal vector."""

    arg_constraints: ClassVar[Any] = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.simplex

    def __init__(self, loc: Any, scale: Any, validate_args: Any = None) -> None:
        base = Normal(loc, scale, validate_args=validate_args)
        base = base if base.batch_shape else base.expand([1])
        super().__init__(base, StickBreakingTransform(), validate_args)

    @property
    def loc(self) -> Any:
        """The means of the normal vector."""
        return self.base_dist.base_dist.loc

    @property
    def scale(self) -> Any:
        """The standard deviations of the normal vector."""
        return self.base_dist.base_dist.scale


class _Relaxed(TransformedDistribution):
    """What is given by a temperature and probabilities or logits."""

    _base: ClassVar[Any]
    _transform: ClassVar[Any]

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: Any = None
    ) -> None:
        base = self._base(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, self._transform(), validate_args)

    @property
    def temperature(self) -> Any:
        """The temperature."""
        return self.base_dist.temperature

    @property
    def probs(self) -> Any:
        """The probabilities."""
        return self.base_dist.probs

    @property
    def logits(self) -> Any:
        """The logits."""
        return self.base_dist.logits


class RelaxedBernoulli(_Relaxed):
    """Relaxed draws of 0 and 1, in between."""

    support = constraints.unit_interval
    _base, _transform = LogitRelaxedBernoulli, SigmoidTransform


class RelaxedOneHotCategorical(_Relaxed):
    """Relaxed one-hot draws: probabilities close to one of the classes."""

    support = constraints.simplex
    _base, _transform = ExpRelaxedCategorical, ExpTransform
