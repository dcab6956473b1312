"""torch.distributed: this is the only process."""

from __future__ import annotations

from typing import Any


def is_available() -> bool:
    """False: nothing communicates."""
    return False


def is_initialized() -> bool:
    """False."""
    return False


def get_rank(group: Any = None) -> int:
    """0."""
    return 0


def get_world_size(group: Any = None) -> int:
    """1."""
    return 1


def barrier(*args: Any, **kwargs: Any) -> None:
    """Nothing: there is no one to wait for."""


def destroy_process_group(*args: Any) -> None:
    """Nothing."""


def init_process_group(*args: Any, **kwargs: Any) -> None:
    """Raises: tinygrad_dl.torch runs in one process."""
    raise RuntimeError(
        "torch.distributed: tinygrad_dl.torch runs in one process; leave init_process_group out"
    )
