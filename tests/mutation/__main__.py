"""Planted faults: derivative rules and the engine's lines, changed one at a time; do the tests notice?

python -m tests.mutation [--engine] [--rules] [--only NAME,NAME] [--sample N] [--again FILE] [--json FILE]
(Python 3.11 or newer). What changes no result, and why, is listed in equivalent.py.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.mutation import engine, rules
from tests.mutation.equivalent import reason_for
from tests.mutation.forked import each
from tests.mutation.mutants import Mutant

COLUMNS = ("planted", "equivalent", "noticed", "surviving")


def run(
    title: str, faults: Sequence[Any], mutants: Sequence[Mutant], noticed: Callable[[Any], bool], workers: int
) -> tuple[dict[str, Counter[str]], list[tuple[str, str, str]]]:
    """Plant the faults; the figures of each file, and the survivors, printed as they come."""
    began = time.monotonic()
    table: dict[str, Counter[str]] = {}
    survivors: list[tuple[str, str, str]] = []
    real = [(fault, mutant) for fault, mutant in zip(faults, mutants) if reason_for(mutant) is None]
    for mutant in mutants:
        table.setdefault(mutant.path.name, Counter())["planted"] += 1
        table[mutant.path.name]["equivalent"] += reason_for(mutant) is not None
    for done, (i, seen) in enumerate(each([fault for fault, _ in real], noticed, workers), 1):
        mutant = real[i][1]
        table[mutant.path.name]["noticed" if seen else "surviving"] += 1
        if not seen:
            survivors.append((mutant.path.name, mutant.what, mutant.within))
            print(f"survives: {mutant}   [{mutant.within[:110]!r}]", flush=True)
        if done % 50 == 0:
            print(f"  {done} of {len(real)}, {time.monotonic() - began:.0f} s", flush=True)
    print(f"\n{title}: {time.monotonic() - began:.0f} s\n\n{printed(table)}\n", flush=True)
    return table, sorted(survivors)


def selected(faults: list[Any], mutant_of: Callable[[Any], Mutant], chosen: argparse.Namespace) -> list[Any]:
    """The faults to plant: all, those that survived before, or some drawn from a fixed seed."""
    if chosen.again is not None:
        before = [
            tuple(entry)
            for _, survivors in json.loads(chosen.again.read_text()).values()
            for entry in survivors
        ]
        faults = [f for f in faults if mutant_of(f).is_one_of(before)]
    if chosen.sample is not None and chosen.sample < len(faults):
        numbers = sorted(random.Random(0).sample(range(len(faults)), chosen.sample))
        print(f"{chosen.sample} of {len(faults)} possible faults are planted", flush=True)
        return [faults[i] for i in numbers]
    return faults


def printed(table: dict[str, Counter[str]]) -> str:
    """The figures as a Markdown table, with their sums."""
    whole: Counter[str] = Counter()
    for row in table.values():
        whole.update(row)
    lines = ["| File | " + " | ".join(COLUMNS) + " |", "| --- |" + " ---: |" * len(COLUMNS)]
    for name, row in [*sorted(table.items()), ("**all**", whole)]:
        lines.append(f"| {name} | " + " | ".join(str(row[column]) for column in COLUMNS) + " |")
    return "\n".join(lines)


def main() -> None:
    """Plant the faults that were asked for and print which survive."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description="Plant faults.")
    parser.add_argument("--rules", action="store_true", help="the derivative rules only")
    parser.add_argument("--engine", action="store_true", help="the engine's files only")
    parser.add_argument("--only", help="files whose name holds one of these, separated by commas")
    parser.add_argument("--sample", type=int, metavar="N", help="N of the faults, the same each time")
    parser.add_argument("--again", type=Path, help="only the faults that survive in this file of --json")
    parser.add_argument("--json", type=Path, help="write figures and survivors to this file")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    os.environ.setdefault("HYPOTHESIS_PROFILE", "dev")
    for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # those of a pool are gone in a forked child
        os.environ.setdefault(threads, "1")
    both = not (chosen.rules or chosen.engine)
    found: dict[str, Any] = {}
    if chosen.engine or both:  # first: it wants a process without the package
        engine.get_ready()
        mutants = selected(list(engine.mutants(chosen.only)), lambda m: m, chosen)
        found["engine"] = run("Engine", mutants, mutants, engine.noticed, chosen.workers)
    if chosen.rules or both:
        rules.record()
        planted = selected(list(rules.planted(chosen.only)), lambda p: p.mutant, chosen)
        found["rules"] = run("Rules", planted, [p.mutant for p in planted], rules.noticed, chosen.workers)
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
