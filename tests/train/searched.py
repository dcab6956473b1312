"""What the processes of the tests of searches run, and what is asked of the study that they leave.

python -m tests.train.searched URL TRIALS HEARTBEAT [HOST]    takes part in a search, as if on the machine HOST
python -m tests.train.searched benchmark [KILLS]              8 processes, 200 trials, workers killed on the way
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.train.postgresql import Server
from tinygrad_dl.train import search
from tinygrad_dl.train.optuna_study import attempts, is_surplus, open_storage
from tinygrad_dl.train.space import Range

__all__ = ["Server"]
SPACE: dict[str, Range] = {"x": search.Uniform(0, 1), "kind": search.Choice("a", "b")}
CALLS = "SEARCHED_CALLS"  # the file in which each call of the objective leaves a line
WAIT = "SEARCHED_WAIT"  # not empty: the objective does not end


def brief(setting: search.Setting) -> float:
    """Some milliseconds of work; it leaves a line when it begins."""
    path = os.environ.get(CALLS)
    if path:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, f"{setting.trial.number} {os.getpid()}\n".encode())
        os.close(handle)
    time.sleep(600 if os.environ.get(WAIT) else 0.02)
    return setting["x"] + (setting["kind"] == "b")


def worker_of(study: Any, rng: random.Random) -> int | None:
    """A process that runs trials now, or ran the last ones."""
    trials = study.get_trials(deepcopy=False)[-20:]
    found = {t.user_attrs["process"][1] for t in trials if "process" in t.user_attrs}
    found.discard(os.getpid())
    return rng.choice(sorted(found)) if found else None


class Killer(threading.Thread):
    """Kills processes of a search at random moments."""

    def __init__(self, url: str, kills: int, seed: int = 0) -> None:
        super().__init__(daemon=True)
        self.url, self.left, self.kills = url, kills, 0
        self._rng = random.Random(seed)
        self._over = threading.Event()

    def run(self) -> None:
        import optuna

        study: Any = None
        while self.left and not self._over.wait(self._rng.uniform(0.02, 0.5)):
            try:
                study = study or optuna.load_study(study_name="search", storage=open_storage(self.url))
            except Exception:  # the search has not made it yet
                continue
            process = worker_of(study, self._rng)
            if process is None:
                continue
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.left, self.kills = self.left - 1, self.kills + 1

    def stop(self) -> int:
        """How many processes were killed."""
        self._over.set()
        self.join()
        return self.kills


def refuse_lost_or_doubled(study: Any, trials: int, calls: Path | None = None) -> dict[str, int]:
    """Raise AssertionError unless a study has each of its trials once, whatever was killed. Returns what it has."""
    every = study.get_trials(deepcopy=False)
    states = Counter(t.state.name for t in every)
    assert not states["RUNNING"] and not states["WAITING"], states
    assert states["COMPLETE"] + states["PRUNED"] == trials, states
    tried = attempts(every)
    for members in tried.values():
        ended = [t for t in members if t.state.name in ("COMPLETE", "PRUNED")]
        drawn = [t.params for t in members if len(t.params) == len(SPACE)]
        # Killed ones are tried again with the same hyperparameters until one ends; nothing comes after it.
        assert len(ended) == 1 and ended[0] is members[-1] or not any(t.params for t in members), members
        assert all(params == drawn[0] for params in drawn), members
    results = [t for t in every if t.state.name in ("COMPLETE", "PRUNED")]
    assert len({t.params["x"] for t in results}) == trials
    if calls is not None:
        counted = Counter(int(line.split()[0]) for line in calls.read_text().splitlines())
        assert set(counted.values()) <= {1}, "the objective was called twice for a trial"
        assert set(counted) >= {t.number for t in results}
    return {
        "results": len(results),
        "tried again": sum(len(members) > 1 for members in tried.values()),
        "not needed": sum(map(is_surplus, every)),
        "trials": len(every),
    }


def benchmark(kills: int, trials: int = 200, processes: int = 8) -> None:
    import tempfile

    from tests.train.postgresql import server

    with server() as running, tempfile.TemporaryDirectory() as folder:
        url = running.database()
        for name, wanted in (("none killed", 0), (f"{kills} killed", kills)):
            calls = Path(folder, name)
            os.environ[CALLS] = str(calls)
            killer = Killer(url, wanted)
            begin, work = time.perf_counter(), os.times()
            killer.start()
            found = search.run(
                brief, SPACE, trials, storage=url, processes=processes, sampler="random", pruner=None
            )
            seconds = time.perf_counter() - begin
            cpu = sum(os.times()[:4]) - sum(work[:4])
            print(f"{name}: {killer.stop()} kills, {seconds:.1f} s, {cpu:.1f} s of CPU,", end=" ")
            print(refuse_lost_or_doubled(found.study, trials, calls), flush=True)
            url = running.database()


def take_part(url: str, trials: str, heartbeat: str, host: str = "") -> None:
    if host:
        socket.gethostname = lambda: host
    search.run(brief, SPACE, int(trials), storage=url, heartbeat=int(heartbeat), sampler="random")


if __name__ == "__main__":
    if sys.argv[1] == "benchmark":
        from tests.train import searched  # so that the objective has the same name in every process

        searched.benchmark(int(sys.argv[2]) if len(sys.argv) > 2 else 40)
    else:
        take_part(*sys.argv[1:])
