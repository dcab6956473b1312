"""What a step costs: every optimizer on a small and a middle model, beside PyTorch's (foreach) in the same run.

OMP_NUM_THREADS=1 python -m benchmarks.optimizers [--seconds S] [--names SGD Adam ...]
One thread: several that wait for each other on a busy machine measure the machine. Mark: no optimizer slower than
PyTorch's, but Muon on the middle model, whose matrices PyTorch multiplies in bfloat16 hardware.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_dl import Tensor, optim

# Weights and biases of a classifier of the handwritten digits, and of one with a million parameters.
MODELS = {
    "small": [(64, 64), (64,), (32, 64), (32,), (10, 32), (10,)],
    "middle": [(512, 784), (512,), (1024, 512), (1024,), (128, 1024), (128,), (10, 128), (10,)],
}
NAMES = [
    "SGD", "momentum", "Adagrad", "RMSprop", "Adadelta", "Adam", "AdamW", "Adamax", "NAdam", "RAdam",
    "ASGD", "Rprop", "Adafactor", "Muon",
]  # fmt: skip


# Gradients that stay the same would leave differences too small for fast arithmetic.
SCALES = (0.01, -0.03, 0.02)


def arrays(model: str, name: str) -> list[np.ndarray]:
    """Parameters; only matrices for Muon."""
    rng = np.random.default_rng(0)
    shapes = [shape for shape in MODELS[model] if name != "Muon" or len(shape) == 2]
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def chosen(name: str) -> tuple[str, dict[str, Any]]:
    """The class and its options."""
    return ("SGD", {"lr": 1e-3, "momentum": 0.9}) if name == "momentum" else (name, {})


def ours(model: str, name: str) -> tuple[Any, Callable[[int], None]]:
    """An optimizer of ours, and what sets the gradients of a step."""
    params = [Tensor(a, requires_grad=True) for a in arrays(model, name)]
    gradients = [[Tensor(p.data * np.float32(scale)) for p in params] for scale in SCALES]

    def prepare(i: int) -> None:
        for p, g in zip(params, gradients[i % len(SCALES)]):
            p.grad = g

    kind, options = chosen(name)
    return getattr(optim, kind)(params, **options), prepare


def theirs(model: str, name: str) -> tuple[Any, Callable[[int], None]]:
    """The same of PyTorch's, which goes over all parameters at once where it can."""
    import torch

    params = [torch.nn.Parameter(torch.tensor(a)) for a in arrays(model, name)]
    gradients = [[p.detach() * scale for p in params] for scale in SCALES]

    def prepare(i: int) -> None:
        for p, g in zip(params, gradients[i % len(SCALES)]):
            p.grad = g

    kind, options = chosen(name)
    foreach = {} if name == "Muon" else {"foreach": True}
    return getattr(torch.optim, kind)(params, **options, **foreach), prepare


def main() -> None:
    """Measure in turns and print a line an optimizer and model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--names", nargs="+", default=NAMES)
    options = parser.parse_args()
    for model in MODELS:
        for name in options.names:
            steps = {"ours": ours(model, name)}
            try:
                steps["PyTorch"] = theirs(model, name)
            except ImportError:
                print("PyTorch is not installed: ours alone")
            times: dict[str, list[float]] = {key: [] for key in steps}
            end, count = time.perf_counter() + options.seconds, 0
            while time.perf_counter() < end or count < 8:
                for key, (optimizer, prepare) in steps.items():
                    prepare(count)
                    begin = time.perf_counter()
                    optimizer.step()
                    times[key].append(time.perf_counter() - begin)
                count += 1
            middle = {key: statistics.median(found) * 1e6 for key, found in times.items()}
            ratio = f"   {middle['ours'] / middle['PyTorch']:.2f} of PyTorch" if "PyTorch" in middle else ""
            shown = "   ".join(f"{key} {value:9.1f} us" for key, value in middle.items())
            print(f"{model:7} {name:10} {shown}{ratio}")


if __name__ == "__main__":
    main()
