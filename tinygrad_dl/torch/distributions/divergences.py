"""Kullback-Leibler divergences: of two distributions of one family, and of others by expected values.

Between families, KL(p, q) is -entropy(p) - E[log q(x)], and log q needs only a few expected values of x under p: its
mean and variance, the mean of log x, and the moment generating function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_dl.torch import creation
from tinygrad_dl.torch.distributions.discrete import (
    Bernoulli,
    Binomial,
    Categorical,
    ContinuousBernoulli,
    Geometric,
    OneHotCategorical,
    Poisson,
)
from tinygrad_dl.torch.distributions.distribution import Distribution, sum_rightmost
from tinygrad_dl.torch.distributions.gamma import Beta, Dirichlet, Exponential, Gamma
from tinygrad_dl.torch.distributions.location_scale import Cauchy, Gumbel, Laplace, Normal, Uniform
from tinygrad_dl.torch.distributions.multivariate import (
    LowRankMultivariateNormal,
    MultivariateNormal,
    half_log_det,
    mahalanobis,
    solved,
)
from tinygrad_dl.torch.distributions.transformed import (
    HalfNormal,
    Independent,
    Pareto,
    TransformedDistribution,
)
from tinygrad_dl.torch.nn import functional
from tinygrad_dl.torch.registry import TORCH as T

F: Any = functional
_KL: dict[tuple[type, type], Callable[[Any, Any], Any]] = {}
_EULER = float(np.euler_gamma)


def register_kl(type_p: type, type_q: type) -> Callable[[Any], Any]:
    """Enter a function for the divergence of two types."""
    for kind in (type_p, type_q):
        if not (isinstance(kind, type) and issubclass(kind, Distribution)):
            raise TypeError(f"Expected a Distribution subclass but got {kind}")

    def enter(f: Callable[[Any, Any], Any]) -> Any:
        _KL[type_p, type_q] = f
        return f

    return enter


def kl_divergence(p: Any, q: Any) -> Any:
    """The Kullback-Leibler divergence of p from q."""
    for kind in type(p).__mro__:
        for other in type(q).__mro__:
            if (kind, other) in _KL:
                return _KL[kind, other](p, q)
    raise NotImplementedError(
        f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}"
    )


def _where(condition: Any, value: float, other: Any) -> Any:
    return T["where"](condition, value, other)


_p: Any
_q: Any
_one: Any


# Of one family


@register_kl(Normal, Normal)
def _normal(p: Any, q: Any) -> Any:
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Any, q: Any) -> Any:
    success = p.probs * (F.softplus(-q.logits) - F.softplus(-p.logits))
    failure = (1 - p.probs) * (F.softplus(q.logits) - F.softplus(p.logits))
    success = _where(p.probs == 0, 0.0, _where(q.probs == 0, math.inf, success))
    return success + _where(p.probs == 1, 0.0, _where(q.probs == 1, math.inf, failure))


@register_kl(Binomial, Binomial)
def _binomial(p: Any, q: Any) -> Any:
    if bool((p.total_count < q.total_count).any()):
        raise NotImplementedError(
            "KL between Binomials where q.total_count > p.total_count is not implemented"
        )
    found = p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()
    return _where(p.total_count > q.total_count, math.inf, p.total_count * found)


@register_kl(Categorical, Categorical)
def _categorical(p: Any, q: Any) -> Any:
    found = p.probs * (p.logits - q.logits)
    return _where(p.probs == 0, 0.0, _where(q.probs == 0, math.inf, found)).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p: Any, q: Any) -> Any:
    return _categorical(p._categorical, q._categorical)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p: Any, q: Any) -> Any:
    constants = p._log_norm() + (-p.probs).log1p() - q._log_norm() - (-q.probs).log1p()
    return p.mean * (p.logits - q.logits) + constants


@register_kl(Exponential, Exponential)
def _exponential(p: Any, q: Any) -> Any:
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(Uniform, Uniform)
def _uniform(p: Any, q: Any) -> Any:
    found = ((q.high - q.low) / (p.high - p.low)).log()
    return _where((q.low > p.low) | (q.high < p.high), math.inf, found)


@register_kl(Laplace, Laplace)
def _laplace(p: Any, q: Any) -> Any:
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + distance / q.scale + ratio * (-distance / p.scale).exp() - 1


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Any, q: Any) -> Any:
    apart = (p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)
    return apart.log() - (4 * p.scale * q.scale).log()


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Any, q: Any) -> Any:
    ratio, distance = p.scale / q.scale, (p.loc - q.loc) / q.scale
    tail = (-distance + (1 + ratio).lgamma()).exp()
    return -ratio.log() + distance + ratio * _EULER + tail - (1 + _EULER)


@register_kl(Gamma, Gamma)
def _gamma(p: Any, q: Any) -> Any:
    return (
        q.concentration * (p.rate / q.rate).log()
        + q.concentration.lgamma()
        - p.concentration.lgamma()
        + (p.concentration - q.concentration) * p.concentration.digamma()
        + (q.rate - p.rate) * (p.concentration / p.rate)
    )


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Any, q: Any) -> Any:
    a, b = p.concentration, q.concentration
    total, rest = a.sum(-1), b.sum(-1)
    constant = total.lgamma() - rest.lgamma() - (a.lgamma() - b.lgamma()).sum(-1)
    return constant + ((a - b) * (a.digamma() - total.digamma().unsqueeze(-1))).sum(-1)


@register_kl(Beta, Beta)
def _beta(p: Any, q: Any) -> Any:
    return _dirichlet(p._pair(), q._pair())


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: Any, q: Any) -> Any:
    return _normal(p.base_dist, q.base_dist)


@register_kl(Geometric, Geometric)
def _geometric(p: Any, q: Any) -> Any:
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(Poisson, Poisson)
def _poisson(p: Any, q: Any) -> Any:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Pareto, Pareto)
def _pareto(p: Any, q: Any) -> Any:
    ratio = q.alpha / p.alpha
    found = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return _where(p.scale < q.scale, math.inf, found)


@register_kl(Independent, Independent)
def _independent(p: Any, q: Any) -> Any:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: Any, q: Any) -> Any:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError
    return kl_divergence(p.base_dist, q.base_dist)


def _squares(x: Any) -> Any:
    return x.pow(2).sum((-2, -1))


def _of_vectors(p: Any, q: Any) -> Any:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two (Low Rank) Multivariate Normals with different event shapes cannot be computed"
        )
    if isinstance(q, MultivariateNormal):
        parts = (
            [p.scale_tril]
            if isinstance(p, MultivariateNormal)
            else [p.cov_factor, p.cov_diag.sqrt().diag_embed()]
        )
        spread = sum(_squares(solved(q.scale_tril, part)) for part in parts)
        distance, size = mahalanobis(q.scale_tril, q.loc - p.loc), 2 * half_log_det(q.scale_tril)
    else:
        spread = (q.precision_matrix * p.covariance_matrix).sum((-2, -1))
        distance, size = q.distance(q.loc - p.loc), q.log_det()
    own = 2 * half_log_det(p.scale_tril) if isinstance(p, MultivariateNormal) else p.log_det()
    return 0.5 * (size - own + spread + distance - p.event_shape[0])


for _p in (MultivariateNormal, LowRankMultivariateNormal):
    for _q in (MultivariateNormal, LowRankMultivariateNormal):
        register_kl(_p, _q)(_of_vectors)


# Of two families


def _mean_of_log(p: Any) -> Any:
    """E[log x] for x of p."""
    if isinstance(p, Beta):
        return p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma()
    if isinstance(p, Exponential):
        return -_EULER - p.rate.log()
    if isinstance(p, Pareto):
        return p.scale.log() + p.alpha.reciprocal()
    return _uniform_log(p.low, p.high)


def _uniform_log(low: Any, high: Any) -> Any:
    """E[log x] for x uniform between two bounds."""
    return (T["xlogy"](high, high) - T["xlogy"](low, low)) / (high - low) - 1


def _generated(p: Any, t: Any) -> Any:
    """E[exp(t * x)] for x of p, and a t below 0."""
    if isinstance(p, Exponential):
        return p.rate / (p.rate - t)
    if isinstance(p, Gamma):
        return (1 - t / p.rate).pow(-p.concentration)
    if isinstance(p, Normal):
        return (p.loc * t + 0.5 * (p.scale * t).pow(2)).exp()
    return ((p.high * t).exp() - (p.low * t).exp()) / (t * (p.high - p.low))


def _to_normal(p: Any, q: Any) -> Any:
    spread = (p.variance + (p.mean - q.loc).pow(2)) / (2 * q.scale.pow(2))
    found = -p.entropy() + q.scale.log() + 0.5 * math.log(2 * math.pi) + spread
    return _where(p.alpha <= 2, math.inf, found) if isinstance(p, Pareto) else found


def _to_exponential(p: Any, q: Any) -> Any:
    return _above_zero(p, -p.entropy() - q.rate.log() + q.rate * p.mean)


def _to_gamma(p: Any, q: Any) -> Any:
    a, b = q.concentration, q.rate
    found = -p.entropy() + a.lgamma() - a * b.log() - (a - 1) * _mean_of_log(p) + b * p.mean
    return _above_zero(p, found)


def _above_zero(p: Any, found: Any) -> Any:
    """Infinite where p has numbers below 0, or no mean."""
    if isinstance(p, Uniform):
        return _where(p.low < 0, math.inf, found)
    return _where(p.alpha <= 1, math.inf, found) if isinstance(p, Pareto) else found


def _to_gumbel(p: Any, q: Any) -> Any:
    standard = (p.mean - q.loc) / q.scale
    return (
        -p.entropy()
        + q.scale.log()
        + standard
        + (q.loc / q.scale).exp() * _generated(p, -q.scale.reciprocal())
    )


def _to_continuous_bernoulli(p: Any, q: Any) -> Any:
    found = -p.entropy() - p.mean * q.logits - (-q.probs).log1p() - q._log_norm()
    return _where((p.high >= 1) | (p.low <= 0), math.inf, found) if isinstance(p, Uniform) else found


def _infinite(p: Any, q: Any) -> Any:
    return creation.full(np.broadcast_shapes(p.batch_shape, q.batch_shape), math.inf, dtype=p.mean.dtype)


for _others, _q, _f in (
    ((Beta, ContinuousBernoulli, Exponential, Gamma, Gumbel, Laplace, Pareto, Uniform), Normal, _to_normal),
    ((Beta, ContinuousBernoulli, Gamma, Pareto, Uniform), Exponential, _to_exponential),
    ((Beta, Exponential, Pareto, Uniform), Gamma, _to_gamma),
    ((Exponential, Gamma, Normal, Uniform), Gumbel, _to_gumbel),
    ((Beta, Uniform), ContinuousBernoulli, _to_continuous_bernoulli),
    ((Gumbel, Laplace, Normal), Exponential, _infinite),
    ((Gumbel, Laplace, Normal), Gamma, _infinite),
    ((Exponential, Gamma, Gumbel, Laplace, Normal, Pareto), Beta, _infinite),
    ((Exponential, Gamma, Gumbel, Laplace, Normal, Pareto), ContinuousBernoulli, _infinite),
    ((Exponential, Gamma, Gumbel, Laplace, Normal, Pareto), Uniform, _infinite),
    ((Beta, ContinuousBernoulli, Exponential, Gamma, Gumbel, Laplace, Normal), Pareto, _infinite),
    ((Poisson,), Bernoulli, _infinite),
    ((Poisson,), Binomial, _infinite),
):
    for _one in _others:
        register_kl(_one, _q)(_f)


@register_kl(Bernoulli, Poisson)
def _(p: Any, q: Any) -> Any:
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


@register_kl(Beta, Uniform)
def _(p: Any, q: Any) -> Any:
    return _where((q.low > 0) | (q.high < 1), math.inf, -p.entropy() + (q.high - q.low).log())


@register_kl(ContinuousBernoulli, Uniform)
def _(p: Any, q: Any) -> Any:
    return _where((q.low >= 0) | (q.high <= 1), math.inf, -p.entropy() + (q.high - q.low).log())


@register_kl(Uniform, Beta)
def _(p: Any, q: Any) -> Any:
    a, b = q.concentration1, q.concentration0
    logs = (a - 1) * _uniform_log(p.low, p.high) + (b - 1) * _uniform_log(1 - p.high, 1 - p.low)
    found = -p.entropy() - logs + a.lgamma() + b.lgamma() - (a + b).lgamma()
    return _where((p.high > 1) | (p.low < 0), math.inf, found)


@register_kl(Uniform, Pareto)
def _(p: Any, q: Any) -> Any:
    found = (q.alpha + 1) * _mean_of_log(p) - q.alpha.log() - q.alpha * q.scale.log() - p.entropy()
    return _where(p.low < q.scale, math.inf, found)


@register_kl(Normal, Laplace)
def _(p: Any, q: Any) -> Any:
    apart = (p.loc - q.loc) / p.scale
    distance = math.sqrt(2 / math.pi) * (-0.5 * apart.pow(2)).exp() + apart * (math.sqrt(0.5) * apart).erf()
    return -p.entropy() + (2 * q.scale).log() + p.scale * distance / q.scale
