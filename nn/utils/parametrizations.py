"""Ready-made parametrizations: weight and spectral normalization, and orthogonal matrices."""

from __future__ import annotations

from functools import partial
from math import ceil, log2
from typing import Any

import numpy as np

from tinygrad_dl.arguments import Count, NonNegative, checked
from tinygrad_dl.config import default_rng
from tinygrad_dl.errors import AxisError, ShapeError, ValueRangeError
from tinygrad_dl.nn.functional.distance import normalize
from tinygrad_dl.nn.module import M, Module
from tinygrad_dl.nn.parameter import Buffer
from tinygrad_dl.nn.utils import weight_norms
from tinygrad_dl.nn.utils.parametrize import register_parametrization
from tinygrad_dl.ops import reduce
from tinygrad_dl.ops.join import concat
from tinygrad_dl.ops.linalg import solve
from tinygrad_dl.ops.shape import tril
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import RandomLike

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


class _WeightNorm(Module):
    def __init__(self, dim: int | None) -> None:
        self.dim = None if dim == -1 else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Any:
        return weight_v * (weight_g / weight_norms.slice_norms(weight_v, self.dim))

    def right_inverse(self, weight: Tensor) -> Any:
        return weight_norms.slice_norms(weight, self.dim), weight


@checked
def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Learn a weight's norm and direction separately, as the parametrization's original0 and original1.

    weight = g * v / |v|, one norm for each slice along `dim`, or one for all with dim=None.
    Source: Salimans and Kingma 2016.
    >>> from tinygrad_dl.nn import Linear
    >>> list(weight_norm(Linear(2, 3)).state_dict())
    ['bias', 'parametrizations.weight.original0', 'parametrizations.weight.original1']
    """
    weight = _tensor("weight_norm", module, name)
    if dim is not None and not -weight.ndim <= dim < weight.ndim:
        raise AxisError(
            f"weight_norm: expected dim to be an axis of a weight of shape {weight.shape}, got {dim}"
        )
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)
    module.register_load_state_dict_pre_hook(partial(_rename_older, name))
    return module


def _rename_older(name: str, module: Module, arrays: Any, prefix: str, *others: Any) -> None:
    """Accept state dicts saved with nn.utils.weight_norm."""
    for suffix, new in (("g", "original0"), ("v", "original1")):
        if f"{prefix}{name}_{suffix}" in arrays:
            arrays[f"{prefix}parametrizations.{name}.{new}"] = arrays.pop(f"{prefix}{name}_{suffix}")


class _SpectralNorm(Module):
    def __init__(
        self, weight: Tensor, n_power_iterations: int, dim: int, eps: float, rng: RandomLike
    ) -> None:
        self.n_power_iterations, self.dim, self.eps = n_power_iterations, dim, eps
        if weight.ndim > 1:
            generator, matrix = default_rng(rng), weight_norms.as_matrix(weight._data, dim)
            self._u, self._v = (
                weight_norms.random_unit_vector(size, weight, eps, generator) for size in matrix.shape
            )
            self._iterate(weight, 15)

    def _iterate(self, weight: Tensor, times: int) -> None:
        # As in PyTorch: of the two vectors, here the one of the rows comes first.
        weight_norms.power_iteration(weight, self.dim, self._u, self._v, times, self.eps, rows_first=True)

    def forward(self, weight: Tensor) -> Any:
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        if self.training:
            self._iterate(weight, self.n_power_iterations)
        return weight_norms.divide_by_sigma(weight, self.dim, self._u, self._v)

    def right_inverse(self, value: Tensor) -> Any:
        return value


@checked
def spectral_norm(
    module: M,
    name: str = "weight",
    n_power_iterations: Count = 1,
    eps: NonNegative = 1e-12,
    dim: int | None = None,
    *,
    rng: RandomLike = None,
) -> M:
    """Divide a weight by its largest singular value: as a matrix it then stretches no vector.

    The singular vectors are tracked by power iteration whenever the weight is read in training. `dim`: the axis of
    the outputs (0; 1 for transposed convolutions). A weight of one axis is divided by its norm.
    Source: Miyato and others 2018.
    >>> from tinygrad_dl.nn import Linear
    >>> list(spectral_norm(Linear(2, 3)).state_dict())[1:]
    ['parametrizations.weight.original', 'parametrizations.weight.0._u', 'parametrizations.weight.0._v']
    """
    weight = _tensor("spectral_norm", module, name)
    axis = weight_norms.output_axis(module) if dim is None else dim
    if not -weight.ndim <= axis < weight.ndim:
        raise AxisError(
            f"spectral_norm: expected dim to be an axis of a weight of shape {weight.shape}, got {axis}"
        )
    if n_power_iterations < 1:
        raise ValueRangeError(
            f"spectral_norm: expected n_power_iterations of at least 1, got {n_power_iterations!r}"
        )
    parametrization = _SpectralNorm(weight, n_power_iterations, axis % weight.ndim, eps, rng)
    return register_parametrization(module, name, parametrization)


def _tensor(what: str, module: Module, name: str) -> Any:
    weight = getattr(module, name, None)
    if not hasattr(weight, "_data"):
        raise ValueRangeError(f"{what}: {type(module).__name__} has no parameter or buffer {name!r}")
    return weight


@checked
def orthogonal(
    module: M,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
    rng: RandomLike = None,
) -> M:
    """Keep a matrix, or a batch of them, orthogonal: its columns, or its rows if there are fewer, are orthonormal.

    Computed from a skew-symmetric A by "matrix_exp", exp(A), or "cayley", (I - A/2)^-1 (I + A/2), or from vectors v
    by "householder", the product of I - 2 v v^T / |v|^2. `use_trivialization`: times the previous matrix, made
    orthogonal; without it only "householder" can be assigned to.   Source: Lezcano-Casado 2019.
    >>> from tinygrad_dl.nn import Linear
    >>> w = orthogonal(Linear(3, 2)).weight
    >>> abs(w @ w.T - np.eye(2)).max().item() < 1e-6
    True
    """
    weight = _tensor("orthogonal", module, name)
    if weight.ndim < 2:
        raise ShapeError(
            f"orthogonal: expected a matrix or a batch of them, got {name} of shape {weight.shape}"
        )
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-1] == weight.shape[-2] else "householder"
    if orthogonal_map not in _MAPS:
        raise ValueRangeError(
            f"orthogonal: expected orthogonal_map to be one of {', '.join(_MAPS)}, got {orthogonal_map!r}"
        )
    parametrization = _Orthogonal(weight.shape, orthogonal_map, use_trivialization, rng)
    return register_parametrization(module, name, parametrization, unsafe=True)


class _Orthogonal(Module):
    def __init__(
        self, shape: tuple[int, ...], orthogonal_map: str, use_trivialization: bool, rng: RandomLike
    ) -> None:
        self.shape, self.orthogonal_map, self.use_trivialization = shape, orthogonal_map, use_trivialization
        self.base: Any = None
        self.rng = rng

    def forward(self, x: Tensor) -> Any:
        transpose = x.shape[-2] < x.shape[-1]
        out = _MAPS[self.orthogonal_map](x.mT if transpose else x)
        if self.base is not None:
            out = self.base @ out
        return out.mT if transpose else out

    def right_inverse(self, value: Tensor) -> Any:
        if value.shape != self.shape:
            raise ShapeError(f"orthogonal: expected the shape {self.shape}, got {value.shape}")
        transpose = value.shape[-2] < value.shape[-1]
        q = value._data.mT if transpose else value._data
        rows, columns = q.shape[-2:]
        if self.use_trivialization:
            if rows > columns:
                added = default_rng(self.rng).standard_normal((*q.shape[:-1], rows - columns))
                q = np.concatenate([q, added.astype(q.dtype)], axis=-1)
            # A square orthogonal matrix stays exactly as it is.
            if rows > columns or not _is_orthogonal(q):
                q, r = np.linalg.qr(q)
                q *= np.sign(np.linalg.diagonal(r))[..., None, :]
            self.base = Buffer(q.copy())
            # all zeros to the exponential and Cayley's map, which read what is below the diagonal
            return np.zeros(value.shape, q.dtype) - np.eye(*value.shape[-2:], dtype=q.dtype)
        if self.orthogonal_map != "householder":
            raise NotImplementedError(
                f"orthogonal: a weight by {self.orthogonal_map} can be assigned only with use_trivialization=True"
            )
        packed, tau = np.linalg.qr(q, mode="raw")
        vectors = packed.mT.copy()
        signs = np.sign(np.linalg.diagonal(vectors)) * np.where(tau == 0, -1, 1)
        vectors[..., range(columns), range(columns)] = signs
        return vectors.mT if transpose else vectors


def _is_orthogonal(q: np.ndarray) -> bool:
    near = 10 * q.shape[-1] * np.finfo(q.dtype).eps
    return bool(np.allclose(q.mT @ q, np.eye(q.shape[-1]), atol=near))


def _skew(x: Tensor) -> Any:
    """The skew-symmetric matrix with x below the diagonal, x (..., N, K), zero-padded to a square."""
    rows, columns = x.shape[-2:]
    low = tril(x)
    if rows > columns:
        low = concat([low, np.zeros((*x.shape[:-1], rows - columns), x.dtype)], axis=-1)
    return low - low.mT


def _matrix_exp(x: Tensor) -> Any:
    """exp(A) by a rational approximation of degree 8 after halving A until it is small, then squaring."""
    a = _skew(x)
    size = float(np.abs(a._data).sum(axis=-1).max(initial=0))
    halvings = max(0, ceil(log2(size)) + 1) if size else 0
    # The approximation is accurate for small matrices only: exp(A) = exp(A / 2^k)^(2^k).
    a = a / 2.0**halvings
    eye = np.eye(x.shape[-2], dtype=x.dtype)
    above, below, power, c = eye, eye, eye, 1.0
    for k in range(1, 9):
        c *= (9 - k) / (k * (17 - k))
        power = a @ power
        above, below = above + power * c, below + power * (c * (-1) ** k)
    out = solve(below, above)
    for _ in range(halvings):
        out = out @ out
    return out[..., : x.shape[-1]]


def _cayley(x: Tensor) -> Any:
    half, eye = _skew(x) / 2.0, np.eye(x.shape[-2], dtype=x.dtype)
    return solve(eye - half, eye + half)[..., : x.shape[-1]]


def _householder(x: Tensor) -> Any:
    """The product of Householder reflections, one per column of x; the diagonal of x has the signs of the columns."""
    columns = x.shape[-1]
    eye = np.eye(*x.shape[-2:], dtype=x.dtype)
    vectors = tril(x, k=-1) + eye
    scale = 2.0 / reduce.sum(vectors * vectors, axis=-2, keepdims=True)
    out: Any = eye
    for i in reversed(range(columns)):
        v = vectors[..., i : i + 1]
        out = out - (v * scale[..., i : i + 1]) @ (v.mT @ out)
    return out * np.trunc(np.linalg.diagonal(x._data))[..., None, :]


_MAPS = {"matrix_exp": _matrix_exp, "cayley": _cayley, "householder": _householder}
