"""Wrong input has one clear error, whatever argument of whatever public callable it comes in."""

from __future__ import annotations

import os

import pytest

from tests.fuzz import harness

pytest.importorskip("resource", reason="limits of a process's memory and time are POSIX's")

MOST = {"dev": 300, "ci": 1500, "thorough": 10**9}[os.environ.get("HYPOTHESIS_PROFILE", "ci")]
SHARE = 0.99


@pytest.mark.parametrize("group", harness.GROUPS)
def test_the_calls_that_are_varied_work_as_they_are(
    group: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    assert harness.check_working(group) == []


@pytest.mark.parametrize("group", harness.GROUPS)
def test_a_wrong_argument_has_one_clear_error(group: str) -> None:
    table = harness.run(group, MOST)
    assert table.of("hang", "crash", "memory", "changed", "leaked") == []
    assert table.share >= SHARE, f"{table.share:.2%} clear:\n" + "\n".join(table.of("obscure"))
