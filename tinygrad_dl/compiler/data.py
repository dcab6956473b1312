"""What `.data` and `.numpy()` are during a capture: arrays that report what the user's code does with them.

So the update by hand, `w.data -= lr * w.grad.data`, is recorded as the same lines on Tensors are. What cannot be
recorded works as in NumPy, and is reported as values that Python reads.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from tinygrad_dl.convert import wrap
from tinygrad_dl.graph import Value
from tinygrad_dl.modes import modes, no_grad
from tinygrad_dl.protocols import operation_of
from tinygrad_dl.typing import NDArray

if TYPE_CHECKING:
    from tinygrad_dl.compiler.capture import Capture

# What an array tells about itself without its values.
FACTS = frozenset("shape dtype ndim size nbytes itemsize strides flags device".split())


class Data(NDArrayOperatorsMixin):
    """An array that a capture handed out to a function that only computes with it: see `only_computes`.

    It passes for an ndarray, and is one to the engine and to NumPy, by `__array__`.
    """

    __slots__ = ("_array", "_capture", "_what")

    def __init__(self, array: NDArray, capture: Capture, what: str) -> None:
        self._array, self._capture, self._what = array, ref(capture), what

    if not TYPE_CHECKING:

        @property
        def __class__(self) -> Any:  # for isinstance
            return np.ndarray

    __hash__ = None  # type: ignore[assignment]

    def _live(self) -> Capture | None:
        """The capture, while it runs."""
        capture = self._capture()
        return capture if capture is not None and capture in modes.watchers else None

    def _read(self) -> NDArray:
        """The array itself, for what cannot be recorded."""
        capture = self._live()
        if capture is not None:
            capture.read(self._what)
        return self._array

    # What is recorded

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **kwargs: Any
    ) -> Any:
        capture = self._live()
        outs: tuple[Any, ...] = out or ()
        given = [plain(x) for x in inputs]
        if not outs and any(isinstance(x, Value) for x in given):  # an operation of Tensors
            return getattr(ufunc, method)(*given, **{k: plain(v) for k, v in kwargs.items()})
        simple = method == "__call__" and not kwargs and ufunc.nout == 1
        if capture is not None and simple and all(type(o) is Data for o in outs):
            found = _recorded(capture, ufunc, given)
            if found is not None and not outs:
                return Data(found, capture, self._what)
            if found is not None and np.can_cast(found.dtype, outs[0].dtype, "same_kind"):
                if capture.write(outs[0]._array, found):
                    return outs[0]
        self._read()
        options = {k: plain(v) for k, v in kwargs.items()}
        if not outs:
            return getattr(ufunc, method)(*given, **options)
        getattr(ufunc, method)(*given, out=tuple(map(plain, outs)), **options)
        return outs if len(outs) > 1 else outs[0]

    def __setitem__(self, key: Any, value: Any) -> None:
        capture = self._live()
        if plain(value) is self._array and is_whole(key):  # after `array[...] += x`
            return
        if capture is not None and is_whole(key):
            new = capture.values_for(self._array, plain(value))
            if new is not None and capture.write(self._array, new):
                return
        self._read()[plain(key)] = plain(value)

    def fill(self, value: Any) -> None:
        """Write one number everywhere."""
        self[...] = value

    # What reads values

    def view(self, *args: Any, **kwargs: Any) -> Any:
        """The array itself for the engine, which asks for a view as an ndarray; otherwise a view."""
        own = args == (np.ndarray,) and _is_engine(sys._getframe(1).f_globals)
        return self._array if own else self._read().view(*args, **kwargs)

    def __array__(self, *args: Any, **kwargs: Any) -> NDArray:
        array = self._array if _is_engine(sys._getframe(1).f_globals) else self._read()
        return np.asarray(
            array, *args, **{name: value for name, value in kwargs.items() if name != "copy" or value}
        )

    def __getattr__(self, name: str) -> Any:
        if name[:2] == "__":
            raise AttributeError(name)
        return getattr(self._array if name in FACTS else self._read(), name)

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._read())

    def __getitem__(self, key: Any) -> Any:
        if self._live() is not None and (key is Ellipsis or self._array.ndim and is_whole(key)):
            return self
        return self._read()[plain(key)]

    def __contains__(self, x: Any) -> bool:
        return plain(x) in self._read()

    def __repr__(self) -> str:
        return repr(self._read())

    def __str__(self) -> str:
        return str(self._read())

    def __format__(self, spec: str) -> str:
        return format(self._read(), spec)

    def __bool__(self) -> bool:
        return bool(self._read())

    def __float__(self) -> float:
        return float(self._read())

    def __int__(self) -> int:
        return int(self._read())

    def __complex__(self) -> complex:
        return complex(self._read())

    def __index__(self) -> int:
        return self._read().__index__()


def plain(x: Any) -> Any:
    """The array of what a capture handed out, also inside of tuples; anything else as it is."""
    if type(x) is Data:
        return x._array
    return tuple(map(plain, x)) if type(x) is tuple else x


def is_whole(key: Any) -> bool:
    """Whether an index means every element."""
    return key is Ellipsis or (isinstance(key, slice) and key == slice(None)) or key == ()


def _is_engine(space: dict[str, Any]) -> bool:
    """Whether code of the engine that converts arguments runs in a namespace."""
    return space.get("__name__") in ("tinygrad_dl.convert", "tinygrad_dl.tensor")


def _recorded(capture: Capture, ufunc: np.ufunc, given: list[Any]) -> NDArray | None:
    """What a ufunc computes, recorded as an operation; None where none computes what NumPy does."""
    operation = operation_of(ufunc)
    arrays = [x._data if isinstance(x, Value) else x for x in given]
    if operation is None or not all(
        isinstance(x, (np.ndarray, np.generic, bool, int, float)) for x in arrays
    ):
        return None
    if ufunc.signature is None:  # with arrays of nothing, so that only the dtype is worked out
        samples = [x.reshape(-1)[:0] if isinstance(x, np.ndarray) and x.ndim else x for x in arrays]
        samples = [
            x if np.ndim(x) else np.empty((), x.dtype) if isinstance(x, np.ndarray) else x for x in samples
        ]
        with np.errstate(all="ignore"):
            dtype = ufunc(*samples).dtype
    else:
        dtype = np.result_type(*arrays)
    operands = [wrap(capture.known(x)) if isinstance(x, np.ndarray) else x for x in given]
    with no_grad():
        result = operation(*operands)
    return result._data if isinstance(result, Value) and result._data.dtype == dtype else None
