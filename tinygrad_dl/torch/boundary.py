"""The boundary between PyTorch's vocabulary and the core's: what goes in is lowered, what comes out is lifted.

Every function of this layer computes with Tensors of the core, in the core's words, and returns Tensors of this
layer. A lowered Tensor shares the array and the node of the one it stands for, so that nothing is copied or recorded.
Where code of the core calls a method of one of these Tensors together with its own, the result is the core's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial, wraps
from typing import Any, Protocol, TypeVar, overload

import numpy as np

from tinygrad_dl import convert
from tinygrad_dl.dispatch import by_example_if_read
from tinygrad_dl.graph import Value
from tinygrad_dl.modes import active, modes, tell
from tinygrad_dl.tensor import Tensor as CoreTensor
from tinygrad_dl.torch.dtypes import Size, device, dtype, numpy_of

#: The Tensor of this layer; tensor.py, on the floor above, registers it.
_kind: Any = CoreTensor
# The class of this layer -> the core's, and the other way round; more are made under func.vmap and func.jvp.
_core_of: dict[type, type] = {}
_kind_of: dict[type, type] = {}
F = TypeVar("F", bound=Callable[..., Any])
_SLOTS = tuple(Value.__dict__[name] for name in ("_data", "node", "_grad", "_name"))
_NUMBERS = frozenset((int, float, bool, str, type(None), complex, slice))


def bind(kind: type, core: type) -> None:
    """Register a class of this layer and the core's class that stands for it."""
    global _kind
    if core is CoreTensor and _kind is CoreTensor:
        _kind = kind
    _core_of[kind] = CoreTensor
    _kind_of.setdefault(core, kind)


def is_ours(x: object) -> bool:
    """Whether it is a Tensor of this layer."""
    return isinstance(x, _kind)


def made(data: Any, node: Any = None) -> Any:
    """A Tensor of this layer with an array, which is shared, and a node."""
    result = object.__new__(_kind)
    result._data = data if type(data) is np.ndarray else np.asarray(data)
    result.node, result._name = node, None
    return result


def lower(x: Any, seen: list[Any] | None = None) -> Any:
    """An argument in the core's words: Tensors, dtypes and sizes, also inside of lists, tuples and dicts.

    `seen` receives the Tensors of this layer, and None for each of the core's.
    """
    kind = type(x)
    if kind in _NUMBERS:
        return x
    if kind in _core_of or (isinstance(x, Value) and isinstance(x, _kind)):
        if seen is not None:
            seen.append(x)
        if x.level is None:
            result: Any = object.__new__(CoreTensor)
            result._data, result.node, result._name = x._data, x.node, None
            return result
        core = _core_of.get(kind) or _core_of.setdefault(kind, kind.__mro__[2])
        return _moved(x, core)
    if isinstance(x, Value):
        if seen is not None:
            seen.append(None)
        return x
    if kind is dtype:
        return numpy_of(x)
    if kind is Size:
        return tuple(x)
    if kind is device:
        return None
    if kind is list or kind is tuple:
        return kind([lower(v, seen) for v in x])
    if kind is dict:
        return {key: lower(v, seen) for key, v in x.items()}
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return kind(*[lower(v, seen) for v in x])
    return x


def _moved(x: Any, kind: Any) -> Any:
    """The same content as another class: what the slots hold may have other names under func.vmap."""
    result: Any = object.__new__(kind)
    for slot in _SLOTS:
        try:
            slot.__set__(result, slot.__get__(x))
        except AttributeError:  # nothing was put there
            pass
    return result


def lift(x: Any) -> Any:
    """A result in PyTorch's words: Tensors of the core become those of this layer, also inside of lists."""
    kind = type(x)
    if kind is CoreTensor:
        return made(x._data, x.node)
    if kind in _NUMBERS or kind in _core_of:
        return x
    if isinstance(x, Value):
        if isinstance(x, _kind):
            return x
        found = _kind_of.get(kind)
        if found is None:
            if x.level is None:  # a Parameter of the core
                return made(x._data, x.node)
            found = _kind_of[kind] = type("Tensor", (_kind, kind), {})
            _core_of[found] = kind
        return _moved(x, found)
    if kind is list or kind is tuple:
        return kind([lift(v) for v in x])
    if kind is dict:
        return {key: lift(v) for key, v in x.items()}
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return kind(*[lift(v) for v in x])
    return x


def root_of(x: Any) -> Any:
    """The Tensor whose memory a Tensor shows: itself, or the one it is a view of."""
    return x if x._base is None else x._base


def connect(result: Any, given: Sequence[Any], view: bool) -> Any:
    """Settle whose memory a result has: of an input only for a view, which is registered with its base.

    What a graph saves is marked: writing to it in place then leaves what is saved as it was.
    """
    if not isinstance(result, Value):
        if isinstance(result, (list, tuple)):
            parts = [connect(part, given, view) for part in result]
            if hasattr(result, "_fields"):
                return type(result)(*parts)
            return type(result)(parts)
        return result
    if result.level is not None or not is_ours(result):
        return result
    made_here: Any = result
    data, node = made_here._data, made_here.node
    if data.base is not None or any(data is x._data for x in given):
        for x in given:
            if x.level is None and (data is x._data or np.may_share_memory(data, x._data)):
                if not view and data is x._data and node is x.node:
                    return x
                if view:
                    return as_view(result, x)
                hold(result, data.copy())
                break
        else:
            if view and not data.flags.c_contiguous:
                hold(result, np.ascontiguousarray(data))
    elif view and not data.flags.c_contiguous:
        # the core lays results out as it likes; those of PyTorch's layers and products are in order
        hold(result, np.ascontiguousarray(data))
    if node is not None:
        made_here._saved = True
        for x in given:
            root_of(x)._saved = True
    return result


def hold(x: Any, copy: Any) -> None:
    """Give a new Tensor a copy of its array; the compiler is told that it is one."""
    before, x._data = x._data, copy
    if active:
        tell("created", x, before)


def computed(what: str) -> None:
    """Tell the compiler that values are read or written outside of the graph: what it captures then runs eagerly."""
    if active:
        tell("read", what)


def stand_in(result: Any, x: Any) -> Any:
    """Note that PyTorch's result would be a view of x, and this one has values of its own: writing to it raises."""
    from weakref import ref

    if is_ours(result) and result.level is None and not np.may_share_memory(result._data, x._data):
        result._stands_for = ref(root_of(x))
    return result


def as_view(result: Any, x: Any, detached: bool = False) -> Any:
    """Register a result as a view of what x shows."""
    from weakref import ref

    root = root_of(x)
    result._base = root
    result._detached = detached or x._detached
    views = root.__dict__.setdefault("_views", [])
    if len(views) > 32 and len(views) & (len(views) - 1) == 0:  # now and then, those that are gone
        views[:] = [v for v in views if v() is not None]
    views.append(ref(result))
    if result.node is not None and not result._detached:
        root._saved = True
    return result


def note_view(result: Any, given: Any, again: Callable[[Any], Any]) -> None:
    """Remember inside of func.vmap and func.jvp what a result may be a view of, so that writing to it is noticed.

    `again`: the result of the same function for another Tensor. Whether it is a view shows when it is written to.
    """
    from weakref import ref

    if isinstance(result, (list, tuple)):
        for i, part in enumerate(result):
            note_view(part, given, partial(_part, again, i))
        return
    if not is_ours(result) or result is given or result.level is None:
        return
    vars(result)["_looks_at"] = given, again
    seen_by = vars(given).setdefault("_looked_at_by", [])
    seen_by[:] = [view for view in seen_by if view() is not None]
    seen_by.append(ref(result))


def _part(again: Callable[[Any], Any], i: int, base: Any) -> Any:
    return again(base)[i]


def looked_at(x: Any) -> tuple[Any, np.ndarray]:
    """The Tensor with values of its own that x is such a view of, or x itself, and where its elements lie there."""
    path = [x]
    while "_looks_at" in vars(path[-1]):
        path.append(vars(path[-1])["_looks_at"][0])

    def start(root: Any) -> tuple[Any, np.ndarray, Any]:
        whole = np.arange(int(np.prod(root.shape, dtype=int))).reshape(root.shape)
        return root, whole, convert.wrap(whole)

    root, whole, found = start(path.pop())
    for view in reversed(path):
        try:
            found = vars(view)["_looks_at"][1](found)
            own = not np.may_share_memory(found._data, whole)
        except Exception:  # not a function of integers: its results are new
            own = True
        if own:
            root, whole, found = start(view)
    return root, np.asarray(found._data)


def views_of(x: Any) -> Iterator[Any]:
    """What was noted as looking at a Tensor, also by way of others."""
    for found in vars(x).get("_looked_at_by", ()):
        view = found()
        if view is not None:
            yield view
            yield from views_of(view)


ALIASES = (("axis", "dim"), ("keepdims", "keepdim"))


class Call(Protocol):
    """A function of this layer; `core` is the one of the core's Tensors inside."""

    core: Callable[..., Any]
    __name__: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


@overload
def function(f: Callable[..., Any], /, *, view: bool = False, lazy: bool = False) -> Call: ...
@overload
def function(*, view: bool = False, lazy: bool = False) -> Callable[[Callable[..., Any]], Call]: ...
def function(f: Callable[..., Any] | None = None, /, *, view: bool = False, lazy: bool = False) -> Any:
    """A function of the core's Tensors as one of this layer's; `view`: its result may share an argument's memory.

    `lazy`: PyTorch's result is a view that computes its elements when they are read. `out=`: a Tensor that receives
    the result, and is returned.
    """
    if f is None:
        return lambda g: function(g, view=view, lazy=lazy)
    inner: Callable[..., Any] = f

    @wraps(inner)
    def call(*args: Any, **kwargs: Any) -> Any:
        seen: list[Any] = []
        out = None
        if kwargs:
            out = kwargs.pop("out", None)
            for theirs, ours in ALIASES:  # NumPy's names, which PyTorch takes too
                if theirs in kwargs:
                    kwargs[ours] = kwargs.pop(theirs)
        lowered = [lower(x, seen) for x in args]
        named = {key: lower(x, seen) for key, x in kwargs.items()} if kwargs else kwargs
        if any(x is None for x in seen):  # called by code of the core
            return inner(*lowered, **named)
        with np.errstate(all="ignore"):  # PyTorch does not warn of nan and infinities
            if modes.levels:
                result = by_example_if_read(inner.__name__, inner, *lowered, **named)
            else:
                result = inner(*lowered, **named)
        result = connect(lift(result), seen, view)
        if view and modes.levels and seen:
            given = seen[0]  # what may be looked at
            places = [i for i, x in enumerate(args) if x is given]

            def again(base: Any) -> Any:
                return inner(*[base if i in places else x for i, x in enumerate(lowered)], **named)

            note_view(result, given, again)
        if lazy and seen:
            stand_in(result, seen[0])
        if out is not None:
            return into(out, result)
        return result

    call.core = inner  # type: ignore[attr-defined]
    call.__doc__ = without_example(inner.__doc__)
    return call


def by_example(f: F) -> F:
    """A function of this layer's Tensors that reads values: inside of func.vmap it is called for each example."""

    def inner(*args: Any, **kwargs: Any) -> Any:
        return lower(f(*[lift(x) for x in args], **{key: lift(x) for key, x in kwargs.items()}))

    @wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not modes.levels:
            return f(*args, **kwargs)
        given, named = [lower(x) for x in args], {key: lower(x) for key, x in kwargs.items()}
        return lift(by_example_if_read(f.__name__, inner, *given, **named))

    return call  # type: ignore[return-value]


def without_example(text: str | None) -> str:
    """A docstring of the core without its example, which speaks of the core's Tensors."""
    return (text or "").partition(">>>")[0].rstrip()


def into(out: Any, result: Any) -> Any:
    """Write a result to `out`, a Tensor or a tuple of them, which takes its shape."""
    if isinstance(out, (tuple, list)):
        for one, part in zip(out, result):
            into(one, part)
        return out
    if not is_ours(out):
        raise TypeError(f"out: expected a Tensor, got {type(out).__name__}")
    if out.requires_grad or result.requires_grad:
        raise RuntimeError(
            "out=... arguments don't support automatic differentiation, but one of the arguments requires grad."
        )
    if out.shape != result.shape:
        if out.numel():
            import warnings

            warnings.warn(
                f"An output with one or more elements was resized since it had shape {list(out.shape)}, which does "
                f"not match the required output shape {list(result.shape)}.",
                stacklevel=4,
            )
        out._data = np.empty(result.shape, out._data.dtype)
    return out.copy_(result)


def wrapped(array: Any) -> Any:
    """An array that NumPy computed as a Tensor of the core."""
    computed("a function that NumPy computes")
    return convert.wrap(array)
