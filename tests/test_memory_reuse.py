"""config.reuse_memory: page faults of a loop that makes and frees arrays, in processes of their own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

LOOP = """
import resource
import numpy as np
import tinygrad_dl
{call}
np.ones(1 << 18)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    arrays = [np.ones(1 << 18) for _ in range(8)]
    del arrays
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def output(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_memory_is_reused_only_after_it_was_asked_for() -> None:
    without, with_reuse = (
        int(output(LOOP.format(call=call))) for call in ("", "assert tinygrad_dl.config.reuse_memory()")
    )
    assert with_reuse < without / 4


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from tinygrad_dl import config

    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert config.reuse_memory() is False
