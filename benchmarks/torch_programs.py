"""Programs for PyTorch through tinygrad_dl.torch, beside PyTorch itself: the same code, in turns.

python -m benchmarks.torch_programs [--rounds N]
The programs are those of tests/torch_layer/programs.py. Needs PyTorch (the extra `peer`).
"""

from __future__ import annotations

import argparse
import sys
import warnings
from time import perf_counter
from typing import Any

from tests.torch_layer.programs import PROGRAMS


def seconds(program: Any, torch: Any) -> float:
    """How long one run takes."""
    begin = perf_counter()
    program(torch)
    return perf_counter() - begin


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args(arguments).rounds
    import torch

    import tinygrad_dl.torch as ours

    torch.set_num_threads(1)  # these programs are small
    print(
        f"{'program':20} {'PyTorch':>10} {'here':>10} {'ratio':>7}   (the fastest of {rounds} runs, in turns)"
    )
    for program in PROGRAMS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            times = [[seconds(program, t) for t in (torch, ours)] for _ in range(rounds + 1)][1:]
        theirs, own = (min(column) for column in zip(*times))
        print(f"{program.__name__:20} {1e3 * theirs:7.1f} ms {1e3 * own:7.1f} ms {own / theirs:7.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
