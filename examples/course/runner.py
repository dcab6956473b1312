"""What `tinygrad-dl course` does: run experiments and print there beside here."""

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
from tinygrad_dl.course.record import Row, beside, table
from tinygrad_dl.errors import MissingExtraError
from tinygrad_dl.train.threads import one_blas_thread


def listing() -> str:
    """Name and title of every experiment, and the files that it needs."""
    lines = []
    for name in EXPERIMENTS:
        script = import_module(f"tinygrad_dl.course.{name}")
        needs = getattr(script, "NEEDS", ())
        lines.append(f"{name:<22}  {script.TITLE}" + (f"  [needs {', '.join(needs)}]" if needs else ""))
    return "\n".join(lines)


def why_not(name: str, data: Path | None) -> str:
    """What an experiment lacks, or nothing."""
    needs = getattr(import_module(f"tinygrad_dl.course.{name}"), "NEEDS", ())
    missing = [file for file in needs if data is None or not (data / file).is_file()]
    if not missing:
        return ""
    where = "the folder that has them: --data FOLDER" if data is None else f"not found in {data}"
    return f"{name} is left out: it needs {' and '.join(missing)}, not distributed with this package; {where}"


def measure(name: str, data: Path | None, out: Path) -> list[Row]:
    """Run one experiment."""
    script = import_module(f"tinygrad_dl.course.{name}")
    offered = {"data": data, "out": out}
    wanted = inspect.signature(script.run).parameters
    here = script.run(**{key: value for key, value in offered.items() if key in wanted})
    return beside(getattr(script, "THERE", {}), here, getattr(script, "CHAOTIC", None))


def run(names: Sequence[str], data: Path | None, out: Path, as_json: bool = False) -> int:
    """Run experiments one by one; returns 0, or 1 if a figure differs or nothing could be run."""

    def say(text: str) -> None:
        print(text, file=sys.stderr if as_json else sys.stdout, flush=True)

    results: list[dict[str, Any]] = []
    left_out: list[str] = []
    fine = True
    for name in names:
        problem = why_not(name, data)
        if problem:
            print(f"tinygrad-dl course: {problem}", file=sys.stderr, flush=True)
            left_out.append(name)
            continue
        title = import_module(f"tinygrad_dl.course.{name}").TITLE
        say(f"{title} ({name})")
        begin = time.perf_counter()
        try:
            with one_blas_thread():
                rows = measure(name, data, out)
        except MissingExtraError as error:
            print(f"tinygrad-dl course: {name} is left out: {error}", file=sys.stderr, flush=True)
            left_out.append(name)
            continue
        seconds = time.perf_counter() - begin
        fine = fine and all(row.agrees for row in rows)
        say(table(rows))
        picture = out / f"{name}.png"
        say((f"picture: {picture}, " if name in FURTHER and picture.exists() else "") + f"{seconds:.1f} s\n")
        shown = [row._asdict() | {"shown": row.shown, "verdict": row.verdict} for row in rows]
        results.append({"name": name, "title": title, "seconds": round(seconds, 1), "rows": shown})
    if as_json:
        versions = {
            "tinygrad_dl": __version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        }
        print(json.dumps({"versions": versions, "experiments": results, "left_out": left_out}, indent=1))
    return 0 if fine and results else 1
