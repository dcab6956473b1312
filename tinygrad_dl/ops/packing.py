"""What the decompositions share: parts packed in one array, arbitrary bases, matrices to draw in tests.

An operation has one result, so the parts of a decomposition (vectors and values) come packed in one array,
flattened one after the other; the public function takes them out, which passes their gradients back together.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod as product
from typing import Any

import numpy as np

from tinygrad_dl.convert import conjugated, values_of
from tinygrad_dl.errors import GraphError
from tinygrad_dl.ops.join import concat
from tinygrad_dl.ops.shape import reshape
from tinygrad_dl.typing import Array, NDArray


def pack(*parts: tuple[Any, int]) -> Any:
    """Several parts of one decomposition, (part, number of its own axes), in one array (..., P)."""
    flat = [p.reshape((*p.shape[: p.ndim - own], product(p.shape[p.ndim - own :]))) for p, own in parts]
    return np.concatenate(flat, axis=-1) if isinstance(flat[0], np.ndarray) else concat(flat, axis=-1)


def unpack(packed: Array, shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    """The parts of a decomposition, each of its own shape behind the leading axes, out of pack's array."""
    parts, start = [], 0
    for shape in shapes:
        stop = start + product(shape)
        parts.append(reshape(packed[..., start:stop], (*packed.shape[:-1], *shape)))
        start = stop
    return parts


def adjoint(x: Array) -> Any:
    """The conjugate transpose of matrices; of real ones the transpose."""
    return conjugated(x).mT


def check_free_basis(what: str, rotated: Array) -> None:
    """Raise GraphError if a gradient depends on a basis that the decomposition is free to choose."""
    inner = np.asarray(values_of(rotated))
    skew = np.abs(inner - adjoint(inner))
    if skew.size and skew.max() > np.finfo(inner.dtype).eps ** 0.5 * max(1.0, np.abs(inner).max()):
        raise GraphError(
            f"{what}: what was computed depends on how the basis of the remaining space is rotated, which is "
            "arbitrary, so it has no derivative. Use the reduced form."
        )


def check_free_phase(what: str, rotated: Array) -> None:
    """Raise GraphError if a gradient depends on the phase of complex vectors, which is free to choose.

    `rotated`: the diagonal of V^H g. Multiplying a vector by e^(i t) changes the loss by t times its imaginary part.
    """
    diagonal = np.asarray(values_of(rotated))
    if diagonal.dtype.kind != "c" or not diagonal.size:
        return
    if np.abs(np.imag(diagonal)).max() > np.finfo(diagonal.dtype).eps ** 0.5 * max(
        1.0, np.abs(diagonal).max()
    ):
        raise GraphError(
            f"{what}: what was computed depends on the phases of the complex vectors, which are arbitrary, so it has "
            "no derivative. Use what does not change when a vector is multiplied by a number of length 1, such as "
            "abs(V) or projections."
        )


def symmetric(x: np.ndarray) -> np.ndarray:
    """A matrix well away from singular, with distinct eigenvalues, symmetric and positive definite."""
    n = x.shape[-1]
    return (x + np.swapaxes(x, -1, -2)) / 4 + np.diag(np.arange(n, dtype=x.dtype) * 2 + n + 1)


def well_shaped(x: np.ndarray) -> np.ndarray:
    """A matrix of full rank with distinct singular values."""
    m, n = x.shape[-2:]
    return x / 2 + np.eye(m, n) * (np.arange(n) * 1.5 + 3)


def hermitian(x: NDArray) -> NDArray:
    """The part of x that equals its conjugate transpose; other inputs a symmetric operation does not see."""
    return (x + np.conj(np.swapaxes(x, -1, -2))) / 2
