"""Ctrl-C between any two lines leaves modes and NumPy's error state as they were."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.leaves import leaf
from tinygrad_dl import anomaly, autograd, backward, dispatch, func, is_grad_enabled, modes

# Functions of these files are interrupted; what they call in NumPy and in the standard library is not.
FILES = {module.__file__ for module in (anomaly, autograd, backward, dispatch, func, modes)}
MODES = [
    modes.no_grad,
    modes.enable_grad,
    modes.lenient_broadcast,
    modes.strict_broadcast,
    tg.detect_anomaly,
]


class Interrupter:
    """Raises KeyboardInterrupt before the n-th line that is run in FILES, as Ctrl-C may."""

    def __init__(self, n: int) -> None:
        self.left, self.fired = n, False

    def __call__(self, frame: FrameType, event: str, arg: object) -> Any:
        if frame.f_code.co_filename not in FILES:
            return None
        if event == "line" and not self.fired:
            self.left -= 1
            if self.left < 0:
                self.fired = True
                raise KeyboardInterrupt
        return self


def state() -> tuple[Any, ...]:
    names = ("recording", "strict", "watchers", "watched")
    return (*(getattr(modes.modes, name) for name in names), list(modes.active), np.geterr())


def interrupted_everywhere(run: Callable[[], object]) -> int:
    """Interrupt `run` before each of its lines, look at the state each time, and return the number of lines."""
    before, tracer, n = state(), sys.gettrace(), 0
    while True:
        interrupter = Interrupter(n)
        sys.settrace(interrupter)
        try:
            run()
        except KeyboardInterrupt as interrupt:
            kept = interrupt  # a traceback that is kept, as in sys.last_exc, keeps the frames: nothing is undone late
        finally:
            sys.settrace(tracer)
        assert state() == before, f"line {n}"
        if not interrupter.fired:
            return n
        assert kept is not None
        n += 1


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_that_is_interrupted_before_any_line_is_as_it_was(mode: Any) -> None:
    def block() -> None:
        with mode():
            leaf([1.0, 2.0]) * 2.0

    reused = mode()

    def nested() -> None:
        with reused, mode(), reused:
            pass

    @mode
    def generator() -> Any:
        yield 1

    for run in (block, nested, mode(lambda: None), lambda: list(generator())):
        assert interrupted_everywhere(run) > 5
        with mode():  # it works as before
            assert is_grad_enabled() == (mode is not modes.no_grad)


def test_a_mode_inside_another_is_restored_to_that_one() -> None:
    def inner() -> None:
        with tg.enable_grad():
            pass

    with tg.no_grad(), tg.detect_anomaly():
        interrupted_everywhere(inner)
        assert not is_grad_enabled() and np.geterr()["divide"] == "ignore"


def test_a_backward_pass_that_is_interrupted_leaves_modes_and_the_error_state() -> None:
    def first() -> None:
        x = leaf([1.0, 2.0])
        (x * x).sum().backward()

    def second() -> None:
        x = leaf([1.0, 2.0])
        (g,) = autograd.grad((x * x * x).sum(), [x], create_graph=True)
        g.sum().backward()

    def watched() -> None:
        with tg.detect_anomaly():
            first()

    def functional() -> None:
        func.grad(lambda x: (x * x).sum())(np.ones(2))

    for run in (first, second, watched, functional):
        assert interrupted_everywhere(run) > 20


def test_an_exception_in_a_block_goes_through_and_a_mode_entered_by_hand_stays_on() -> None:
    with pytest.raises(ZeroDivisionError), tg.no_grad():
        raise ZeroDivisionError
    mode = tg.no_grad()
    assert mode.__enter__() is mode and not is_grad_enabled()
    assert not mode.__exit__(None, None, None) and is_grad_enabled()
    with ExitStack() as stack:
        stack.enter_context(tg.no_grad())
        assert not is_grad_enabled()
    assert is_grad_enabled()
    tg.no_grad().__enter__()
    assert not is_grad_enabled()  # nobody holds the mode, and it is on
    modes.active.pop().close()
    assert is_grad_enabled() and modes.active == []
