"""Processes for planted faults: each fault in a child of its own, several workers side by side."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

NAP = 0.002  # seconds

_work: tuple[Sequence[Any], Callable[[Any], bool]] | None = None


def failing(run: Callable[[], bool], seconds: float) -> bool:
    """Whether `run` gives True, raises, dies or hangs, in a child that says nothing."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setpgid(0, 0)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(1, 2)
            status = int(run())
        finally:
            os._exit(status)
    for _ in range(int(seconds / NAP)):  # naps, not the clock: a run that is paused for a while stays right
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) != 0
        time.sleep(NAP)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return True


def _at(i: int) -> tuple[int, bool]:
    assert _work is not None
    items, noticed = _work
    return i, noticed(items[i])


def each(items: Sequence[Any], noticed: Callable[[Any], bool], workers: int) -> Iterator[tuple[int, bool]]:
    """The number of each item and whether its fault was noticed, in the order in which they end."""
    global _work
    _work = items, noticed
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        yield from pool.imap_unordered(_at, range(len(items)))
