"""Working calls with one argument replaced by each of many bad values, in a process of their own with limits.

A group is a file in tests/fuzz/groups: its `calls()` yields working calls. Each argument of each is replaced in turn;
a call may succeed, or raise one clear error. `python -m tests.fuzz.harness GROUP... [--most N] [--seed N] [--show]`
prints the table; --show adds the errors that are not clear, by the line that raised them.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
GROUPS = (
    "ops", "tg", "tensor", "linalg", "fft", "func", "files", "functional", "nn", "init", "nn_utils", "optim", "data",
    "distributed", "train", "viz", "testing",
)  # fmt: skip
CPU_SECONDS = 5  # of one call; what takes longer counts as a call that does not end
MEMORY = 6 * 2**30

# The bad values, each made anew for its call


def _holds_itself() -> list[Any]:
    x: list[Any] = [1.0]
    x.append(x)
    return x


class Stranger:
    """An object of a class that nobody knows."""

    def __repr__(self) -> str:
        return "Stranger()"


def _tensor(*values: float) -> Any:
    from tinygrad_dl import Tensor

    return Tensor(np.array(values))


BAD: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "text": lambda: "abc",
    "empty text": lambda: "",
    "number as text": lambda: "0.1",
    "bytes": lambda: b"x",
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "-inf": lambda: float("-inf"),
    "-1": lambda: -1,
    "0": lambda: 0,
    "7": lambda: 7,
    "2**40": lambda: 2**40,
    "-2**40": lambda: -(2**40),
    "10**30": lambda: 10**30,
    "1.5": lambda: 1.5,
    "-0.5": lambda: -0.5,
    "True": lambda: True,
    "complex": lambda: 1 + 2j,
    "np.float64 nan": lambda: np.float64("nan"),
    "np.int64 -3": lambda: np.int64(-3),
    "empty list": list,
    "empty tuple": tuple,
    "list of 100000": lambda: [1] * 100_000,
    "tuple of 70 ones": lambda: (1,) * 70,
    "ragged list": lambda: [[1.0, 2.0], [3.0]],
    "nested list": lambda: [[[1.0]]],
    "list that holds itself": _holds_itself,
    "list of None": lambda: [None, None],
    "list of text": lambda: ["a", "b"],
    "tuple of 2**40": lambda: (2**40, 2**40),
    "tuple of -1": lambda: (-1, -1),
    "set": lambda: {1, 2},
    "dict": lambda: {"a": 1},
    "generator": lambda: (i for i in range(3)),
    "object array": lambda: np.array([None, "a"], dtype=object),
    "text array": lambda: np.array(["a", "b"]),
    "bool array": lambda: np.array([True, False]),
    "int array": lambda: np.arange(3),
    "empty array": lambda: np.empty((0,)),
    "array of 5 axes": lambda: np.ones((1, 2, 1, 2, 1)),
    "complex array": lambda: np.ones((2, 3), complex),
    "nan array": lambda: np.full((2, 3), np.nan),
    "dates": lambda: np.array(["2020-01-01"], dtype="datetime64[D]"),
    "Tensor": lambda: _tensor(1.0, 2.0, 3.0),
    "Tensor number": lambda: _tensor(0.5).sum(),
    "function": lambda: lambda *args, **kwargs: None,
    "class": lambda: Stranger,
    "object": Stranger,
}


# Working calls


@dataclass
class Call:
    """A working call: `make` gives the function, its positional arguments and its named ones, new each time."""

    name: str
    make: Callable[[], tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]]
    leave: frozenset[str] = frozenset()  # arguments that are not replaced, such as the user's own function


def with_arguments(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a working call."""
    return args, kwargs


def calls_of(
    space: Any, table: dict[str, Callable[[], tuple[tuple[Any, ...], dict[str, Any]]]], prefix: str = ""
) -> Iterator[Call]:
    """The calls of a table: the names of functions in a module or class, each with its arguments."""
    for name, arguments in table.items():
        function = getattr(space, name.partition(" ")[0])  # what follows a space tells two calls apart

        def make(function: Any = function, arguments: Any = arguments) -> Any:
            return function, *arguments()

        yield Call(prefix + name, make)


def calls_in(group: str) -> list[Call]:
    """The working calls of a group."""
    return list(import_module(f"tests.fuzz.groups.{group}").calls())


def places(call: Call) -> list[str | int]:
    """The arguments to replace: positions of those given, and names of named ones and of those left to default."""
    function, args, kwargs = call.make()
    found: list[str | int] = list(range(len(args)))
    names: list[str | None] = [None] * len(args)
    try:
        parameters = list(signature(function).parameters.values())
    except (TypeError, ValueError):
        return [*found, *kwargs]
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    for i, parameter in enumerate(positional[: len(args)]):
        names[i] = parameter.name
    by_name = [
        p.name
        for p in (*positional[len(args) :], *(p for p in parameters if p.kind is Parameter.KEYWORD_ONLY))
        if p.kind is not Parameter.POSITIONAL_ONLY and p.name not in kwargs
    ]
    found += [*kwargs, *by_name]
    return [
        place
        for place in found
        if (names[place] if isinstance(place, int) else place) not in call.leave and place not in call.leave
    ]


# The worker


class TooLong(BaseException):
    """A call took more than CPU_SECONDS."""


def _too_long(*_: Any) -> None:
    raise TooLong


SIGNATURE = re.compile(
    r"unexpected keyword argument|missing \d+ required|positional argument|multiple values for argument"
    r"|takes no (keyword )?arguments|expected (at least|at most|exactly)? ?\d+ arguments?, got"
    r"|takes (at least|at most|exactly|from) "
)


def _state() -> tuple[Any, ...]:
    from tinygrad_dl import config
    from tinygrad_dl.modes import modes

    return config.default_dtype, modes.recording, np.geterr()


def _restore(state: tuple[Any, ...]) -> None:
    from tinygrad_dl import config
    from tinygrad_dl.modes import modes

    config.default_dtype, modes.recording = state[:2]
    np.seterr(**state[2])


def _arrays(values: Any) -> list[Any]:
    from tinygrad_dl import Tensor

    return [x for x in values if isinstance(x, (np.ndarray, Tensor))]


def _bytes(x: Any) -> bytes:
    return (x if isinstance(x, np.ndarray) else x.data).tobytes()


def judge(error: BaseException) -> str:
    """What kind of error came: clear, Python's own about the signature or a file, or obscure."""
    from tinygrad_dl.errors import TinygradError

    if isinstance(error, TooLong):
        return "hang"
    if isinstance(error, TinygradError):
        return "clear"
    if isinstance(error, MemoryError):
        return "memory"
    frames = traceback.extract_tb(error.__traceback__)
    if frames and "groups" in frames[-1].filename:
        return "own"  # the user's own function raised it
    if isinstance(error, (OSError, ImportError)) and not isinstance(error, FileExistsError):
        return "own"
    if isinstance(error, TypeError) and SIGNATURE.search(str(error)):
        return "own"
    return "obscure"


def attempt(call: Call, place: str | int, bad: str) -> dict[str, Any]:
    """Make one call with a bad argument and say what came of it."""
    record = {"call": call.name, "place": place, "bad": bad, "kind": "accepted", "error": "", "where": ""}
    function, args, kwargs = call.make()
    if isinstance(place, int):
        args = (*args[:place], BAD[bad](), *args[place + 1 :])
    else:
        kwargs = {**kwargs, place: BAD[bad]()}
    given = _arrays([*args, *kwargs.values()])
    before = [_bytes(x) for x in given]
    state = _state()
    try:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        try:
            function(*args, **kwargs)
        finally:
            if hasattr(signal, "setitimer"):
                signal.setitimer(signal.ITIMER_PROF, 0)
    except (Exception, TooLong, SystemExit) as error:
        record["kind"] = judge(error)
        record["error"] = f"{type(error).__name__}: {str(error)[:300]}"
        frames = traceback.extract_tb(error.__traceback__)
        inner = [f for f in frames if "/tinygrad_dl" in f.filename or "/nn/" in f.filename] or list(frames)
        if inner:
            record["where"] = f"{Path(inner[-1].filename).name}:{inner[-1].lineno}"
        if record["kind"] == "clear" and any(_bytes(x) != b for x, b in zip(given, before)):
            record["kind"] = "changed"
    if _state() != state:
        record["kind"] = "leaked"
        _restore(state)
    return record


def draw(group: str, most: int, seed: int) -> list[tuple[Call, str | int, str]]:
    """The calls to make: all of a group's in an order that the seed decides, `most` of them."""
    every = [(call, place, bad) for call in calls_in(group) for place in places(call) for bad in BAD]
    random.Random(seed).shuffle(every)
    return every[:most]


def work(group: str, most: int, seed: int, skip: int) -> None:
    """In the worker: make the calls from `skip` on, and write a line before and a record after each."""
    out = os.fdopen(os.dup(1), "w")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)  # what a call prints is not a record
    os.dup2(null, 2)
    warnings.simplefilter("ignore")
    threading.stack_size(64 * 2**20)
    if hasattr(signal, "SIGPROF"):
        signal.signal(signal.SIGPROF, _too_long)
    drawn = draw(group, most, seed)
    try:
        import resource
    except ImportError:  # Windows
        resource = None  # type: ignore[assignment]
    if resource is not None and sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    print(json.dumps({"calls": len(drawn)}), file=out, flush=True)
    for number, (call, place, bad) in enumerate(drawn):
        if number < skip:
            continue
        if resource is not None:  # what does not come back to Python in time ends the process
            used = resource.getrusage(resource.RUSAGE_SELF)
            _, hard = resource.getrlimit(resource.RLIMIT_CPU)
            limit = int(used.ru_utime + used.ru_stime) + 3 * CPU_SECONDS
            resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))
        begun = {"call": call.name, "place": place, "bad": bad, "begun": number}
        print(json.dumps(begun), file=out, flush=True)
        print(json.dumps(attempt(call, place, bad)), file=out, flush=True)
    os._exit(0)  # threads that calls have started are not waited for


# The parent


@dataclass
class Table:
    """What came of the calls of a group."""

    group: str
    records: list[dict[str, Any]] = field(default_factory=list)

    def count(self) -> Counter[str]:
        return Counter(r["kind"] for r in self.records)

    @property
    def failures(self) -> list[dict[str, Any]]:
        return [r for r in self.records if r["kind"] not in ("accepted", "clear", "own")]

    @property
    def share(self) -> float:
        """The share of clear errors among the calls that did not succeed."""
        raised = sum(r["kind"] != "accepted" for r in self.records)
        return 1 - len(self.failures) / max(raised, 1)

    def of(self, *kinds: str) -> list[str]:
        return [
            f"{r['call']}({r['place']}={r['bad']}) {r['kind']} {r['error']} at {r['where']}"
            for r in self.records
            if r["kind"] in kinds
        ]

    def __str__(self) -> str:
        count = self.count()
        kinds = ("accepted", "clear", "own", "obscure", "memory", "hang", "crash", "changed", "leaked")
        return f"| {self.group} | {len(self.records)} | {' | '.join(str(count[k]) for k in kinds)} | {self.share:.2%} |"


HEAD = (
    "| group | calls | accepted | clear | Python's own | obscure | memory | hang | crash | changed | leaked | clear of"
    " raised |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def run(group: str, most: int = 10**9, seed: int = 0) -> Table:
    """Make the calls of a group in a process of their own, which is started again where a call ends it."""
    table, done, total = Table(group), 0, 1
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    with tempfile.TemporaryDirectory() as folder:
        while done < total:
            command = [sys.executable, "-m", "tests.fuzz.harness", "--work", group]
            command += ["--most", str(most), "--seed", str(seed), "--skip", str(done)]
            begun: dict[str, Any] | None = None
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, cwd=folder, env=environment, text=True
            ) as worker:
                assert worker.stdout is not None
                started = False
                for line in worker.stdout:
                    record = json.loads(line)
                    if "calls" in record:
                        total, started = record["calls"], True
                    elif "begun" in record:
                        begun = record
                    else:
                        table.records.append(record)
                        done, begun = done + 1, None
            if not started:
                raise RuntimeError(
                    f"the worker of the group {group} did not start: exit code {worker.returncode}"
                )
            if begun is not None:
                kind = "hang" if worker.returncode == -getattr(signal, "SIGXCPU", 0) else "crash"
                table.records.append(
                    {**begun, "kind": kind, "error": f"exit {worker.returncode}", "where": ""}
                )
                done += 1
    return table


def check_working(group: str) -> list[str]:
    """What goes wrong with the calls of a group as they are; none of it should."""
    from tinygrad_dl.errors import MissingExtraError

    problems = []
    for call in calls_in(group):
        function, args, kwargs = call.make()
        try:
            function(*args, **copy.copy(kwargs))
        except MissingExtraError:  # of an extra that is not installed
            pass
        except Exception as error:
            problems.append(f"{call.name}: {type(error).__name__}: {error}")
    return problems


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("groups", nargs="*")
    parser.add_argument("--work")
    parser.add_argument("--most", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="the errors that are not clear, by line")
    parser.add_argument("--names", action="store_true", help="clear errors that do not name what was called")
    options = parser.parse_args()
    if options.work:
        work(options.work, options.most, options.seed, options.skip)
        return
    print(HEAD)
    for group in options.groups or GROUPS:
        table = run(group, options.most, options.seed)
        print(table)
        if options.show:
            lines: dict[str, list[dict[str, Any]]] = {}
            for r in table.failures:
                lines.setdefault(f"{r['kind']} {r['where']}", []).append(r)
            for where, records in sorted(lines.items(), key=lambda item: -len(item[1])):
                r = records[0]
                print(f"  {len(records)} {where}: {r['call']}({r['place']}={r['bad']}): {r['error'][:150]}")
                print(f"      {', '.join(sorted({r['call'] for r in records}))[:200]}")
        if options.names:
            shown: dict[str, str] = {}
            for r in table.records:
                name = r["call"].split()[0].rpartition(".")[2]
                if r["kind"] == "clear" and not re.search(rf"\b{re.escape(name)}\b", r["error"]):
                    shown.setdefault(
                        f"{r['call']} {r['where']}", f"{r['place']}={r['bad']}: {r['error'][:150]}"
                    )
            for where, text in sorted(shown.items()):
                print(f"  {where}: {text}")


if __name__ == "__main__":
    main()
