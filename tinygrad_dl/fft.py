"""Discrete Fourier transforms: the array API standard's `fft`, and NumPy's functions of two axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_dl.arguments import checked
from tinygrad_dl.config import get_default_dtype
from tinygrad_dl.creation import asarray
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.ops.fourier import (
    Scaling,
    fft,
    fftn,
    fftshift,
    hfft,
    ifft,
    ifftn,
    ifftshift,
    ihfft,
    irfft,
    irfftn,
    rfft,
    rfftn,
)
from tinygrad_dl.signatures import composed
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import DTypeLike, NDArray

__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifft2", "ifftn", "ifftshift", "ihfft",
    "irfft", "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip


@composed
@checked
def fft2(
    x: Any, /, s: Sequence[int] | None = None, axes: tuple[int, ...] = (-2, -1), norm: Scaling = None
) -> Any:
    """The Fourier transform along two axes; see fftn."""
    return fftn(x, s, axes, norm)


@composed
@checked
def ifft2(
    x: Any, /, s: Sequence[int] | None = None, axes: tuple[int, ...] = (-2, -1), norm: Scaling = None
) -> Any:
    """The inverse of fft2; see ifftn."""
    return ifftn(x, s, axes, norm)


@composed
@checked
def rfft2(
    x: Any, /, s: Sequence[int] | None = None, axes: tuple[int, ...] = (-2, -1), norm: Scaling = None
) -> Any:
    """The Fourier transform of real values along two axes; see rfftn."""
    return rfftn(x, s, axes, norm)


@composed
@checked
def irfft2(
    x: Any, /, s: Sequence[int] | None = None, axes: tuple[int, ...] = (-2, -1), norm: Scaling = None
) -> Any:
    """The inverse of rfft2; see irfftn."""
    return irfftn(x, s, axes, norm)


def _frequencies(
    what: str,
    function: Callable[[int, float], NDArray],
    n: int,
    d: float,
    dtype: DTypeLike | None,
    device: str | None,
) -> Tensor:
    if not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueRangeError(f"{what}: expected a positive integer for the number of samples, got {n!r}")
    if device not in (None, "cpu"):
        raise ValueRangeError(f'{what}: expected the device "cpu", the only one, got {device!r}')
    dtype = np.dtype(get_default_dtype() if dtype is None else dtype)
    if dtype.kind != "f":
        raise DTypeError(f"{what}: expected a real floating dtype, got {dtype}")
    return asarray(function(n, d).astype(dtype))


@checked
def fftfreq(
    n: int, /, *, d: float = 1.0, dtype: DTypeLike | None = None, device: str | None = None
) -> Tensor:
    """The frequencies, in cycles per unit, that fft's results are for; `d` is the distance between samples.

    out = [0, 1, ..., (n - 1) // 2, -(n // 2), ..., -1] / (d n).   Shape: (n,).
    >>> fftfreq(4)
    Tensor([ 0.  ,  0.25, -0.5 , -0.25])
    """
    return _frequencies("fftfreq", np.fft.fftfreq, n, d, dtype, device)


@checked
def rfftfreq(
    n: int, /, *, d: float = 1.0, dtype: DTypeLike | None = None, device: str | None = None
) -> Tensor:
    """The frequencies, in cycles per unit, that rfft's results are for; `d` is the distance between samples.

    out = [0, 1, ..., n // 2] / (d n).   Shape: (n // 2 + 1,).
    >>> rfftfreq(4)
    Tensor([0.  , 0.25, 0.5 ])
    """
    return _frequencies("rfftfreq", np.fft.rfftfreq, n, d, dtype, device)
