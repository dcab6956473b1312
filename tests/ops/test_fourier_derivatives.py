"""Derivatives of Fourier transforms: every size, padded or cut, odd or even, every norm, repeated axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import fft
from tinygrad_dl.testing import gradcheck, gradgradcheck

RNG = np.random.default_rng(0)


def drawn(name: str, *shape: int) -> np.ndarray:
    """An input of a transform: real numbers for those that take these only."""
    real = RNG.standard_normal(shape)
    return real if name.startswith(("rfft", "ihfft")) else real + 1j * RNG.standard_normal(shape)


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
@pytest.mark.parametrize("size", [1, 4, 5])
def test_one_axis_of_any_size(name: str, size: int) -> None:
    for n, norm in ((None, None), (1, "ortho"), (2, None), (5, "forward"), (6, "ortho"), (7, "backward")):
        if n is None and size == 1 and name in ("irfft", "hfft"):
            continue  # to the size 0

        def transform(z: Any, n: Any = n, norm: Any = norm) -> Any:
            return getattr(fft, name)(z, n, 0, norm)

        assert gradcheck(transform, drawn(name, size, 2)), (n, norm)
        assert gradgradcheck(transform, drawn(name, size, 2), fast=True), (n, norm)


@pytest.mark.parametrize("name", ["fftn", "ifftn", "rfftn", "irfftn", "fft2", "irfft2"])
@pytest.mark.parametrize(
    ("s", "axes"),
    [((3, 5), (0, 2)), ((4, 2), (2, 1)), ((2, -1), (0, 1)), ((6,), (1,)), ((3, 4), (1, 1)), (None, (0, 0))],
)
def test_several_axes_in_any_order_and_repeated(name: str, s: Any, axes: Any) -> None:
    def transform(z: Any) -> Any:
        return getattr(fft, name)(z, s, axes, "ortho")

    assert gradcheck(transform, drawn(name, 2, 3, 4), fast=True)
    assert gradgradcheck(transform, drawn(name, 2, 3, 4), fast=True)


def test_real_values_have_real_gradients_through_a_transform_and_back() -> None:
    x = tg.Tensor(np.arange(6.0), requires_grad=True)
    fft.irfft(fft.rfft(x) * 2, 6).sum().backward()
    assert x.grad is not None and x.grad.dtype == np.float64
    np.testing.assert_allclose(x.grad.data, np.full(6, 2.0))
