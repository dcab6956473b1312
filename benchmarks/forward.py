"""Forward mode: the time of a jvp divided by that of the plain call, here, in PyTorch and in JAX.

OPENBLAS_NUM_THREADS=1 python -m benchmarks.forward [--rounds N] [--only NAME,NAME]
One core; libraries that are not installed are left out. JAX compiles both.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np

import tinygrad_dl as tg
from benchmarks.jacobian import measure
from tinygrad_dl import func, linalg

LIMIT = 2.5

# The least that forward mode of a decomposition takes, in multiples of the arithmetic of the plain call, if it makes
# the products and systems of its rule after it, with n x n matrices. LU is 2/3 n^3 operations, its systems 2 n^3,
# Cholesky 1/3 n^3, QR with Q 8/3 n^3, a product 2 n^3, a triangular system n^3.
ARITHMETIC = {
    "det": 5.0,  # LU; LU and an inverse
    "slogdet": 5.0,
    "inv": 2.5,  # LU and a system; two products
    "solve": 2.8,  # the same; a product, and another system that NumPy factorizes again
    "cholesky": 3.5,  # the product rule within the algorithm: 5/6 n^3
    "qr": 3.6,  # a triangular system, three products
}


class Row(NamedTuple):
    """What is measured: the function here, a point, and the same function in PyTorch and JAX, by a name of theirs."""

    f: Callable[[Any], Any]
    x: np.ndarray
    torch: Callable[[Any], Callable[[Any], Any]] | None = None
    jax: Callable[[Any], Callable[[Any], Any]] | None = None


def operations() -> dict[str, Row]:
    """Single operations, of sizes at which arithmetic counts."""
    rng = np.random.default_rng(0)
    wide = rng.standard_normal((1000, 1000)).astype(np.float32)
    near_one = 1 + wide / 100
    square = rng.standard_normal((300, 300))
    definite = square @ square.T / 300 + np.eye(300)
    images = rng.standard_normal((16, 16, 64, 64)).astype(np.float32)
    target = rng.integers(0, 1000, 1000)
    few, few_target = rng.standard_normal((100_000, 10)).astype(np.float32), rng.integers(0, 10, 100_000)
    loss = tg.nn.functional.cross_entropy

    def pooled(size: int, stride: int, padding: int) -> dict[str, Any]:
        window, step = (1, 1, size, size), (1, 1, stride, stride)
        pads = ((0, 0), (0, 0), (padding, padding), (padding, padding))
        return {
            "torch": lambda t: lambda x: t.nn.functional.max_pool2d(x, size, stride, padding),
            "jax": lambda j: lambda x: j.lax.reduce_window(x, -np.inf, j.lax.max, window, step, pads),
        }

    def crossed(target: Any) -> dict[str, Any]:
        rows = np.arange(len(target))
        return {
            "torch": lambda t: lambda x: t.nn.functional.cross_entropy(x, t.tensor(target)),
            "jax": lambda j: lambda x: -j.nn.log_softmax(x)[rows, target].mean(),
        }

    def along(name: str, theirs: str) -> dict[str, Any]:
        return {
            "torch": lambda t: lambda x: getattr(t, theirs)(x, 1),
            "jax": lambda j: lambda x: getattr(j.numpy, name)(x, axis=1),
        }

    def of_matrices(name: str) -> dict[str, Any]:
        return {
            "torch": lambda t: getattr(t.linalg, name),
            "jax": lambda j: getattr(j.numpy.linalg, name),
        }

    def values_only(name: str) -> dict[str, Any]:
        return {
            "torch": lambda t: getattr(t.linalg, name),
            "jax": lambda j: lambda x: j.numpy.linalg.svd(x, compute_uv=False) if name == "svdvals" else
            getattr(j.numpy.linalg, name)(x),
        }  # fmt: skip

    by_matrices = {
        name: Row(
            getattr(linalg, name), definite if name in ("cholesky", "eigh") else square, **of_matrices(name)
        )
        for name in ("inv", "det", "slogdet", "cholesky", "qr", "svd", "eigh", "eig", "pinv")
    }
    by_values = {
        name: Row(getattr(linalg, name), definite if name == "eigvalsh" else square, **values_only(name))
        for name in ("svdvals", "eigvalsh", "eigvals")
    }
    return {
        "cumulative_prod": Row(lambda x: tg.cumulative_prod(x, axis=1), near_one, **along("cumprod", "cumprod")),
        "prod": Row(lambda x: tg.prod(x, axis=1), near_one, **along("prod", "prod")),
        "max": Row(lambda x: tg.max(x, axis=1), wide, **along("max", "amax")),
        "std": Row(lambda x: tg.std(x, axis=1), wide, **along("std", "std")),
        "logsumexp": Row(
            lambda x: tg.logsumexp(x, axis=1), wide, lambda t: lambda x: t.logsumexp(x, 1),
            lambda j: lambda x: j.nn.logsumexp(x, axis=1),
        ),
        "cross_entropy, 1000 classes": Row(lambda x: loss(x, target), wide, **crossed(target)),
        "cross_entropy, 10 classes": Row(lambda x: loss(x, few_target), few, **crossed(few_target)),
        "max_pool 2": Row(lambda x: tg.max_pool(x, 2), images, **pooled(2, 2, 0)),
        "max_pool 3, stride 2": Row(lambda x: tg.max_pool(x, 3, 2, 1), images, **pooled(3, 2, 1)),
        "solve": Row(
            lambda x: linalg.solve(x, x.mT), square, lambda t: lambda x: t.linalg.solve(x, x.mT),
            lambda j: lambda x: j.numpy.linalg.solve(x, x.T),
        ),
        **by_matrices,
        **by_values,
    }  # fmt: skip


def networks() -> dict[str, Row]:
    """Networks large enough that arithmetic counts."""
    rng = np.random.default_rng(0)
    ws = [rng.standard_normal((512, 512)).astype(np.float32) / 23 for _ in range(8)]
    x = rng.standard_normal((256, 512)).astype(np.float32)
    kernel = rng.standard_normal((16, 8, 3, 3)).astype(np.float32) / 9
    image = rng.standard_normal((32, 8, 32, 32)).astype(np.float32)

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
    images = tg.nn.Sequential(
        tg.nn.Conv2d(8, 16, 3, padding=1), tg.nn.BatchNorm2d(16), tg.nn.ReLU(), tg.nn.MaxPool2d(2),
        tg.nn.Conv2d(16, 16, 3, padding=1), tg.nn.ReLU(), tg.nn.AvgPool2d(2),
    )  # fmt: skip
    sequence = rng.standard_normal((32, 50, 64)).astype(np.float32)
    layers = [kind(64, 128, batch_first=True) for kind in (tg.nn.RNN, tg.nn.GRU, tg.nn.LSTM)]
    encoders = {
        width: tg.nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True)
        for width in (128, 256)
    }
    return {
        "dense layers": Row(mlp, x),
        "convolution": Row(cnn, image),
        "convolutional network": Row(images, image),
        "elementwise": Row(elementwise, x),
        **{type(f).__name__: Row(lambda x, f=f: f(x)[0], sequence) for f in layers},
        **{
            f"transformer layer, width {width}": Row(
                f, rng.standard_normal((16, 64, width)).astype(np.float32)
            )
            for width, f in encoders.items()
        },
    }


def pairs(
    row: Row, direction: np.ndarray
) -> Iterator[tuple[str, tuple[Callable[[], Any], Callable[[], Any]]]]:
    """For each library, the jvp and the plain call."""
    x, d = tg.Tensor(row.x), tg.Tensor(direction)
    quiet = tg.no_grad()
    yield "tinygrad_dl", (quiet(lambda: func.jvp(row.f, (x,), (d,))), quiet(lambda: row.f(x)))
    if row.torch is not None and find_spec("torch"):
        import torch

        torch.set_num_threads(1)
        f, tx, td = row.torch(torch), torch.tensor(row.x), torch.tensor(direction)
        yield "PyTorch", (lambda: torch.func.jvp(f, (tx,), (td,)), lambda: f(tx))
    if row.jax is not None and find_spec("jax"):
        import jax

        jax.config.update("jax_enable_x64", True)
        g, jx, jd = row.jax(jax), jax.numpy.asarray(row.x), jax.numpy.asarray(direction)
        moved, plain = jax.jit(lambda x, d: jax.jvp(g, (x,), (d,))), jax.jit(g)
        yield (
            "JAX",
            (
                lambda: jax.block_until_ready(moved(jx, jd)),
                lambda: jax.block_until_ready(plain(jx)),
            ),
        )


def main() -> None:
    """Print the table: milliseconds here, and the ratios of all libraries."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", help="rows whose name contains one of these, separated by commas")
    options = parser.parse_args()
    print(f"| jvp / plain call (limit {LIMIT}) | plain, ms | tinygrad_dl | PyTorch | JAX | arithmetic |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, row in {**operations(), **networks()}.items():
        if options.only and not any(part in name for part in options.only.split(",")):
            continue
        direction = np.random.default_rng(1).standard_normal(row.x.shape).astype(row.x.dtype)
        if name in ("cholesky", "eigh", "eigvalsh"):
            direction = direction + direction.T
        ratios, milliseconds = {}, 0.0
        for library, pair in pairs(row, direction):
            try:
                moved, plain = measure(pair, options.rounds)
            except Exception:  # no rule of forward mode there
                continue
            ratios[library] = f"{moved / plain:.1f}"
            milliseconds = milliseconds or plain * 1e3
        cells = [ratios.get(library, "") for library in ("tinygrad_dl", "PyTorch", "JAX")]
        least = f"{ARITHMETIC[name]:.1f}" if name in ARITHMETIC else ""
        print(f"| {name} | {milliseconds:.2f} | {' | '.join(cells)} | {least} |", flush=True)


if __name__ == "__main__":
    main()
