"""The playground in Chromium: frames per second of the default network, and memory while it plays.

python -m benchmarks.playground [--seconds N]
Mark: 30 frames a second. Memory is that of the training process, the server and the page's JavaScript (Linux).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = 10
MARK = 30.0


def resident(pid: int) -> float:
    """The resident memory of a process in MB."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"), re.M)
    return int(found.group(1)) / 1000 if found else float("nan")


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    return [int(child) for child in text.split()]


def sample(page: Any, server: int) -> tuple[int, int, float, float, float]:
    """Frames and steps so far; MB of the training process, of the server, of the page's JavaScript."""
    frames, step, heap = page.evaluate(
        "[+document.body.dataset.frames, +document.body.dataset.step, performance.memory.usedJSHeapSize / 1e6]"
    )
    return frames, step, sum(map(resident, children(server))), resident(server), heap


def play(url: str, server: int, seconds: float) -> list[tuple[float, int, int, float, float, float]]:
    """Train the default network for some seconds; what was measured, from the first second on."""
    from playwright.sync_api import sync_playwright

    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as engine:
        options = ["--no-sandbox", "--enable-precise-memory-info"]
        browser = engine.chromium.launch(executable_path=program, args=options)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(url)
        page.wait_for_selector("body[data-step]")
        page.click("#play")
        page.wait_for_timeout(1000)
        rows = []
        start = time.perf_counter()
        for i in range(SAMPLES + 1):
            page.wait_for_timeout(max(0.0, 1000 * (start + seconds * i / SAMPLES - time.perf_counter())))
            rows.append((time.perf_counter() - start, *sample(page, server)))
            if page.get_attribute("#play", "aria-pressed") == "false":
                page.click("#play")
        browser.close()
    return rows


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    seconds = parser.parse_args(arguments).seconds
    command = [sys.executable, "-m", "tinygrad_dl", "playground", "--no-open"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert server.stdout is not None
    try:
        url = server.stdout.readline().split()[-1]
        rows = play(url, server.pid, seconds)
    finally:
        server.terminate()
        server.wait()
    print("seconds  frames/s    step  training MB  server MB  page's JavaScript MB")
    for before, (at, frames, step, worker, own, heap) in zip(rows, rows[1:]):
        rate = (frames - before[1]) / (at - before[0])
        print(f"{at:7.0f} {rate:9.1f} {step:7d} {worker:12.1f} {own:10.1f} {heap:21.1f}")
    figure = (rows[-1][1] - rows[0][1]) / (rows[-1][0] - rows[0][0])
    print(f"frames per second {figure:.1f}   mark {MARK:g}   {'ok' if figure >= MARK else 'MISSED'}")
    return int(figure < MARK)


if __name__ == "__main__":
    sys.exit(main())
