"""Discrete Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from tinygrad_dl import batching
from tinygrad_dl.arguments import Size, explained, refuse_huge
from tinygrad_dl.errors import AxisError
from tinygrad_dl.op import Case, op
from tinygrad_dl.ops.index import pad
from tinygrad_dl.ops.matmul import operand
from tinygrad_dl.ops.shape import roll
from tinygrad_dl.signatures import composed
from tinygrad_dl.typing import Array, ArrayLike, Axis, NDArray, Shape

Scaling = Literal["backward", "ortho", "forward"] | None
Transform = Callable[[NDArray, int, int, Scaling], NDArray]
ONE = (Case((4,)), Case((2, 3), 5, 0), Case((4, 2), 3, 0), Case((2, 4), norm="ortho"))
SEVERAL = (
    Case((2, 4)), Case((2, 3), axes=(0,)), Case((3, 2), (4, 4), norm="forward"), Case((2, 3, 2), (-1, 3)),
)  # fmt: skip


def _scaling_hint(x: NDArray, *options: object) -> str | None:
    norm = options[-1]
    if norm in (None, "backward", "ortho", "forward"):
        return None
    return f'expected norm "backward", "ortho" or "forward", got {norm!r}'


# A Fourier matrix is symmetric, so the derivative of a transform is the transform of g: without the places where zeros
# were added, with zeros for what was cut off. Of real values the engine takes the real part.


def _sized(g: NDArray, size: int, axis: int) -> NDArray:
    """`g` cut, or padded with zeros, to the given size along an axis."""
    extra = size - g.shape[axis]
    if extra > 0:
        return pad(g, tuple((0, extra if a == axis % g.ndim else 0) for a in range(g.ndim)))
    return g[(slice(None),) * (axis % g.ndim) + (slice(size),)] if extra else g


def _transposed(
    transform: Transform, g: NDArray, x_shape: Shape, n: Size | None, axis: int, norm: Scaling
) -> NDArray:
    """The derivative of fft, ifft and rfft; of ihfft it is ifft."""
    size = x_shape[axis]
    return _sized(transform(g, size if n is None else n, axis, norm), size, axis)


def _to_half(transform: Transform, g: NDArray, x_shape: Shape, axis: int, norm: Scaling) -> NDArray:
    """The derivative of irfft and hfft, where all elements of the half count twice that stand for two of the whole."""
    n = g.shape[axis]
    k = np.arange(n // 2 + 1)
    times = np.where((k == 0) | (2 * k == n), 1, 2).astype(g.dtype)
    along = tuple(-1 if a == axis % g.ndim else 1 for a in range(g.ndim))
    return _sized(transform(g, n, axis, norm) * times.reshape(along), x_shape[axis], axis)


def _several(
    x_shape: Shape, s: Sequence[int] | None, axes: Sequence[int] | None, ascending: bool
) -> list[tuple[int, int | None, Shape]]:
    """The steps that NumPy takes along several axes: the axis, the size it is brought to, and the shape before."""
    axes = _all_of(s, axes)
    axes = tuple(range(len(x_shape))) if axes is None else tuple(axes)
    shape, steps = list(x_shape), []
    for i in range(len(axes)) if ascending else reversed(range(len(axes))):
        n = None if s is None else x_shape[axes[i]] if s[i] == -1 else s[i]
        steps.append((axes[i], n, tuple(shape)))
        shape[axes[i]] = shape[axes[i]] if n is None else n
    return steps


def _transposed_in_several(
    transform: Transform,
    g: NDArray,
    x_shape: Shape,
    s: Sequence[int] | None,
    axes: Sequence[int] | None,
    norm: Scaling,
) -> NDArray:
    """The derivative of fftn, ifftn and rfftn: those along one axis, in the opposite order."""
    for axis, n, shape in reversed(_several(x_shape, s, axes, ascending=False)):
        g = _transposed(transform, g, shape, n, axis, norm)
    return g


def _derivative_of_irfftn(
    g: NDArray, x_shape: Shape, s: Sequence[int] | None, axes: Sequence[int] | None, norm: Scaling
) -> NDArray:
    *others, (axis, _, shape) = _several(x_shape, s, axes, ascending=True)
    g = _to_half(ihfft, g, shape, axis, norm)
    for axis, n, shape in reversed(others):
        g = _transposed(ifft, g, shape, n, axis, norm)
    return g


def _all_of(s: Sequence[int] | None, axes: Sequence[int] | None) -> Sequence[int] | None:
    """The axes that the sizes are for: the last ones, unless they are given."""
    return tuple(range(-len(s), 0)) if axes is None and s is not None else axes


def _several_all(call: batching.Call) -> Any:
    axes, s, ndim = call.options["axes"], call.options["s"], len(call.shape())
    axes = tuple(range(ndim if s is None else len(s)))[::-1] if axes is None else axes
    last = tuple(-1 - a for a in axes) if call.options["axes"] is None else axes
    return call.run(*call.inputs, axes=batching.axes_of(call, last))


@op(
    lambda g, x_shape, n, axis, norm: _transposed(fft, g, x_shape, n, axis, norm),
    cases=ONE,
    hint=_scaling_hint,
    batch=batching.along_one,
    jvp="linear",
    math=(r"F x, \quad F_{jk} = e^{-2 \pi i j k / n}", r"\overline{F} g"),
)
def fft(x: NDArray, /, n: Size | None = None, axis: int = -1, norm: Scaling = None) -> Any:
    """The discrete Fourier transform along one axis.

    out_k = sum_j x_j e^(-2 pi i j k / n).   Shape: x's with size n along `axis`, complex.
    x is cut, or padded with zeros, to `n`. `norm` says what is divided: "backward" (default) the inverse by
    n, "forward" the transform by n, "ortho" both by sqrt(n).
    >>> fft(np.array([1.0, 1.0]))
    array([2.+0.j, 0.+0.j])
    """
    return np.fft.fft(x, n, axis, norm)


@op(
    lambda g, x_shape, n, axis, norm: _transposed(ifft, g, x_shape, n, axis, norm),
    cases=ONE,
    hint=_scaling_hint,
    batch=batching.along_one,
    jvp="linear",
    math=(r"\frac{1}{n} \overline{F} x", r"\frac{1}{n} F g"),
)
def ifft(x: NDArray, /, n: Size | None = None, axis: int = -1, norm: Scaling = None) -> Any:
    """The inverse of fft.

    out_j = (1 / n) sum_k x_k e^(2 pi i j k / n).   Shape: x's with size n along `axis`, complex.
    x is cut, or padded with zeros, to `n`. `norm` says what is divided: "backward" (default) the inverse by
    n, "forward" the transform by n, "ortho" both by sqrt(n).
    >>> ifft(np.array([2.0, 0.0]))
    array([1.+0.j, 1.+0.j])
    """
    return np.fft.ifft(x, n, axis, norm)


@op(
    lambda g, x_shape, n, axis, norm: _transposed(fft, g, x_shape, n, axis, norm),
    cases=ONE,
    hint=_scaling_hint,
    real=True,
    batch=batching.along_one,
    jvp="linear",
    math=(r"(F x)_{k \le n / 2}", r"\operatorname{Re}(\overline{F} g)"),
)
def rfft(x: NDArray, /, n: Size | None = None, axis: int = -1, norm: Scaling = None) -> Any:
    """The first half of the Fourier transform of real values; the other half mirrors it.

    out_k = sum_j x_j e^(-2 pi i j k / n), k = 0 ... n // 2.   Shape: n // 2 + 1 along `axis`, complex.
    x is cut, or padded with zeros, to `n`. `norm` says what is divided: "backward" (default) the inverse by
    n, "forward" the transform by n, "ortho" both by sqrt(n).
    >>> rfft(np.array([1.0, 1.0]))
    array([2.+0.j, 0.+0.j])
    """
    return np.fft.rfft(x, n, axis, norm)


@op(
    lambda g, x_shape, axis, norm: _to_half(ihfft, g, x_shape, axis, norm),
    cases=ONE,
    hint=_scaling_hint,
    batch=batching.along_one,
    jvp="linear",
    math=(
        r"\frac{1}{n} \operatorname{Re}(\overline{F} x)",
        r"\frac{m_k}{n} (F g)_{k \le n / 2}, \quad m_k = 1 \text{ at the ends, else } 2",
    ),
)
def irfft(x: NDArray, /, n: Size | None = None, axis: int = -1, norm: Scaling = None) -> Any:
    """The inverse of rfft: real values from the half of a Fourier transform.

    irfft(rfft(x), n) = x.   Shape: x's with size n along `axis`, by default 2 (size - 1), real.
    x is cut, or padded with zeros, to `n`. `norm` says what is divided: "backward" (default) the inverse by
    n, "forward" the transform by n, "ortho" both by sqrt(n).
    >>> irfft(np.array([2.0, 0.0]))
    array([1., 1.])
    """
    return np.fft.irfft(x, n, axis, norm)


@op(
    lambda g, x_shape, axis, norm: _to_half(rfft, g, x_shape, axis, norm),
    cases=ONE,
    hint=_scaling_hint,
    batch=batching.along_one,
    jvp="linear",
    math=(
        r"\operatorname{Re}(F x)",
        r"m_k (\overline{F} g)_{k \le n / 2}, \quad m_k = 1 \text{ at the ends, else } 2",
    ),
)
def hfft(x: NDArray, /, n: Size | None = None, axis: int = -1, norm: Scaling = None) -> Any:
    """The Fourier transform, which is real, of a signal of which one half is given.

    Shape: x's with size n along `axis`, by default 2 (size - 1), real.
    x is cut, or padded with zeros, to `n`. `norm` says what is divided: "backward" (default) the inverse by
    n, "forward" the transform by n, "ortho" both by sqrt(n).
    >>> hfft(np.array([1.0, 1.0]))
    array([2., 0.])
    """
    return np.fft.hfft(x, n, axis, norm)


@op(
    lambda g, x_shape, n, axis, norm: _transposed(ifft, g, x_shape, n, axis, norm),
    cases=ONE,
    hint=_scaling_hint,
    real=True,
    batch=batching.along_one,
    jvp="linear",
    math=(r"\frac{1}{n} (\overline{F} x)_{k \le n / 2}", r"\frac{1}{n} \operatorname{Re}(F g)"),
)
def ihfft(x: NDArray, /, n: Size | None = None, axis: int = -1, norm: Scaling = None) -> Any:
    """The inverse of hfft: one half of the inverse transform of real values.

    Shape: x's with n // 2 + 1 along `axis`, complex.
    x is cut, or padded with zeros, to `n`. `norm` says what is divided: "backward" (default) the inverse by
    n, "forward" the transform by n, "ortho" both by sqrt(n).
    >>> ihfft(np.array([2.0, 0.0]))
    array([1.-0.j, 1.-0.j])
    """
    return np.fft.ihfft(x, n, axis, norm)


@op(
    lambda g, x_shape, s, axes, norm: _transposed_in_several(fft, g, x_shape, s, axes, norm),
    cases=SEVERAL,
    hint=_scaling_hint,
    batch=_several_all,
    jvp="linear",
    math=(r"F x \text{ along each axis}", r"\overline{F} g \text{ along each axis}"),
)
def fftn(
    x: NDArray, /, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: Scaling = None
) -> Any:
    """The Fourier transform along several axes (all by default).

    Shape: x's with the sizes `s` along `axes`, complex. `norm` as for fft.
    >>> fftn(np.array([[1.0, 1.0]]))
    array([[2.+0.j, 0.+0.j]])
    """
    return np.fft.fftn(x, s, _all_of(s, axes), norm)


@op(
    lambda g, x_shape, s, axes, norm: _transposed_in_several(ifft, g, x_shape, s, axes, norm),
    cases=SEVERAL,
    hint=_scaling_hint,
    batch=_several_all,
    jvp="linear",
    math=(r"\frac{1}{n} \overline{F} x \text{ along each axis}", r"\frac{1}{n} F g \text{ along each axis}"),
)
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


@op(
    lambda g, x_shape, s, axes, norm: _transposed_in_several(fft, g, x_shape, s, axes, norm),
    cases=SEVERAL,
    hint=_scaling_hint,
    real=True,
    batch=_several_all,
    jvp="linear",
    math=(r"(F x)_{k \le n / 2}", r"\operatorname{Re}(\overline{F} g)"),
)
def rfftn(
    x: NDArray, /, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: Scaling = None
) -> Any:
    """The Fourier transform of real values along several axes, of the last axis one half.

    Shape: x's with the sizes `s` along `axes`, the last s // 2 + 1, complex. `norm` as for fft.
    >>> rfftn(np.array([[1.0, 1.0]]))
    array([[2.+0.j, 0.+0.j]])
    """
    return np.fft.rfftn(x, s, _all_of(s, axes), norm)


@op(
    _derivative_of_irfftn,
    cases=SEVERAL,
    hint=_scaling_hint,
    batch=_several_all,
    jvp="linear",
    math=(
        r"\frac{1}{n} \operatorname{Re}(\overline{F} x)",
        r"\frac{m_k}{n} (F g)_{k \le n / 2}, \quad m_k = 1 \text{ at the ends, else } 2",
    ),
)
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


@composed
@explained
def fftshift(x: ArrayLike, /, axes: Axis = None) -> Any:
    """The zero frequency moved to the middle, along axes (all by default).

    Shape: same as x. It has a derivative. Raises AxisError for an axis that x does not have.
    >>> fftshift(np.array([0, 1, -1]))
    array([-1,  0,  1])
    """
    x, axes = _halves("fftshift", x, axes)
    return roll(x, tuple(_size("fftshift", x, a) // 2 for a in axes), axes)


@composed
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
