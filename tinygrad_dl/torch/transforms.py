"""torch.distributions.transforms of single elements, which have an inverse and the logarithm of their derivative."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_dl.torch.nn import functional as F


class Transform:
    """A function of each element, with `inv`, its inverse, and log_abs_det_jacobian(x, y)."""

    sign = 1
    event_dim = 0

    def __init__(self, cache_size: int = 0) -> None:
        """`cache_size` is accepted: an inverse is computed again."""

    def __call__(self, x: Any) -> Any:
        return self._call(x)

    def _call(self, x: Any) -> Any:
        raise NotImplementedError

    def _inverse(self, y: Any) -> Any:
        raise NotImplementedError

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """log |dy / dx|."""
        raise NotImplementedError

    @property
    def inv(self) -> Any:
        """The inverse."""
        return _Inverse(self)


class _Inverse(Transform):
    def __init__(self, transform: Any) -> None:
        self._of = transform

    def _call(self, x: Any) -> Any:
        return self._of._inverse(x)

    def _inverse(self, y: Any) -> Any:
        return self._of(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -self._of.log_abs_det_jacobian(y, x)

    @property
    def inv(self) -> Any:
        return self._of


class ExpTransform(Transform):
    """exp(x)."""

    def _call(self, x: Any) -> Any:
        return x.exp()

    def _inverse(self, y: Any) -> Any:
        return y.log()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return x


class AffineTransform(Transform):
    """loc + scale * x."""

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        self.loc, self.scale = loc, scale

    def _call(self, x: Any) -> Any:
        return self.loc + self.scale * x

    def _inverse(self, y: Any) -> Any:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        scale = math.log(abs(self.scale)) if isinstance(self.scale, (int, float)) else self.scale.abs().log()
        return x * 0 + scale


class PowerTransform(Transform):
    """x ** exponent."""

    def __init__(self, exponent: Any, cache_size: int = 0) -> None:
        self.exponent = exponent

    def _call(self, x: Any) -> Any:
        return x**self.exponent

    def _inverse(self, y: Any) -> Any:
        return y ** (1 / self.exponent)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return (self.exponent * y / x).abs().log()


class SigmoidTransform(Transform):
    """1 / (1 + exp(-x))."""

    def _call(self, x: Any) -> Any:
        return _inside(x.sigmoid())

    def _inverse(self, y: Any) -> Any:
        y = _inside(y)
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -F.softplus(-x) - F.softplus(x)  # type: ignore[attr-defined]


class SoftplusTransform(Transform):
    """log(1 + exp(x))."""

    def _call(self, x: Any) -> Any:
        return F.softplus(x)  # type: ignore[attr-defined]

    def _inverse(self, y: Any) -> Any:
        return (-y).expm1().neg().log() + y

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -F.softplus(-x)  # type: ignore[attr-defined]


class TanhTransform(Transform):
    """tanh(x)."""

    def _call(self, x: Any) -> Any:
        return x.tanh()

    def _inverse(self, y: Any) -> Any:
        return y.atanh()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return 2.0 * (math.log(2.0) - x - F.softplus(-2.0 * x))  # type: ignore[attr-defined]


class AbsTransform(Transform):
    """|x|; of its two inverses the positive one."""

    def _call(self, x: Any) -> Any:
        return x.abs()

    def _inverse(self, y: Any) -> Any:
        return y


class ComposeTransform(Transform):
    """One transform after the other."""

    def __init__(self, parts: Any, cache_size: int = 0) -> None:
        self.parts = list(parts)

    def _call(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
        return x

    def _inverse(self, y: Any) -> Any:
        for part in reversed(self.parts):
            y = part.inv(y)
        return y

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        total: Any = 0
        for part in self.parts:
            after = part(x)
            total, x = total + part.log_abs_det_jacobian(x, after), after
        return total


identity_transform = ComposeTransform([])


def _inside(p: Any) -> Any:
    """Probabilities held away from 0 and 1."""
    import numpy as np

    limits = np.finfo(p._data.dtype)
    return p.clamp(float(limits.tiny), 1.0 - float(limits.eps))
