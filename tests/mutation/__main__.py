"""Mutation testing: derivative rules, lines of the engine and lines of the numerical checks are changed one at a
time; do the tests notice?

python -m tests.mutation [--engine] [--checks] [--rules] [--only NAME,NAME] [--sample N] [--again FILE] [--json FILE]
(Python 3.11 or newer). Equivalent mutants, which change no result, are listed with their reasons in equivalent.py.
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
from typing import Any, TypeVar

from tests.mutation import engine
from tests.mutation.checks import CHECKS
from tests.mutation.equivalent import reason_for
from tests.mutation.in_process import FunctionMutant, Group, Recorded, with_recorded_tests
from tests.mutation.mutants import Mutant
from tests.mutation.processes import each
from tests.mutation.rules import RULES

COLUMNS = ("mutants", "equivalent", "killed", "survived")

T = TypeVar("T")


def run(
    title: str, items: Sequence[T], mutants: Sequence[Mutant], is_killed: Callable[[T], bool], workers: int
) -> tuple[dict[str, Counter[str]], list[tuple[str, str, str]]]:
    """Test the mutants; return the counts of each file and the survivors, which are printed as they are found."""
    start = time.monotonic()
    table: dict[str, Counter[str]] = {}
    survivors: list[tuple[str, str, str]] = []
    tested = [(item, mutant) for item, mutant in zip(items, mutants) if reason_for(mutant) is None]
    for mutant in mutants:
        table.setdefault(mutant.path.name, Counter())["mutants"] += 1
        table[mutant.path.name]["equivalent"] += reason_for(mutant) is not None
    for done, (i, killed) in enumerate(each([item for item, _ in tested], is_killed, workers), 1):
        mutant = tested[i][1]
        table[mutant.path.name]["killed" if killed else "survived"] += 1
        if not killed:
            survivors.append((mutant.path.name, mutant.what, mutant.within))
            print(f"survived: {mutant}   [{mutant.within[:110]!r}]", flush=True)
        if done % 50 == 0:
            print(f"  {done} of {len(tested)}, {time.monotonic() - start:.0f} s", flush=True)
    print(f"\n{title}: {time.monotonic() - start:.0f} s\n\n{markdown(table)}\n", flush=True)
    return table, sorted(survivors)


def run_in_process(group: Group, options: argparse.Namespace) -> Any:
    """Test the selected mutants of a group; return what `run` does."""
    results: list[Any] = []

    def work(tests: Recorded) -> None:
        found: list[FunctionMutant] = select(list(group.mutants(options.only)), lambda m: m.mutant, options)
        results.append(run(group.title, found, [m.mutant for m in found], tests.is_killed, options.workers))

    with_recorded_tests(group, work)
    return results[0]


def select(items: list[T], mutant_of: Callable[[T], Mutant], options: argparse.Namespace) -> list[T]:
    """Return the mutants to test: all, those that survived before, or a sample drawn with a fixed seed."""
    if options.again is not None:
        before = [
            tuple(entry)
            for _, survivors in json.loads(options.again.read_text()).values()
            for entry in survivors
        ]
        items = [item for item in items if mutant_of(item).is_one_of(before)]
    if options.sample is not None and options.sample < len(items):
        indices = sorted(random.Random(0).sample(range(len(items)), options.sample))
        print(f"{options.sample} of {len(items)} mutants are tested", flush=True)
        return [items[i] for i in indices]
    return items


def markdown(table: dict[str, Counter[str]]) -> str:
    """Format the counts as a Markdown table with a total."""
    total: Counter[str] = Counter()
    for row in table.values():
        total.update(row)
    lines = ["| File | " + " | ".join(COLUMNS) + " |", "| --- |" + " ---: |" * len(COLUMNS)]
    for name, row in [*sorted(table.items()), ("**all**", total)]:
        lines.append(f"| {name} | " + " | ".join(str(row[column]) for column in COLUMNS) + " |")
    return "\n".join(lines)


def main() -> None:
    """Test the selected mutants and print which survive."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description="Mutation testing.")
    parser.add_argument("--rules", action="store_true", help="only the derivative rules")
    parser.add_argument("--engine", action="store_true", help="only the files of the engine")
    parser.add_argument("--checks", action="store_true", help="only the files of the numerical checks")
    parser.add_argument("--only", help="files whose name contains one of these, separated by commas")
    parser.add_argument("--sample", type=int, metavar="N", help="N of the mutants, the same ones each time")
    parser.add_argument("--again", type=Path, help="only the mutants that survived in this file of --json")
    parser.add_argument("--json", type=Path, help="write counts and survivors to this file")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    os.environ.setdefault("HYPOTHESIS_PROFILE", "dev")
    for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # a forked child has no thread pool
        os.environ.setdefault(threads, "1")
    everything = not (options.rules or options.engine or options.checks)
    results: dict[str, Any] = {}
    if options.engine or everything:  # first, as it requires a process that has not imported the package
        engine.prepare()
        found = select(list(engine.mutants(options.only)), lambda mutant: mutant, options)
        results["engine"] = run("Engine", found, found, engine.is_killed, options.workers)
    for name, asked, group in (("checks", options.checks, CHECKS), ("rules", options.rules, RULES)):
        if asked or everything:
            results[name] = run_in_process(group, options)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
