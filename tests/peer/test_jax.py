"""Derivatives for complex numbers, Fourier transforms and linear algebra beside JAX's, in both modes.

For a real loss JAX's gradient is the conjugate of ours, which is PyTorch's; tangents of forward mode are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import func

jax = pytest.importorskip("jax", reason="JAX, which is compared with, is not installed")
jnp = jax.numpy

ELEMENTWISE = """exp expm1 log log1p sin cos tan sinh cosh tanh asin acos atan asinh acosh atanh sqrt square reciprocal
abs angle real imag conj""".split()
PAIRS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "multiply": lambda lib, x, y: x * y,
    "divide": lambda lib, x, y: x / y,
    "power": lambda lib, x, y: x**y,
    "matmul": lambda lib, x, y: x @ y.T,
    "einsum": lambda lib, x, y: lib.einsum("ij,kj->ik", x, y),
    "where": lambda lib, x, y: lib.where(np.eye(3, 4) > 0, x, y),
    "conjugate product": lambda lib, x, y: lib.conj(x) * y + lib.abs(y) * x,
}
OF_ARRAYS: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda lib, x: lib.sum(x, axis=1),
    "prod": lambda lib, x: lib.prod(x, axis=0),
    "mean": lambda lib, x: lib.mean(x, axis=(0, 1)),
    "var": lambda lib, x: lib.var(x, axis=1),
    "std": lambda lib, x: lib.std(x),
    "cumulative sum": lambda lib, x: lib.cumulative_sum(x, axis=1),
    "indexing": lambda lib, x: x[1:, ::2] * x[0, 0],
    "norm": lambda lib, x: lib.linalg.vector_norm(x, axis=0),
    "norm of order 3": lambda lib, x: lib.linalg.vector_norm(x, axis=1, ord=3),
}
FOURIER: dict[str, Callable[[Any, Any], Any]] = {
    "fft": lambda f, x: f.fft(x),
    "fft, truncated": lambda f, x: f.fft(x, n=3, axis=1, norm="ortho"),
    "fft, padded": lambda f, x: f.fft(x, n=9, axis=0, norm="forward"),
    "ifft": lambda f, x: f.ifft(x, n=5),
    "fftn": lambda f, x: f.fftn(x),
    "fftn of shape": lambda f, x: f.fftn(x, s=(2, 7), axes=(0, 1), norm="ortho"),
    "ifftn": lambda f, x: f.ifftn(x, norm="forward"),
    "irfft, even": lambda f, x: f.irfft(x),
    "irfft, odd": lambda f, x: f.irfft(x, n=7, norm="ortho"),
    "irfftn": lambda f, x: f.irfftn(x, s=(3, 5), axes=(0, 1)),
    "hfft": lambda f, x: f.hfft(x, n=6),
    "fftshift": lambda f, x: f.fftshift(x, axes=1) * f.ifftshift(x),
}
OF_REAL: dict[str, Callable[[Any, Any], Any]] = {
    "rfft": lambda f, x: f.rfft(x),
    "rfft, odd": lambda f, x: f.rfft(x, n=5, norm="ortho"),
    "rfft, padded": lambda f, x: f.rfft(x, n=8, axis=0),
    "rfftn": lambda f, x: f.rfftn(x, s=(3, 6), axes=(0, 1), norm="forward"),
    "ihfft": lambda f, x: f.ihfft(x, n=6),
    "fft of real": lambda f, x: f.fft(x),
}
MATRICES: dict[str, Callable[[Any, Any], Any]] = {
    "det": lambda lib, x: lib.linalg.det(x),
    "slogdet": lambda lib, x: lib.linalg.slogdet(x)[1] + lib.real(lib.linalg.slogdet(x)[0]),
    "inv": lambda lib, x: lib.linalg.inv(x),
    "solve": lambda lib, x: lib.linalg.solve(x, x[:, :2] * x[0, 0]),
    "pinv": lambda lib, x: lib.linalg.pinv(x[:, :3]),
    "cholesky": lambda lib, x: lib.linalg.cholesky(x @ lib.conj(x).T + np.eye(4)),
    "qr": lambda lib, x: lib.abs(lib.linalg.qr(x)[1]),
    "svd values": lambda lib, x: lib.linalg.svd(x, full_matrices=False)[1],
    "eigh values": lambda lib, x: lib.linalg.eigh(x + lib.conj(x).T)[0],
    "eigh projection": lambda lib, x: lib.abs(lib.linalg.eigh(x + lib.conj(x).T)[1]),
    "eigenvalues": lambda lib, x: lib.sum(lib.linalg.eigvals(x) ** 3),
}


@pytest.fixture(autouse=True)
def doubles() -> Iterator[None]:
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def draw(*shape: int, real: bool = False) -> np.ndarray:
    rng = np.random.default_rng(sum(shape))
    x = rng.normal(size=shape)
    return x if real else x + 1j * rng.normal(size=shape)


def loss_of(lib: Any, f: Callable[..., Any]) -> Callable[..., Any]:
    """A real number of what a function gives, with a weight for each of its numbers and their conjugates."""

    def loss(*xs: Any) -> Any:
        out = f(*xs)
        weight = draw(*out.shape)
        return lib.sum(lib.real(out * weight)) + 0.5 * lib.sum(lib.real(out * lib.conj(out)))

    return loss


def assert_same(ours: Callable[..., Any], theirs: Callable[..., Any], *xs: np.ndarray) -> None:
    """Values, gradients and tangents are the same."""
    tangents = [draw(*x.shape, real=x.dtype.kind == "f") for x in xs]

    @jax.jit  # as one program, which JAX makes sooner than one for each operation
    def together(arrays: Any, tangents: Any) -> Any:
        pushed = jax.jvp(theirs, arrays, tangents)
        return *pushed, jax.grad(loss_of(jnp, theirs), argnums=tuple(range(len(xs))))(*arrays)

    want, pushed, found = together(list(xs), tangents)
    gradients = [np.conj(np.asarray(g)) for g in found]
    leaves = [tg.Tensor(x, requires_grad=True) for x in xs]
    out, tangent = func.jvp(ours, tuple(map(tg.asarray, xs)), tuple(map(tg.asarray, tangents)))
    loss_of(tg, ours)(*leaves).backward()
    for got, expected in (
        (out, np.asarray(want)),
        (tangent, np.asarray(pushed)),
        *((x.grad, g) for x, g in zip(leaves, gradients)),
    ):
        scale = max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-8, atol=1e-9 * scale)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_functions_of_complex_numbers(name: str) -> None:
    theirs = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh", "acosh": "arccosh"}
    f = getattr(jnp, {**theirs, "atanh": "arctanh"}.get(name, name))
    x = draw(3, 4)
    # JAX's derivative of acosh has the other sign to the left of the imaginary axis, where the branch has it not.
    assert_same(getattr(tg, name), f, np.abs(x.real) + 1j * x.imag if name == "acosh" else x)


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_of_complex_numbers(name: str) -> None:
    f = PAIRS[name]
    assert_same(lambda x, y: f(tg, x, y), lambda x, y: f(jnp, x, y), draw(3, 4), draw(3, 4) * (0.5 + 1j))


@pytest.mark.parametrize("name", OF_ARRAYS)
def test_arrays_of_complex_numbers(name: str) -> None:
    f = OF_ARRAYS[name]
    assert_same(lambda x: f(tg, x), lambda x: f(jnp, x), draw(3, 4))


@pytest.mark.parametrize("name", FOURIER)
def test_fourier_transforms(name: str) -> None:
    f = FOURIER[name]
    assert_same(lambda x: f(tg.fft, x), lambda x: f(jnp.fft, x), draw(4, 6))


@pytest.mark.parametrize("name", OF_REAL)
def test_fourier_transforms_of_real_numbers(name: str) -> None:
    f = OF_REAL[name]
    assert_same(lambda x: f(tg.fft, x), lambda x: f(jnp.fft, x), draw(4, 6, real=True))


@pytest.mark.parametrize("name", MATRICES)
def test_complex_matrices(name: str) -> None:
    f = MATRICES[name]
    assert_same(lambda x: f(tg, x), lambda x: f(jnp, x), draw(4, 4))
