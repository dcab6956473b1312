"""Calls of the user's functions: refused in words where a function cannot take the arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

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
