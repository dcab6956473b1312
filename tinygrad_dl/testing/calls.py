"""Calls of the user's functions: refused in words where a function cannot take the arguments."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_dl import config
from tinygrad_dl.errors import DTypeError


def refuse_call(what: str, function: Callable[..., Any], arguments: Sequence[Any], expected: str) -> None:
    """Raise where the signature of a function does not accept the arguments."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a builtin without one
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        count = len(arguments)
        raise DTypeError(
            f"{what}: expected a function of {count} argument{'' if count == 1 else 's'}, {expected}, got one of "
            f"{signature}. A list of inputs is several inputs; one input is an array."
        ) from None


@contextmanager
def random_states_kept() -> Iterator[None]:
    """Leave the generators of NumPy, Python and this library as they were, whatever the functions of a check draw."""
    own = config.default_rng()
    before, state, python = np.random.get_state(), own.bit_generator.state, random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
        config._rng, own.bit_generator.state = own, state
        random.setstate(python)
