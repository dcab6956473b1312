"""Waiting for another process or a browser, however long a busy machine takes."""

from __future__ import annotations

import time
from collections.abc import Callable

PAUSE, POLLS = 0.05, 6000  # the waits alone last five minutes: whoever takes longer hangs


def wait_until(is_so: Callable[[], object], told: Callable[[], object] = str) -> None:
    """Ask until it is so; fails with what `told` says after so many questions. No clock is read."""
    for _ in range(POLLS):
        if is_so():
            return
        time.sleep(PAUSE)
    raise AssertionError(f"it was never so: {told()}")
