"""The modes in which operations run, each a setting of the current thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from tinygrad_dl.errors import DTypeError

F = TypeVar("F", bound=Callable[..., Any])


class Modes(threading.local):
    """What is switched on in this thread."""

    recording: bool = True
    strict: bool = False  # raise where both operands of a broadcast expand
    watchers: tuple[Any, ...] = ()  # called after each operation and each rule: after_forward, after_backward
    watched: bool = False  # an operation is being run for the watchers


modes = Modes()

# One entry for each mode entered and not yet left, in any thread. While it is empty, an operation need not
# look at `modes`: modes cost nothing when none is on.
active: list[str] = []


class Mode:
    """A setting for a while: a context manager, and a decorator for functions and generators.

    It holds for the current thread, is restored after exceptions, and a generator leaves it at each yield.
    """

    setting: str
    value: Any

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        # Without parentheses, @no_grad is called with the function itself.
        return object.__new__(cls) if function is None else cls()(function)

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        self._before: list[Any] = []

    def __enter__(self) -> Mode:
        self._before.append(getattr(modes, self.setting))
        setattr(modes, self.setting, self.value)
        active.append(self.setting)
        return self

    def __exit__(self, *exc: object) -> None:
        setattr(modes, self.setting, self._before.pop())
        active.remove(self.setting)

    def _fresh(self) -> Mode:
        return type(self)()

    def __call__(self, function: F) -> F:
        from functools import wraps

        name = type(self).__name__
        if not callable(function) or isinstance(function, type):
            raise DTypeError(
                f"@{name}: expected a function, got {function!r}. Decorate the methods of a class"
            )
        generator_flag, coroutine_flags = 0x20, 0x80 | 0x200
        flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
        if flags & coroutine_flags:
            raise DTypeError(
                f"@{name}: {function.__name__} is asynchronous and would leave the mode on while others run. "
                f"Write `with {name}():` around the parts that do not await."
            )
        if flags & generator_flag:

            @wraps(function)
            def stepping(*args: Any, **kwargs: Any) -> Any:
                inner = function(*args, **kwargs)
                step, value = inner.send, None
                while True:
                    try:
                        with self._fresh():
                            produced = step(value)
                    except StopIteration as end:
                        return end.value
                    try:
                        step, value = inner.send, (yield produced)
                    except GeneratorExit:
                        with self._fresh():
                            inner.close()
                        raise
                    except BaseException as error:
                        step, value = inner.throw, error

            return stepping  # type: ignore[return-value]

        @wraps(function)
        def within(*args: Any, **kwargs: Any) -> Any:
            with self._fresh():
                return function(*args, **kwargs)

        return within  # type: ignore[return-value]


class no_grad(Mode):
    """Record no graph: results need no gradient. A context manager and a decorator, per thread.

    >>> from tinygrad_dl import Tensor
    >>> x = Tensor([1.0], requires_grad=True)
    >>> with no_grad():
    ...     print((x * 2).requires_grad)
    False
    """

    setting, value = "recording", False


class enable_grad(Mode):
    """Record the graph again, inside `no_grad`. A context manager and a decorator, per thread.

    >>> with no_grad(), enable_grad():
    ...     print(is_grad_enabled())
    True
    """

    setting, value = "recording", True


class lenient_broadcast(Mode):
    """Broadcast freely inside strict_broadcast: derivative rules do, and are not the user's code."""

    setting, value = "strict", False


class strict_broadcast(Mode):
    """Raise ShapeError where both operands of an operation expand, such as (m, 1) with (n,).

    >>> from tinygrad_dl import ones
    >>> with strict_broadcast():
    ...     ones((3, 1)) - ones(3)
    Traceback (most recent call last):
        ...
    tinygrad_dl.errors.ShapeError: subtract: (3, 1) with (3,) expands both to (3, 3) under strict_broadcast. \
Reshape one of them to the shape of the other.
    """

    setting, value = "strict", True


def is_grad_enabled() -> bool:
    """Whether operations record the graph in this thread.

    >>> is_grad_enabled()
    True
    """
    return modes.recording
