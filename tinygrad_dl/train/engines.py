"""Where the trials of a search run: in processes of this machine, or on a Dask cluster."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol


class Outcome(NamedTuple):
    """How a call ended: with a result, with an error, or because the process that ran it died."""

    result: Any = None
    error: BaseException | None = None
    died: bool = False


class Engine(Protocol):
    """Runs calls elsewhere, at most `slots` at a time."""

    @property
    def slots(self) -> int:
        """How many calls it can run at a time."""
        ...

    @property
    def busy(self) -> int:
        """How many calls have not ended."""
        ...

    def start(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Begin a call."""

    def wait(self, seconds: float) -> Iterator[Outcome]:
        """The calls that have ended, after at most so many seconds."""
        ...

    def close(self) -> None:
        """Wait for the calls that have begun, and release what is held."""


class Processes:
    """Processes of this machine. Each is a pool of its own, so that one that is killed takes no other along."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._idle: list[Any] = []
        self._running: dict[Any, Any] = {}  # future -> its pool

    @property
    def busy(self) -> int:
        return len(self._running)

    def start(self, call: Callable[..., Any], *arguments: Any) -> None:
        from concurrent.futures import ProcessPoolExecutor
        from concurrent.futures.process import BrokenProcessPool
        from multiprocessing import get_context

        while self._idle:
            pool = self._idle.pop()
            try:
                self._running[pool.submit(call, *arguments)] = pool
                return
            except BrokenProcessPool:  # killed while it had nothing to do
                pool.shutdown()
        # Spawned, not forked: a forked process would inherit locks and threads of this one.
        pool = ProcessPoolExecutor(1, get_context("spawn"), _end_with_parent, (os.getpid(),))
        self._running[pool.submit(call, *arguments)] = pool

    def wait(self, seconds: float) -> Iterator[Outcome]:
        from concurrent.futures import FIRST_COMPLETED, wait
        from concurrent.futures.process import BrokenProcessPool

        for future in wait(self._running, seconds, FIRST_COMPLETED).done:
            pool, error = self._running.pop(future), future.exception()
            if isinstance(error, BrokenProcessPool):
                pool.shutdown()
                yield Outcome(died=True)
            else:
                self._idle.append(pool)
                yield Outcome(None if error else future.result(), error)

    def close(self) -> None:
        for pool in [*self._idle, *self._running.values()]:
            pool.shutdown()
        self._idle, self._running = [], {}


def _end_with_parent(parent: int) -> None:
    """End this process when its parent is killed: it must neither go on alone nor wait for work forever."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    if os.name == "posix":
        threading.Thread(target=watch, daemon=True).start()


class Dask:
    """The workers of a Dask cluster. `slots`: None for one call for each thread that the cluster has at the time."""

    def __init__(self, client: Any, slots: int | None = None) -> None:
        self._client, self._slots = client, slots
        self._running: set[Any] = set()

    @property
    def slots(self) -> int:
        # A cluster without workers may get some: one call waits for them.
        return self._slots or max(1, sum(self._client.nthreads().values()))

    @property
    def busy(self) -> int:
        return len(self._running)

    def start(self, call: Callable[..., Any], *arguments: Any) -> None:
        self._running.add(self._client.submit(call, *arguments, pure=False))

    def wait(self, seconds: float) -> Iterator[Outcome]:
        from distributed import KilledWorker, TimeoutError, wait

        try:
            ended: Any = wait(self._running, timeout=seconds, return_when="FIRST_COMPLETED")
        except TimeoutError:
            return
        for future in ended.done:
            self._running.discard(future)
            error = None if future.cancelled() else future.exception()
            if future.cancelled() or isinstance(error, KilledWorker):
                yield Outcome(died=True)
            else:
                yield Outcome(None if error else future.result(), error)

    def close(self) -> None:
        """Calls that no worker has begun are not run; those that run end by themselves."""
        if self._running:
            self._client.cancel(list(self._running))
        self._running = set()
