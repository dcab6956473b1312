"""The command `tinygrad-dl course`: run experiments and compare their results with the published ones."""

from __future__ import annotations

import inspect
import json
import platform
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_dl import __version__
from tinygrad_dl.course import EXPERIMENTS, FURTHER
from tinygrad_dl.course.record import Row, compare, table
from tinygrad_dl.errors import MissingExtraError
from tinygrad_dl.train.threads import one_blas_thread


def listing() -> str:
    """List the name and title of every experiment, and the files that it requires."""
    lines = []
    for name in EXPERIMENTS:
        script = import_module(f"tinygrad_dl.course.{name}")
        files = getattr(script, "REQUIRED_FILES", ())
        lines.append(f"{name:<22}  {script.TITLE}" + (f"  [requires {', '.join(files)}]" if files else ""))
    return "\n".join(lines)


def missing_files(name: str, data: Path | None) -> str:
    """Return a message about the files that an experiment lacks; an empty one if it has them all."""
    files = getattr(import_module(f"tinygrad_dl.course.{name}"), "REQUIRED_FILES", ())
    missing = [file for file in files if data is None or not (data / file).is_file()]
    if not missing:
        return ""
    hint = "Pass their folder: --data FOLDER" if data is None else f"Not found in {data}"
    names = " and ".join(missing)
    return f"{name} is skipped: it requires {names}, which this package does not include. {hint}"


def measure(name: str, data: Path | None, out: Path) -> list[Row]:
    """Run one experiment and return its rows."""
    script = import_module(f"tinygrad_dl.course.{name}")
    parameters = inspect.signature(script.run).parameters
    options = {key: value for key, value in {"data": data, "out": out}.items() if key in parameters}
    return compare(getattr(script, "PUBLISHED", {}), script.run(**options), getattr(script, "CHAOTIC", None))


def run(names: Sequence[str], data: Path | None, out: Path, as_json: bool = False) -> int:
    """Run experiments one by one; returns 0, or 1 if a result differs or nothing could be run."""

    def report(text: str) -> None:
        # Standard output is for the JSON alone.
        print(text, file=sys.stderr if as_json else sys.stdout, flush=True)

    results: list[dict[str, Any]] = []
    skipped: list[str] = []
    agree = True
    for name in names:
        problem = missing_files(name, data)
        if problem:
            print(f"tinygrad-dl course: {problem}", file=sys.stderr, flush=True)
            skipped.append(name)
            continue
        title = import_module(f"tinygrad_dl.course.{name}").TITLE
        report(f"{title} ({name})")
        start = time.perf_counter()
        try:
            with one_blas_thread():
                rows = measure(name, data, out)
        except MissingExtraError as error:
            print(f"tinygrad-dl course: {name} is skipped: {error}", file=sys.stderr, flush=True)
            skipped.append(name)
            continue
        seconds = time.perf_counter() - start
        agree = agree and all(row.agrees for row in rows)
        report(table(rows))
        figure = out / f"{name}.png"
        report((f"figure: {figure}, " if name in FURTHER and figure.exists() else "") + f"{seconds:.1f} s\n")
        shown = [row._asdict() | {"shown": row.shown, "verdict": row.verdict} for row in rows]
        results.append({"name": name, "title": title, "seconds": round(seconds, 1), "rows": shown})
    if as_json:
        versions = {
            "tinygrad_dl": __version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        }
        print(json.dumps({"versions": versions, "experiments": results, "skipped": skipped}, indent=1))
    return 0 if agree and results else 1
