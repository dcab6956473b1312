"""A second thread for large loops: a worker that waits in native code, woken for one half of a piece of work.

Which half computes what does not depend on timing, and no element's sum is divided, so results are the same with the
worker and without. It is there once a program needs it; a forked child has none, and computes both halves itself. Like
NumPy's BLAS it is not used where that is told to use one thread.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from threading import Lock, Thread
from typing import Any

import numpy as np

# Bytes from the start of the record that main thread and worker share; each in a line of the cache of its own.
ALIVE, BUSY, JOB, SLEEPING, FUNCTION, ARGUMENTS, MUTEX, CONDITION, SIZE = (
    0,
    64,
    128,
    192,
    256,
    264,
    320,
    448,
    640,
)
# How often the worker looks for the next piece of work before it sleeps.
LOOKS = 20_000

TEXT = f"""
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_signal(ptr)
declare i32 @sched_yield()

define void @parallel(ptr %pool, ptr %function, ptr %arguments) nounwind {{
entry:
  %alive = load atomic i64, ptr %pool acquire, align 8
  %there = icmp ne i64 %alive, 0
  br i1 %there, label %claim, label %alone
claim:
  %busy = getelementptr i8, ptr %pool, i64 {BUSY}
  %pair = cmpxchg ptr %busy, i64 0, i64 1 seq_cst seq_cst, align 8
  %mine = extractvalue {{ i64, i1 }} %pair, 1
  br i1 %mine, label %start, label %alone
alone:
  call void %function(ptr %arguments, i64 0)
  call void %function(ptr %arguments, i64 1)
  ret void
start:
  %job = getelementptr i8, ptr %pool, i64 {JOB}
  %sleeping = getelementptr i8, ptr %pool, i64 {SLEEPING}
  %f = getelementptr i8, ptr %pool, i64 {FUNCTION}
  %a = getelementptr i8, ptr %pool, i64 {ARGUMENTS}
  store ptr %function, ptr %f, align 8
  store ptr %arguments, ptr %a, align 8
  store atomic i64 1, ptr %job seq_cst, align 8
  %asleep = load atomic i64, ptr %sleeping seq_cst, align 8
  %wake = icmp ne i64 %asleep, 0
  br i1 %wake, label %signal, label %own
signal:
  %mutex = getelementptr i8, ptr %pool, i64 {MUTEX}
  %condition = getelementptr i8, ptr %pool, i64 {CONDITION}
  %r1 = call i32 @pthread_mutex_lock(ptr %mutex)
  %r2 = call i32 @pthread_cond_signal(ptr %condition)
  %r3 = call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %own
own:
  call void %function(ptr %arguments, i64 0)
  br label %wait
wait:
  %n = phi i64 [ 0, %own ], [ %more, %again ], [ %n, %yield ]
  %now = load atomic i64, ptr %job acquire, align 8
  %finished = icmp eq i64 %now, 2
  br i1 %finished, label %done, label %look
look:
  %patient = icmp ult i64 %n, 2000
  br i1 %patient, label %again, label %yield
again:
  %more = add i64 %n, 1
  br label %wait
yield:
  %r4 = call i32 @sched_yield()
  br label %wait
done:
  store atomic i64 0, ptr %job release, align 8
  store atomic i64 0, ptr %busy release, align 8
  ret void
}}

define void @worker(ptr %pool) nounwind {{
entry:
  %job = getelementptr i8, ptr %pool, i64 {JOB}
  %sleeping = getelementptr i8, ptr %pool, i64 {SLEEPING}
  %f = getelementptr i8, ptr %pool, i64 {FUNCTION}
  %a = getelementptr i8, ptr %pool, i64 {ARGUMENTS}
  %mutex = getelementptr i8, ptr %pool, i64 {MUTEX}
  %condition = getelementptr i8, ptr %pool, i64 {CONDITION}
  br label %idle
idle:
  br label %look
look:
  %n = phi i64 [ 0, %idle ], [ %more, %again ]
  %now = load atomic i64, ptr %job acquire, align 8
  %ready = icmp eq i64 %now, 1
  br i1 %ready, label %work, label %none
none:
  %patient = icmp ult i64 %n, {LOOKS}
  br i1 %patient, label %again, label %sleep
again:
  %more = add i64 %n, 1
  br label %look
sleep:
  %r1 = call i32 @pthread_mutex_lock(ptr %mutex)
  store atomic i64 1, ptr %sleeping seq_cst, align 8
  br label %check
check:
  %then = load atomic i64, ptr %job seq_cst, align 8
  %called = icmp eq i64 %then, 1
  br i1 %called, label %wake, label %still
still:
  %r2 = call i32 @pthread_cond_wait(ptr %condition, ptr %mutex)
  br label %check
wake:
  store atomic i64 0, ptr %sleeping seq_cst, align 8
  %r3 = call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %work
work:
  %function = load ptr, ptr %f, align 8
  %arguments = load ptr, ptr %a, align 8
  call void %function(ptr %arguments, i64 1)
  store atomic i64 2, ptr %job release, align 8
  br label %idle
}}
"""


class Pool:
    """The worker and the record that it shares; `parallel` is the address of the function that divides work."""

    def __init__(self) -> None:
        from tinygrad_dl.compiler.llvm import compiled

        self._engine, (self.parallel, worker) = compiled(TEXT, ["parallel", "worker"])
        self._memory = np.zeros(SIZE + 64, np.uint8)
        start = -self._memory.ctypes.data % 64
        self.record = self._memory[start : start + SIZE].view(np.int64)
        self.address = self.record.ctypes.data
        library = ctypes.CDLL(None)
        library.pthread_mutex_init(ctypes.c_void_p(self.address + MUTEX), None)
        library.pthread_cond_init(ctypes.c_void_p(self.address + CONDITION), None)
        run = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(worker)
        Thread(target=run, args=(self.address,), name="tinygrad_dl worker", daemon=True).start()
        self.record[ALIVE] = 1
        os.register_at_fork(after_in_child=self._forked)
        ctypes.pythonapi.Py_IncRef(
            ctypes.py_object(self)
        )  # the worker goes on to the very end of the process

    def _forked(self) -> None:
        """A child has no worker: its parent's may have been at work, which is none of its own."""
        self.record[:] = 0


_lock = Lock()
_pools: list[Pool] = []


@cache
def wanted() -> bool:
    """Whether there is a second processor for this process, and BLAS may use it too."""
    if sys.platform not in ("linux", "darwin"):
        return False
    there: Any = getattr(os, "sched_getaffinity", None)
    count = len(there(0)) if there is not None else os.cpu_count() or 1
    return count > 1 and _blas_threads() > 1


def _blas_threads() -> int:
    from tinygrad_dl.compiler.llvm import openblas

    library = openblas()
    for name in (
        "scipy_openblas_get_num_threads64_",
        "openblas_get_num_threads64_",
        "scipy_openblas_get_num_threads",
        "openblas_get_num_threads",
    ):
        if library is not None and hasattr(library, name):
            return int(getattr(library, name)())
    return int(os.environ.get("OMP_NUM_THREADS", "2") or 2)


def pool() -> Pool:
    """The process's pool, made at the first call."""
    with _lock:
        if not _pools:
            _pools.append(Pool())
        return _pools[0]
