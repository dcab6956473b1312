"""Searches that share a PostgreSQL server, whose processes and machines die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import how_to
from tests.layout import ROOT
from tests.train import searched
from tests.waiting import wait_until
from tinygrad_dl.errors import MissingExtraError, ValueRangeError
from tinygrad_dl.train import search

pytest.importorskip("optuna", reason="searches need optuna (extra search)")
THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"


@pytest.fixture(scope="module")
def server() -> Iterator[object]:
    pytest.importorskip("psycopg", reason="PostgreSQL needs psycopg (extra postgresql)")
    if os.name != "posix":
        pytest.skip("servers are started on POSIX systems only")
    from tests.train import postgresql

    if postgresql.programs() is None:
        pytest.skip("no PostgreSQL server is installed (Debian's package postgresql)")
    with postgresql.server() as running:
        yield running


def test_200_trials_of_8_processes_are_each_run_once_though_workers_are_killed(
    server: searched.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, calls = server.database(), tmp_path / "calls"
    monkeypatch.setenv(searched.CALLS, str(calls))
    killer = searched.Killer(url, 40 if THOROUGH else 4)
    killer.start()
    found = search.run(
        searched.brief, searched.SPACE, 200, storage=url, processes=8, sampler="random", pruner=None
    )
    assert killer.stop() > 0
    searched.refuse_lost_or_doubled(found.study, 200, calls)
    more = search.run(searched.brief, searched.SPACE, 202, storage=url, sampler="random")
    assert searched.refuse_lost_or_doubled(more.study, 202)["results"] == 202


def test_machines_that_begin_at_once_share_a_search_and_take_over_from_one_that_dies(
    server: searched.Server, tmp_path: Path
) -> None:
    url, calls = server.database(), tmp_path / "calls"
    env = {**os.environ, searched.CALLS: str(calls), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.train.searched", url, "20", "1"]
    # The trials of the third last until it is killed. The others do not see its processes: only its silence.
    machines = [
        subprocess.Popen([*command, host], cwd=ROOT, env={**env, searched.WAIT: wait})
        for host, wait in (("a", ""), ("b", ""), ("c", "forever"))
    ]
    third = machines[2]
    wait_until(
        lambda: third.poll() is not None or calls.exists() and str(third.pid) in calls.read_text().split()
    )
    assert third.poll() is None
    machines[2].kill()
    assert machines[2].wait() == -signal.SIGKILL
    assert [machine.wait() for machine in machines[:2]] == [0, 0]
    found = search.run(searched.brief, searched.SPACE, 20, storage=url)
    assert searched.refuse_lost_or_doubled(found.study, 20, calls)["tried again"] == 1


def test_a_search_goes_on_after_the_server_was_restarted(server: searched.Server) -> None:
    url = server.database()
    found = search.run(searched.brief, searched.SPACE, 3, storage=url, rng=0)
    server.stop(signal.SIGQUIT)
    hidden = url.replace("postgresql:", "postgresql.psycopg:").replace(server.password, r"\*\*\*")
    try:
        with pytest.raises(ValueRangeError, match=rf"expected a database that can be opened, got {hidden}: "):
            search.run(searched.brief, searched.SPACE, 5, storage=url, rng=0)
    finally:
        server.start()
    assert len(found.ranked) == 3  # its connections are opened again
    resumed = search.run(searched.brief, searched.SPACE, 5, storage=url, rng=0)
    assert [t.params for t in resumed.study.trials[:3]] == [t.params for t in found.study.trials[:3]]
    assert len(resumed.ranked) == 5


def test_the_programs_of_the_how_to_print_the_output_shown(server: searched.Server) -> None:
    shown = {"postgresql://search:secret@127.0.0.1:5432/search": server.database()}
    how_to.run(ROOT / "docs" / "howto" / "search-on-a-database.md", shown)


def test_without_a_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"tinygrad_dl\[postgresql\]"):
        search.run(searched.brief, searched.SPACE, 1, storage="postgresql://search@127.0.0.1/search")


def test_a_url_of_another_form_is_refused() -> None:
    with pytest.raises(
        ValueRangeError, match=r"expected a path or a URL such as postgresql://user@host/name"
    ):
        search.run(searched.brief, searched.SPACE, 1, storage="postgres ql://x:secret@[")
