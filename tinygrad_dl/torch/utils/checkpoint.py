"""torch.utils.checkpoint: computing again instead of saving."""

from __future__ import annotations

from typing import Any

__all__ = ["checkpoint", "checkpoint_sequential"]


def checkpoint(
    function: Any, *args: Any, use_reentrant: Any = None, preserve_rng_state: bool = True, **kwargs: Any
) -> Any:
    """The function's result. Everything is saved: the memory of a second run is not spared here."""
    return function(*args, **kwargs)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: Any = None, **kwargs: Any
) -> Any:
    """The functions one after another."""
    for function in functions:
        input = function(input)
    return input
