"""torch.fft: the core's functions with PyTorch's arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl import config
from tinygrad_dl import fft as core
from tinygrad_dl.torch.boundary import function, made, without_example
from tinygrad_dl.torch.dtypes import numpy_of
from tinygrad_dl.torch.registry import floating


def _one(name: str) -> Any:
    f = getattr(core, name)

    def call(input: Any, n: Any = None, dim: int = -1, norm: Any = None) -> Any:
        return f(floating(input), n=n, axis=dim, norm=norm or "backward")

    call.__name__, call.__doc__ = name, without_example(f.__doc__)
    return function(call)


def _several(name: str, default: Any) -> Any:
    f = getattr(core, name)

    def call(input: Any, s: Any = None, dim: Any = default, norm: Any = None) -> Any:
        if dim is None and s is not None:
            dim = tuple(range(-len(s), 0))
        if dim is not None and s is not None and -1 in s:
            s = tuple(input.shape[d] if n == -1 else n for n, d in zip(s, dim))
        axis = None if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
        return f(floating(input), s=None if s is None else tuple(s), axes=axis, norm=norm or "backward")

    call.__name__, call.__doc__ = name, without_example(f.__doc__)
    return function(call)


for _name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
    globals()[_name] = _one(_name)
for _name in ("fft2", "ifft2", "rfft2", "irfft2"):
    globals()[_name] = _several(_name, (-2, -1))
for _name in ("fftn", "ifftn", "rfftn", "irfftn"):
    globals()[_name] = _several(_name, None)


@function
def fftshift(input: Any, dim: Any = None) -> Any:
    """The zero frequency moved to the middle."""
    return core.fftshift(input, axes=tuple(dim) if isinstance(dim, list) else dim)


@function
def ifftshift(input: Any, dim: Any = None) -> Any:
    """The inverse of fftshift."""
    return core.ifftshift(input, axes=tuple(dim) if isinstance(dim, list) else dim)


def fftfreq(
    n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """The frequencies of fft."""
    return made(np.fft.fftfreq(n, d).astype(config.default_dtype if dtype is None else numpy_of(dtype)))


def rfftfreq(
    n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """The frequencies of rfft."""
    return made(np.fft.rfftfreq(n, d).astype(config.default_dtype if dtype is None else numpy_of(dtype)))
