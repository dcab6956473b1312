"""Data-parallel training on MPI: speed-up measured, a link fitted, and larger worlds predicted by simulation.

python -m benchmarks.data_parallel [--quick] [--out DIR]

Ranks are started by mpirun with one BLAS thread each. The prediction runs the Trainer's own Reducer in one process: its
exchanges take the time that the link would, on a clock that goes on while gradients are computed. That clock counts the
time that the process computes, so that other programs on the machine do not change the prediction. Where there are more
ranks than cores, they share them: what is computed takes ranks / cores times as long. The tables are those of
docs/scaling.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import distributed, nn, optim
from tinygrad_dl.distributed.gradients import Reducer
from tinygrad_dl.distributed.trial import ONE_MACHINE, fit, launcher, measure
from tinygrad_dl.distributed.world import Pending, World
from tinygrad_dl.train.threads import one_blas_thread

NODES = (1, 8, 32, 128, 512, 1024)
#: Usual networks between machines: latency in seconds, bytes per second.
NETWORKS = {"10 Gb Ethernet": (25e-6, 1.1e9), "100 Gb InfiniBand": (2e-6, 11e9)}


def network(width: int = 1024, depth: int = 4) -> Any:
    """A network in which matrix products are nearly all of the work."""
    layers: list[Any] = []
    for _ in range(depth):
        layers += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


class Training:
    """Steps of a training on the part of a batch that belongs to a rank."""

    def __init__(self, group: World, rows: int) -> None:
        tg.manual_seed(0)
        rng = np.random.default_rng(group.rank)
        self.model = network()
        self.x = tg.asarray(rng.normal(size=(rows, 1024)).astype(np.float32))
        self.y = tg.asarray(rng.integers(0, 10, rows))
        self.optimizer = optim.SGD(self.model.parameters(), lr=0.01)
        self.reducer = Reducer(dict(self.model.named_parameters()), group)

    def step(self) -> None:
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(self.x), self.y)
        self.reducer.backward(loss, len(self.x))
        self.optimizer.step()


class _Exchange(Pending):
    def __init__(self, world: Simulated, end: float) -> None:
        self.world, self.end = world, end

    def wait(self) -> None:
        self.world.late += max(0.0, self.end - self.world.now())


class Simulated(World):
    """A world of any size in one process: an exchange takes as long as a ring over the link would.

    Exchanges follow each other, beside the computation; what is left of one when it is waited for is added to `late`.
    """

    def __init__(self, size: int, latency: float, bandwidth: float) -> None:
        self.size, self.latency, self.bandwidth = size, latency, bandwidth
        self.late = 0.0  # seconds of waiting that this process did not spend
        self.free = 0.0  # when the link is free

    def now(self) -> float:
        return time.process_time() + self.late

    def start_sum(self, array: Any) -> Pending:
        p = self.size
        seconds = 2 * (p - 1) * (self.latency + array.nbytes / p / self.bandwidth)
        self.free = max(self.free, self.now()) + seconds
        return _Exchange(self, self.free)

    def gather(self, value: Any) -> list[Any]:
        return [value] * self.size


def seconds_per_step(training: Training, steps: int, group: World) -> tuple[float, float, float]:
    """The median times of a step: on the wall's clock, of computing, and of simulated waiting."""
    times, busy, waited = [], [], []
    for i in range(steps + 2):
        group.barrier()
        late = getattr(group, "late", 0.0)
        begin, cpu = time.perf_counter(), time.process_time()
        training.step()
        if i > 1:
            times.append(time.perf_counter() - begin)
            busy.append(time.process_time() - cpu)
            waited.append(getattr(group, "late", 0.0) - late)
    return statistics.median(times), statistics.median(busy), statistics.median(waited)


def worker(rows: int, steps: int) -> None:
    """On each rank: measure steps and exchanges; rank 0 prints them."""
    group = distributed.world(120)
    found = seconds_per_step(Training(group, rows), steps, group)[:2]
    wall, busy = (float(x) for x in group.reduce(np.array(found), "max"))
    times = measure() if group.size > 1 else {}
    if not group.rank:
        print(json.dumps({"step": wall, "busy": busy, "times": times}), flush=True)


def measured(ranks: int, rows: int, steps: int) -> dict[str, Any]:
    """What `worker` prints on so many ranks."""
    command = [sys.executable, "-m", "benchmarks.data_parallel", "--worker", str(rows), str(steps)]
    path = launcher()
    if ranks > 1:
        assert path is not None, "no mpirun is installed"
        command = [path, "-n", str(ranks), *command]
    done = subprocess.run(
        command, env={**os.environ, **ONE_MACHINE}, capture_output=True, text=True, errors="replace",
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise SystemExit(done.stderr[-2000:])
    found = json.loads(lines[-1])
    return {**found, "times": {int(n): t for n, t in found["times"].items()}}


def predicted(size: int, rows: int, link: tuple[float, float], steps: int, cores: int = 0) -> float:
    """The time of a step on so many ranks over a link, by simulation; `cores`: what they share, one each if 0."""
    group = Simulated(size, *link) if size > 1 else World()
    with one_blas_thread():
        _, busy, waited = seconds_per_step(Training(group, rows), steps, group)
    return busy * max(1.0, size / (cores or size)) + waited


def table(*rows: tuple[object, ...]) -> str:
    """A table in Markdown: the first row has the titles."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---:|" * len(rows[0]), *lines[1:]])


def main() -> None:
    """Measure, predict, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", nargs=2, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="fewer steps and nodes")
    parser.add_argument("--rows", type=int, default=1024, help="examples of each rank")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"))
    chosen = parser.parse_args()
    if chosen.worker:
        worker(*chosen.worker)
        return
    steps, rows = (4 if chosen.quick else 15), chosen.rows
    results: dict[str, Any] = {"rows": rows, "cores": os.cpu_count(), "measured": {}, "predicted": {}}
    one = min((measured(1, rows, steps) for _ in range(2)), key=lambda found: found["step"])
    results["measured"]["1"] = one
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    print(f"{rows} examples for each rank, one BLAS thread for each, {cores} cores\n")
    lines: list[tuple[object, ...]] = [
        ("ranks", "measured, ms", "predicted, ms", "computing, ms", "speed-up", "latency, us", "GB/s"),
        (1, f"{one['step'] * 1e3:.0f}", "", f"{one['busy'] * 1e3:.0f}", "1.00", "", ""),
    ]
    for ranks in (2, 3, 4):
        found = measured(ranks, rows, steps)
        latency, beta = fit(found["times"], ranks)
        link = latency, 1 / max(beta, 1e-15)
        simulated = predicted(ranks, rows, link, steps, cores)
        results["measured"][str(ranks)] = {**found, "link": link, "simulated": simulated}
        lines.append(
            (
                ranks,
                f"{found['step'] * 1e3:.0f}",
                f"{simulated * 1e3:.0f} ({simulated / found['step'] - 1:+.0%})",
                f"{found['busy'] * 1e3:.0f}",
                f"{ranks * one['step'] / found['step']:.2f}",
                f"{latency * 1e6:.0f}",
                f"{link[1] / 1e9:.2f}",
            )
        )
    print(table(*lines), "\n")
    nodes = NODES[:3] if chosen.quick else NODES
    whole = rows * 64
    columns: dict[str, dict[int, str]] = {}
    for name, link in NETWORKS.items():
        weak = {n: predicted(n, rows, link, steps // 2) for n in nodes}
        strong = {n: predicted(n, max(1, whole // n), link, steps // 2) for n in nodes if n >= 8}
        results["predicted"][name] = {"weak": weak, "strong": strong}
        columns[f"weak, {name}"] = {n: f"{weak[1] / weak[n]:.2f}" for n in strong}
        columns[f"strong, {name}"] = {n: f"{whole / rows * weak[1] / strong[n]:.0f}" for n in strong}
    print(f"weak: {rows} examples for each node; strong: {whole} examples in each step\n")
    of_nodes = [(f"{n:,}", *(column[n] for column in columns.values())) for n in nodes if n >= 8]
    print(table(("nodes", *columns), *of_nodes))
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "data_parallel.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
