"""Programs under mpirun: on this machine only, bounded in time, skipped where there is no MPI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.layout import ROOT

TIMEOUT = 300  # seconds; a run takes a few


def mpirun() -> str | None:
    """The launcher: of the system, or of the wheel that stands beside the interpreter or its packages."""
    found = shutil.which("mpirun")
    if found is None:
        folders = [
            Path(sys.executable).parent,
            *(Path(p).parents[2] / "bin" for p in sys.path if p.endswith("-packages")),
        ]
        found = next((str(f / "mpirun") for f in folders if (f / "mpirun").is_file()), None)
    return found


def missing() -> str:
    """Why programs cannot be run; empty if they can."""
    if find_spec("mpi4py") is None:
        return "mpi4py is not installed (extra mpi)"
    if mpirun() is None:
        return "no mpirun is installed"
    return ""


needs_mpi = pytest.mark.skipif(bool(missing()), reason=missing() or "MPI is here")


def run(
    ranks: int, program: str, *arguments: object, timeout: float = TIMEOUT
) -> subprocess.CompletedProcess[str]:
    """Run `python -m tests.distributed.PROGRAM` on so many ranks; 0: without mpirun."""
    command = [sys.executable, "-W", "error", "-m", f"tests.distributed.{program}", *map(str, arguments)]
    if ranks:
        launcher = mpirun()
        assert launcher is not None
        command = [launcher, "-n", str(ranks), *command]
    environment = {
        **os.environ,
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        # More ranks than processors, as root in a container, and through memory instead of a network.
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "OMPI_MCA_btl": "self,sm",
    }
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=timeout,
        errors="replace", stdin=subprocess.DEVNULL,
    )  # fmt: skip
