"""The time of a step: every optimizer on a small and a medium model, beside PyTorch's (foreach) in the same run.

OMP_NUM_THREADS=1 python -m benchmarks.optimizers [--seconds S] [--names SGD Adam ...] [--variants]
One thread: threads that wait for each other on a busy machine measure the machine. Limit: no optimizer is slower than
PyTorch's, except Muon on the medium model, whose matrices PyTorch multiplies in bfloat16 hardware.
--variants adds what our own speed code is measured against: parameters updated one by one, and Adam's plain formula.
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
    "medium": [(512, 784), (512,), (1024, 512), (1024,), (128, 1024), (128,), (10, 128), (10,)],
}
NAMES = [
    "SGD", "momentum", "Adagrad", "RMSprop", "Adadelta", "Adam", "AdamW", "Adamax", "NAdam", "RAdam",
    "ASGD", "Rprop", "Adafactor", "Muon",
]  # fmt: skip


# Constant gradients would leave differences so small that arithmetic on subnormal numbers is measured.
SCALES = (0.01, -0.03, 0.02)


def arrays(model: str, name: str) -> list[np.ndarray]:
    """Parameters; only matrices for Muon."""
    rng = np.random.default_rng(0)
    shapes = [shape for shape in MODELS[model] if name != "Muon" or len(shape) == 2]
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def chosen(name: str) -> tuple[str, dict[str, Any]]:
    """The class and its options."""
    return ("SGD", {"lr": 1e-3, "momentum": 0.9}) if name == "momentum" else (name, {})


class PlainAdam(optim.Adam):
    """Adam written as its formula, allocating each intermediate result."""

    def update(self, p: Any, g: Any, state: Any, group: Any, workspace: Any) -> None:
        """One step."""
        m, v, t, (b1, b2) = state["exp_avg"], state["exp_avg_sq"], state["step"], group["betas"]
        m[...] = b1 * m + (1 - b1) * g
        v[...] = b2 * v + (1 - b2) * g**2
        p -= group["lr"] * m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + group["eps"])


def ours(model: str, name: str, fused: bool = True, plain: bool = False) -> tuple[Any, Callable[[int], None]]:
    """An optimizer of ours, and a function that sets the gradients of a step."""
    params = [Tensor(a, requires_grad=True) for a in arrays(model, name)]
    gradients = [[Tensor(p.data * np.float32(scale)) for p in params] for scale in SCALES]

    def prepare(i: int) -> None:
        for p, g in zip(params, gradients[i % len(SCALES)]):
            p.grad = g

    kind, options = chosen(name)
    optimizer = (PlainAdam if plain else getattr(optim, kind))(params, **options)
    optimizer.elementwise = optimizer.elementwise and fused
    return optimizer, prepare


def theirs(model: str, name: str) -> tuple[Any, Callable[[int], None]]:
    """The same in PyTorch, which updates all parameters at once where it can."""
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
    """Measure in turns and print one line per optimizer and model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--names", nargs="+", default=NAMES)
    parser.add_argument("--variants", action="store_true", help="also measure without our own speed code")
    options = parser.parse_args()
    for model in MODELS:
        for name in options.names:
            steps = {"ours": ours(model, name)}
            if options.variants:
                steps["one by one"] = ours(model, name, fused=False)
                steps |= {"plain": ours(model, name, plain=True)} if name == "Adam" else {}
            try:
                steps["PyTorch"] = theirs(model, name)
            except ImportError:
                print("PyTorch is not installed: only ours is measured")
            times: dict[str, list[float]] = {key: [] for key in steps}
            end, count = time.perf_counter() + options.seconds, 0
            while time.perf_counter() < end or count < 8:
                for key, (optimizer, prepare) in steps.items():
                    prepare(count)
                    begin = time.perf_counter()
                    optimizer.step()
                    times[key].append(time.perf_counter() - begin)
                count += 1
            medians = {key: statistics.median(found) * 1e6 for key, found in times.items()}
            ratio = (
                f"   {medians['ours'] / medians['PyTorch']:.2f} of PyTorch" if "PyTorch" in medians else ""
            )
            shown = "   ".join(f"{key} {value:9.1f} us" for key, value in medians.items())
            print(f"{model:7} {name:10} {shown}{ratio}")


if __name__ == "__main__":
    main()
