"""torch.distributions.transforms: functions with an inverse and the logarithm of their derivative's determinant."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_dl.torch import creation
from tinygrad_dl.torch.boundary import is_ours
from tinygrad_dl.torch.distributions import constraints
from tinygrad_dl.torch.distributions.distribution import sum_rightmost
from tinygrad_dl.torch.nn import functional as F
from tinygrad_dl.torch.registry import TORCH as T


class Transform:
    """A function with `inv`, its inverse, and log_abs_det_jacobian(x, y); `domain` and `codomain` are constraints.

    With `cache_size=1` the last pair is kept: the inverse of a result is the argument that it was computed of.
    """

    bijective = False
    domain: Any = constraints.real
    codomain: Any = constraints.real

    def __init__(self, cache_size: int = 0) -> None:
        if cache_size not in (0, 1):
            raise ValueError("cache_size must be 0 or 1")
        self._cache_size = cache_size
        self._last: tuple[Any, Any] = (None, None)

    @property
    def event_dim(self) -> Any:
        """The number of axes that one argument has."""
        if self.domain.event_dim == self.codomain.event_dim:
            return self.domain.event_dim
        raise ValueError("Please use either .domain.event_dim or .codomain.event_dim")

    @property
    def sign(self) -> Any:
        """1 where the function increases, -1 where it decreases."""
        raise NotImplementedError

    @property
    def inv(self) -> Any:
        """The inverse."""
        return _InverseTransform(self)

    def with_cache(self, cache_size: int = 1) -> Any:
        """The same function with another size of its cache."""
        from copy import copy

        if getattr(self, "_cache_size", 0) == cache_size:
            return self
        twin = copy(self)
        twin._cache_size, twin._last = cache_size, (None, None)
        return twin

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return not self.__eq__(other)

    def __hash__(self) -> int:
        return id(self)

    def __call__(self, x: Any) -> Any:
        if not getattr(self, "_cache_size", 0):
            return self._call(x)
        if x is not self._last[0]:
            self._last = x, self._call(x)
        return self._last[1]

    def _inv_call(self, y: Any) -> Any:
        if not getattr(self, "_cache_size", 0):
            return self._inverse(y)
        if y is not self._last[1]:
            self._last = self._inverse(y), y
        return self._last[0]

    def _call(self, x: Any) -> Any:
        raise NotImplementedError

    def _inverse(self, y: Any) -> Any:
        raise NotImplementedError

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """log |det dy / dx|."""
        raise NotImplementedError

    def forward_shape(self, shape: Any) -> Any:
        """The shape of the result for the shape of an argument."""
        return shape

    def inverse_shape(self, shape: Any) -> Any:
        """The shape of the argument for the shape of a result."""
        return shape

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _InverseTransform(Transform):
    def __init__(self, transform: Any) -> None:
        super().__init__()
        self._of = transform

    @property
    def domain(self) -> Any:
        return self._of.codomain

    @property
    def codomain(self) -> Any:
        return self._of.domain

    @property
    def bijective(self) -> Any:  # type: ignore[override]
        return self._of.bijective

    @property
    def sign(self) -> Any:
        return self._of.sign

    @property
    def inv(self) -> Any:
        return self._of

    def with_cache(self, cache_size: int = 1) -> Any:
        return self._of.with_cache(cache_size).inv

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _InverseTransform) and self._of == other._of

    def __hash__(self) -> int:
        return hash(self._of)

    def __call__(self, x: Any) -> Any:
        return self._of._inv_call(x)

    def _inv_call(self, y: Any) -> Any:
        return self._of(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -self._of.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape: Any) -> Any:
        return self._of.inverse_shape(shape)

    def inverse_shape(self, shape: Any) -> Any:
        return self._of.forward_shape(shape)

    def __repr__(self) -> str:
        return f"Inverse{self._of!r}"


class ComposeTransform(Transform):
    """One transform after the other."""

    def __init__(self, parts: Any, cache_size: int = 0) -> None:
        super().__init__()
        self.parts = [part.with_cache(cache_size) if cache_size else part for part in parts]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ComposeTransform) and self.parts == other.parts

    __hash__ = Transform.__hash__

    @property
    def domain(self) -> Any:
        if not self.parts:
            return constraints.real
        axes = self.parts[-1].codomain.event_dim
        for part in reversed(self.parts):
            axes = max(axes + part.domain.event_dim - part.codomain.event_dim, part.domain.event_dim)
        return _with_axes(self.parts[0].domain, axes)

    @property
    def codomain(self) -> Any:
        if not self.parts:
            return constraints.real
        axes = self.parts[0].domain.event_dim
        for part in self.parts:
            axes = max(axes + part.codomain.event_dim - part.domain.event_dim, part.codomain.event_dim)
        return _with_axes(self.parts[-1].codomain, axes)

    @property
    def bijective(self) -> Any:  # type: ignore[override]
        return all(part.bijective for part in self.parts)

    @property
    def sign(self) -> Any:
        return math.prod([part.sign for part in self.parts])

    @property
    def inv(self) -> Any:
        return ComposeTransform([part.inv for part in reversed(self.parts)])

    def with_cache(self, cache_size: int = 1) -> Any:
        return ComposeTransform([part.with_cache(cache_size) for part in self.parts])

    def __call__(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
        return x

    def _inv_call(self, y: Any) -> Any:
        for part in reversed(self.parts):
            y = part.inv(y)
        return y

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        if not self.parts:
            return creation.zeros_like(x)
        values = [x]
        for part in self.parts[:-1]:
            values.append(part(values[-1]))
        values.append(y)
        total: Any = None
        axes = self.domain.event_dim
        for part, before, after in zip(self.parts, values, values[1:]):
            term = sum_rightmost(part.log_abs_det_jacobian(before, after), axes - part.domain.event_dim)
            total = term if total is None else total + term
            axes += part.codomain.event_dim - part.domain.event_dim
        return total

    def forward_shape(self, shape: Any) -> Any:
        for part in self.parts:
            shape = part.forward_shape(shape)
        return shape

    def inverse_shape(self, shape: Any) -> Any:
        for part in reversed(self.parts):
            shape = part.inverse_shape(shape)
        return shape

    def __repr__(self) -> str:
        return f"ComposeTransform({self.parts!r})"


def _with_axes(constraint: Any, axes: int) -> Any:
    more = axes - constraint.event_dim
    return constraints.independent(constraint, more) if more > 0 else constraint


identity_transform = ComposeTransform([])


class IndependentTransform(Transform):
    """A transform of which the last axes belong to one event, so that its Jacobians are summed."""

    def __init__(self, base_transform: Any, reinterpreted_batch_ndims: int, cache_size: int = 0) -> None:
        super().__init__()
        self.base_transform = base_transform.with_cache(cache_size) if cache_size else base_transform
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims

    @property
    def domain(self) -> Any:
        return constraints.independent(self.base_transform.domain, self.reinterpreted_batch_ndims)

    @property
    def codomain(self) -> Any:
        return constraints.independent(self.base_transform.codomain, self.reinterpreted_batch_ndims)

    @property
    def bijective(self) -> Any:  # type: ignore[override]
        return self.base_transform.bijective

    @property
    def sign(self) -> Any:
        return self.base_transform.sign

    def with_cache(self, cache_size: int = 1) -> Any:
        return IndependentTransform(
            self.base_transform.with_cache(cache_size), self.reinterpreted_batch_ndims
        )

    def __call__(self, x: Any) -> Any:
        if x.dim() < self.domain.event_dim:
            raise ValueError("Too few dimensions on input")
        return self.base_transform(x)

    def _inv_call(self, y: Any) -> Any:
        if y.dim() < self.codomain.event_dim:
            raise ValueError("Too few dimensions on input")
        return self.base_transform.inv(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return sum_rightmost(self.base_transform.log_abs_det_jacobian(x, y), self.reinterpreted_batch_ndims)

    def forward_shape(self, shape: Any) -> Any:
        return self.base_transform.forward_shape(shape)

    def inverse_shape(self, shape: Any) -> Any:
        return self.base_transform.inverse_shape(shape)

    def __repr__(self) -> str:
        return f"IndependentTransform({self.base_transform!r}, {self.reinterpreted_batch_ndims})"


class ReshapeTransform(Transform):
    """The last axes in another shape of the same number of elements."""

    bijective = True

    def __init__(self, in_shape: Any, out_shape: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)
        if math.prod(self.in_shape) != math.prod(self.out_shape):
            raise ValueError("in_shape, out_shape have different numbers of elements")

    @property
    def domain(self) -> Any:
        return _with_axes(constraints.real, len(self.in_shape))

    @property
    def codomain(self) -> Any:
        return _with_axes(constraints.real, len(self.out_shape))

    def _call(self, x: Any) -> Any:
        return x.reshape(self.forward_shape(x.shape))

    def _inverse(self, y: Any) -> Any:
        return y.reshape(self.inverse_shape(y.shape))

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return creation.zeros(x.shape[: x.dim() - len(self.in_shape)], dtype=x.dtype)

    def forward_shape(self, shape: Any) -> Any:
        return _replaced(shape, self.in_shape, self.out_shape)

    def inverse_shape(self, shape: Any) -> Any:
        return _replaced(shape, self.out_shape, self.in_shape)


def _replaced(shape: Any, old: tuple[int, ...], new: tuple[int, ...]) -> tuple[int, ...]:
    cut = len(shape) - len(old)
    if cut < 0:
        raise ValueError("Too few dimensions on input")
    if tuple(shape[cut:]) != old:
        raise ValueError(f"Shape mismatch: expected {old} but got {tuple(shape[cut:])}")
    return (*shape[:cut], *new)


class _OfElements(Transform):
    """A function of each element, which increases."""

    bijective = True

    @property
    def sign(self) -> Any:
        return 1

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and not self._parameters() and not other._parameters()

    __hash__ = Transform.__hash__

    def _parameters(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if not k.startswith("_")}


class ExpTransform(_OfElements):
    """exp(x)."""

    codomain = constraints.positive

    def _call(self, x: Any) -> Any:
        return x.exp()

    def _inverse(self, y: Any) -> Any:
        return y.log()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return x


class PowerTransform(_OfElements):
    """x ** exponent, of positive numbers."""

    domain = codomain = constraints.positive

    def __init__(self, exponent: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.exponent = exponent if is_ours(exponent) else creation.tensor(exponent)

    @property
    def sign(self) -> Any:
        return self.exponent.sign()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PowerTransform) and bool(self.exponent.eq(other.exponent).all())

    __hash__ = Transform.__hash__

    def _call(self, x: Any) -> Any:
        return x**self.exponent

    def _inverse(self, y: Any) -> Any:
        return y ** (1 / self.exponent)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return (self.exponent * y / x).abs().log()

    def forward_shape(self, shape: Any) -> Any:
        return np.broadcast_shapes(tuple(shape), tuple(self.exponent.shape))

    inverse_shape = forward_shape


class SigmoidTransform(_OfElements):
    """1 / (1 + exp(-x))."""

    codomain = constraints.unit_interval

    def _call(self, x: Any) -> Any:
        return inside(x.sigmoid())

    def _inverse(self, y: Any) -> Any:
        y = inside(y)
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -F.softplus(-x) - F.softplus(x)  # type: ignore[attr-defined]


class SoftplusTransform(_OfElements):
    """log(1 + exp(x))."""

    codomain = constraints.positive

    def _call(self, x: Any) -> Any:
        return F.softplus(x)  # type: ignore[attr-defined]

    def _inverse(self, y: Any) -> Any:
        return (-y).expm1().neg().log() + y

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -F.softplus(-x)  # type: ignore[attr-defined]


class TanhTransform(_OfElements):
    """tanh(x)."""

    codomain = constraints.interval(-1.0, 1.0)

    def _call(self, x: Any) -> Any:
        return x.tanh()

    def _inverse(self, y: Any) -> Any:
        return y.atanh()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return 2.0 * (math.log(2.0) - x - F.softplus(-2.0 * x))  # type: ignore[attr-defined]


class AbsTransform(Transform):
    """|x|; of its two inverses the positive one."""

    codomain = constraints.positive

    def _call(self, x: Any) -> Any:
        return x.abs()

    def _inverse(self, y: Any) -> Any:
        return y


class AffineTransform(Transform):
    """loc + scale * x; `event_dim` axes belong to one event."""

    bijective = True

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.loc, self.scale, self._event_dim = loc, scale, event_dim

    @property
    def event_dim(self) -> Any:
        return self._event_dim

    @property
    def domain(self) -> Any:
        return _with_axes(constraints.real, self._event_dim)

    codomain = domain

    @property
    def sign(self) -> Any:
        return self.scale.sign() if is_ours(self.scale) else int(np.sign(self.scale))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AffineTransform) and all(
            bool(np.all(np.asarray(a) == np.asarray(b)))
            for a, b in zip(
                *([x.detach() if is_ours(x) else x for x in (t.loc, t.scale)] for t in (self, other))
            )
        )

    __hash__ = Transform.__hash__

    def _call(self, x: Any) -> Any:
        return self.loc + self.scale * x

    def _inverse(self, y: Any) -> Any:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        if is_ours(self.scale):
            found = self.scale.abs().log()
        else:
            found = creation.full_like(x, math.log(abs(self.scale)))
        shape, n = x.shape, self._event_dim
        if n:
            found = found.view((*found.shape[:-n], -1)).sum(-1)
            shape = shape[:-n]
        return found.expand(shape)

    def forward_shape(self, shape: Any) -> Any:
        return np.broadcast_shapes(
            tuple(shape), *[tuple(x.shape) for x in (self.loc, self.scale) if is_ours(x)]
        )

    inverse_shape = forward_shape


class CumulativeDistributionTransform(_OfElements):
    """The distribution function of a distribution."""

    codomain = constraints.unit_interval

    def __init__(self, distribution: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.distribution = distribution

    @property
    def domain(self) -> Any:
        return self.distribution.support

    def _call(self, x: Any) -> Any:
        return self.distribution.cdf(x)

    def _inverse(self, y: Any) -> Any:
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return self.distribution.log_prob(x)


# Vectors and matrices


class SoftmaxTransform(Transform):
    """Probabilities from a vector; of its inverses the logarithm."""

    domain, codomain = constraints.real_vector, constraints.simplex

    def _call(self, x: Any) -> Any:
        return F.softmax(x, -1)

    def _inverse(self, y: Any) -> Any:
        return y.log()


class StickBreakingTransform(Transform):
    """Probabilities from a vector that has one element less: each is a share of what is left."""

    domain, codomain, bijective = constraints.real_vector, constraints.simplex, True

    def _offset(self, x: Any) -> Any:
        n = x.shape[-1]
        return creation.arange(n, 0, -1, dtype=x.dtype).log()

    def _call(self, x: Any) -> Any:
        z = inside((x - self._offset(x)).sigmoid())
        left = (1 - z).cumprod(-1)
        return F.pad(z, [0, 1], value=1) * F.pad(left, [1, 0], value=1)

    def _inverse(self, y: Any) -> Any:
        cropped = y[..., :-1]
        left = (1 - cropped.cumsum(-1)).clamp(min=float(np.finfo(y.dtype.dtype).tiny))
        return cropped.log() - left.log() + self._offset(cropped)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        x = x - self._offset(x)
        return (-x + F.logsigmoid(x) + y[..., :-1].log()).sum(-1)  # type: ignore[attr-defined]

    def forward_shape(self, shape: Any) -> Any:
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: Any) -> Any:
        return (*shape[:-1], shape[-1] - 1)


class CorrCholeskyTransform(Transform):
    """The Cholesky factor of a correlation matrix from the vector of what is below its diagonal."""

    domain, codomain, bijective = constraints.real_vector, constraints.corr_cholesky, True

    def _call(self, x: Any) -> Any:
        eps = float(np.finfo(x.dtype.dtype).eps)
        n = self.forward_shape(x.shape)[-1]
        r = creation.zeros((*x.shape[:-1], n, n), dtype=x.dtype)
        i, j = np.tril_indices(n, -1)
        r[..., i, j] = x.tanh().clamp(-1 + eps, 1 - eps)
        left = (1 - r**2).sqrt().cumprod(-1)
        r = r + creation.eye(n, dtype=x.dtype)
        return r * F.pad(left[..., :-1], [1, 0], value=1)

    def _inverse(self, y: Any) -> Any:
        left = F.pad((1 - (y * y).cumsum(-1))[..., :-1], [1, 0], value=1)
        i, j = np.tril_indices(y.shape[-1], -1)
        return (y[..., i, j] / left[..., i, j].sqrt()).atanh()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        i, j = np.tril_indices(y.shape[-1], -2)
        left = (1 - (y * y).cumsum(-1))[..., i, j]
        slopes = -2 * (x + F.softplus(-2 * x) - math.log(2.0)).sum(-1)  # type: ignore[attr-defined]
        return 0.5 * left.log().sum(-1) + slopes

    def forward_shape(self, shape: Any) -> Any:
        n = shape[-1]
        d = round((0.25 + 2 * n) ** 0.5 + 0.5)
        if d * (d - 1) // 2 != n:
            raise ValueError("Input is not a flattened lower-diagonal number")
        return (*shape[:-1], d, d)

    def inverse_shape(self, shape: Any) -> Any:
        d = shape[-1]
        if d != shape[-2]:
            raise ValueError("Input is not square")
        return (*shape[:-2], d * (d - 1) // 2)


class LowerCholeskyTransform(Transform):
    """Triangular matrices with a positive diagonal: exp of the diagonal, what is below as it is."""

    domain, codomain = constraints.independent(constraints.real, 2), constraints.lower_cholesky

    def _call(self, x: Any) -> Any:
        return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    def _inverse(self, y: Any) -> Any:
        return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()


class PositiveDefiniteTransform(Transform):
    """L @ L.T of the triangular matrix L that LowerCholeskyTransform gives."""

    domain, codomain = constraints.independent(constraints.real, 2), constraints.positive_definite

    def _call(self, x: Any) -> Any:
        x = LowerCholeskyTransform()(x)
        return x @ x.mT

    def _inverse(self, y: Any) -> Any:
        return LowerCholeskyTransform().inv(T["cholesky"](y))


class _Pieces(Transform):
    """One transform for each piece along an axis."""

    _constraint: Any
    transforms: list[Any]
    dim: int

    @property
    def domain(self) -> Any:
        return self._of_constraints([t.domain for t in self.transforms])

    @property
    def codomain(self) -> Any:
        return self._of_constraints([t.codomain for t in self.transforms])

    @property
    def bijective(self) -> Any:  # type: ignore[override]
        return all(t.bijective for t in self.transforms)

    def _of_constraints(self, parts: list[Any]) -> Any:
        raise NotImplementedError

    def _pieces(self, x: Any) -> Any:
        raise NotImplementedError

    def _joined(self, parts: Any) -> Any:
        raise NotImplementedError

    def _call(self, x: Any) -> Any:
        return self._joined([t(part) for t, part in zip(self.transforms, self._pieces(x))])

    def _inverse(self, y: Any) -> Any:
        return self._joined([t.inv(part) for t, part in zip(self.transforms, self._pieces(y))])


class CatTransform(_Pieces):
    """One transform for each of the pieces with these lengths along an axis."""

    def __init__(self, tseq: Any, dim: int = 0, lengths: Any = None, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.transforms, self.dim = list(tseq), dim
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)

    @property
    def event_dim(self) -> Any:
        return max(t.event_dim for t in self.transforms)

    @property
    def length(self) -> int:
        """The length of the axis."""
        return sum(self.lengths)

    def _of_constraints(self, parts: list[Any]) -> Any:
        return constraints.cat(parts, self.dim, self.lengths)

    def _pieces(self, x: Any) -> Any:
        return x.split(self.lengths, self.dim)

    def _joined(self, parts: Any) -> Any:
        return T["cat"](parts, self.dim)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        parts = []
        for t, before, after in zip(self.transforms, self._pieces(x), self._pieces(y)):
            found = t.log_abs_det_jacobian(before, after)
            parts.append(sum_rightmost(found, self.event_dim - t.event_dim))
        dim = self.dim - x.dim() if self.dim >= 0 else self.dim
        dim += self.event_dim
        return T["cat"](parts, dim) if dim < 0 else sum(parts[1:], parts[0])


class StackTransform(_Pieces):
    """One transform for each place along an axis."""

    def __init__(self, tseq: Any, dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.transforms, self.dim = list(tseq), dim

    def _of_constraints(self, parts: list[Any]) -> Any:
        return constraints.stack(parts, self.dim)

    def _pieces(self, x: Any) -> Any:
        return x.unbind(self.dim)

    def _joined(self, parts: Any) -> Any:
        return T["stack"](parts, self.dim)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        pairs = zip(self.transforms, self._pieces(x), self._pieces(y))
        return self._joined([t.log_abs_det_jacobian(before, after) for t, before, after in pairs])


def inside(p: Any) -> Any:
    """Probabilities held away from 0 and 1."""
    limits = np.finfo(p._data.dtype)
    return p.clamp(float(limits.tiny), 1.0 - float(limits.eps))


# From all numbers to a constraint


class ConstraintRegistry:
    """Called with a constraint, it gives a transform of all numbers to what satisfies it."""

    def __init__(self) -> None:
        self._registry: dict[type, Any] = {}

    def register(self, constraint: Any, factory: Any = None) -> Any:
        """Enter a function that makes the transform; also as a decorator."""
        if factory is None:
            return lambda found: self.register(constraint, found)
        kind = constraint if isinstance(constraint, type) else type(constraint)
        if not issubclass(kind, constraints.Constraint):
            raise TypeError(
                f"Expected constraint to be a Constraint subclass or instance, but got {constraint}"
            )
        self._registry[kind] = factory
        return factory

    def __call__(self, constraint: Any) -> Any:
        factory = self._registry.get(type(constraint))
        if factory is None:
            raise NotImplementedError(f"Cannot transform {type(constraint).__name__} constraints")
        return factory(constraint)


_kind: Any
biject_to, transform_to = ConstraintRegistry(), ConstraintRegistry()


def _between(c: Any) -> Any:
    """The transform to the numbers between two bounds."""
    if not is_ours(c.lower_bound) and (c.lower_bound, c.upper_bound) == (0, 1):
        return SigmoidTransform()
    return ComposeTransform(
        [SigmoidTransform(), AffineTransform(c.lower_bound, c.upper_bound - c.lower_bound)]
    )


for _registry in (biject_to, transform_to):
    _registry.register(constraints.real, lambda c: identity_transform)
    for _kind in (constraints.greater_than, constraints.greater_than_eq):
        _registry.register(
            _kind, lambda c: ComposeTransform([ExpTransform(), AffineTransform(c.lower_bound, 1)])
        )
    _registry.register(
        constraints.less_than,
        lambda c: ComposeTransform([ExpTransform(), AffineTransform(c.upper_bound, -1)]),
    )
    for _kind in (constraints.interval, constraints.half_open_interval):
        _registry.register(_kind, _between)
    _registry.register(constraints.corr_cholesky, lambda c: CorrCholeskyTransform())
    _registry.register(
        constraints.independent,
        lambda c, to=_registry: IndependentTransform(to(c.base_constraint), c.reinterpreted_batch_ndims),
    )
    _registry.register(
        constraints.cat, lambda c, to=_registry: CatTransform([to(x) for x in c.cseq], c.dim, c.lengths)
    )
    _registry.register(
        constraints.stack, lambda c, to=_registry: StackTransform([to(x) for x in c.cseq], c.dim)
    )
biject_to.register(constraints.simplex, lambda c: StickBreakingTransform())
transform_to.register(constraints.simplex, lambda c: SoftmaxTransform())
transform_to.register(constraints.lower_cholesky, lambda c: LowerCholeskyTransform())
for _one in (constraints.positive_definite, constraints.positive_semidefinite):
    transform_to.register(_one, lambda c: PositiveDefiniteTransform())
