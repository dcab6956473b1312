"""Processes for mutation testing: each mutant in a child process of its own, several workers in parallel; and how
pytest runs in one."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.layout import ROOT

POLL_INTERVAL = 0.002  # seconds

_work: tuple[Sequence[Any], Callable[[Any], bool]] | None = None


def run_pytest(files: Sequence[str], without: str, *options: str, plugins: Sequence[object] = ()) -> bool:
    """Run the tests of some files, except for those whose name fits an expression; whether they fail."""
    import pytest

    quiet = [
        "-q", "-x", "-p", "no:cacheprovider", "--hypothesis-seed=0", "--no-header", "--tb=native", "--rootdir",
        str(ROOT), "-k", f"not ({without})",
    ]  # fmt: skip
    paths = [str(ROOT / "tests" / name) for name in files]
    return pytest.main([*quiet, *options, *paths], plugins=list(plugins)) != 0


def failing(run: Callable[[], bool], seconds: float) -> bool:
    """Whether `run` returns True, raises, crashes or hangs, in a silent child process."""
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
    # Counting intervals rather than reading the clock: a run that is suspended for a while is not taken to hang.
    for _ in range(int(seconds / POLL_INTERVAL)):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) != 0
        time.sleep(POLL_INTERVAL)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return True


def _at(i: int) -> tuple[int, bool]:
    assert _work is not None
    items, is_killed = _work
    return i, is_killed(items[i])


def each(items: Sequence[Any], is_killed: Callable[[Any], bool], workers: int) -> Iterator[tuple[int, bool]]:
    """Yield the index of each item and whether its mutant was killed, in order of completion."""
    global _work
    _work = items, is_killed
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        yield from pool.imap_unordered(_at, range(len(items)))
