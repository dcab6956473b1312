"""Jacobians, Hessians and per-example gradients: ours and torch.func's, in turns. benchmarks.forward has forward mode.

OPENBLAS_NUM_THREADS=1 python -m benchmarks.jacobian [--rounds N]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import func

# Ours divided by torch.func's: the limit of each case.
LIMITS = {
    "Jacobian 100 x 100": 1.0, "Jacobian 100 x 100, jacfwd": 1.0, "Hessian of 200 parameters": 1.0,
    "hvp of 200 parameters": 1.0, "gradients of 64 examples": 1.0,
}  # fmt: skip
# A network 8-10-10: 80 + 10 + 100 + 10 parameters
SIZES = ((8, 10), (10,), (10, 10), (10,))


def map_of(lib: Any, w: Any) -> Callable[[Any], Any]:
    """A map of 100 numbers to 100."""
    return lambda x: lib.tanh(w @ lib.tanh(w @ x))


def loss_of(lib: Any, x: Any) -> Callable[[Any], Any]:
    """The loss of a network whose 200 parameters are one vector."""

    def loss(p: Any) -> Any:
        parts, start = [], 0
        for shape in SIZES:
            size = int(np.prod(shape))
            parts.append(p[start : start + size].reshape(shape))
            start += size
        hidden = lib.tanh(lib.tanh(x @ parts[0] + parts[1]) @ parts[2] + parts[3])
        return (hidden * hidden).mean()

    return loss


def example_loss(lib: Any) -> Callable[..., Any]:
    """The loss of one example, in the weights of two layers."""

    def loss(w: Any, v: Any, x: Any) -> Any:
        return (lib.tanh(x @ w) @ v).sum() ** 2

    return loss


def cases() -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """What is measured: ours and theirs."""
    import torch

    rng = np.random.default_rng(0)
    w, x = (rng.standard_normal(s).astype(np.float32) / 10 for s in ((100, 100), 100))
    p, data = (rng.standard_normal(s).astype(np.float32) / 3 for s in (200, (16, 8)))
    v = rng.standard_normal(200).astype(np.float32)
    u, b, batch = (rng.standard_normal(s).astype(np.float32) / 8 for s in ((64, 32), (32, 10), (64, 64)))
    tw, tx, tp, tdata, tv, tu, tb, tbatch = map(torch.tensor, (w, x, p, data, v, u, b, batch))
    theirs = torch.func
    ours_map, their_map = map_of(tg, w), map_of(torch, tw)
    ours_loss, their_loss = loss_of(tg, data), loss_of(torch, tdata)
    each, their_each = example_loss(tg), example_loss(torch)
    return {
        "Jacobian 100 x 100": (
            lambda: func.jacobian(ours_map)(x),
            lambda: theirs.jacrev(their_map)(tx),
        ),
        "Jacobian 100 x 100, jacfwd": (
            lambda: func.jacfwd(ours_map)(x),
            lambda: theirs.jacfwd(their_map)(tx),
        ),
        "Hessian of 200 parameters": (
            lambda: func.hessian(ours_loss)(p),
            lambda: theirs.hessian(their_loss)(tp),
        ),
        "hvp of 200 parameters": (
            lambda: func.hvp(ours_loss, p, v),
            lambda: theirs.jvp(theirs.grad(their_loss), (tp,), (tv,))[1],
        ),
        "gradients of 64 examples": (
            lambda: func.vmap(func.grad(each, argnums=(0, 1)), (None, None, 0))(u, b, batch),
            lambda: theirs.vmap(theirs.grad(their_each, argnums=(0, 1)), (None, None, 0))(tu, tb, tbatch),
        ),
    }


def measure(pair: tuple[Callable[[], Any], Callable[[], Any]], rounds: int) -> tuple[float, float]:
    """The median times of both, in turns, in seconds."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in pair:
        run()
    for _ in range(rounds):
        for run, taken in zip(pair, times):
            begin = time.process_time()  # of this process alone, on one core: see OPENBLAS_NUM_THREADS
            run()
            taken.append(time.process_time() - begin)
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> None:
    """Print the table: times, and their ratios beside the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    try:
        import torch
    except ImportError:
        sys.exit("benchmarks.jacobian compares with PyTorch, which is not installed: pip install torch")
    torch.set_num_threads(1)
    for name, pair in cases().items():
        for one, other in zip(
            *(np.atleast_1d(np.asarray(x)) if not isinstance(x, tuple) else x for x in (pair[0](), pair[1]()))
        ):
            np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=2e-3, atol=2e-5)
        ours, peer = measure(pair, rounds)
        ratio = ours / peer
        print(
            f"{name}: ours {ours * 1e3:.2f} ms, torch.func {peer * 1e3:.2f} ms, ratio {ratio:.2f} "
            f"(limit {LIMITS[name]})"
        )


if __name__ == "__main__":
    main()
