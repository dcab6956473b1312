"""Hypothesis profiles, and a watch over the state that all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import hypothesis
import numpy as np
import pytest

from tinygrad_dl import config, modes
from tinygrad_dl.op import OPS

# dev: quick, new cases each time. ci: the default, the same cases on every run. thorough: a long search.
# No deadline where other processes share the cores: a slow moment is no failure.
hypothesis.settings.register_profile("dev", max_examples=15, deadline=None)
hypothesis.settings.register_profile("ci", max_examples=60, deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("thorough", max_examples=1000, deadline=timedelta(seconds=60))
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


def shared_state() -> dict[str, Any]:
    """What a test must leave as it found it: settings, modes, and the globals of NumPy."""
    _, keys, position, *_ = np.random.get_state()  # noqa: NPY002
    return {
        "the default dtype": config.get_default_dtype(),
        "the modes of this thread": {
            name: getattr(modes.modes, name) for name in vars(modes.Modes) if not name.startswith("_")
        },
        "the modes entered": list(modes.active),
        "np.seterr": np.geterr(),
        "np.set_printoptions": repr(np.get_printoptions()),
        "the state of np.random": (keys.tobytes(), position),
        "the working directory": os.getcwd(),
    }


@pytest.fixture(autouse=True)
def no_test_leaks_state() -> Iterator[None]:
    """Start each test from one seed, and fail the test that leaves shared state changed."""
    generator = config.default_rng()
    config.manual_seed(0)
    operations = dict(OPS)
    before = shared_state()
    yield
    after = shared_state()
    config._rng = generator
    if len(OPS) != len(operations):  # operations that the test defined
        OPS.clear()
        OPS.update(operations)
    leaked = [name for name in before if before[name] != after[name]]
    # Put right what can be, so that only the guilty test fails.
    config.set_default_dtype(before["the default dtype"])
    for name, value in before["the modes of this thread"].items():
        setattr(modes.modes, name, value)
    modes.active[:] = before["the modes entered"]
    np.seterr(**before["np.seterr"])
    os.chdir(before["the working directory"])
    if leaked:
        pytest.fail("the test changed and did not restore: " + ", ".join(leaked), pytrace=False)
