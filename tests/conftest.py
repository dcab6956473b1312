"""Hypothesis profiles, and a watch over the state that all tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

# The operations of these two register at their first import, which is not to happen in the middle of a test.
import tinygrad_dl.fft
import tinygrad_dl.linalg  # noqa: F401
from tinygrad_dl import config
from tinygrad_dl.op import OPS
from tinygrad_dl.testing.plugin import watched

# dev: quick, new cases each time. ci: the default, the same cases on every run. thorough: a long search.
# No deadline, and no check of how long draws take: where other processes share the cores, a slow moment is not a
# failure.
PATIENT: Any = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("dev", max_examples=15, **PATIENT)
hypothesis.settings.register_profile("ci", max_examples=60, derandomize=True, print_blob=True, **PATIENT)
hypothesis.settings.register_profile("thorough", max_examples=1000, **PATIENT)
os.environ["TINYGRAD_DL_CACHE"] = "off"  # tests leave nothing in the user's cache directory
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


class DefaultGenerator:
    """The default generator as Hypothesis wants it: each example then starts from the same seed."""

    def seed(self, seed: int) -> None:
        config.manual_seed(seed)

    def getstate(self) -> Any:
        return config.default_rng()

    def setstate(self, state: Any) -> None:
        config._rng = state


_generator = DefaultGenerator()  # Hypothesis holds it weakly
hypothesis.register_random(_generator)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, opened for a module's tests: an event loop of its own runs meanwhile."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as engine:
        opened = engine.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(autouse=True)
def no_test_leaks_state() -> Iterator[None]:
    """Start each test from one seed, and fail the test that leaves shared state changed."""
    operations = dict(OPS)
    with watched() as leaked:
        yield
    for name in [name for name in OPS if name not in operations]:
        if not OPS[name].forward.__module__.startswith("tinygrad_dl.ops."):  # one that the test defined
            del OPS[name]
    if leaked:
        pytest.fail("the test changed and did not restore: " + ", ".join(leaked), pytrace=False)
