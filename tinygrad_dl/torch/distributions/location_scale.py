"""Distributions of real numbers with a location and a scale, and others between bounds."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from tinygrad_dl.modes import no_grad
from tinygrad_dl.torch import creation
from tinygrad_dl.torch.boundary import made
from tinygrad_dl.torch.distributions import constraints
from tinygrad_dl.torch.distributions.distribution import ExponentialFamily, Parametric
from tinygrad_dl.torch.random import default_generator
from tinygrad_dl.torch.registry import TORCH as T


class LocationScale(Parametric):
    """loc + scale * z: a subclass says how z, whose loc is 0 and scale 1, is drawn and distributed."""

    arg_constraints: ClassVar[Any] = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True
    #: Of z: its mean, variance, mode and entropy
    _z_mean, _z_variance, _z_mode, _z_entropy = 0.0, 1.0, 0.0, 0.0

    def _draw(self, shape: Any) -> Any:
        raise NotImplementedError

    def _log_density(self, z: Any) -> Any:
        raise NotImplementedError

    def _standard(self, value: Any) -> Any:
        return (value - self.loc) / self.scale

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.loc + self._draw(self._extended_shape(sample_shape)) * self.scale

    def _log_prob(self, value: Any) -> Any:
        return self._log_density(self._standard(value)) - self.scale.log()

    @property
    def mean(self) -> Any:
        return self.loc + self._z_mean * self.scale if self._z_mean else self.loc

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return self._z_variance * self.scale.pow(2)

    def entropy(self) -> Any:
        return self._z_entropy + self.scale.log()


class Normal(LocationScale, ExponentialFamily):
    """The normal distribution."""

    _z_entropy = 0.5 + 0.5 * math.log(2 * math.pi)

    def _draw(self, shape: Any) -> Any:
        return creation.randn(shape, dtype=self.loc.dtype)

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            shape = self._extended_shape(sample_shape)
            return creation.normal(self.loc.expand(shape), self.scale.expand(shape))

    @property
    def stddev(self) -> Any:
        return self.scale

    @property
    def variance(self) -> Any:
        return self.scale.pow(2)

    def _log_prob(self, value: Any) -> Any:
        return (
            -((value - self.loc) ** 2) / (2 * self.scale**2)
            - self.scale.log()
            - math.log(math.sqrt(2 * math.pi))
        )

    def _cdf(self, value: Any) -> Any:
        return 0.5 * (1 + (self._standard(value) / math.sqrt(2)).erf())

    def icdf(self, value: Any) -> Any:
        return self.loc + self.scale * (2 * value - 1).erfinv() * math.sqrt(2)


class Laplace(LocationScale):
    """The Laplace distribution."""

    _z_variance, _z_entropy = 2.0, 1 + math.log(2)

    def _draw(self, shape: Any) -> Any:
        eps = float(np.finfo(self.loc.dtype.dtype).eps)
        u = creation.empty(shape, dtype=self.loc.dtype).uniform_(eps - 1, 1)
        return -u.sign() * (-u.abs()).log1p()

    def _log_density(self, z: Any) -> Any:
        return -z.abs() - math.log(2)

    @property
    def stddev(self) -> Any:
        return math.sqrt(2) * self.scale

    def _cdf(self, value: Any) -> Any:
        z = self._standard(value)
        return 0.5 - 0.5 * z.sign() * (-z.abs()).expm1()

    def icdf(self, value: Any) -> Any:
        term = value - 0.5
        return self.loc - self.scale * term.sign() * (-2 * term.abs()).log1p()


class Cauchy(LocationScale):
    """The Cauchy distribution."""

    _z_entropy = math.log(4 * math.pi)

    def _draw(self, shape: Any) -> Any:
        return creation.empty(shape, dtype=self.loc.dtype).cauchy_()

    def _log_density(self, z: Any) -> Any:
        return -math.log(math.pi) - z.pow(2).log1p()

    @property
    def mean(self) -> Any:
        return creation.full_like(self.loc, math.nan)

    @property
    def variance(self) -> Any:
        return creation.full_like(self.loc, math.inf)

    def _cdf(self, value: Any) -> Any:
        return self._standard(value).atan() / math.pi + 0.5

    def icdf(self, value: Any) -> Any:
        return (math.pi * (value - 0.5)).tan() * self.scale + self.loc


class Gumbel(LocationScale):
    """The Gumbel distribution."""

    _z_mean, _z_variance, _z_entropy = float(np.euler_gamma), math.pi**2 / 6, 1 + float(np.euler_gamma)

    def _draw(self, shape: Any) -> Any:
        limits = np.finfo(self.loc.dtype.dtype)
        u = creation.empty(shape, dtype=self.loc.dtype)
        return -(-u.uniform_(float(limits.tiny), 1 - float(limits.eps)).log()).log()

    def _log_density(self, z: Any) -> Any:
        return -z - (-z).exp()

    def _cdf(self, value: Any) -> Any:
        return (-(-self._standard(value)).exp()).exp()

    def icdf(self, value: Any) -> Any:
        return self.loc - self.scale * (-value.log()).log()


class VonMises(Parametric):
    """The normal distribution of angles."""

    arg_constraints: ClassVar[Any] = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real

    def sample(self, sample_shape: Any = ()) -> Any:
        """Draws by Best and Fisher's rejection, in float64."""
        loc, kappa = (p._data.astype(np.float64) for p in (self.loc, self.concentration))
        tau = 1 + np.sqrt(1 + 4 * kappa**2)
        rho = (tau - np.sqrt(2 * tau)) / (2 * kappa)
        r = np.where(kappa < 1e-5, 1 / kappa + kappa, (1 + rho**2) / (2 * rho))
        shape = self._extended_shape(sample_shape)
        x, done = np.zeros(shape), np.zeros(shape, bool)
        while not done.all():
            u1, u2, u3 = default_generator.uniforms((3, *shape), 0.0, 1.0, np.float64)
            z = np.cos(math.pi * u1)
            f = (1 + r * z) / (r + z)
            c = kappa * (r - f)
            with np.errstate(all="ignore"):
                accepted = (c * (2 - c) - u2 > 0) | (np.log(c / u2) + 1 - c >= 0)
            x, done = np.where(accepted, np.sign(u3 - 0.5) * np.arccos(f), x), done | accepted
        return made((x + math.pi + loc) % (2 * math.pi) - math.pi).to(self.loc.dtype)

    def _log_prob(self, value: Any) -> Any:
        k = self.concentration
        return k * (value - self.loc).cos() - math.log(2 * math.pi) - T["special_i0e"](k).log() - k

    @property
    def mean(self) -> Any:
        """The circular mean."""
        return self.loc

    mode = mean

    @property
    def variance(self) -> Any:
        """The circular variance."""
        return 1 - T["special_i1e"](self.concentration) / T["special_i0e"](self.concentration)


class GeneralizedPareto(Parametric):
    """What exceeds a threshold: an exponential, a power or a bounded tail, by the sign of the concentration."""

    arg_constraints: ClassVar[Any] = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "concentration": constraints.real,
    }
    has_rsample = True

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        upper = T["where"](self.concentration < 0, self.loc - self.scale / self.concentration, math.inf)
        return constraints.interval(self.loc, upper)

    def _by_tail(self, exponential: Any, power: Any) -> Any:
        """One value for the concentration 0, and a function of the concentration for others."""
        zero = T["isclose"](self.concentration, creation.zeros_like(self.concentration))
        return T["where"](zero, exponential, power(self.concentration.masked_fill(zero, 1.0)))

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.icdf(creation.rand(self._extended_shape(sample_shape), dtype=self.loc.dtype))

    def _log_prob(self, value: Any) -> Any:
        z = (value - self.loc) / self.scale
        return -self.scale.log() - self._by_tail(z, lambda c: (1 / c + 1) * (c * z).log1p())

    def log_survival_function(self, value: Any) -> Any:
        """log(1 - cdf(value))."""
        z = (value - self.loc) / self.scale
        return self._by_tail(-z, lambda c: -(c * z).log1p() / c)

    def log_cdf(self, value: Any) -> Any:
        """log(cdf(value))."""
        return (-self.log_survival_function(value).exp()).log1p()

    def _cdf(self, value: Any) -> Any:
        return self.log_cdf(value).exp()

    def icdf(self, value: Any) -> Any:
        left = (-value).log1p()
        return self._by_tail(
            self.loc - self.scale * left, lambda c: self.loc + self.scale / c * (-c * left).expm1()
        )

    @property
    def mean(self) -> Any:
        c = self.concentration
        return (self.loc + self.scale / (1 - c)).masked_fill(c >= 1, math.nan)

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        c = self.concentration
        return (self.scale**2 / ((1 - c) ** 2 * (1 - 2 * c))).masked_fill(c >= 0.5, math.nan)

    def entropy(self) -> Any:
        return self.scale.log() + self.concentration + 1


class Uniform(Parametric):
    """The uniform distribution on [low, high)."""

    arg_constraints: ClassVar[Any] = {"low": constraints.dependent, "high": constraints.dependent}
    has_rsample = True

    def _build(self, batch_shape: Any, validate_args: Any) -> None:
        super()._build(batch_shape, validate_args)
        if self._validate_args and not bool((self.low < self.high).all()):
            raise ValueError("Uniform is not defined when low>= high")

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Any:
        return (self.high + self.low) / 2

    @property
    def mode(self) -> Any:
        return self.high * math.nan

    @property
    def variance(self) -> Any:
        return (self.high - self.low).pow(2) / 12

    def rsample(self, sample_shape: Any = ()) -> Any:
        drawn = creation.rand(self._extended_shape(sample_shape), dtype=self.low.dtype)
        return self.low + drawn * (self.high - self.low)

    def _log_prob(self, value: Any) -> Any:
        inside = ((self.low <= value) & (self.high > value)).type_as(self.low)
        return inside.log() - (self.high - self.low).log()

    def entropy(self) -> Any:
        return (self.high - self.low).log()

    def _cdf(self, value: Any) -> Any:
        return ((value - self.low) / (self.high - self.low)).clamp(0, 1)

    def icdf(self, value: Any) -> Any:
        return value * (self.high - self.low) + self.low
