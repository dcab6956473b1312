"""How the cost of a training step scales: with depth, width, batch and the size of the graph, beside PyTorch.

python -m benchmarks.scaling [--out DIR]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.steps import models

SIZES: dict[str, tuple[int, ...]] = {
    "depth": (1, 2, 4, 8, 16, 32),
    "width": (16, 32, 64, 128, 256),
    "batch": (16, 64, 256, 1024),
    "graph": (100, 300, 1000, 3000, 10000),
}


def libraries() -> dict[str, tuple[Any, Any, Callable[[Any], Any], Callable[[Any], Any]]]:
    """Modules and tensor constructors of each installed library."""
    import tinygrad_dl as tg

    found: dict[str, Any] = {
        "tinygrad_dl": (tg.nn, tg.optim, tg.asarray, lambda x: tg.Tensor(x, requires_grad=True))
    }
    if find_spec("torch"):
        import torch

        found["PyTorch"] = (
            torch.nn,
            torch.optim,
            lambda x: torch.tensor(x, dtype=torch.long if x.dtype.kind == "i" else None),
            lambda x: torch.tensor(x, requires_grad=True),
        )
    return found


def step_of(kind: str, size: int, library: Any) -> Callable[[], None]:
    """One training step of a network with 64 inputs, one hidden layer of width 64 and batch 64, except for `kind`."""
    nn, optim, array, leaf = library
    default = {"depth": 1, "width": 64, "batch": 64}
    depth, width, batch = ((default | {kind: size})[name] for name in default)
    rng = np.random.default_rng(0)
    if kind == "graph":
        start = leaf(np.full(3, 0.5, np.float32))

        def chain() -> None:
            start.grad = None
            x = start
            for _ in range(size):
                x = x + start
            x.sum().backward()

        return chain
    layers: list[Any] = [nn.Linear(64, width), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(width, 10))
    x = array(rng.standard_normal((batch, 64)).astype(np.float32))
    y = array(rng.integers(0, 10, batch))
    return models.train(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.01), x, y)


def measure(steps: dict[str, Callable[[], None]], rounds: int = 5, seconds: float = 0.1) -> dict[str, float]:
    """The median time of each step in microseconds, measured in turns."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            step()
            end, taken = time.perf_counter() + seconds, []
            while time.perf_counter() < end or len(taken) < 3:
                begin = time.perf_counter()
                step()
                taken.append(time.perf_counter() - begin)
            times[name].append(statistics.median(taken))
    return {name: statistics.median(found) * 1e6 for name, found in times.items()}


def chart(results: dict[str, dict[int, dict[str, float]]], path: Path) -> None:
    """One panel per kind, with logarithmic axes: a line of slope 1 is proportional cost."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(results), figsize=(3 * len(results), 3), layout="constrained")
    for axes, (kind, found) in zip(panels, results.items()):
        for library in next(iter(found.values())):
            axes.plot(
                list(found), [times[library] for times in found.values()], "o-", label=library, markersize=4
            )
        axes.set(
            xscale="log", yscale="log", xlabel=kind, ylabel="microseconds per step" if kind == "depth" else ""
        )
    panels[0].legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measure every size, print the table with the slope on logarithmic axes, and plot it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/bench"))
    out = parser.parse_args().out
    found = libraries()
    results: dict[str, dict[int, dict[str, float]]] = {}
    for kind, sizes in SIZES.items():
        results[kind] = {
            size: measure({n: step_of(kind, size, lib) for n, lib in found.items()}) for size in sizes
        }
        for library in found:
            times = [results[kind][size][library] for size in sizes]
            slope = float(np.polyfit(np.log(sizes[-3:]), np.log(times[-3:]), 1)[0])
            row = "".join(f"{size:>8}: {t:>8.0f} us" for size, t in zip(sizes, times))
            print(f"{kind:6} {library:12}{row}   ~ {kind}^{slope:.2f} over the last three", flush=True)
    if find_spec("matplotlib"):
        out.mkdir(parents=True, exist_ok=True)
        chart(results, out / "scaling.svg")
        print("chart:", out / "scaling.svg")


if __name__ == "__main__":
    main()
