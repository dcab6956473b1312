"""The process of one library: reads requests from standard input, one line of JSON each, and prints the answers."""

from __future__ import annotations

import gc
import importlib
import json
import sys
import time
from typing import Any

import numpy as np

# Library -> the module of its steps, and the package that must be installed.
LIBRARIES = {
    "tinygrad_dl": ("ours", "tinygrad_dl"),
    "compiled": ("compiled", "llvmlite"),
    "compiled, NumPy": ("compiled_numpy", "tinygrad_dl"),
    "PyTorch": ("pytorch", "torch"),
    "torch.compile": ("torch_compiled", "torch"),
    "JAX jit": ("jit", "jax"),
    "MyGrad": ("my_grad", "mygrad"),
    "HIPS autograd": ("hips", "autograd"),
    "NumPy by hand": ("by_hand", "numpy"),
}


def timed(step: Any, seconds: float) -> list[float]:
    """The times of single steps over about the given time, after a warm-up."""
    for _ in range(3):
        step()
    times: list[float] = []
    gc.collect()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    return times


def peak_memory() -> float:
    """The largest resident set of this process so far, in MiB; nan on Windows."""
    try:
        import resource
    except ImportError:
        return float("nan")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main() -> None:
    """Answer requests: {"case", "seconds"} gives step times; {"case", "memory": true} the peak memory."""
    # glibc reuses freed memory once a program has freed a large array, as one that has loaded its data did. So that no
    # figure depends on the cases measured before it, every library starts from there; see NOTES.md.
    np.empty((1 << 25) - (1 << 14), np.uint8)
    cases = importlib.import_module(f"benchmarks.steps.{LIBRARIES[sys.argv[1]][0]}").CASES
    steps: dict[str, Any] = {}
    print(json.dumps(sorted(cases)), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        name = request["case"]
        if request.get("memory"):
            before = peak_memory()
            step = cases[name]()
            for _ in range(5):
                step()
            peak = peak_memory()
            print(json.dumps({"peak": peak, "above import": peak - before}), flush=True)
        else:
            if name not in steps:
                steps[name] = cases[name]()
            print(json.dumps(timed(steps[name], request["seconds"])), flush=True)


if __name__ == "__main__":
    main()
