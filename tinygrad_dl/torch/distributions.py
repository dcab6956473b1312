"""torch.distributions: the common ones, with sample, rsample, log_prob, entropy, and kl_divergence between two."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from tinygrad_dl.modes import no_grad
from tinygrad_dl.tensor import Tensor as Value
from tinygrad_dl.torch import creation
from tinygrad_dl.torch.boundary import made
from tinygrad_dl.torch.custom import Function
from tinygrad_dl.torch.dtypes import Size
from tinygrad_dl.torch.nn import functional as F
from tinygrad_dl.torch.random import default_generator
from tinygrad_dl.torch.registry import TORCH as T
from tinygrad_dl.torch.special_functions import beta_derivative, gamma_derivative
from tinygrad_dl.torch.transforms import AbsTransform as AbsTransform
from tinygrad_dl.torch.transforms import AffineTransform as AffineTransform
from tinygrad_dl.torch.transforms import ComposeTransform as ComposeTransform
from tinygrad_dl.torch.transforms import ExpTransform as ExpTransform
from tinygrad_dl.torch.transforms import PowerTransform as PowerTransform
from tinygrad_dl.torch.transforms import SigmoidTransform as SigmoidTransform
from tinygrad_dl.torch.transforms import SoftplusTransform as SoftplusTransform
from tinygrad_dl.torch.transforms import TanhTransform as TanhTransform
from tinygrad_dl.torch.transforms import Transform as Transform
from tinygrad_dl.torch.transforms import _inside
from tinygrad_dl.torch.transforms import identity_transform as identity_transform


def _tensors(*values: Any) -> list[Any]:
    """Parameters as Tensors of one shape."""
    found = [v if isinstance(v, Value) else creation.tensor(float(v)) for v in values]
    return list(T["broadcast_tensors"](*found))


def _sizes(shape: Any) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


class Distribution:
    """Base of distributions. Shapes: sample_shape + batch_shape + event_shape."""

    has_rsample = False
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, batch_shape: Any = (), event_shape: Any = (), validate_args: Any = None) -> None:
        self.batch_shape, self.event_shape = Size(batch_shape), Size(event_shape)

    def _extended(self, sample_shape: Any) -> tuple[int, ...]:
        return (*_sizes(sample_shape), *self.batch_shape, *self.event_shape)

    def sample(self, sample_shape: Any = ()) -> Any:
        """Draws, without a gradient."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        """Draws whose gradient reaches the parameters."""
        raise NotImplementedError(f"{type(self).__name__}: there is no reparameterized sample; use sample()")

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density or probability."""
        raise NotImplementedError

    def entropy(self) -> Any:
        """The entropy."""
        raise NotImplementedError

    mean: Any
    variance: Any

    @property
    def stddev(self) -> Any:
        """The standard deviation."""
        return self.variance.sqrt()

    def sample_n(self, n: int) -> Any:
        """n draws."""
        return self.sample((n,))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ExponentialFamily(Distribution):
    """Base of exponential families."""


class Normal(ExponentialFamily):
    """The normal distribution."""

    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: Any = None) -> None:
        self.loc, self.scale = _tensors(loc, scale)
        if not bool((self.scale > 0).all()):
            raise ValueError("Normal: expected the parameter scale to be positive")
        super().__init__(self.loc.shape)

    @property
    def mean(self) -> Any:
        return self.loc

    mode = mean

    @property
    def variance(self) -> Any:
        return self.scale.pow(2)

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            shape = self._extended(sample_shape)
            return creation.normal(self.loc.expand(shape), self.scale.expand(shape))

    def rsample(self, sample_shape: Any = ()) -> Any:
        noise = creation.randn(self._extended(sample_shape), dtype=self.loc.dtype)
        return self.loc + noise * self.scale

    def log_prob(self, value: Any) -> Any:
        return (
            -((value - self.loc) ** 2) / (2 * self.scale**2)
            - self.scale.log()
            - math.log(math.sqrt(2 * math.pi))
        )

    def entropy(self) -> Any:
        return 0.5 + 0.5 * math.log(2 * math.pi) + self.scale.log()

    def cdf(self, value: Any) -> Any:
        """The distribution function."""
        return 0.5 * (1 + ((value - self.loc) / self.scale / math.sqrt(2)).erf())

    def icdf(self, value: Any) -> Any:
        """The inverse of cdf."""
        return self.loc + self.scale * (2 * value - 1).erfinv() * math.sqrt(2)


class LogNormal(Distribution):
    """exp of a normal number."""

    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: Any = None) -> None:
        self.base_dist = Normal(loc, scale)
        self.loc, self.scale = self.base_dist.loc, self.base_dist.scale
        super().__init__(self.loc.shape)

    @property
    def mean(self) -> Any:
        return (self.loc + self.scale.pow(2) / 2).exp()

    @property
    def variance(self) -> Any:
        return self.scale.pow(2).expm1() * (2 * self.loc + self.scale.pow(2)).exp()

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.rsample(sample_shape).exp()

    def log_prob(self, value: Any) -> Any:
        return self.base_dist.log_prob(value.log()) - value.log()

    def entropy(self) -> Any:
        return self.base_dist.entropy() + self.loc


class HalfNormal(Distribution):
    """The absolute value of a normal number."""

    has_rsample = True

    def __init__(self, scale: Any, validate_args: Any = None) -> None:
        self._base = Normal(0.0 * scale, scale)
        self.scale = self._base.scale
        super().__init__(self.scale.shape)

    @property
    def mean(self) -> Any:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> Any:
        return self.scale.pow(2) * (1 - 2 / math.pi)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self._base.rsample(sample_shape).abs()

    def log_prob(self, value: Any) -> Any:
        return T["where"](value >= 0, self._base.log_prob(value) + math.log(2), -math.inf)

    def entropy(self) -> Any:
        return self._base.entropy() - math.log(2)


class Uniform(Distribution):
    """The uniform distribution on [low, high)."""

    has_rsample = True

    def __init__(self, low: Any, high: Any, validate_args: Any = None) -> None:
        self.low, self.high = _tensors(low, high)
        if not bool((self.low < self.high).all()):
            raise ValueError("Uniform is not defined when low>= high")
        super().__init__(self.low.shape)

    @property
    def mean(self) -> Any:
        return (self.high + self.low) / 2

    @property
    def variance(self) -> Any:
        return (self.high - self.low).pow(2) / 12

    def rsample(self, sample_shape: Any = ()) -> Any:
        drawn = creation.rand(self._extended(sample_shape), dtype=self.low.dtype)
        return self.low + drawn * (self.high - self.low)

    def log_prob(self, value: Any) -> Any:
        inside = ((self.low <= value) & (self.high > value)).type_as(self.low)
        return inside.log() - (self.high - self.low).log()

    def entropy(self) -> Any:
        return (self.high - self.low).log()

    def cdf(self, value: Any) -> Any:
        """The distribution function."""
        return ((value - self.low) / (self.high - self.low)).clamp(0, 1)


class _Logits(Distribution):
    """What is given by probabilities or by logits."""

    def _given(self, probs: Any, logits: Any) -> Any:
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        return _tensors(logits if probs is None else probs)[0]


class Bernoulli(_Logits):
    """1 with the probability p, else 0."""

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None) -> None:
        given = self._given(probs, logits)
        if probs is not None:
            self.probs = given
            eps = np.finfo(given.dtype.dtype).eps
            clamped = given.clamp(eps, 1 - eps)
            self.logits = clamped.log() - (-clamped).log1p()
        else:
            self.logits, self.probs = given, given.sigmoid()
        super().__init__(given.shape)

    @property
    def mean(self) -> Any:
        return self.probs

    @property
    def variance(self) -> Any:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            return creation.bernoulli(self.probs.expand(self._extended(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        logits, value = T["broadcast_tensors"](self.logits, value)
        return -F.binary_cross_entropy_with_logits(logits, value, reduction="none")  # type: ignore[attr-defined]

    def entropy(self) -> Any:
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")  # type: ignore[attr-defined]


class Categorical(_Logits):
    """One of several classes, with probabilities along the last axis."""

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None) -> None:
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        if probs is not None:
            self.probs = probs / probs.sum(-1, keepdim=True)
            eps = np.finfo(self.probs.dtype.dtype).eps
            self.logits = self.probs.clamp(eps, 1 - eps).log()
        else:
            self.logits = logits - logits.logsumexp(-1, keepdim=True)
            self.probs = F.softmax(self.logits, -1)
        self._num_events = self.probs.shape[-1]
        super().__init__(self.probs.shape[:-1])

    @property
    def mode(self) -> Any:
        """The most likely class."""
        return self.probs.argmax(-1)

    def sample(self, sample_shape: Any = ()) -> Any:
        shape = _sizes(sample_shape)
        rows = self.probs.detach().reshape(-1, self._num_events)
        drawn = creation.multinomial(rows, math.prod(shape), True).t()
        return drawn.reshape(*shape, *self.batch_shape)

    def log_prob(self, value: Any) -> Any:
        value = value.long().unsqueeze(-1)
        shape = np.broadcast_shapes(value.shape[:-1], self.logits.shape[:-1])
        logits = self.logits.expand(*shape, self._num_events)
        return logits.gather(-1, value.expand(*shape, 1)).squeeze(-1)

    def entropy(self) -> Any:
        smallest = float(np.finfo(self.logits.dtype.dtype).min)
        return -(self.logits.clamp(min=smallest) * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Any:
        """All classes."""
        return creation.arange(self._num_events)


class OneHotCategorical(Distribution):
    """One of several classes, as a vector with a 1."""

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None) -> None:
        self._categorical = Categorical(probs, logits)
        self.probs, self.logits = self._categorical.probs, self._categorical.logits
        super().__init__(self._categorical.batch_shape, self.probs.shape[-1:])

    @property
    def mean(self) -> Any:
        return self.probs

    def sample(self, sample_shape: Any = ()) -> Any:
        return F.one_hot(self._categorical.sample(sample_shape), self.event_shape[0]).to(self.probs.dtype)  # type: ignore[attr-defined]

    def log_prob(self, value: Any) -> Any:
        return self._categorical.log_prob(value.argmax(-1))

    def entropy(self) -> Any:
        return self._categorical.entropy()


class Geometric(_Logits):
    """The number of failures before the first success."""

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None) -> None:
        given = self._given(probs, logits)
        self.probs = given if probs is not None else given.sigmoid()
        super().__init__(self.probs.shape)

    @property
    def mean(self) -> Any:
        return 1 / self.probs - 1

    @property
    def variance(self) -> Any:
        return (1 / self.probs - 1) / self.probs

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            u = creation.rand(self._extended(sample_shape), dtype=self.probs.dtype).clamp(min=1e-38)
            return (u.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Any) -> Any:
        return value * (-self.probs).log1p() + self.probs.log()

    def entropy(self) -> Any:
        p = self.probs
        return -(p * p.log() + (1 - p) * (-p).log1p()) / p


class Exponential(ExponentialFamily):
    """The exponential distribution."""

    has_rsample = True

    def __init__(self, rate: Any, validate_args: Any = None) -> None:
        (self.rate,) = _tensors(rate)
        super().__init__(self.rate.shape)

    @property
    def mean(self) -> Any:
        return 1 / self.rate

    @property
    def variance(self) -> Any:
        return self.rate.pow(-2)

    def rsample(self, sample_shape: Any = ()) -> Any:
        drawn = default_generator.exponentials(self._extended(sample_shape), 1.0, self.rate._data.dtype)
        return made(drawn) / self.rate

    def log_prob(self, value: Any) -> Any:
        return self.rate.log() - self.rate * value

    def entropy(self) -> Any:
        return 1 - self.rate.log()

    def cdf(self, value: Any) -> Any:
        """The distribution function."""
        return 1 - (-self.rate * value).exp()


class Laplace(Distribution):
    """The Laplace distribution."""

    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: Any = None) -> None:
        self.loc, self.scale = _tensors(loc, scale)
        super().__init__(self.loc.shape)

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return 2 * self.scale.pow(2)

    def rsample(self, sample_shape: Any = ()) -> Any:
        eps = float(np.finfo(self.loc.dtype.dtype).eps)
        u = creation.empty(self._extended(sample_shape), dtype=self.loc.dtype).uniform_(eps - 1, 1)
        return self.loc - self.scale * u.sign() * (-u.abs()).log1p()

    def log_prob(self, value: Any) -> Any:
        return -(2 * self.scale).log() - (value - self.loc).abs() / self.scale

    def entropy(self) -> Any:
        return 1 + (2 * self.scale).log()


class Gumbel(Distribution):
    """The Gumbel distribution."""

    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: Any = None) -> None:
        self.loc, self.scale = _tensors(loc, scale)
        super().__init__(self.loc.shape)

    @property
    def mean(self) -> Any:
        return self.loc + self.scale * np.euler_gamma

    @property
    def variance(self) -> Any:
        return (math.pi**2 / 6) * self.scale.pow(2)

    def rsample(self, sample_shape: Any = ()) -> Any:
        limits = np.finfo(self.loc.dtype.dtype)
        u = creation.empty(self._extended(sample_shape), dtype=self.loc.dtype).uniform_(
            float(limits.tiny), 1 - float(limits.eps)
        )
        return self.loc - self.scale * (-u.log()).log()

    def log_prob(self, value: Any) -> Any:
        y = (self.loc - value) / self.scale
        return (y - y.exp()) - self.scale.log()

    def entropy(self) -> Any:
        return self.scale.log() + (1 + np.euler_gamma)


class Cauchy(Distribution):
    """The Cauchy distribution."""

    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: Any = None) -> None:
        self.loc, self.scale = _tensors(loc, scale)
        super().__init__(self.loc.shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        noise = creation.empty(self._extended(sample_shape), dtype=self.loc.dtype).cauchy_()
        return self.loc + noise * self.scale

    def log_prob(self, value: Any) -> Any:
        return -math.log(math.pi) - self.scale.log() - ((value - self.loc) / self.scale).pow(2).log1p()

    def entropy(self) -> Any:
        return math.log(4 * math.pi) + self.scale.log()


class _StandardGamma(Function):
    """Numbers of the gamma distributions with these concentrations; the gradient is that at a fixed quantile."""

    @staticmethod
    def forward(ctx: Any, concentration: Any) -> Any:
        drawn = default_generator.standard_gammas(concentration._data).astype(concentration._data.dtype)
        x = made(np.maximum(drawn, np.finfo(drawn.dtype).tiny))
        ctx.save_for_backward(x, concentration)
        return x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, a = (t._data.astype(np.float64) for t in ctx.saved_tensors)
        return g * made(gamma_derivative(a, x)).to(g.dtype)


class _Dirichlet(Function):
    """Numbers of the Dirichlet distributions along the last axis; the gradient is that of their beta distributions."""

    @staticmethod
    def forward(ctx: Any, concentration: Any) -> Any:
        kind = concentration._data.dtype
        parts = default_generator.standard_gammas(concentration._data)
        limits = np.finfo(kind)
        x = np.clip(parts / parts.sum(-1, keepdims=True), limits.tiny, 1 - limits.epsneg).astype(kind)
        ctx.save_for_backward(made(x), concentration)
        return made(x)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, concentration = ctx.saved_tensors
        a, y = concentration._data.astype(np.float64), x._data.astype(np.float64)
        rest = a.sum(-1, keepdims=True) - a
        slope = made(beta_derivative(a, rest, y) / (1 - y)).to(g.dtype)
        return slope * (g - (x * g).sum(-1, True))


class Gamma(ExponentialFamily):
    """The gamma distribution."""

    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: Any = None) -> None:
        self.concentration, self.rate = _tensors(concentration, rate)
        super().__init__(self.rate.shape)

    @property
    def mean(self) -> Any:
        return self.concentration / self.rate

    @property
    def variance(self) -> Any:
        return self.concentration / self.rate.pow(2)

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended(sample_shape)
        return _StandardGamma.apply(self.concentration.expand(shape)) / self.rate.expand(shape)

    def log_prob(self, value: Any) -> Any:
        a, b = self.concentration, self.rate
        return T["xlogy"](a, b) + T["xlogy"](a - 1, value) - b * value - a.lgamma()

    def entropy(self) -> Any:
        a = self.concentration
        return a - self.rate.log() + a.lgamma() + (1 - a) * a.digamma()


class Chi2(Gamma):
    """The chi-squared distribution."""

    def __init__(self, df: Any, validate_args: Any = None) -> None:
        self.df = _tensors(df)[0]
        super().__init__(0.5 * self.df, 0.5)


class Dirichlet(ExponentialFamily):
    """Probabilities along the last axis."""

    has_rsample = True

    def __init__(self, concentration: Any, validate_args: Any = None) -> None:
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:])

    @property
    def mean(self) -> Any:
        return self.concentration / self.concentration.sum(-1, keepdim=True)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return _Dirichlet.apply(self.concentration.expand(self._extended(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        a = self.concentration
        return T["xlogy"](a - 1, value).sum(-1) + a.sum(-1).lgamma() - a.lgamma().sum(-1)

    def entropy(self) -> Any:
        a = self.concentration
        k, total = a.shape[-1], a.sum(-1)
        return (
            a.lgamma().sum(-1)
            - total.lgamma()
            - (k - total) * total.digamma()
            - ((a - 1) * a.digamma()).sum(-1)
        )


class Beta(ExponentialFamily):
    """The beta distribution."""

    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: Any = None) -> None:
        self.concentration1, self.concentration0 = _tensors(concentration1, concentration0)
        super().__init__(self.concentration1.shape)

    @property
    def mean(self) -> Any:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def variance(self) -> Any:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape: Any = ()) -> Any:
        both = T["stack"]([self.concentration1, self.concentration0], -1)
        return Dirichlet(both).rsample(sample_shape).select(-1, 0)

    def log_prob(self, value: Any) -> Any:
        a, b = self.concentration1, self.concentration0
        constant = (a + b).lgamma() - a.lgamma() - b.lgamma()
        return T["xlogy"](a - 1, value) + T["xlogy"](b - 1, 1 - value) + constant

    def entropy(self) -> Any:
        a, b = self.concentration1, self.concentration0
        log_beta = a.lgamma() + b.lgamma() - (a + b).lgamma()
        return log_beta - (a - 1) * a.digamma() - (b - 1) * b.digamma() + (a + b - 2) * (a + b).digamma()


class Poisson(ExponentialFamily):
    """The Poisson distribution."""

    def __init__(self, rate: Any, validate_args: Any = None) -> None:
        (self.rate,) = _tensors(rate)
        super().__init__(self.rate.shape)

    @property
    def mean(self) -> Any:
        return self.rate

    variance = mean

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            return creation.poisson(self.rate.expand(self._extended(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        return T["xlogy"](value, self.rate) - self.rate - (value + 1).lgamma()


class StudentT(Distribution):
    """Student's t distribution."""

    has_rsample = True

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: Any = None) -> None:
        self.df, self.loc, self.scale = _tensors(df, loc, scale)
        super().__init__(self.df.shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        noise = creation.randn(self._extended(sample_shape), dtype=self.df.dtype)
        drawn = Chi2(self.df).rsample(sample_shape)
        return self.loc + self.scale * (noise * (drawn / self.df).rsqrt())

    def log_prob(self, value: Any) -> Any:
        y = (value - self.loc) / self.scale
        z = self.scale.log() + 0.5 * self.df.log() + 0.5 * math.log(math.pi) + (0.5 * self.df).lgamma()
        return -0.5 * (self.df + 1.0) * (y**2.0 / self.df).log1p() - z + (0.5 * (self.df + 1.0)).lgamma()


class MultivariateNormal(Distribution):
    """The normal distribution of vectors."""

    has_rsample = True

    def __init__(
        self,
        loc: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: Any = None,
    ) -> None:
        if precision_matrix is not None:
            covariance_matrix = T["inverse"](precision_matrix)
        self.scale_tril = T["cholesky"](covariance_matrix) if scale_tril is None else scale_tril
        batch = np.broadcast_shapes(loc.shape[:-1], self.scale_tril.shape[:-2])
        self.loc = loc.expand(*batch, loc.shape[-1])
        super().__init__(batch, loc.shape[-1:])

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def covariance_matrix(self) -> Any:
        """The covariance matrix."""
        return self.scale_tril @ self.scale_tril.mT

    @property
    def variance(self) -> Any:
        return self.scale_tril.pow(2).sum(-1)

    def rsample(self, sample_shape: Any = ()) -> Any:
        noise = creation.randn(self._extended(sample_shape), dtype=self.loc.dtype)
        return self.loc + (self.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)

    def _half_log_det(self) -> Any:
        return self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def log_prob(self, value: Any) -> Any:
        from tinygrad_dl.torch import linalg

        difference = (value - self.loc).unsqueeze(-1)
        matrix = self.scale_tril.expand(*difference.shape[:-2], *self.scale_tril.shape[-2:])
        solved = linalg.solve(matrix, difference).squeeze(-1)
        return (
            -0.5 * (self.event_shape[0] * math.log(2 * math.pi) + solved.pow(2).sum(-1))
            - self._half_log_det()
        )

    def entropy(self) -> Any:
        return 0.5 * self.event_shape[0] * (1.0 + math.log(2 * math.pi)) + self._half_log_det()


class Multinomial(Distribution):
    """How often each class comes in several draws."""

    def __init__(
        self, total_count: int = 1, probs: Any = None, logits: Any = None, validate_args: Any = None
    ) -> None:
        self.total_count, self._categorical = total_count, Categorical(probs, logits)
        self.probs, self.logits = self._categorical.probs, self._categorical.logits
        super().__init__(self._categorical.batch_shape, self.probs.shape[-1:])

    @property
    def mean(self) -> Any:
        return self.probs * self.total_count

    def sample(self, sample_shape: Any = ()) -> Any:
        drawn = self._categorical.sample((self.total_count, *_sizes(sample_shape)))
        return F.one_hot(drawn, self.event_shape[0]).sum(0).to(self.probs.dtype)  # type: ignore[attr-defined]

    def log_prob(self, value: Any) -> Any:
        logits = T["where"]((value == 0) & (self.logits == -math.inf), 0.0, self.logits)
        return (value.sum(-1) + 1).lgamma() - (value + 1).lgamma().sum(-1) + (logits * value).sum(-1)


class Independent(Distribution):
    """The last batch axes of a distribution as axes of the event."""

    def __init__(
        self, base_distribution: Any, reinterpreted_batch_ndims: int, validate_args: Any = None
    ) -> None:
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, reinterpreted_batch_ndims
        cut = len(base_distribution.batch_shape) - reinterpreted_batch_ndims
        super().__init__(
            base_distribution.batch_shape[:cut],
            base_distribution.batch_shape[cut:] + base_distribution.event_shape,
        )
        self.has_rsample = base_distribution.has_rsample

    @property
    def mean(self) -> Any:
        return self.base_dist.mean

    @property
    def variance(self) -> Any:
        return self.base_dist.variance

    def sample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.rsample(sample_shape)

    def _summed(self, x: Any) -> Any:
        n = self.reinterpreted_batch_ndims
        return x.sum(tuple(range(-n, 0))) if n else x

    def log_prob(self, value: Any) -> Any:
        return self._summed(self.base_dist.log_prob(value))

    def entropy(self) -> Any:
        return self._summed(self.base_dist.entropy())


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """One-hot draws with the gradient of the probabilities."""

    has_rsample = True

    def rsample(self, sample_shape: Any = ()) -> Any:
        drawn = OneHotCategorical.sample(self, sample_shape)
        return drawn + (self.probs - self.probs.detach())


class Binomial(_Logits):
    """The number of successes of several trials."""

    def __init__(
        self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: Any = None
    ) -> None:
        base = Bernoulli(self._given(probs, logits)) if logits is None else Bernoulli(logits=logits)
        self.total_count, self.probs, self.logits = _tensors(total_count, base.probs, base.logits)
        super().__init__(self.probs.shape)

    @property
    def mean(self) -> Any:
        return self.total_count * self.probs

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended(sample_shape)
        with no_grad():
            return creation.binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value: Any) -> Any:
        n = self.total_count
        normalizer = n * F.softplus(self.logits) - (n + 1).lgamma()  # type: ignore[attr-defined]
        return value * self.logits - (value + 1).lgamma() - (n - value + 1).lgamma() - normalizer


class NegativeBinomial(_Logits):
    """The number of successes before a number of failures."""

    def __init__(
        self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: Any = None
    ) -> None:
        base = Bernoulli(self._given(probs, logits)) if logits is None else Bernoulli(logits=logits)
        self.total_count, self.probs, self.logits = _tensors(total_count, base.probs, base.logits)
        super().__init__(self.probs.shape)

    @property
    def mean(self) -> Any:
        return self.total_count * self.logits.exp()

    @property
    def variance(self) -> Any:
        return self.mean / (-self.logits).sigmoid()

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            return creation.poisson(Gamma(self.total_count, (-self.logits).exp()).sample(sample_shape))

    def log_prob(self, value: Any) -> Any:
        n = self.total_count
        draws = n * F.logsigmoid(-self.logits) + value * F.logsigmoid(self.logits)  # type: ignore[attr-defined]
        orders = (n + value).lgamma() - (1.0 + value).lgamma() - n.lgamma()
        return draws + orders.masked_fill(n + value == 0.0, 0.0)


class FisherSnedecor(Distribution):
    """Fisher's F distribution."""

    has_rsample = True

    def __init__(self, df1: Any, df2: Any, validate_args: Any = None) -> None:
        self.df1, self.df2 = _tensors(df1, df2)
        super().__init__(self.df1.shape)

    @property
    def mean(self) -> Any:
        return (self.df2 / (self.df2 - 2)).masked_fill(self.df2 <= 2, math.nan)

    def rsample(self, sample_shape: Any = ()) -> Any:
        over, under = (Gamma(df * 0.5, df).rsample(sample_shape) for df in (self.df1, self.df2))
        return over / under

    def log_prob(self, value: Any) -> Any:
        a, b, ratio = self.df1 * 0.5, self.df2 * 0.5, self.df1 / self.df2
        constant = (a + b).lgamma() - a.lgamma() - b.lgamma()
        return constant + a * ratio.log() + (a - 1) * value.log() - (a + b) * (ratio * value).log1p()


class MixtureSameFamily(Distribution):
    """A mixture, along the last batch axis, of distributions of one kind."""

    def __init__(
        self, mixture_distribution: Any, component_distribution: Any, validate_args: Any = None
    ) -> None:
        self.mixture_distribution = mixture_distribution
        self.component_distribution = component_distribution
        super().__init__(component_distribution.batch_shape[:-1], component_distribution.event_shape)

    def _pad(self, x: Any) -> Any:
        return x.reshape(*x.shape, *(1,) * len(self.event_shape))

    @property
    def mean(self) -> Any:
        dim = -1 - len(self.event_shape)
        return (self._pad(self.mixture_distribution.probs) * self.component_distribution.mean).sum(dim)

    @property
    def variance(self) -> Any:
        dim, parts = -1 - len(self.event_shape), self.component_distribution
        weights = self._pad(self.mixture_distribution.probs)
        spread = (parts.mean - self.mean.unsqueeze(dim)).pow(2)
        return (weights * parts.variance).sum(dim) + (weights * spread).sum(dim)

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            dim = -1 - len(self.event_shape)
            which = self._pad(self.mixture_distribution.sample(sample_shape).unsqueeze(-1))
            drawn = self.component_distribution.sample(sample_shape)
            places = which.expand(*drawn.shape[:dim], 1, *self.event_shape)
            return drawn.gather(dim, places).squeeze(dim)

    def log_prob(self, value: Any) -> Any:
        found = self.component_distribution.log_prob(value.unsqueeze(-1 - len(self.event_shape)))
        return (found + F.log_softmax(self.mixture_distribution.logits, -1)).logsumexp(-1)


class TransformedDistribution(Distribution):
    """A distribution after transforms of its elements."""

    def __init__(self, base_distribution: Any, transforms: Any, validate_args: Any = None) -> None:
        self.base_dist = base_distribution
        self.transforms = [transforms] if isinstance(transforms, Transform) else list(transforms)
        self.has_rsample = base_distribution.has_rsample
        super().__init__(base_distribution.batch_shape, base_distribution.event_shape)

    def _after(self, x: Any) -> Any:
        for transform in self.transforms:
            x = transform(x)
        return x

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            return self._after(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self._after(self.base_dist.rsample(sample_shape))

    def log_prob(self, value: Any) -> Any:
        total: Any = 0
        for transform in reversed(self.transforms):
            before = transform.inv(value)
            part = transform.log_abs_det_jacobian(before, value)
            axes = tuple(range(-len(self.event_shape), 0))
            total, value = total - (part.sum(axes) if axes else part), before
        return total + self.base_dist.log_prob(value)

    def cdf(self, value: Any) -> Any:
        """The distribution function, where all transforms increase."""
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        return self.base_dist.cdf(value)


class Weibull(TransformedDistribution):
    """The Weibull distribution."""

    def __init__(self, scale: Any, concentration: Any, validate_args: Any = None) -> None:
        self.scale, self.concentration = _tensors(scale, concentration)
        base = Exponential(self.scale * 0 + 1)
        super().__init__(
            base, [PowerTransform(self.concentration.reciprocal()), AffineTransform(0, self.scale)]
        )

    @property
    def mean(self) -> Any:
        return self.scale * (1 + self.concentration.reciprocal()).lgamma().exp()

    @property
    def variance(self) -> Any:
        inverse = self.concentration.reciprocal()
        return self.scale.pow(2) * ((1 + 2 * inverse).lgamma().exp() - (2 * (1 + inverse).lgamma()).exp())

    def entropy(self) -> Any:
        inverse = self.concentration.reciprocal()
        return np.euler_gamma * (1 - inverse) + (self.scale * inverse).log() + 1


class Pareto(TransformedDistribution):
    """The Pareto distribution."""

    def __init__(self, scale: Any, alpha: Any, validate_args: Any = None) -> None:
        self.scale, self.alpha = _tensors(scale, alpha)
        super().__init__(Exponential(self.alpha), [ExpTransform(), AffineTransform(0, self.scale)])

    @property
    def mean(self) -> Any:
        a = self.alpha.clamp(min=1)
        return a * self.scale / (a - 1)

    @property
    def variance(self) -> Any:
        a = self.alpha.clamp(min=2)
        return self.scale.pow(2) * a / ((a - 1).pow(2) * (a - 2))

    def entropy(self) -> Any:
        return (self.scale / self.alpha).log() + (1 + self.alpha.reciprocal())


class Kumaraswamy(TransformedDistribution):
    """The Kumaraswamy distribution."""

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: Any = None) -> None:
        self.concentration1, self.concentration0 = _tensors(concentration1, concentration0)
        base = Uniform(self.concentration0 * 0, self.concentration0 * 0 + 1)
        powers = [PowerTransform(c.reciprocal()) for c in (self.concentration0, self.concentration1)]
        super().__init__(base, [powers[0], AffineTransform(1.0, -1.0), powers[1]])

    def _moment(self, n: int) -> Any:
        a, b = 1 + n / self.concentration1, self.concentration0
        return b * (a.lgamma() + b.lgamma() - (a + b).lgamma()).exp()

    @property
    def mean(self) -> Any:
        return self._moment(1)

    @property
    def variance(self) -> Any:
        return self._moment(2) - self.mean.pow(2)


class InverseGamma(TransformedDistribution):
    """1 / x of a gamma number x."""

    def __init__(self, concentration: Any, rate: Any, validate_args: Any = None) -> None:
        base = Gamma(concentration, rate)
        self.concentration, self.rate = base.concentration, base.rate
        super().__init__(base, PowerTransform(-1))

    @property
    def mean(self) -> Any:
        return (self.rate / (self.concentration - 1)).masked_fill(self.concentration <= 1, math.inf)

    def entropy(self) -> Any:
        a = self.concentration
        return a + self.rate.log() + a.lgamma() - (1 + a) * a.digamma()


class HalfCauchy(TransformedDistribution):
    """The absolute value of a Cauchy number."""

    def __init__(self, scale: Any, validate_args: Any = None) -> None:
        super().__init__(Cauchy(0.0 * scale, scale), AbsTransform())
        self.scale = self.base_dist.scale

    def log_prob(self, value: Any) -> Any:
        return T["where"](value >= 0, self.base_dist.log_prob(value) + math.log(2), -math.inf)

    def entropy(self) -> Any:
        return self.base_dist.entropy() - math.log(2)


class LogitRelaxedBernoulli(_Logits):
    """The logits of relaxed draws of 0 and 1."""

    has_rsample = True

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: Any = None
    ) -> None:
        base = Bernoulli(self._given(probs, logits)) if logits is None else Bernoulli(logits=logits)
        self.temperature, self.probs, self.logits = temperature, base.probs, base.logits
        super().__init__(base.batch_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended(sample_shape)
        p, u = _inside(self.probs.expand(shape)), _inside(creation.rand(shape, dtype=self.probs.dtype))
        return (u.log() - (-u).log1p() + p.log() - (-p).log1p()) / self.temperature

    def log_prob(self, value: Any) -> Any:
        difference = self.logits - value * self.temperature
        return _log(self.temperature) + difference - 2 * difference.exp().log1p()


class RelaxedBernoulli(TransformedDistribution):
    """Relaxed draws of 0 and 1, in between."""

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: Any = None
    ) -> None:
        super().__init__(LogitRelaxedBernoulli(temperature, probs, logits), SigmoidTransform())
        self.temperature, self.probs, self.logits = temperature, self.base_dist.probs, self.base_dist.logits


class ExpRelaxedCategorical(Distribution):
    """The logarithms of relaxed one-hot draws."""

    has_rsample = True

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: Any = None
    ) -> None:
        base = Categorical(probs, logits)
        self.temperature, self.probs, self.logits = temperature, base.probs, base.logits
        super().__init__(base.batch_shape, self.probs.shape[-1:])

    def rsample(self, sample_shape: Any = ()) -> Any:
        u = _inside(creation.rand(self._extended(sample_shape), dtype=self.logits.dtype))
        scores = (self.logits - (-u.log()).log()) / self.temperature
        return scores - scores.logsumexp(-1, keepdim=True)

    def log_prob(self, value: Any) -> Any:
        k = self.event_shape[0]
        score = self.logits - value * self.temperature
        score = (score - score.logsumexp(-1, keepdim=True)).sum(-1)
        return score + math.lgamma(k) + (k - 1) * _log(self.temperature)


class RelaxedOneHotCategorical(TransformedDistribution):
    """Relaxed one-hot draws: probabilities close to one of the classes."""

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: Any = None
    ) -> None:
        super().__init__(ExpRelaxedCategorical(temperature, probs, logits), ExpTransform())
        self.temperature, self.probs, self.logits = temperature, self.base_dist.probs, self.base_dist.logits


def _log(x: Any) -> Any:
    return x.log() if isinstance(x, Value) else math.log(x)


# Kullback-Leibler divergences

_KL: dict[tuple[type, type], Callable[[Any, Any], Any]] = {}


def register_kl(
    type_p: type, type_q: type
) -> Callable[[Callable[[Any, Any], Any]], Callable[[Any, Any], Any]]:
    """Enter a function for the divergence of two types."""

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


@register_kl(Normal, Normal)
def _(p: Any, q: Any) -> Any:
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Any, q: Any) -> Any:
    first = p.probs * (F.softplus(-q.logits) - F.softplus(-p.logits))  # type: ignore[attr-defined]
    return first + (1 - p.probs) * (F.softplus(q.logits) - F.softplus(p.logits))  # type: ignore[attr-defined]


@register_kl(Categorical, Categorical)
def _categorical(p: Any, q: Any) -> Any:
    return (p.probs * (p.logits - q.logits)).sum(-1)


@register_kl(Exponential, Exponential)
def _exponential(p: Any, q: Any) -> Any:
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(Uniform, Uniform)
def _uniform(p: Any, q: Any) -> Any:
    found = ((q.high - q.low) / (p.high - p.low)).log()
    return T["where"]((q.low > p.low) | (q.high < p.high), math.inf, found)


@register_kl(Laplace, Laplace)
def _laplace(p: Any, q: Any) -> Any:
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + distance / q.scale + ratio * (-distance / p.scale).exp() - 1


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
    both = [T["stack"]([d.concentration1, d.concentration0], -1) for d in (p, q)]
    return _dirichlet(*[Dirichlet(c) for c in both])


@register_kl(LogNormal, LogNormal)
def _log_normal(p: Any, q: Any) -> Any:
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: Any, q: Any) -> Any:
    return kl_divergence(p._base, q._base)


@register_kl(Geometric, Geometric)
def _geometric(p: Any, q: Any) -> Any:
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.probs.log() + (-q.probs).log1p()


@register_kl(Poisson, Poisson)
def _poisson(p: Any, q: Any) -> Any:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Independent, Independent)
def _independent(p: Any, q: Any) -> Any:
    return p._summed(kl_divergence(p.base_dist, q.base_dist))


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate(p: Any, q: Any) -> Any:
    from tinygrad_dl.torch import linalg

    turned = linalg.solve(q.scale_tril, p.scale_tril).pow(2).sum((-2, -1))
    moved = linalg.solve(q.scale_tril, (q.loc - p.loc).unsqueeze(-1)).pow(2).sum((-2, -1))
    return q._half_log_det() - p._half_log_det() + 0.5 * (turned + moved - p.event_shape[0])


def __getattr__(name: str) -> Any:
    from tinygrad_dl.torch.left_out import missing

    raise missing("torch.distributions", name, globals())


# PyTorch's files: torch.distributions.normal.Normal, torch.distributions.transforms.TanhTransform
__path__: list[str] = []
for _name in (
    "beta bernoulli binomial categorical cauchy chi2 dirichlet distribution exponential gamma geometric gumbel "
    "half_cauchy half_normal independent kl laplace log_normal mixture_same_family multinomial multivariate_normal "
    "negative_binomial normal one_hot_categorical pareto poisson relaxed_bernoulli relaxed_categorical studentT "
    "transformed_distribution transforms uniform weibull"
).split():
    globals()[_name] = sys.modules[f"{__name__}.{_name}"] = sys.modules[__name__]
