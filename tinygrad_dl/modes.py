"""The modes in which operations run, each a setting of the current thread."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from tinygrad_dl.errors import DTypeError

if TYPE_CHECKING:
    from typing_extensions import Self

    from tinygrad_dl.graph import Node, Value
    from tinygrad_dl.op import Op
    from tinygrad_dl.tensor import Tensor
    from tinygrad_dl.typing import Array, Input, NDArray

F = TypeVar("F", bound=Callable[..., Any])
M = TypeVar("M", bound="Mode")
P = ParamSpec("P")
R = TypeVar("R")


class Modes(threading.local):
    """What is switched on in this thread."""

    recording: bool = True
    strict: bool = False  # raise where both operands of a broadcast expand
    watchers: tuple[Any, ...] = ()  # what is told of each operation and each rule: see Watcher
    watched: bool = False  # an operation is being run for the watchers
    levels: tuple[Any, ...] = ()  # the calls of func.vmap and func.jvp that are running: see levels.py


modes = Modes()

# One entry for each mode entered and not yet left, in any thread. While it is empty, an operation need not
# look at `modes`: modes cost nothing when none is on.
active: list[Any] = []


class _Exit(io.IOBase):
    """What a `with` statement calls at the end of a block: `__exit__` of IOBase, which calls `close`.

    Ctrl-C may raise KeyboardInterrupt before the first line of any function, and an `__exit__` in Python has restored
    nothing there. This one is written in C, and what it calls is the `close` of a generator: Python resumes that
    inside its try statement.
    """

    close: Any = bool  # outside of a block: does nothing
    closed: Any = True  # so that its destructor does nothing, either


class _ExitOf:
    """The attribute `__exit__` of a mode."""

    def __get__(self, mode: Mode | None, owner: type) -> Any:
        if mode is not None:
            return mode._exit.__exit__
        return lambda mode, *exc: mode._exit.__exit__(*exc)  # contextlib.ExitStack asks the class


class Mode:
    """A setting for a while: a context manager, and a decorator for functions and generators.

    It holds for the current thread, is restored after exceptions, and a generator leaves it at each yield.
    """

    setting: str
    value: Any

    @overload
    def __new__(cls) -> Self: ...
    @overload
    def __new__(
        cls, function: Callable[..., Any]
    ) -> Any: ...  # of the function's type, which mypy would not see

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        # Without parentheses, @no_grad is called with the function itself.
        return object.__new__(cls) if function is None else cls()(function)

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        self._exit = _Exit()

    def __enter__(self: M) -> M:
        block = self._block()
        next(block)
        try:
            block.send(block)
            return self
        except BaseException:  # KeyboardInterrupt, too: `with` calls __exit__ only where __enter__ returned
            block.close()
            raise

    if TYPE_CHECKING:

        def __exit__(self, *exc: object) -> None: ...

    else:
        __exit__ = _ExitOf()

    def _block(self) -> Generator[Any, Any, None]:
        """Switch the mode on, wait for the end of the block, and restore what was before it."""
        before, close = self._state(), self._exit.close
        block = yield  # this generator: `active` keeps it, so that a mode entered by hand stays on
        try:
            try:
                active.append(block)
                self._exit.close = block.close
                self._switch_on()
                yield
            finally:
                self._restore(before, close, block)
        finally:  # once more, if the first was interrupted before its last line
            if block in active:
                self._restore(before, close, block)

    def _state(self) -> Any:
        """What `_switch_on` changes and `_restore_state` is given."""
        return getattr(modes, self.setting)

    def _switch_on(self) -> None:
        setattr(modes, self.setting, self.value)

    def _restore_state(self, before: Any) -> None:
        setattr(modes, self.setting, before)

    def _restore(self, before: Any, close: Callable[[], object], block: object) -> None:
        self._restore_state(before)
        self._exit.close = close
        if block in active:
            active.remove(block)

    def _fresh(self) -> Mode:
        return type(self)()

    def _call(self, function: Callable[..., R], /, *args: object, **kwargs: object) -> Any:
        mode = self._fresh()
        try:
            with mode:
                return function(*args, **kwargs)
        finally:  # for an interrupt between the last line of the block and its end; otherwise this does nothing
            mode.__exit__(None, None, None)

    @overload
    def __call__(self, function: F, /) -> F: ...
    @overload
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...  # what @no_grad returned, as mypy sees it

    def __call__(self, function: Any) -> Any:
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
            def stepping(*args: object, **kwargs: object) -> Any:
                inner: Any = function(*args, **kwargs)
                step, value = inner.send, None
                while True:
                    try:
                        produced = self._call(step, value)
                    except StopIteration as end:
                        return end.value
                    try:
                        step, value = inner.send, (yield produced)
                    except GeneratorExit:
                        self._call(inner.close)
                        raise
                    except BaseException as error:
                        step, value = inner.throw, error

            return stepping

        @wraps(function)
        def within(*args: object, **kwargs: object) -> Any:
            return self._call(function, *args, **kwargs)

        return within


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


@enable_grad()
def call_recording(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function with recording on."""
    return function(*args, **kwargs)


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


class Watcher(Mode):
    """A mode that is told of each operation and each rule, besides the watchers before it."""

    setting = "watchers"

    def __new__(cls: type[M], *args: object, **kwargs: object) -> M:
        return object.__new__(cls)

    def _switch_on(self) -> None:
        modes.watchers = (*modes.watchers, self)

    def after_forward(
        self, op: Op, inputs: Sequence[Input], options: Sequence[object], result: Input
    ) -> None:
        """Called after each operation."""

    def after_backward(self, node: Node, g: Array, contributions: Sequence[Input]) -> None:
        """Called after each rule."""


class StepWatcher(Watcher):
    """A watcher of whole training steps: it is told of backward passes, side effects and values read, too."""

    arrays = False  # whether calls of operations on plain arrays are reported too
    early = (
        False  # whether leaves receive their gradients as soon as these are complete, instead of at the end
    )

    def seeded(self, seed: NDArray) -> None:
        """A backward pass will begin with this array of a single one."""

    def before_backward_pass(self, roots: Sequence[tuple[Node, Array]], tensors: bool) -> None:
        """A backward pass begins at these nodes, with these gradients; `tensors`: its rules are operations."""

    def after_backward_pass(self) -> None:
        """The backward pass ended."""

    def received(self, owner: Tensor, before: Tensor | None) -> None:
        """A Tensor's `.grad`, where `before` was, has been given a complete gradient."""

    def delivered(self, node: Node, g: Array) -> None:
        """A complete gradient goes to the caller of the backward pass."""

    def copied(self, given: Tensor, copy: Tensor) -> None:
        """A gradient was given an array of its own."""

    def assigned(self, owner: Tensor) -> None:
        """A Tensor's `.grad` was set."""

    def looked_at(self, owner: Tensor) -> None:
        """A Tensor was asked for its `.grad`."""

    def created(self, result: Value, source: object) -> None:
        """A Tensor was made of what the user gave; None for one of constants, such as zeros."""

    def read(self, what: str) -> None:
        """The values of a Tensor were read in Python."""

    def handed_out(self, owner: Value, what: str) -> Any:
        """What the caller of `.data` gets: the array, or what stands for it and reports its use."""
        self.read(what)
        return owner._data

    def checked(
        self, check: Callable[..., object], values: Any, rest: tuple[object, ...], native: bool
    ) -> None:
        """An array was checked: see `check_values`."""

    def wrote(self, owner: Value, place: object, value: NDArray) -> None:
        """Elements of a leaf were overwritten, in its array: those at an index."""

    def replaced(self, owner: Value, before: NDArray, source: object) -> None:
        """A Tensor was given another array in the place of `before`, made of `source`."""

    def effect(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        result: object,
        changes: Sequence[object],
        gradients: bool,
    ) -> None:
        """A side effect ran: see `effect`."""


def tell(event: str, *args: object) -> None:
    """Report an event to the watchers of whole steps."""
    for watcher in modes.watchers:
        if isinstance(watcher, StepWatcher):
            getattr(watcher, event)(*args)


def handed_out(owner: Value, what: str) -> Any:
    """The array of a Tensor, or what a watcher of whole steps gives out in its place."""
    for watcher in modes.watchers:
        if isinstance(watcher, StepWatcher):
            return watcher.handed_out(owner, what)
    return owner._data


def effect(
    function: Callable[..., Any], *args: object, changes: Sequence[object] = (), gradients: bool = False
) -> Any:
    """Call a function of the package that changes something in place, so that a compiled step repeats the call.

    `args`: Tensors and arrays among them are those of the step; what is inside of lists and other objects is the same
    object at every run. `changes`: the Tensors, arrays and other objects, such as a schedule, that it changes.
    `gradients`: whether it reads or changes `.grad`. What happens inside is not reported to watchers. A function that
    changes nothing, such as one of NumPy's that makes a table of integers, may return arrays, of the same shapes at
    every run.
    """
    if not active or not any(isinstance(watcher, StepWatcher) for watcher in modes.watchers):
        return function(*args)
    watchers, modes.watchers = modes.watchers, ()
    try:
        result = function(*args)
    finally:
        modes.watchers = watchers
    tell("effect", function, args, result, changes, gradients)
    return result


def check_values(check: Callable[..., object], values: Any, *rest: object, native: bool = False) -> None:
    """Call check(values, *rest), which raises for values that are refused; a compiled step does so at every run.

    `native`: native code of the operation that follows does it itself.
    """
    check(values, *rest)
    if active:
        tell("checked", check, values, rest, native)


def is_grad_enabled() -> bool:
    """Whether operations record the graph in this thread.

    >>> is_grad_enabled()
    True
    """
    return modes.recording
