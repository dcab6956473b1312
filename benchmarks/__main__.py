"""make bench: training steps of tinygrad_dl beside other libraries, each in its own process, in turns.

Libraries that are missing or do not run are left out.
python -m benchmarks [--case NAME ...] [--library NAME ...] [--rounds N] [--seconds S] [--out DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, files, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.steps.data import NAMES
from benchmarks.worker import LIBRARIES
from tinygrad_dl.viz.formats.themes import plotted

# Our time divided by PyTorch's: the limit, and the target.
LIMITS = {
    "2-4-2": (0.45, 0.25), "64-32-10": (0.45, 0.25), "784-128-10": (0.9, 0.7), "cats": (0.9, 0.7),
    "784-512-256-10": (1.1, 0.9), "784-1024-1024-10": (1.25, 1.0), "norm-dropout-adam": (0.5, 0.3),
    "lenet": (1.3, 0.8), "digits-cnn": (1.3, 0.8), "wide-cnn": (2.0, 1.2), "lstm": (1.5, 0.8),
    "chain": (0.7, 0.5),
}  # fmt: skip


class WorkerFailed(Exception):
    """A library's process ended early."""


class Worker:
    """The process of one library."""

    def __init__(self, library: str) -> None:
        command = [sys.executable, "-m", "benchmarks.worker", library]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.cases = self._read()

    def _read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise WorkerFailed("the process of a library ended early; its error is printed above")
        return json.loads(line)

    def ask(self, **request: Any) -> Any:
        """Send a request and wait for the answer; the other processes are idle meanwhile."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure(
    case: str, workers: dict[str, Worker], rounds: int, seconds: float
) -> dict[str, dict[str, float]]:
    """Median, minimum and maximum over the turns of each library that has the case, in microseconds."""
    medians: dict[str, list[float]] = {library: [] for library, w in workers.items() if case in w.cases}
    for turn in range(rounds):
        order = list(medians)[turn % max(1, len(medians)) :] + list(medians)[: turn % max(1, len(medians))]
        for library in order:
            times = workers[library].ask(case=case, seconds=seconds)
            medians[library].append(statistics.median(times) * 1e6)
    return {
        library: {"median": statistics.median(values), "low": min(values), "high": max(values)}
        for library, values in medians.items()
    }


def memory(case: str, libraries: list[str]) -> dict[str, float]:
    """The peak resident set of a few steps, in MiB, each library in a new process."""
    peaks = {}
    for library in libraries:
        worker = Worker(library)
        if case in worker.cases:
            peaks[library] = worker.ask(case=case, memory=True)["peak"]
        worker.close()
    return peaks


def import_times(libraries: list[str]) -> dict[str, float]:
    """The median time of an import in a new process, in milliseconds."""
    found = {}
    for package in ["numpy", *(LIBRARIES[name][1] for name in libraries if LIBRARIES[name][1] != "numpy")]:
        code = f"import time; t = time.perf_counter(); import {package}; print(time.perf_counter() - t)"
        runs = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(5)]
        found[package] = statistics.median(runs) * 1e3
    return found


def installed_sizes(libraries: list[str]) -> dict[str, float]:
    """The size of each installed distribution without its dependencies, in MiB."""
    found = {}
    for package in ["numpy", *(LIBRARIES[name][1] for name in libraries if LIBRARIES[name][1] != "numpy")]:
        try:
            listed = files(package) or []
        except PackageNotFoundError:
            continue
        paths = [Path(str(f.locate())) for f in listed]
        found[package] = sum(p.stat().st_size for p in paths if p.is_file()) / 2**20
    return found


def table(results: dict[str, Any]) -> str:
    """The times as text: one line per case, with the ratio to PyTorch's time and its limit."""
    libraries = [name for name in LIBRARIES if any(name in r for r in results.values())]
    lines = [
        f"{'case':20}"
        + "".join(f"{name:>15}" for name in libraries)
        + f"{'/ PyTorch':>11}{'limit':>7}{'target':>8}{'compiled / PyTorch':>20}"
    ]
    for case, found in results.items():
        cells = "".join(
            f"{found[name]['median']:>12.0f} us" if name in found else f"{'':15}" for name in libraries
        )
        ratio = limit = target = ""
        if "PyTorch" in found and "tinygrad_dl" in found:
            ratio = f"{found['tinygrad_dl']['median'] / found['PyTorch']['median']:.2f}"
            limit, target = (f"{m:g}" for m in LIMITS[case])
        compiled = ""
        if "PyTorch" in found and "compiled" in found:
            compiled = f"{found['compiled']['median'] / found['PyTorch']['median']:.3f}"
        lines.append(f"{case:20}{cells}{ratio:>11}{limit:>7}{target:>8}{compiled:>20}")
    return "\n".join(lines)


def chart(results: dict[str, Any], path: Path) -> None:
    """Our time divided by PyTorch's, one bar per case, with the limit and the target."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    shown = {c: f for c, f in results.items() if "PyTorch" in f and "tinygrad_dl" in f}
    ratios = [f["tinygrad_dl"]["median"] / f["PyTorch"]["median"] for f in shown.values()]
    figure, axes = pyplot.subplots(figsize=(7, 0.4 * len(shown) + 1.2), layout="constrained")
    positions = range(len(shown))
    axes.barh(positions, ratios, color=["#0072b2" if r <= 1 else "#d55e00" for r in ratios])
    axes.plot([LIMITS[c][0] for c in shown], positions, "k|", markersize=12, label="limit")
    axes.plot([LIMITS[c][1] for c in shown], positions, "|", color="gray", markersize=12, label="target")
    axes.axvline(1, color="gray", linewidth=0.8)
    axes.set_yticks(list(positions), list(shown))
    axes.invert_yaxis()
    axes.set_xlabel("time of a training step, tinygrad_dl / PyTorch (lower is faster)")
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
    path.write_text(plotted(path.read_text(encoding="utf-8")), encoding="utf-8")


def machine() -> str:
    """The processor and Python version of this machine."""
    names = [line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    name = names[0] if names else platform.processor()
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def main() -> None:
    """Measure, print the tables, and write the figures and the chart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", action="append", choices=NAMES, help="this case only (may be repeated)")
    parser.add_argument(
        "--library",
        dest="only",
        action="append",
        choices=LIBRARIES,
        help="this library only (may be repeated)",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="length of one turn of one library")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"))
    chosen = parser.parse_args()

    present = [name for name, (_, package) in LIBRARIES.items() if find_spec(package)]
    absent = [name for name in LIBRARIES if name not in present]
    present = [name for name in present if not chosen.only or name in chosen.only]
    print(machine())
    print("with", ", ".join(f"{n} {_version(LIBRARIES[n][1])}" for n in present))
    if absent:
        print("not installed, left out:", ", ".join(absent))
    workers = {}
    for name in present:
        try:
            workers[name] = Worker(name)
        except WorkerFailed as error:
            print(f"{name}: left out: {error}")
    present = list(workers)
    results, products = {}, {}
    for case in chosen.case or NAMES:
        print(f"  {case} ...", end="\r", file=sys.stderr, flush=True)
        results[case] = measure(case, workers, chosen.rounds, chosen.seconds)
        if "NumPy by hand" in results[case]:
            hand = workers["NumPy by hand"].ask(case=f"{case} products", seconds=chosen.seconds)
            products[case] = statistics.median(hand) * 1e6
    for worker in workers.values():
        worker.close()
    print(table(results))
    if products and "tinygrad_dl" in workers:
        print("\nthe lower bound: the step by hand with buffers reused, and its matrix products alone")
        for case, time in products.items():
            ours, hand = (results[case][name]["median"] for name in ("tinygrad_dl", "NumPy by hand"))
            print(f"{case:20}{ours:>9.0f} us{hand:>9.0f} us{time:>9.0f} us   {ours / hand:.2f} of by hand")
    peaks = {case: memory(case, [n for n in ("tinygrad_dl", "PyTorch") if n in present]) for case in results}
    print(
        "\npeak memory, MiB:",
        "; ".join(f"{c} " + " / ".join(f"{v:.0f}" for v in p.values()) for c, p in peaks.items()),
    )
    imports, sizes = import_times(present), installed_sizes(present)
    print("import, ms:", ", ".join(f"{n} {t:.0f}" for n, t in imports.items()))
    print("installed, MiB:", ", ".join(f"{n} {s:.1f}" for n, s in sizes.items()))
    chosen.out.mkdir(parents=True, exist_ok=True)
    figures = {
        "machine": machine(),
        "us": results,
        "products": products,
        "peak MiB": peaks,
        "import ms": imports,
        "MiB": sizes,
    }
    (chosen.out / "bench.json").write_text(json.dumps(figures, indent=1) + "\n")
    if find_spec("matplotlib"):
        chart(results, chosen.out / "bench.svg")
    print(f"figures and chart in {chosen.out}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(this checkout)"


if __name__ == "__main__":
    main()
