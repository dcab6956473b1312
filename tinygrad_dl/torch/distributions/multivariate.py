"""Distributions of vectors and matrices with a covariance: normal, normal with a low rank, and Wishart."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from tinygrad_dl.tensor import Tensor as Value
from tinygrad_dl.torch import creation, linalg
from tinygrad_dl.torch.distributions import constraints
from tinygrad_dl.torch.distributions.distribution import Distribution, ExponentialFamily, sizes
from tinygrad_dl.torch.distributions.gamma import Chi2
from tinygrad_dl.torch.registry import TORCH as T


def solved(tril: Any, x: Any) -> Any:
    """tril ** -1 @ x of batches that broadcast."""
    batch = np.broadcast_shapes(tril.shape[:-2], x.shape[:-2])
    whole = [m.expand(*batch, *m.shape[-2:]) for m in (tril, x)]
    return linalg.solve_triangular(*whole, upper=False)


def mahalanobis(tril: Any, x: Any) -> Any:
    """The sum of squares of tril ** -1 @ x of vectors."""
    return solved(tril, x.unsqueeze(-1)).squeeze(-1).pow(2).sum(-1)


def half_log_det(tril: Any) -> Any:
    """The logarithm of the determinant of a triangular matrix: half that of the covariance."""
    return tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)


class _WithCovariance(Distribution):
    """What is given by a covariance matrix, its inverse or its Cholesky factor."""

    scale_tril: Any
    _names = ("covariance_matrix", "precision_matrix", "scale_tril")
    _constraints: ClassVar[dict[str, Any]] = {
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }

    def _give(self, given: tuple[Any, Any, Any]) -> Any:
        """The Cholesky factor of the one matrix that is not None; it is checked."""
        found = [(name, x) for name, x in zip(self._names, given) if x is not None]
        if len(found) != 1:
            raise ValueError(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified."
            )
        name, matrix = found[0]
        if matrix.dim() < 2:
            raise ValueError(
                f"{name} must be at least two-dimensional, with optional leading batch dimensions"
            )
        if self._validate_args:
            setattr(self, f"_{name}", matrix)
            if not bool(self._constraints[name].check(matrix).all()):
                raise ValueError(
                    f"Expected parameter {name} (Tensor of shape {tuple(matrix.shape)}) of distribution "
                    f"{type(self).__name__} to satisfy the constraint {self._constraints[name]!r}, but found invalid "
                    f"values:\n{matrix}"
                )
        if name == "scale_tril":
            return matrix
        return T["cholesky"](matrix if name == "covariance_matrix" else T["inverse"](matrix))

    @property
    def covariance_matrix(self) -> Any:
        """The covariance matrix."""
        return self.scale_tril @ self.scale_tril.mT

    @property
    def precision_matrix(self) -> Any:
        """The inverse of the covariance matrix."""
        return T["inverse"](self.covariance_matrix)


class MultivariateNormal(_WithCovariance):
    """The normal distribution of vectors."""

    support = constraints.real_vector
    has_rsample = True
    arg_constraints: ClassVar[Any] = {
        "loc": constraints.real_vector,
        **_WithCovariance._constraints,
    }

    def __init__(
        self,
        loc: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: Any = None,
    ) -> None:
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        if validate_args is not None:
            self._validate_args = validate_args
        tril = self._give((covariance_matrix, precision_matrix, scale_tril))
        batch = np.broadcast_shapes(loc.shape[:-1], tril.shape[:-2])
        self.loc = loc.expand(*batch, loc.shape[-1])
        self._tril, self.scale_tril = tril, tril.expand(*batch, *tril.shape[-2:])
        Distribution.__init__(self, batch, loc.shape[-1:], False if validate_args is False else None)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        shape = sizes(batch_shape)
        loc, tril = self.loc.expand(*shape, *self._event_shape), self.scale_tril
        new = type(self)(loc, scale_tril=tril.expand(*shape, *tril.shape[-2:]), validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def mean(self) -> Any:
        return self.loc

    mode = mean

    @property
    def variance(self) -> Any:
        return self.scale_tril.pow(2).sum(-1)

    def rsample(self, sample_shape: Any = ()) -> Any:
        noise = creation.randn(self._extended_shape(sample_shape), dtype=self.loc.dtype)
        return self.loc + (self._tril @ noise.unsqueeze(-1)).squeeze(-1)

    def _log_prob(self, value: Any) -> Any:
        distance = mahalanobis(self._tril, value - self.loc)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + distance) - half_log_det(self._tril)

    def entropy(self) -> Any:
        n = self._event_shape[0]
        return (0.5 * n * (1.0 + math.log(2 * math.pi)) + half_log_det(self._tril)).expand(self._batch_shape)


class LowRankMultivariateNormal(Distribution):
    """The normal distribution of vectors with the covariance W @ W.T + D of a factor W and a diagonal D."""

    arg_constraints: ClassVar[Any] = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Any, cov_factor: Any, cov_diag: Any, validate_args: Any = None) -> None:
        n = loc.shape[-1] if loc.dim() else 0
        if not n:
            raise ValueError("loc must be at least one-dimensional.")
        if cov_factor.dim() < 2 or cov_factor.shape[-2] != n:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {n} x m")
        if cov_diag.dim() < 1 or cov_diag.shape[-1] != n:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {n}")
        batch = np.broadcast_shapes(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1])
        self.loc, self.cov_diag = (x.expand(*batch, n) for x in (loc, cov_diag))
        self.cov_factor = cov_factor.expand(*batch, *cov_factor.shape[-2:])
        super().__init__(batch, (n,), validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        shape = sizes(batch_shape)
        loc, diag = (x.expand(*shape, x.shape[-1]) for x in (self.loc, self.cov_diag))
        new = type(self)(loc, self.cov_factor.expand(*shape, *self.cov_factor.shape[-2:]), diag, False)
        new._validate_args = self._validate_args
        return new

    @property
    def capacitance_tril(self) -> Any:
        """The Cholesky factor of I + W.T @ D ** -1 @ W."""
        m = self.cov_factor.shape[-1]
        product = self.cov_factor.mT @ (self.cov_factor / self.cov_diag.unsqueeze(-1))
        return T["cholesky"](product + creation.eye(m, dtype=product.dtype))

    @property
    def mean(self) -> Any:
        return self.loc

    mode = mean

    @property
    def variance(self) -> Any:
        return self.cov_factor.pow(2).sum(-1) + self.cov_diag

    @property
    def covariance_matrix(self) -> Any:
        """The covariance matrix."""
        return self.cov_factor @ self.cov_factor.mT + self.cov_diag.diag_embed()

    @property
    def scale_tril(self) -> Any:
        """The Cholesky factor of the covariance matrix."""
        return T["cholesky"](self.covariance_matrix)

    @property
    def precision_matrix(self) -> Any:
        """The inverse of the covariance matrix, by Woodbury's identity."""
        weighted = (self.cov_factor / self.cov_diag.unsqueeze(-1)).mT
        half = solved(self.capacitance_tril, weighted)
        return self.cov_diag.reciprocal().diag_embed() - half.mT @ half

    def log_det(self) -> Any:
        """The logarithm of the covariance's determinant."""
        return 2 * half_log_det(self.capacitance_tril) + self.cov_diag.log().sum(-1)

    def distance(self, x: Any) -> Any:
        """x.T @ precision @ x of vectors."""
        weighted = (self.cov_factor.mT @ (x / self.cov_diag).unsqueeze(-1)).squeeze(-1)
        return (x.pow(2) / self.cov_diag).sum(-1) - mahalanobis(self.capacitance_tril, weighted)

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        factors = creation.randn((*shape[:-1], self.cov_factor.shape[-1]), dtype=self.loc.dtype)
        noise = creation.randn(shape, dtype=self.loc.dtype)
        return self.loc + (self.cov_factor @ factors.unsqueeze(-1)).squeeze(-1) + self.cov_diag.sqrt() * noise

    def _log_prob(self, value: Any) -> Any:
        distance = self.distance(value - self.loc)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + self.log_det() + distance)

    def entropy(self) -> Any:
        return 0.5 * (self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + self.log_det())


class Wishart(_WithCovariance, ExponentialFamily):
    """Sums of df outer products of normal vectors: positive definite matrices. Drawn by Bartlett's decomposition."""

    support = constraints.positive_definite
    has_rsample = True
    arg_constraints: ClassVar[Any] = {**_WithCovariance._constraints, "df": constraints.dependent}

    def __init__(
        self,
        df: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: Any = None,
    ) -> None:
        if validate_args is not None:
            self._validate_args = validate_args
        tril = self._give((covariance_matrix, precision_matrix, scale_tril))
        df = df if isinstance(df, Value) else creation.tensor(float(df), dtype=tril.dtype)
        batch, n = np.broadcast_shapes(tril.shape[:-2], df.shape), tril.shape[-1]
        if bool((df <= n - 1).any()):
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {n - 1}.")
        self.df, self._tril = df.expand(batch), tril
        self.scale_tril = tril.expand(*batch, n, n)
        Distribution.__init__(self, batch, (n, n), False if validate_args is False else None)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        shape, tril = sizes(batch_shape), self.scale_tril
        new = type(self)(
            self.df.expand(shape), scale_tril=tril.expand(*shape, *tril.shape[-2:]), validate_args=False
        )
        new._validate_args = self._validate_args
        return new

    def _of_matrices(self, x: Any) -> Any:
        return x.unsqueeze(-1).unsqueeze(-1)

    @property
    def mean(self) -> Any:
        return self._of_matrices(self.df) * self.covariance_matrix

    @property
    def mode(self) -> Any:
        factor = self.df - self._event_shape[-1] - 1
        return self._of_matrices(factor.masked_fill(factor <= 0, math.nan)) * self.covariance_matrix

    @property
    def variance(self) -> Any:
        covariance = self.covariance_matrix
        diagonal = covariance.diagonal(dim1=-2, dim2=-1)
        products = diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2)
        return self._of_matrices(self.df) * (covariance.pow(2) + products)

    def rsample(self, sample_shape: Any = (), max_try_correction: Any = None) -> Any:
        n, kind = self._event_shape[-1], self.scale_tril.dtype
        degrees = self.df.unsqueeze(-1) - creation.arange(n, dtype=kind)
        lengths = Chi2(degrees, validate_args=False).rsample(sample_shape).sqrt()
        factor = lengths.clamp(min=float(np.finfo(kind.dtype).eps)).diag_embed()
        i, j = np.tril_indices(n, -1)
        noise = creation.randn((*sizes(sample_shape), *self._batch_shape, len(i)), dtype=kind)
        below = creation.zeros(factor.shape, dtype=kind)
        below[..., i, j] = noise
        factor = self._tril @ (factor + below)
        return factor @ factor.mT

    def _log_prob(self, value: Any) -> Any:
        n, df = self._event_shape[-1], self.df
        quotient = solved(self._tril, solved(self._tril, value).mT)  # L ** -1 @ value @ L ** -T
        return (
            -df * (n * math.log(2) / 2 + half_log_det(self._tril))
            - T["mvlgamma"](df / 2, n)
            + (df - n - 1) / 2 * linalg.slogdet(value)[1]
            - quotient.diagonal(dim1=-2, dim2=-1).sum(-1) / 2
        )

    def entropy(self) -> Any:
        n, df = self._event_shape[-1], self.df
        digammas = ((df / 2).unsqueeze(-1) - creation.arange(n, dtype=df.dtype) / 2).digamma().sum(-1)
        size = (n + 1) * (n * math.log(2) / 2 + half_log_det(self._tril))
        return size + T["mvlgamma"](df / 2, n) - (df - n - 1) / 2 * digammas + df * n / 2
