"""Discrete Fourier transforms. Their values are complex, which have no gradient here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from tinygrad_dl.arguments import Size, explained, refuse_huge
from tinygrad_dl.errors import AxisError
from tinygrad_dl.op import Case, Missing, op
from tinygrad_dl.ops.matmul import operand
from tinygrad_dl.ops.shape import roll
from tinygrad_dl.typing import Array, ArrayLike, Axis, NDArray

Scaling = Literal["backward", "ortho", "forward"] | None
COMPLEX = Missing("a Fourier transform works with complex values, which have no gradient here")
ONE = (Case((4,)), Case((2, 3), 5, 0), Case((2, 4), norm="ortho"))
SEVERAL = (Case((2, 4)), Case((2, 3), axes=(0,)), Case((3, 2), (4, 4), norm="forward"))


def _scaling_hint(x: NDArray, *options: object) -> str | None:
    norm = options[-1]
    if norm in (None, "backward", "ortho", "forward"):
        return None
    return f'expected norm "backward", "ortho" or "forward", got {norm!r}'


def _all_of(s: Sequence[int] | None, axes: Sequence[int] | None) -> Sequence[int] | None:
    """The axes that the sizes are for: the last ones, unless they are given."""
    return tuple(range(-len(s), 0)) if axes is None and s is not None else axes


@op(COMPLEX, cases=ONE, hint=_scaling_hint)
def fft(x: NDArray, /, n: Size | None = None, axis: int = -1, norm: Scaling = None) -> Any:
    """The discrete Fourier transform along one axis.

    out_k = sum_j x_j e^(-2 pi i j k / n).   Shape: x's with size n along `axis`, complex.
    x is cut, or padded with zeros, to `n`. `norm` says what is divided: "backward" (default) the inverse by
    n, "forward" the transform by n, "ortho" both by sqrt(n).
    >>> fft(np.array([1.0, 1.0]))
    array([2.+0.j, 0.+0.j])
    """
    return np.fft.fft(x, n, axis, norm)


@op(COMPLEX, cases=ONE, hint=_scaling_hint)
def ifft(x: NDArray, /, n: Size | None = None, axis: int = -1, norm: Scaling = None) -> Any:
    """The inverse of fft.

    out_j = (1 / n) sum_k x_k e^(2 pi i j k / n).   Shape: x's with size n along `axis`, complex.
    x is cut, or padded with zeros, to `n`. `norm` says what is divided: "backward" (default) the inverse by
    n, "forward" the transform by n, "ortho" both by sqrt(n).
    >>> ifft(np.array([2.0, 0.0]))
    array([1.+0.j, 1.+0.j])
    """
    return np.fft.ifft(x, n, axis, norm)


@op(COMPLEX, cases=ONE, hint=_scaling_hint)
def rfft(x: NDArray, /, n: Size | None = None, axis: int = -1, norm: Scaling = None) -> Any:
    """The first half of the Fourier transform of real values; the other half mirrors it.

    out_k = sum_j x_j e^(-2 pi i j k / n), k = 0 ... n // 2.   Shape: n // 2 + 1 along `axis`, complex.
    x is cut, or padded with zeros, to `n`. `norm` says what is divided: "backward" (default) the inverse by
    n, "forward" the transform by n, "ortho" both by sqrt(n).
    >>> rfft(np.array([1.0, 1.0]))
    array([2.+0.j, 0.+0.j])
    """
    return np.fft.rfft(x, n, axis, norm)


@op(COMPLEX, cases=ONE, hint=_scaling_hint)
def irfft(x: NDArray, /, n: Size | None = None, axis: int = -1, norm: Scaling = None) -> Any:
    """The inverse of rfft: real values from the half of a Fourier transform.

    irfft(rfft(x), n) = x.   Shape: x's with size n along `axis`, by default 2 (size - 1), real.
    x is cut, or padded with zeros, to `n`. `norm` says what is divided: "backward" (default) the inverse by
    n, "forward" the transform by n, "ortho" both by sqrt(n).
    >>> irfft(np.array([2.0, 0.0]))
    array([1., 1.])
    """
    return np.fft.irfft(x, n, axis, norm)


@op(COMPLEX, cases=ONE, hint=_scaling_hint)
def hfft(x: NDArray, /, n: Size | None = None, axis: int = -1, norm: Scaling = None) -> Any:
    """The Fourier transform, which is real, of a signal of which one half is given.

    Shape: x's with size n along `axis`, by default 2 (size - 1), real.
    x is cut, or padded with zeros, to `n`. `norm` says what is divided: "backward" (default) the inverse by
    n, "forward" the transform by n, "ortho" both by sqrt(n).
    >>> hfft(np.array([1.0, 1.0]))
    array([2., 0.])
    """
    return np.fft.hfft(x, n, axis, norm)


@op(COMPLEX, cases=ONE, hint=_scaling_hint)
def ihfft(x: NDArray, /, n: Size | None = None, axis: int = -1, norm: Scaling = None) -> Any:
    """The inverse of hfft: one half of the inverse transform of real values.

    Shape: x's with n // 2 + 1 along `axis`, complex.
    x is cut, or padded with zeros, to `n`. `norm` says what is divided: "backward" (default) the inverse by
    n, "forward" the transform by n, "ortho" both by sqrt(n).
    >>> ihfft(np.array([2.0, 0.0]))
    array([1.-0.j, 1.-0.j])
    """
    return np.fft.ihfft(x, n, axis, norm)


@op(COMPLEX, cases=SEVERAL, hint=_scaling_hint)
def fftn(
    x: NDArray, /, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: Scaling = None
) -> Any:
    """The Fourier transform along several axes (all by default).

    Shape: x's with the sizes `s` along `axes`, complex. `norm` as for fft.
    >>> fftn(np.array([[1.0, 1.0]]))
    array([[2.+0.j, 0.+0.j]])
    """
    return np.fft.fftn(x, s, _all_of(s, axes), norm)


@op(COMPLEX, cases=SEVERAL, hint=_scaling_hint)
def ifftn(
    x: NDArray, /, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: Scaling = None
) -> Any:
    """The inverse of fftn.

    Shape: x's with the sizes `s` along `axes`, complex. `norm` as for fft.
    >>> ifftn(np.array([[2.0, 0.0]]))
    array([[1.+0.j, 1.+0.j]])
    """
    refuse_huge("ifftn", "s", s)
    refuse_huge("fftn", "s", s)
    return np.fft.ifftn(x, s, _all_of(s, axes), norm)


@op(COMPLEX, cases=SEVERAL, hint=_scaling_hint)
def rfftn(
    x: NDArray, /, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: Scaling = None
) -> Any:
    """The Fourier transform of real values along several axes, of the last axis one half.

    Shape: x's with the sizes `s` along `axes`, the last s // 2 + 1, complex. `norm` as for fft.
    >>> rfftn(np.array([[1.0, 1.0]]))
    array([[2.+0.j, 0.+0.j]])
    """
    return np.fft.rfftn(x, s, _all_of(s, axes), norm)


@op(COMPLEX, cases=SEVERAL, hint=_scaling_hint)
def irfftn(
    x: NDArray, /, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: Scaling = None
) -> Any:
    """The inverse of rfftn: real values.

    Shape: x's with the sizes `s` along `axes`, the last by default 2 (size - 1), real. `norm` as for fft.
    >>> irfftn(np.array([[2.0, 0.0]]))
    array([[1., 1.]])
    """
    refuse_huge("irfftn", "s", s)
    refuse_huge("rfftn", "s", s)
    return np.fft.irfftn(x, s, _all_of(s, axes), norm)


def _halves(what: str, x: ArrayLike, axes: Axis) -> tuple[Array, tuple[int, ...]]:
    x = operand(what, x)
    chosen = tuple(range(x.ndim)) if axes is None else (axes,) if isinstance(axes, int) else tuple(axes)
    return x, chosen


@explained
def fftshift(x: ArrayLike, /, axes: Axis = None) -> Any:
    """The zero frequency moved to the middle, along axes (all by default).

    Shape: same as x. It has a derivative. Raises AxisError for an axis that x does not have.
    >>> fftshift(np.array([0, 1, -1]))
    array([-1,  0,  1])
    """
    x, axes = _halves("fftshift", x, axes)
    return roll(x, tuple(_size("fftshift", x, a) // 2 for a in axes), axes)


@explained
def ifftshift(x: Any, /, axes: Any = None) -> Any:
    """The zero frequency moved back from the middle to the start: the inverse of fftshift.

    Shape: same as x. It has a derivative. Raises AxisError for an axis that x does not have.
    >>> ifftshift(np.array([-1, 0, 1]))
    array([ 0,  1, -1])
    """
    x, axes = _halves("ifftshift", x, axes)
    return roll(x, tuple(-(_size("ifftshift", x, a) // 2) for a in axes), axes)


def _size(what: str, x: Array, axis: int) -> int:
    if not -x.ndim <= axis < x.ndim:
        raise AxisError(f"{what}: the shape {x.shape} has no axis {axis}")
    return x.shape[axis]
