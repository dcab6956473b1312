"""Programs under mpirun: on this machine only, bounded in time, skipped where there is no MPI."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.layout import ROOT
from tinygrad_dl.distributed.trial import ONE_MACHINE, launcher

TIMEOUT = 300  # seconds; a run takes a few


def missing() -> str:
    """Why programs cannot be run; empty if they can."""
    if find_spec("mpi4py") is None:
        return "mpi4py is not installed (extra mpi)"
    if launcher() is None:
        return "no mpirun is installed"
    return ""


needs_mpi = pytest.mark.skipif(bool(missing()), reason=missing() or "MPI is here")


def run(
    ranks: int, program: str, *arguments: object, timeout: float = TIMEOUT
) -> subprocess.CompletedProcess[str]:
    """Run `python -m tests.distributed.PROGRAM` on so many ranks; 0: without mpirun."""
    command = [sys.executable, "-W", "error", "-m", f"tests.distributed.{program}", *map(str, arguments)]
    if ranks:
        path = launcher()
        assert path is not None
        command = [path, "-n", str(ranks), *command]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **ONE_MACHINE}, capture_output=True, text=True, check=False,
        timeout=timeout, errors="replace", stdin=subprocess.DEVNULL,
    )  # fmt: skip
