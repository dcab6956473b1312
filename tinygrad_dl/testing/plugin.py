"""The pytest plugin: a thorough mode, a reproducible seed, a marker, a summary of checks, and a fixture for leaks.

Registered under the name tinygrad_dl; `pytest -p no:tinygrad_dl` disables it.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest

from tinygrad_dl import config, modes
from tinygrad_dl.testing import journal


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options --gradcheck-thorough and --gradcheck-seed."""
    group = parser.getgroup("tinygrad_dl", "gradient checks")
    group.addoption(
        "--gradcheck-thorough",
        action="store_true",
        help="search thoroughly: 1,000 Hypothesis examples per test",
    )
    group.addoption(
        "--gradcheck-seed",
        type=_seed,
        default=None,
        metavar="N",
        help="seed the random numbers of gradient checks",
    )


def _seed(text: str) -> int:
    try:
        seed = int(text)
    except ValueError:
        seed = -1
    if seed < 0:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 0, got {text!r}")
    return seed


def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed of this run and the Hypothesis profile."""
    config.addinivalue_line(
        "markers",
        "gradcheck: a test of gradients; the generators of Python, NumPy, PyTorch and tinygrad_dl start from the "
        "seed of the run and the name of the test, and a TestCase has self.gradcheck_rng",
    )
    given = config.getoption("--gradcheck-seed")
    # A worker of pytest-xdist is given the seed of the run.
    seed = getattr(config, "workerinput", {}).get("gradcheck_seed") if given is None else given
    # 32 bits are short enough to copy from the header of a failed run.
    config.stash[SEED] = int(np.random.SeedSequence().entropy) % 2**32 if seed is None else seed  # type: ignore[arg-type]
    thorough = config.getoption("--gradcheck-thorough")
    if thorough:
        import hypothesis

        hypothesis.settings.register_profile("gradcheck-thorough", max_examples=1000, deadline=None)
        hypothesis.settings.load_profile("gradcheck-thorough")
    if (thorough or given is not None) and not config.getoption("--hypothesis-seed", None):
        _seed_hypothesis(config.stash[SEED])
    config.pluginmanager.register(Summary(config), "tinygrad_dl_summary")


def _seed_hypothesis(seed: int) -> None:
    """Let all property tests draw from a seed, as --hypothesis-seed does; where Hypothesis is installed."""
    try:
        from hypothesis import core
    except ImportError:
        return
    core.global_force_seed = seed  # type: ignore[assignment]


SEED = pytest.StashKey[int]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hand the seed of the run to a worker of pytest-xdist."""
    node.workerinput["gradcheck_seed"] = node.config.stash[SEED]


def pytest_report_header(config: pytest.Config) -> str:
    """Report the mode of gradient checks and the seed that repeats them."""
    mode = "thorough" if config.getoption("--gradcheck-thorough") else "fast"
    return f"tinygrad_dl: gradient checks {mode}, repeat with --gradcheck-seed={config.stash[SEED]}"


def _generator(config: pytest.Config, nodeid: str) -> np.random.Generator:
    # Not hash(), which differs from process to process.
    return np.random.default_rng([config.stash[SEED], *map(ord, nodeid)])


@pytest.fixture
def gradcheck_rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator seeded from the seed of the run and the name of the test: independent of the order of tests."""
    return _generator(request.config, request.node.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Note the checks that the test makes, and seed the generators of one that is marked."""
    before, journal.entries = journal.entries, []
    marked = item.get_closest_marker("gradcheck") is not None
    try:
        with _seeded(_generator(item.config, item.nodeid), item) if marked else nullcontext():
            return (yield)
    finally:
        item.stash[CHECKS] = [tuple(entry) for entry in journal.entries or ()]
        journal.entries = before


@contextmanager
def _seeded(rng: np.random.Generator, item: pytest.Item) -> Iterator[None]:
    """The global generators start from numbers of `rng`, and are what they were afterwards."""
    seed = int(rng.integers(2**31))
    torch = sys.modules.get("torch")
    python, numpy, own = random.getstate(), np.random.get_state(), config._rng  # noqa: NPY002
    theirs = torch.random.get_rng_state() if torch is not None else None
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    config.manual_seed(seed)
    if torch is not None:
        torch.manual_seed(seed)
    instance = getattr(item, "instance", None)
    if instance is not None:
        instance.gradcheck_rng = rng
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        config._rng = own
        if torch is not None:
            torch.random.set_rng_state(theirs)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, Any, Any]:
    """Send the checks with the report of the test, as it comes from a worker of pytest-xdist, too."""
    report = yield
    if call.when == "call":
        report.gradient_checks = item.stash.get(CHECKS, [])
    return report


CHECKS = pytest.StashKey[list[tuple[str, ...]]]()


class Summary:
    """Counts the checks of a run, and says at the end how they came out."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.checks: Counter[str] = Counter()
        self.verdicts: Counter[str] = Counter()
        self.tests = 0
        self.failures: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Add the checks of a test."""
        made = getattr(report, "gradient_checks", None)
        if not made:
            return
        self.tests += 1
        for check, subject, verdict, text in made:
            self.checks[check] += 1
            self.verdicts[verdict] += 1
            # What a passing test checks to be wrong is none of the reader's concern.
            if verdict != "correct" and report.failed:
                lines = [line.strip() for line in text.splitlines()]
                telling = [line for line in lines[1:] if line and "|a-n| / (|a|+|n|) =" not in line]
                why = next(iter(telling or lines), "")
                self.failures.append(f"{verdict}: {report.nodeid}: {check} of {subject}: {why}"[:300])

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the counts, and each failure in one line."""
        if not self.tests:
            return
        total = self.checks.total()
        counted = ", ".join(f"{n} {verdict}" for verdict, n in sorted(self.verdicts.items()))
        kinds = ", ".join(f"{check} {n}" for check, n in sorted(self.checks.items()))
        terminalreporter.section("gradient checks")
        checks, tests = "check" if total == 1 else "checks", "test" if self.tests == 1 else "tests"
        terminalreporter.write_line(f"{total} {checks} in {self.tests} {tests}: {counted} ({kinds})")
        for line in self.failures:
            terminalreporter.write_line(line)
        if self.failures:
            terminalreporter.write_line(f"repeat with --gradcheck-seed={self.config.stash[SEED]}")


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Fail the test if it leaves modes, the default dtype or the state of a random generator changed."""
    with watched() as leaked:
        yield
    if leaked:
        pytest.fail("the test changed and did not restore: " + ", ".join(leaked), pytrace=False)


def shared_state() -> dict[str, Any]:
    """Return the state that a test must not change: settings, modes, and the globals of NumPy."""
    state: Any = np.random.get_state()  # noqa: NPY002
    return {
        "the default dtype": config.get_default_dtype(),
        "the modes of this thread": {
            name: getattr(modes.modes, name) for name in vars(modes.Modes) if not name.startswith("_")
        },
        "the modes entered": list(modes.active),
        "np.seterr": np.geterr(),
        "np.set_printoptions": repr(np.get_printoptions()),
        "the state of np.random": (state[1].tobytes(), state[2]),
        "the working directory": os.getcwd(),
    }


@contextmanager
def watched() -> Iterator[list[str]]:
    """Run a block with a fixed seed, restore shared state after it, and list what it left changed."""
    generator, before, leaked = config.default_rng(), shared_state(), list[str]()
    config.manual_seed(0)
    try:
        yield leaked
    finally:
        after = shared_state()
        config._rng = generator
        leaked += [name for name in before if before[name] != after[name]]
        config.set_default_dtype(before["the default dtype"])
        for name, value in before["the modes of this thread"].items():
            setattr(modes.modes, name, value)
        modes.active[:] = before["the modes entered"]
        np.seterr(**before["np.seterr"])
        os.chdir(before["the working directory"])
