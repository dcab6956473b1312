"""Peak memory of a training step, 784-512-256-10 at batch 1024, here and in PyTorch, each in its own process.

python -m benchmarks.memory [--batch N] [--steps N]
Limit: PyTorch's, for the whole resident set and for what the steps add to it after the import.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.worker import peak_memory

SIZES = (784, 512, 256, 10)


def ours(x: np.ndarray, t: np.ndarray, steps: int) -> None:
    """Steps of plain gradient descent with cross-entropy."""
    import tinygrad_dl as tg
    from tinygrad_dl import nn, optim

    tg.manual_seed(0)
    layers = [[nn.Linear(a, b), nn.ReLU()] for a, b in zip(SIZES, SIZES[1:])]
    model = nn.Sequential(*[m for pair in layers for m in pair][:-1])
    optimizer = optim.SGD(list(model.parameters()), lr=0.01)
    inputs = tg.asarray(x)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), t).backward()
        optimizer.step()


def theirs(x: np.ndarray, t: np.ndarray, steps: int) -> None:
    """The same in PyTorch."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers = [[nn.Linear(a, b), nn.ReLU()] for a, b in zip(SIZES, SIZES[1:])]
    model = nn.Sequential(*[m for pair in layers for m in pair][:-1])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    inputs, targets = torch.from_numpy(x), torch.from_numpy(t)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()


def measure(library: str, batch: int, steps: int) -> None:
    """Run the steps in this process; print the peak after the import and at the end."""
    rng = np.random.default_rng(0)
    x, t = rng.random((batch, SIZES[0]), np.float32), rng.integers(0, SIZES[-1], batch)
    run = {"tinygrad_dl": ours, "PyTorch": theirs}[library]
    run(x[:2], t[:2], 1)  # imports, and what a library initializes at its first step
    before = peak_memory()
    run(x, t, steps)
    print(before, peak_memory())


def main() -> None:
    """Measure each library in its own process and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--library", dest="only", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.only:
        measure(chosen.only, chosen.batch, chosen.steps)
        return
    path = os.pathsep.join([str(Path(__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")])
    for library in ("tinygrad_dl", "PyTorch"):
        options = ["--library", library, "--batch", str(chosen.batch), "--steps", str(chosen.steps)]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.memory", *options],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            print(f"{library}: left out: it is not installed or does not run")
            continue
        before, after = map(float, done.stdout.split())
        print(f"{library:12} peak {after:6.0f} MiB, of which the steps {after - before:5.0f} MiB")


if __name__ == "__main__":
    main()
