"""Fourier transforms: NumPy's values, no gradient through complex values, and the shifts, which have one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_dl import Tensor, fft
from tinygrad_dl.errors import AxisError, DTypeError, ShapeError, ValueRangeError

ONE = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
TWO = ("fft2", "ifft2", "rfft2", "irfft2")
SEVERAL = ("fftn", "ifftn", "rfftn", "irfftn")


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize(
    "options", [{}, {"n": 3}, {"n": 6, "axis": 0}, {"norm": "ortho"}, {"norm": "forward"}]
)
def test_transforms_along_one_axis_are_numpys(name: str, options: dict[str, Any]) -> None:
    x = np.random.default_rng(0).standard_normal((4, 5))
    out = getattr(fft, name)(Tensor(x), **options)
    np.testing.assert_array_equal(out.numpy(), getattr(np.fft, name)(x, **options))


@pytest.mark.parametrize("name", TWO + SEVERAL)
def test_transforms_along_several_axes_are_numpys(name: str) -> None:
    x = np.random.default_rng(0).standard_normal((3, 4, 5))
    for options in ({}, {"axes": (0, 2)}, {"s": (4, 6), "axes": (1, 2)}, {"norm": "ortho"}):
        out = getattr(fft, name)(Tensor(x), **options)
        np.testing.assert_array_equal(out.numpy(), getattr(np.fft, name)(x, **options))


def test_sizes_without_axes_are_those_of_the_last_axes() -> None:
    x = np.ones((2, 3, 4))
    np.testing.assert_array_equal(fft.fftn(x, s=(5, 6)), np.fft.fftn(x, (5, 6), (-2, -1)))


def test_arrays_give_arrays_lists_give_tensors_and_float32_gives_complex64() -> None:
    assert type(fft.fft(np.ones(3))) is np.ndarray
    assert isinstance(fft.fft([1.0, 2.0]), Tensor)
    assert fft.rfft(Tensor([1.0, 2.0])).dtype == np.complex64
    assert fft.irfft(fft.rfft(Tensor([1.0, 2.0]))).dtype == np.float32


@given(st.integers(1, 9), st.integers(0, 2**31))
def test_a_transform_and_its_inverse_undo_each_other(n: int, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((2, n))
    np.testing.assert_allclose(fft.ifft(fft.fft(x)), x, atol=1e-12)
    np.testing.assert_allclose(fft.irfft(fft.rfft(x), n), x, atol=1e-12)
    np.testing.assert_allclose(fft.irfftn(fft.rfftn(x), x.shape), x, atol=1e-12)
    np.testing.assert_array_equal(fft.ifftshift(fft.fftshift(x)), x)


@pytest.mark.parametrize("axes", [None, 0, -1, (0, 1), (-1,)])
@pytest.mark.parametrize("name", ["fftshift", "ifftshift"])
def test_shifts_are_numpys_and_pass_the_gradient_back(name: str, axes: Any) -> None:
    x = np.arange(15.0).reshape(3, 5)
    shift = getattr(fft, name)
    t = Tensor(x, requires_grad=True)
    out = shift(t, axes)
    np.testing.assert_array_equal(out.detach().numpy(), getattr(np.fft, name)(x, axes))
    (out * x).sum().backward()
    back = np.fft.ifftshift if name == "fftshift" else np.fft.fftshift
    assert t.grad is not None
    np.testing.assert_array_equal(t.grad.numpy(), back(x, axes))


def test_frequencies_take_the_default_dtype_or_the_one_asked_for() -> None:
    assert fft.fftfreq(5, d=0.5).dtype == np.float32
    np.testing.assert_allclose(fft.fftfreq(5, d=0.5, dtype="float64").numpy(), np.fft.fftfreq(5, 0.5))
    np.testing.assert_allclose(fft.rfftfreq(4, dtype="float64").numpy(), np.fft.rfftfreq(4))


def test_numpys_functions_reach_tensors() -> None:
    x = Tensor([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(np.fft.fft(x).numpy(), np.fft.fft(x.numpy()))
    assert isinstance(np.fft.fftshift(x), Tensor)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: fft.fftfreq(0),
            ValueRangeError,
            "fftfreq: expected a positive integer for the number of samples, got 0",
        ),
        (
            lambda: fft.rfftfreq(2.5),  # type: ignore[arg-type]
            DTypeError,
            "rfftfreq: n: expected an int, got float 2.5",
        ),
        (
            lambda: fft.fftfreq(3, dtype="int64"),
            DTypeError,
            "fftfreq: expected a real floating dtype, got int64",
        ),
        (
            lambda: fft.fftfreq(3, device="gpu"),
            ValueRangeError,
            "fftfreq: expected the device \"cpu\", the only one, got 'gpu'",
        ),
        (lambda: fft.fftshift(np.ones(3), axes=1), AxisError, "fftshift: the shape (3,) has no axis 1"),
        (
            lambda: fft.fft(np.ones(3), n=0),
            ShapeError,
            "fft((3,), n=0): Invalid number of FFT data points (0) specified.",
        ),
        (
            lambda: fft.fft(np.ones(3), norm="both"),
            ValueRangeError,
            "fft: norm: expected one of 'backward', 'ortho', 'forward' or None, got str 'both'",
        ),
        (lambda: fft.fft("a"), DTypeError, "fft: expected a Tensor, an array or a number, got str 'a'"),
    ],
)
def test_wrong_calls_say_what_came_and_what_is_needed(call: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message
