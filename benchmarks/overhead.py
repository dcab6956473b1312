"""The overhead of the engine: chains of small operations, forward and backward, beside PyTorch in the same run.

python -m benchmarks.overhead [--length N] [--rounds N]
Limits: a chain of adds takes 0.8 of PyTorch's time (target 0.5); a pass with create_graph takes 4 plain ones.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl.tensor import Tensor

SIZE = 16


def chain(x: Any, operation: str, length: int) -> Any:
    """The sum of x after adding a constant to it, or multiplying it by itself, `length` times."""
    y = x
    if operation == "add":
        for _ in range(length):
            y = y + 1.0
    else:
        for _ in range(length):
            y = y * x
    return y.sum()


def ours(operation: str, length: int, create_graph: bool) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """The two halves of a pass: forward, and backward, which takes forward's result."""
    x = Tensor(np.ones(SIZE, np.float32), requires_grad=True)
    return lambda: chain(x, operation, length), lambda y: tg.autograd.grad(y, x, create_graph=create_graph)


def theirs(operation: str, length: int, create_graph: bool) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """The same in PyTorch."""
    import torch

    x = torch.ones(SIZE, requires_grad=True)
    return lambda: chain(x, operation, length), lambda y: torch.autograd.grad(y, x, create_graph=create_graph)


def backward_pass(operation: str, length: int) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """The same with backward(), as in a training step."""
    x = Tensor(np.ones(SIZE, np.float32), requires_grad=True)

    def backward(y: Any) -> None:
        x.grad = None
        y.backward()

    return lambda: chain(x, operation, length), backward


def once(pair: tuple[Callable[[], Any], Callable[[Any], Any]]) -> tuple[float, float]:
    """The times of forward, and of backward with freeing the graph, in seconds."""
    forward, backward = pair
    begin = time.perf_counter()
    y = forward()
    middle = time.perf_counter()
    result = backward(y)
    del y, result
    return middle - begin, time.perf_counter() - middle


def main() -> None:
    """Measure in turns and print one line per pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--length", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=30)
    chosen = parser.parse_args()
    sys.setrecursionlimit(10 * chosen.length + 1000)
    passes: dict[tuple[str, str], Any] = {}
    for operation in ("add", "multiply"):
        passes[operation, "backward()"] = backward_pass(operation, chosen.length)
        passes[operation, "grad"] = ours(operation, chosen.length, False)
        passes[operation, "grad recorded"] = ours(operation, chosen.length, True)
        try:
            passes[operation, "PyTorch"] = theirs(operation, chosen.length, False)
            passes[operation, "PyTorch recorded"] = theirs(operation, chosen.length, True)
        except ImportError:
            print("PyTorch is not installed: only ours is measured")
    times: dict[tuple[str, str], list[tuple[float, float]]] = {key: [] for key in passes}
    for _ in range(chosen.rounds):
        for key, pair in passes.items():
            gc.collect()
            times[key].append(once(pair))
    whole = {key: statistics.median(f + b for f, b in pairs) for key, pairs in times.items()}
    for (operation, name), pairs in times.items():
        forward, backward = (statistics.median(part) * 1e6 / chosen.length for part in zip(*pairs))
        plain = whole.get((operation, "PyTorch recorded" if name == "grad recorded" else "PyTorch"))
        ratio = f"   {whole[operation, name] / plain:.2f} of PyTorch" if plain and "Py" not in name else ""
        if name == "grad recorded":
            plainly = statistics.median(b for _, b in times[operation, "grad"])
            recorded = statistics.median(b for _, b in pairs)
            ratio += f"   backward {recorded / plainly:.1f} times the plain one"
        print(f"{operation:9} {name:17} {forward:5.2f} + {backward:5.2f} us per operation{ratio}")


if __name__ == "__main__":
    main()
