"""The cost of drawing: 1,000 nodes to DOT, long graphs, the page in Chromium, and recording during backward.

python -m benchmarks.drawing [--rounds N] [--chromium PATH]
Limits: 1,000 nodes to DOT 0.1 s; 10,000 nodes, and y = y + y 64 deep, 1 s; opening the page of 1,000 nodes 2 s;
backward without a recording costs nothing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_dl import Tensor, viz
from tinygrad_dl.viz.formats.graphviz import ENGINE_IN_PAGE, available
from tinygrad_dl.viz.formats.html import to_html


def web(count: int) -> Tensor:
    """A graph of about `count` operations on small matrices, each on two of the previous ones."""
    rng = np.random.default_rng(0)
    pool = [Tensor(rng.normal(size=(4, 4)), requires_grad=True) for _ in range(4)]
    for i in range(count):
        one, two = pool[-1], pool[int(rng.integers(max(0, len(pool) - 12), len(pool)))]
        pool.append((one * two).tanh() if i % 3 == 0 else one + two if i % 3 == 1 else one - two)
    return pool[-1].sum()


def chain(count: int) -> Tensor:
    y = Tensor(1.0, requires_grad=True)
    for _ in range(count):
        y = y + 1.0
    return y


def doubled(count: int) -> Tensor:
    y = Tensor(1.0, requires_grad=True)
    for _ in range(count):
        y = y + y
    return y


def best(function: Callable[[], Any], rounds: int, clock: Callable[[], float] = time.process_time) -> float:
    """Seconds of the fastest round: by default CPU time of this process, which other processes do not affect."""
    taken = []
    for _ in range(rounds):
        start = clock()
        function()
        taken.append(clock() - start)
    return min(taken)


def backward(recorded: bool) -> float:
    y = web(1000)
    start = time.perf_counter()
    if recorded:
        with viz.record(detail=False):
            y.backward()
    else:
        y.backward()
    return time.perf_counter() - start


def opened(chromium: str, folder: Path, rounds: int) -> dict[str, float]:
    """Seconds until the page of 1,000 nodes is ready, for both kinds of page."""
    from playwright.sync_api import sync_playwright

    view = viz.draw(web(750), max_nodes=10_000)
    print(f"page: {len(view.graph.nodes)} boxes, {len(view.graph.edges)} edges")
    kinds = {"page that lays itself out": ENGINE_IN_PAGE}
    if available():
        kinds["page drawn before"] = available()[0]
    found = {}
    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, kind in kinds.items():
            file = folder / f"{kind}.html"
            file.write_text(to_html(view, kind), encoding="utf-8")

            def load(uri: str = file.as_uri()) -> None:
                page = browser.new_page()
                page.goto(uri)
                page.wait_for_selector("body[data-ready='1']")
                page.close()

            found[name] = best(load, rounds, time.perf_counter)
        browser.close()
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    given = parser.parse_args(arguments)
    thousand, long, deep = web(750), chain(10_000), doubled(64)
    count = len(viz.draw(thousand, max_nodes=10_000).graph.nodes)
    rows: list[tuple[str, float, float]] = [
        (
            f"{count} nodes to DOT",
            best(lambda: viz.draw(thousand, max_nodes=10_000).source, given.rounds),
            0.1,
        ),
        ("10,000 nodes in a chain to DOT", best(lambda: viz.draw(long).source, given.rounds), 1.0),
        ("y = y + y, 64 deep, to DOT", best(lambda: viz.draw(deep).source, given.rounds), 1.0),
    ]
    if given.chromium:
        with tempfile.TemporaryDirectory() as folder:
            rows += [
                (name, taken, 2.0)
                for name, taken in opened(given.chromium, Path(folder), given.rounds).items()
            ]
    for name, taken, limit in rows:
        print(f"{name:34} {taken:8.3f} s   limit {limit:g} s   {'ok' if taken <= limit else 'MISSED'}")
    plain, recorded = (min(backward(on) for _ in range(given.rounds)) for on in (False, True))
    print(
        f"backward of 1,333 nodes: {1e3 * plain:.1f} ms, recorded {1e3 * recorded:.1f} ms; without a recording "
        "none of the recorder's code runs"
    )
    return int(any(taken > limit for _, taken, limit in rows))


if __name__ == "__main__":
    sys.exit(main())
