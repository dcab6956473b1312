"""The gamma distribution and what is made of gamma numbers: beta, Dirichlet, chi-squared, t and F."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from tinygrad_dl.torch import creation
from tinygrad_dl.torch.boundary import made
from tinygrad_dl.torch.custom import Function
from tinygrad_dl.torch.distributions import constraints
from tinygrad_dl.torch.distributions.distribution import Distribution, ExponentialFamily, Parametric, sizes
from tinygrad_dl.torch.random import default_generator
from tinygrad_dl.torch.registry import TORCH as T
from tinygrad_dl.torch.special_functions import beta_derivative, gamma_derivative


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


class Exponential(Parametric, ExponentialFamily):
    """The exponential distribution."""

    arg_constraints: ClassVar[Any] = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    @property
    def mean(self) -> Any:
        return self.rate.reciprocal()

    stddev = mean

    @property
    def mode(self) -> Any:
        return creation.zeros_like(self.rate)

    @property
    def variance(self) -> Any:
        return self.rate.pow(-2)

    def rsample(self, sample_shape: Any = ()) -> Any:
        drawn = default_generator.exponentials(self._extended_shape(sample_shape), 1.0, self.rate._data.dtype)
        return made(drawn) / self.rate

    def _log_prob(self, value: Any) -> Any:
        return self.rate.log() - self.rate * value

    def entropy(self) -> Any:
        return 1 - self.rate.log()

    def _cdf(self, value: Any) -> Any:
        return 1 - (-self.rate * value).exp()

    def icdf(self, value: Any) -> Any:
        return -(-value).log1p() / self.rate


class Gamma(Parametric, ExponentialFamily):
    """The gamma distribution."""

    arg_constraints: ClassVar[Any] = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    @property
    def mean(self) -> Any:
        return self.concentration / self.rate

    @property
    def mode(self) -> Any:
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Any:
        return self.concentration / self.rate.pow(2)

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        return _StandardGamma.apply(self.concentration.expand(shape)) / self.rate.expand(shape)

    def _log_prob(self, value: Any) -> Any:
        a, b = self.concentration, self.rate
        return T["xlogy"](a, b) + T["xlogy"](a - 1, value) - b * value - a.lgamma()

    def entropy(self) -> Any:
        a = self.concentration
        return a - self.rate.log() + a.lgamma() + (1 - a) * a.digamma()

    def _cdf(self, value: Any) -> Any:
        return T["special_gammainc"](self.concentration, self.rate * value)


class Chi2(Gamma):
    """The chi-squared distribution."""

    arg_constraints: ClassVar[Any] = {"df": constraints.positive}

    def _build(self, batch_shape: Any, validate_args: Any) -> None:
        self.concentration, self.rate = 0.5 * self.df, creation.full_like(self.df, 0.5)
        super()._build(batch_shape, validate_args)


class Dirichlet(ExponentialFamily):
    """Probabilities along the last axis."""

    arg_constraints: ClassVar[Any] = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration: Any, validate_args: Any = None) -> None:
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        shape = (*sizes(batch_shape), *self.event_shape)
        new = type(self)(self.concentration.expand(shape), validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def mean(self) -> Any:
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self) -> Any:
        above = (self.concentration - 1).clamp(min=0.0)
        found = above / above.sum(-1, True)
        flat = (self.concentration < 1).all(-1, keepdim=True)
        corner = creation.zeros_like(found).scatter(-1, found.argmax(-1, keepdim=True), 1.0)
        return T["where"](flat, corner, found)

    @property
    def variance(self) -> Any:
        total = self.concentration.sum(-1, True)
        return self.concentration * (total - self.concentration) / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape: Any = ()) -> Any:
        return _Dirichlet.apply(self.concentration.expand(self._extended_shape(sample_shape)))

    def _log_prob(self, value: Any) -> Any:
        a = self.concentration
        return T["xlogy"](a - 1, value).sum(-1) + a.sum(-1).lgamma() - a.lgamma().sum(-1)

    def entropy(self) -> Any:
        a = self.concentration
        k, total = a.shape[-1], a.sum(-1)
        spread = (k - total) * total.digamma() + ((a - 1) * a.digamma()).sum(-1)
        return a.lgamma().sum(-1) - total.lgamma() - spread


class Beta(Parametric, ExponentialFamily):
    """The beta distribution."""

    arg_constraints: ClassVar[Any] = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval
    has_rsample = True

    @property
    def mean(self) -> Any:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Any:
        return self._pair().mode[..., 0]

    @property
    def variance(self) -> Any:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total.pow(2) * (total + 1))

    def _pair(self) -> Any:
        return Dirichlet(T["stack"]([self.concentration1, self.concentration0], -1), validate_args=False)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self._pair().rsample(sample_shape).select(-1, 0)

    def _log_prob(self, value: Any) -> Any:
        a, b = self.concentration1, self.concentration0
        constant = (a + b).lgamma() - a.lgamma() - b.lgamma()
        return T["xlogy"](a - 1, value) + T["xlogy"](b - 1, 1 - value) + constant

    def entropy(self) -> Any:
        return self._pair().entropy()


class StudentT(Parametric):
    """Student's t distribution."""

    arg_constraints: ClassVar[Any] = {
        "df": constraints.positive,
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    _defaults: ClassVar[dict[str, Any]] = {"loc": 0.0, "scale": 1.0}
    support = constraints.real
    has_rsample = True

    @property
    def mean(self) -> Any:
        return self.loc.masked_fill(self.df <= 1, math.nan)

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        found = (self.scale.pow(2) * self.df / (self.df - 2)).masked_fill(self.df <= 2, math.inf)
        return found.masked_fill(self.df <= 1, math.nan)

    def rsample(self, sample_shape: Any = ()) -> Any:
        noise = creation.randn(self._extended_shape(sample_shape), dtype=self.df.dtype)
        drawn = Chi2(self.df).rsample(sample_shape)
        return self.loc + self.scale * (noise * (drawn / self.df).rsqrt())

    def _log_prob(self, value: Any) -> Any:
        y = (value - self.loc) / self.scale
        z = self.scale.log() + 0.5 * self.df.log() + 0.5 * math.log(math.pi) + (0.5 * self.df).lgamma()
        return -0.5 * (self.df + 1.0) * (y**2.0 / self.df).log1p() - z + (0.5 * (self.df + 1.0)).lgamma()

    def entropy(self) -> Any:
        half, more = 0.5 * self.df, 0.5 * (self.df + 1)
        log_beta = half.lgamma() + math.lgamma(0.5) - more.lgamma()
        return self.scale.log() + more * (more.digamma() - half.digamma()) + 0.5 * self.df.log() + log_beta


class FisherSnedecor(Parametric):
    """Fisher's F distribution."""

    arg_constraints: ClassVar[Any] = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive
    has_rsample = True

    @property
    def mean(self) -> Any:
        return (self.df2 / (self.df2 - 2)).masked_fill(self.df2 <= 2, math.nan)

    @property
    def mode(self) -> Any:
        found = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return found.masked_fill(self.df1 <= 2, math.nan)

    @property
    def variance(self) -> Any:
        a, b = self.df1, self.df2
        found = 2 * b.pow(2) * (a + b - 2) / (a * (b - 2).pow(2) * (b - 4))
        return found.masked_fill(b <= 4, math.nan)

    def rsample(self, sample_shape: Any = ()) -> Any:
        tiny = float(np.finfo(self.df1.dtype.dtype).tiny)
        over, under = (Gamma(df * 0.5, df).rsample(sample_shape) for df in (self.df1, self.df2))
        return (over / under.clamp(min=tiny)).clamp(min=tiny)

    def _log_prob(self, value: Any) -> Any:
        a, b, ratio = self.df1 * 0.5, self.df2 * 0.5, self.df1 / self.df2
        constant = (a + b).lgamma() - a.lgamma() - b.lgamma()
        return constant + a * ratio.log() + (a - 1) * value.log() - (a + b) * (ratio * value).log1p()


class LKJCholesky(Distribution):
    """Cholesky factors of correlation matrices, by Lewandowski, Kurowicka and Joe's onion method."""

    arg_constraints: ClassVar[Any] = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: Any = None) -> None:
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        from tinygrad_dl.torch.distributions.distribution import broadcast_all

        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        row = creation.arange(dim - 1, dtype=self.concentration.dtype)
        row = T["cat"]([creation.zeros(1, dtype=row.dtype), row])
        marginal = self.concentration + 0.5 * (dim - 2)
        self._lengths = Beta(row + 0.5, marginal.unsqueeze(-1) - 0.5 * row)
        super().__init__(self.concentration.shape, (dim, dim), validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = type(self)(self.dim, self.concentration.expand(sizes(batch_shape)), validate_args=False)
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: Any = ()) -> Any:
        y = self._lengths.sample(sample_shape).unsqueeze(-1)
        shape = self._extended_shape(sample_shape)
        directions = np.tril(creation.randn(shape, dtype=y.dtype)._data, -1)
        lengths = np.linalg.norm(directions, axis=-1, keepdims=True)
        directions = made(directions / np.where(lengths == 0, 1, lengths))
        w = y.sqrt() * directions
        tiny = float(np.finfo(w.dtype.dtype).tiny)
        return w + (1 - w.pow(2).sum(-1)).clamp(min=tiny).sqrt().diag_embed()

    def _log_prob(self, value: Any) -> Any:
        n, eta = self.dim, self.concentration
        order = 2 * (eta - 1).unsqueeze(-1) + n - creation.arange(2, n + 1)
        density = (order * value.diagonal(dim1=-1, dim2=-2)[..., 1:].log()).sum(-1)
        a = eta + 0.5 * (n - 1)
        constant = 0.5 * (n - 1) * math.log(math.pi) + T["mvlgamma"](a - 0.5, n - 1) - a.lgamma() * (n - 1)
        return density - constant
