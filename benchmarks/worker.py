"""One library in one process: requests come on standard input, a line of JSON each; answers go likewise."""

from __future__ import annotations

import gc
import importlib
import json
import resource
import sys
import time
from typing import Any

# What is measured -> the file of its steps, and the package that must be there.
LIBRARIES = {
    "tinygrad_dl": ("ours", "tinygrad_dl"),
    "PyTorch": ("pytorch", "torch"),
    "JAX jit": ("jit", "jax"),
    "MyGrad": ("my_grad", "mygrad"),
    "HIPS autograd": ("hips", "autograd"),
    "NumPy by hand": ("by_hand", "numpy"),
}


def timed(step: Any, seconds: float) -> list[float]:
    """The times of single steps over a stretch of about the given length, after a warm-up."""
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


def main() -> None:
    """Answer requests: {"case", "seconds"} gives step times; {"case", "memory": true} the peak memory."""
    cases = importlib.import_module(f"benchmarks.steps.{LIBRARIES[sys.argv[1]][0]}").CASES
    made: dict[str, Any] = {}
    print(json.dumps(sorted(cases)), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        name = request["case"]
        if request.get("memory"):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            step = cases[name]()
            for _ in range(5):
                step()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            print(json.dumps({"peak": peak / 1024, "above import": (peak - before) / 1024}), flush=True)
        else:
            step = made.setdefault(name, None) or cases[name]()
            made[name] = step
            print(json.dumps(timed(step, request["seconds"])), flush=True)


if __name__ == "__main__":
    main()
