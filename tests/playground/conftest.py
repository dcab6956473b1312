"""A playground in a process of its own, as a user starts it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address that `tinygrad-dl playground --no-open` prints; the process is ended as by Ctrl-C."""
    for package in ("starlette", "uvicorn", "websockets", "click"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    server = subprocess.Popen(
        [sys.executable, "-m", "tinygrad_dl", "playground", "--no-open"], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", server.stdout.readline())
        assert found is not None
        yield found.group()
    finally:
        server.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGINT)
        code = server.wait(60)
        server.stdout.close()
    assert code == 0 or sys.platform == "win32"
