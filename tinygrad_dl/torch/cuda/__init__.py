"""torch.cuda: there is none, and everything that asks is told so."""

from __future__ import annotations

from typing import Any

from tinygrad_dl.torch.cuda import amp as amp
from tinygrad_dl.torch.dtypes import check_device


def is_available() -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def is_bf16_supported(*args: Any) -> bool:
    """False."""
    return False


def is_initialized() -> bool:
    """False."""
    return False


def _nothing(*args: Any, **kwargs: Any) -> Any:
    """Nothing, on a machine without CUDA."""


manual_seed = manual_seed_all = seed = seed_all = empty_cache = synchronize = reset_peak_memory_stats = (
    _nothing
)
reset_max_memory_allocated = ipc_collect = init = _nothing


def memory_allocated(device: Any = None) -> int:
    """0."""
    return 0


max_memory_allocated = memory_reserved = max_memory_reserved = memory_cached = memory_allocated


def set_device(device: Any) -> None:
    """Raises: there is no such device."""
    check_device("cuda")


def current_device() -> int:
    """Raises: there is no such device."""
    check_device("cuda")
    return 0


def get_device_name(device: Any = None) -> str:
    """Raises: there is no such device."""
    check_device("cuda")
    return ""


get_device_capability = get_device_properties = get_device_name
