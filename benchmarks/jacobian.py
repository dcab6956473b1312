"""Jacobians, Hessians, forward mode and per-example gradients: ours and torch.func's, in turns.

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

# Ours divided by torch.func's: the limit of each case. "forward pass" is a ratio to the plain call.
LIMITS = {
    "Jacobian 100 x 100": 1.0, "Jacobian 100 x 100, jacfwd": 1.0, "Hessian of 200 parameters": 1.0,
    "hvp of 200 parameters": 1.0, "gradients of 64 examples": 1.0,
}  # fmt: skip
# The derivatives of qr and cholesky take more arithmetic than they do: products and triangular systems of n^3 each.
# A network 8-10-10: 80 + 10 + 100 + 10 parameters
SIZES = ((8, 10), (10,), (10, 10), (10,))
FORWARD_LIMIT = 2.5


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


def forward_cases() -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """A jvp and the plain call, of networks large enough that arithmetic counts."""
    rng = np.random.default_rng(0)
    ws = [rng.standard_normal((512, 512)).astype(np.float32) / 23 for _ in range(8)]
    x, t = (rng.standard_normal((256, 512)).astype(np.float32) for _ in range(2))
    kernel = rng.standard_normal((16, 8, 3, 3)).astype(np.float32) / 9
    image, ti = (rng.standard_normal((32, 8, 32, 32)).astype(np.float32) for _ in range(2))

    def mlp(x: Any) -> Any:
        for w in ws:
            x = tg.relu(tg.linear(x, w))
        return x

    def cnn(x: Any) -> Any:
        return tg.max_pool(tg.relu(tg.conv(x, kernel, padding=1)), 2)

    def elementwise(x: Any) -> Any:
        for _ in range(10):
            x = tg.sin(x) * x
        return x

    tg.manual_seed(0)
    recurrent = {
        kind.__name__: kind(64, 128, batch_first=True) for kind in (tg.nn.RNN, tg.nn.GRU, tg.nn.LSTM)
    }
    images = tg.nn.Sequential(
        tg.nn.Conv2d(8, 16, 3, padding=1), tg.nn.BatchNorm2d(16), tg.nn.ReLU(), tg.nn.MaxPool2d(2),
        tg.nn.Conv2d(16, 16, 3, padding=1), tg.nn.ReLU(), tg.nn.AvgPool2d(2),
    )  # fmt: skip
    encoder = tg.nn.TransformerEncoderLayer(128, 4, 256, dropout=0.0, batch_first=True)
    sequence, ts = (rng.standard_normal((32, 50, 64)).astype(np.float32) for _ in range(2))
    words, tw = (rng.standard_normal((16, 64, 128)).astype(np.float32) for _ in range(2))
    square, tq = (rng.standard_normal((20, 60, 60)) for _ in range(2))
    definite, td = square @ square.swapaxes(1, 2) + 60 * np.eye(60), tq + tq.swapaxes(1, 2)

    def plain(f: Callable[[Any], Any], a: np.ndarray) -> Callable[[], Any]:
        def run() -> Any:
            with tg.no_grad():
                return f(tg.Tensor(a))

        return run

    def pushed(f: Callable[[Any], Any], a: np.ndarray, d: np.ndarray) -> Callable[[], Any]:
        def run() -> Any:
            with tg.no_grad():
                return func.jvp(f, (a,), (d,))

        return run

    return {
        f"forward pass, {name}": (pushed(f, a, d), plain(f, a))
        for name, f, a, d in (
            ("dense layers", mlp, x, t),
            ("convolution", cnn, image, ti),
            ("convolutional network", images, image, ti),
            ("elementwise", elementwise, x, t),
            *((name, lambda x, f=f: f(x)[0], sequence, ts) for name, f in recurrent.items()),
            ("transformer layer", encoder, words, tw),
            ("svd", lambda x: tg.linalg.svd(x, full_matrices=False), square, tq),
            ("eigh", tg.linalg.eigh, definite, td),
            ("inv", tg.linalg.inv, definite, td),
            ("qr", tg.linalg.qr, square, tq),
            ("cholesky", tg.linalg.cholesky, definite, td),
        )
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
    for name, pair in forward_cases().items():
        pushed, plain = measure(pair, rounds)
        print(
            f"{name}: jvp {pushed * 1e3:.2f} ms, plain {plain * 1e3:.2f} ms, ratio {pushed / plain:.2f} "
            f"(limit {FORWARD_LIMIT})"
        )


if __name__ == "__main__":
    main()
