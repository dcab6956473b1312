"""Settings: the default dtype, the random generator, and the reuse of memory."""

from __future__ import annotations

import ctypes
import platform
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.typing import DTypeLike

default_dtype: np.dtype = np.dtype(np.float32)


def set_default_dtype(dtype: DTypeLike) -> None:
    """Set the dtype that lists of floats, Python floats and new parameters take.

    Raises DTypeError unless `dtype` is a real floating dtype.
    >>> set_default_dtype("float32")
    """
    global default_dtype
    try:
        new = np.dtype(dtype) if isinstance(dtype, (np.dtype, type, str)) else None
    except Exception:  # whatever NumPy raises for what is no dtype
        new = None
    if new is None or new.kind != "f":
        given = f"{new}" if new is not None else f"{dtype!r:.40}"
        raise DTypeError(f"set_default_dtype: expected a floating dtype, such as float32, got {given}")
    default_dtype = new


def get_default_dtype() -> np.dtype:
    """The dtype that lists of floats and new parameters take.

    >>> get_default_dtype()
    dtype('float32')
    """
    return default_dtype


_rng = np.random.default_rng()


def manual_seed(seed: int) -> np.random.Generator:
    """Seed the default generator and return it; the same seed gives the same bits on every run.

    The draws are always the same. What is computed from them is, too, for one number of BLAS threads
    (OPENBLAS_NUM_THREADS and the like): with another, sums in matrix products are added in another order. In float32
    and float64 the draws differ.

    >>> manual_seed(0).random() == manual_seed(0).random()
    True
    """
    global _rng
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise DTypeError(f"manual_seed: expected an int, got {seed!r:.40}")
    if seed < 0:
        raise ValueRangeError(f"manual_seed: expected an int of at least 0, got {seed}")
    _rng = np.random.default_rng(seed)
    return _rng


def default_rng(rng: np.random.Generator | int | None = None) -> np.random.Generator:
    """The generator to draw from: the one given, one seeded with the int given, or the default one.

    >>> default_rng(3).integers(10) == default_rng(3).integers(10)
    np.True_
    """
    if rng is None:
        return _rng
    if isinstance(rng, np.random.Generator):
        if _noted.states is not None:
            _noted.states.setdefault(id(rng), (rng, rng.bit_generator.state))
        return rng
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool):
        if rng < 0:
            raise ValueRangeError(f"rng: expected a seed of at least 0, got {rng}")
        return np.random.default_rng(int(rng))
    raise DTypeError(f"rng: expected a np.random.Generator, an int seed or None, got {type(rng).__name__}")


class _Noted(threading.local):
    """The generators that were given to draw from, with their states before; None where nobody wants to know."""

    states: dict[int, tuple[np.random.Generator, Any]] | None = None


_noted = _Noted()


@contextmanager
def noted_generators() -> Iterator[list[tuple[np.random.Generator | None, Any]]]:
    """What is drawn from inside, with the states before, to draw the same again; None is the default generator."""
    found: list[tuple[np.random.Generator | None, Any]] = [(None, _rng.bit_generator.state)]
    outer, _noted.states = _noted.states, {}
    try:
        yield found
    finally:
        found += _noted.states.values()
        if outer is not None:
            outer.update({key: value for key, value in _noted.states.items() if key not in outer})
        _noted.states = outer


def restore_generators(states: Iterable[tuple[np.random.Generator | None, Any]]) -> None:
    """Set generators back to states that were noted."""
    for generator, state in states:
        default_rng(generator).bit_generator.state = state


def reuse_memory(limit: int = 1 << 25) -> bool:
    """Let the process reuse the memory of freed arrays instead of returning it to the system; whether it does now.

    The C library of Linux (glibc) returns large freed arrays to the system, and each training step then pays for
    fresh pages. After this call arrays of up to `limit` bytes are reused: the time of a LeNet step falls by a
    third. The price: memory that any part of the process frees may stay resident, as much as it once used. It
    cannot be undone. Returns False, and changes nothing, with another C library.

    >>> reuse_memory()  # doctest: +SKIP
    True
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    # Numbers from malloc.h. Larger arrays are mapped and unmapped one by one; up to twice as much may stay free at
    # the end of the heap. glibc adapts both limits in the same way once an array of this size has been freed.
    m_trim_threshold, m_mmap_threshold = -1, -3
    return bool(libc.mallopt(m_mmap_threshold, limit) and libc.mallopt(m_trim_threshold, 2 * limit))
