"""The pytest plugin: a thorough mode, a reproducible seed for gradient checks, and a fixture that detects leaks.

Registered under the name tinygrad_dl; `pytest -p no:tinygrad_dl` disables it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from tinygrad_dl import config, modes


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
    seed = config.getoption("--gradcheck-seed")
    if seed is None:  # a worker of pytest-xdist is given the seed of the run
        seed = getattr(config, "workerinput", {}).get("gradcheck_seed")
    # 32 bits are short enough to copy from the header of a failed run.
    config.stash[SEED] = int(np.random.SeedSequence().entropy) % 2**32 if seed is None else seed  # type: ignore[arg-type]
    if config.getoption("--gradcheck-thorough"):
        import hypothesis

        hypothesis.settings.register_profile("gradcheck-thorough", max_examples=1000, deadline=None)
        hypothesis.settings.load_profile("gradcheck-thorough")


SEED = pytest.StashKey[int]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hand the seed of the run to a worker of pytest-xdist."""
    node.workerinput["gradcheck_seed"] = node.config.stash[SEED]


def pytest_report_header(config: pytest.Config) -> str:
    """Report the mode of gradient checks and the seed that repeats them."""
    mode = "thorough" if config.getoption("--gradcheck-thorough") else "fast"
    return f"tinygrad_dl: gradient checks {mode}, repeat with --gradcheck-seed={config.stash[SEED]}"


@pytest.fixture
def gradcheck_rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator seeded from the seed of the run and the name of the test: independent of the order of tests."""
    # Not hash(), which differs from process to process.
    name = [ord(c) for c in request.node.nodeid]
    return np.random.default_rng([request.config.stash[SEED], *name])


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
