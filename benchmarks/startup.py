"""What a start costs: `import tinygrad_dl` beside `import numpy`, and the training of `tinygrad-dl demo`.

python -m benchmarks.startup [--rounds N]
Marks: the import at most twice NumPy's; the demo's training at most 10 s.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = ("numpy", "tinygrad_dl")


def import_seconds(module: str) -> float:
    """Seconds that a new process takes to import the module; Python's compiled files are kept, as for a user."""
    code = f"from time import perf_counter as now; start = now(); import {module}; print(now() - start)"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment)
    return float(run.stdout)


def training_seconds() -> float:
    """Seconds that the demo's training takes, as its metrics say."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tinygrad_dl", "demo"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True)
        metrics = json.loads(Path(folder, "runs", "demo", "metrics.json").read_text(encoding="utf-8"))
    return float(metrics["timing"]["training_seconds"])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args(arguments).rounds
    import_seconds("tinygrad_dl")  # writes the bytecode
    # In turns, so that a slow moment of the machine is shared by both.
    times = [[import_seconds(module) for module in MODULES] for _ in range(rounds)]
    numpy, ours = (statistics.median(column) for column in zip(*times))
    trained = training_seconds()
    rows = [("import, times NumPy's", ours / numpy, 2.0), ("training of the demo, s", trained, 10.0)]
    print(f"import numpy {1e3 * numpy:.0f} ms, import tinygrad_dl {1e3 * ours:.0f} ms")
    for name, figure, mark in rows:
        print(f"{name:34} {figure:8.2f}   mark {mark:g}   {'ok' if figure <= mark else 'MISSED'}")
    return int(any(figure > mark for _, figure, mark in rows))


if __name__ == "__main__":
    sys.exit(main())
