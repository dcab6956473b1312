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

from benchmarks.startup import import_seconds
from benchmarks.steps.data import NAMES
from benchmarks.worker import LIBRARIES
from tinygrad_dl.viz.formats.themes import plotted

# The compiled step's time divided by that of PyTorch's eager step: the most it may be, and the aim.
MARKS = {
    "2-4-2": (0.08, 0.04), "64-32-10": (0.10, 0.05), "784-128-10": (0.6, 0.45), "784-512-256-10": (0.9, 0.7),
    "784-1024-1024-10": (1.0, 0.9), "cats": (0.9, 0.7), "norm-dropout-adam": (0.25, 0.15), "lenet": (0.8, 0.5),
    "digits-cnn": (0.8, 0.5), "wide-cnn": (1.1, 0.9), "lstm": (0.7, 0.4), "chain": (0.02, 0.005),
}  # fmt: skip
# Pairs whose geometric mean over all cases is printed, with the most it may be.
MEANS = (("compiled", "PyTorch", 0.35), ("compiled, NumPy", "PyTorch", 0.6), ("compiled", "JAX jit", 0.5))


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
        import_seconds(package)  # the first import compiles the package's files
        found[package] = statistics.median(import_seconds(package) for _ in range(5)) * 1e3
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


def ratio(found: dict[str, dict[str, float]], ours: str, theirs: str) -> float:
    """The median time of one library divided by another's; nan where one of them was not measured."""
    if ours not in found or theirs not in found:
        return float("nan")
    return found[ours]["median"] / found[theirs]["median"]


def table(results: dict[str, Any]) -> str:
    """The times as text: one line per case, with the ratios to PyTorch's time and the mark of the compiled one."""
    libraries = [name for name in LIBRARIES if any(name in r for r in results.values())]
    heads = ("eager / PyTorch", "compiled / PyTorch", "at most", "aim")
    lines = [
        f"{'case':20}" + "".join(f"{name:>16}" for name in libraries) + "".join(f"{h:>20}" for h in heads)
    ]
    for case, found in results.items():
        cells = "".join(
            f"{found[name]['median']:>13.1f} us" if name in found else f"{'':16}" for name in libraries
        )
        ratios = (ratio(found, "tinygrad_dl", "PyTorch"), ratio(found, "compiled", "PyTorch"))
        numbers = [f"{r:.4f}" if r < 0.01 else f"{r:.2f}" for r in ratios] + [f"{m:g}" for m in MARKS[case]]
        lines.append(f"{case:20}{cells}" + "".join(f"{number:>20}" for number in numbers))
    for ours, theirs, most in MEANS:
        known = [r for r in (ratio(found, ours, theirs) for found in results.values()) if r == r]
        if known:
            mean = statistics.geometric_mean(known)
            lines.append(
                f"geometric mean, {ours} / {theirs}, {len(known)} cases: {mean:.3f} (at most {most:g})"
            )
    return "\n".join(lines)


def chart(results: dict[str, Any], path: Path) -> None:
    """Our times divided by PyTorch's: a dot for the compiled step, a ring for the eager one, a tick for the mark."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter

    shown = {c: f for c, f in results.items() if ratio(f, "compiled", "PyTorch") > 0}
    figure, axes = pyplot.subplots(figsize=(7, 0.4 * len(shown) + 1.4), layout="constrained")
    positions = range(len(shown))
    for library, face, label in (
        ("compiled", "#0072b2", "tg.compile(step)"),
        ("tinygrad_dl", "none", "eager"),
    ):
        ratios = [ratio(f, library, "PyTorch") for f in shown.values()]
        axes.scatter(ratios, positions, s=60, facecolor=face, edgecolor="#0072b2", label=label, zorder=3)
    axes.plot(
        [MARKS[c][0] for c in shown], positions, "|", color="gray", markersize=14, label="goal, compiled"
    )
    axes.axvline(1, color="gray", linewidth=0.8)
    axes.text(1, 1.01, "PyTorch", transform=axes.get_xaxis_transform(), ha="center", va="bottom")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_yticks(list(positions), list(shown))
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("time of a training step / PyTorch's (eager); lower is faster")
    axes.legend(frameon=False, loc="upper left")
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
