"""Each layer's forward and backward pass beside PyTorch's, in one process, in turns.

python -m benchmarks.layers [NAME ...] [--rounds N] [--threads N]
Float32, the same shapes and weights; the input requires grad too. Limit: 3 times PyTorch's time.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_dl import nn
from tinygrad_dl.tensor import Tensor

LIMIT = 3.0

# name -> (builder of the layer, shape of the input)
LAYERS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "Linear 256-256 x128": (lambda n: n.Linear(256, 256), (128, 256)),
    "Bilinear 32-32-32 x64": (lambda n: n.Bilinear(32, 32, 32), (64, 32)),
    "Conv1d 16-32 k5 x32": (lambda n: n.Conv1d(16, 32, 5, padding=2), (32, 16, 128)),
    "Conv2d 1-6 k5 28 x64": (lambda n: n.Conv2d(1, 6, 5, padding=2), (64, 1, 28, 28)),
    "Conv2d 6-16 k5 14 x64": (lambda n: n.Conv2d(6, 16, 5), (64, 6, 14, 14)),
    "Conv2d 16-32 k3 8 x64": (lambda n: n.Conv2d(16, 32, 3, padding=1), (64, 16, 8, 8)),
    "Conv2d 3-32 k3 32 x32": (lambda n: n.Conv2d(3, 32, 3, padding=1), (32, 3, 32, 32)),
    "Conv2d 32-64 k3 32 x32": (lambda n: n.Conv2d(32, 64, 3, padding=1), (32, 32, 32, 32)),
    "Conv2d 64-64 k3 16 x32": (lambda n: n.Conv2d(64, 64, 3, padding=1), (32, 64, 16, 16)),
    "Conv2d 64-64 k3 s2 x32": (lambda n: n.Conv2d(64, 64, 3, stride=2, padding=1), (32, 64, 16, 16)),
    "Conv2d 64-64 k1 16 x32": (lambda n: n.Conv2d(64, 64, 1), (32, 64, 16, 16)),
    "Conv2d depthwise 32 k3": (lambda n: n.Conv2d(32, 32, 3, padding=1, groups=32), (32, 32, 16, 16)),
    "Conv2d 32-32 4 groups": (lambda n: n.Conv2d(32, 32, 3, padding=1, groups=4), (32, 32, 16, 16)),
    "Conv3d 4-8 k3 12 x8": (lambda n: n.Conv3d(4, 8, 3, padding=1), (8, 4, 12, 12, 12)),
    "ConvTranspose2d 32-16 k4": (lambda n: n.ConvTranspose2d(32, 16, 4, 2, 1), (16, 32, 16, 16)),
    "MaxPool2d 2 16x28 x64": (lambda n: n.MaxPool2d(2), (64, 16, 28, 28)),
    "MaxPool2d 3 s2 p1": (lambda n: n.MaxPool2d(3, 2, 1), (32, 32, 32, 32)),
    "AvgPool2d 2": (lambda n: n.AvgPool2d(2), (32, 32, 32, 32)),
    "AdaptiveAvgPool2d 1": (lambda n: n.AdaptiveAvgPool2d(1), (32, 64, 8, 8)),
    "AdaptiveAvgPool2d 5": (lambda n: n.AdaptiveAvgPool2d(5), (32, 32, 16, 16)),
    "LPPool2d 2": (lambda n: n.LPPool2d(2, 2), (32, 32, 16, 16)),
    "ReflectionPad2d 2": (lambda n: n.ReflectionPad2d(2), (32, 16, 32, 32)),
    "ZeroPad2d 2": (lambda n: n.ZeroPad2d(2), (32, 16, 32, 32)),
    "Upsample nearest 2": (lambda n: n.Upsample(scale_factor=2), (16, 16, 32, 32)),
    "Upsample bilinear 2": (lambda n: n.Upsample(scale_factor=2, mode="bilinear"), (16, 16, 32, 32)),
    "Upsample bicubic 2": (lambda n: n.Upsample(scale_factor=2, mode="bicubic"), (16, 16, 32, 32)),
    "PixelShuffle 2": (lambda n: n.PixelShuffle(2), (16, 32, 32, 32)),
    "Unfold 3": (lambda n: n.Unfold(3, padding=1), (16, 8, 32, 32)),
    "Fold 3": (lambda n: n.Fold((32, 32), 3, padding=1), (16, 72, 1024)),
    "BatchNorm1d 128 x64": (lambda n: n.BatchNorm1d(128), (64, 128)),
    "BatchNorm2d 16 x64": (lambda n: n.BatchNorm2d(16), (64, 16, 14, 14)),
    "LayerNorm 256 x128": (lambda n: n.LayerNorm(256), (128, 256)),
    "GroupNorm 4 of 32": (lambda n: n.GroupNorm(4, 32), (32, 32, 16, 16)),
    "Dropout": (lambda n: n.Dropout(0.5), (128, 1024)),
    "ReLU": (lambda n: n.ReLU(), (128, 1024)),
    "GELU": (lambda n: n.GELU(), (128, 1024)),
    "Softmax": (lambda n: n.Softmax(-1), (128, 256)),
    "RNN 16-32 20 steps x32": (lambda n: n.RNN(16, 32), (20, 32, 16)),
    "GRU 16-32 20 steps x32": (lambda n: n.GRU(16, 32), (20, 32, 16)),
    "LSTM 16-32 20 steps x32": (lambda n: n.LSTM(16, 32), (20, 32, 16)),
    "LSTM 64-128 50 steps x32": (lambda n: n.LSTM(64, 128), (50, 32, 64)),
    "LSTM 2 layers both ways": (lambda n: n.LSTM(16, 32, num_layers=2, bidirectional=True), (20, 32, 16)),
    "MultiheadAttention 64 4": (lambda n: n.MultiheadAttention(64, 4), (32, 16, 64)),
    "TransformerEncoder 64 4": (lambda n: n.TransformerEncoderLayer(64, 4, 128, 0.0), (32, 16, 64)),
}  # fmt: skip


def output(name: str, layer: Any, x: Any) -> Any:
    """The layer's output: the first one, where there are several."""
    count = {"MultiheadAttention": 3, "Bilinear": 2}.get(name.split()[0], 1)
    out = layer(*[x] * count)
    return out[0] if isinstance(out, tuple) else out


def passes(name: str, torch: Any) -> tuple[Callable[[], None], Callable[[], None]]:
    """One forward and backward pass of the layer in PyTorch, and of ours."""
    build, shape = LAYERS[name]
    data = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    theirs, ours = build(torch.nn), build(nn)
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    their_x, our_x = torch.tensor(data, requires_grad=True), Tensor(data, requires_grad=True)
    out = output(name, theirs, their_x)
    seed = np.random.default_rng(1).standard_normal(tuple(out.shape)).astype(np.float32)
    their_seed, our_seed = torch.tensor(seed), Tensor(seed)

    def one() -> None:
        theirs.zero_grad()
        their_x.grad = None
        output(name, theirs, their_x).backward(their_seed)

    def other() -> None:
        ours.zero_grad()
        our_x.grad = None
        output(name, ours, our_x).backward(our_seed)

    return one, other


def seconds(run: Callable[[], None], repeats: int) -> list[float]:
    """The time of each of several runs."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return found


def measure(name: str, rounds: int, torch: Any) -> tuple[float, float]:
    """Median seconds of a pass in PyTorch and of ours, measured in turns."""
    theirs, ours = passes(name, torch)
    theirs(), ours()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for run, found in zip((theirs, ours), times):
            found += seconds(run, 5)
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> None:
    """Measure the layers whose names contain one of the words given, or all, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, help="of PyTorch; ours are set by OPENBLAS_NUM_THREADS")
    arguments = parser.parse_args()
    try:
        import torch
    except ImportError:
        sys.exit("benchmarks.layers compares with PyTorch, which is not installed: pip install torch")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    print(f"{'layer':26s} {'PyTorch':>9s} {'ours':>9s} {'ratio':>6s}   (ms, forward and backward, medians)")
    slow = []
    for name in LAYERS:
        if arguments.names and not any(word.lower() in name.lower() for word in arguments.names):
            continue
        theirs, ours = measure(name, arguments.rounds, torch)
        ratio = ours / theirs
        slow += [name] if ratio > LIMIT else []
        print(
            f"{name:26s} {theirs * 1e3:9.3f} {ours * 1e3:9.3f} {ratio:6.2f}{'  <' if ratio > LIMIT else ''}"
        )
    print(f"slower than {LIMIT:g} times PyTorch: {', '.join(slow) or 'none'}")


if __name__ == "__main__":
    main()
