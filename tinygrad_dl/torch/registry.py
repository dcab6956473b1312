"""Where the functions of this layer are entered: under torch's names, as methods of Tensor, and in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

import numpy as np

from tinygrad_dl.convert import wrap
from tinygrad_dl.ops import elementwise
from tinygrad_dl.tensor import Tensor as Value
from tinygrad_dl.torch.boundary import Call, function, without_example, wrapped
from tinygrad_dl.torch.dtypes import result_type_of

#: name -> function of torch; name -> method of Tensor; the names whose `name_` works in place.
TORCH: dict[str, Callable[..., Any]] = {}
METHODS: dict[str, Callable[..., Any]] = {}
IN_PLACE: set[str] = set()


@overload
def public(f: Callable[..., Any], /) -> Call: ...
@overload
def public(
    *,
    view: bool = False,
    lazy: bool = False,
    method: bool = True,
    torch: bool = True,
    in_place: bool = False,
    aliases: tuple[str, ...] = (),
) -> Callable[[Callable[..., Any]], Call]: ...
def public(
    f: Callable[..., Any] | None = None,
    /,
    *,
    view: bool = False,
    lazy: bool = False,
    method: bool = True,
    torch: bool = True,
    in_place: bool = False,
    aliases: tuple[str, ...] = (),
) -> Any:
    """Enter a function of the core's Tensors: as torch.NAME, as a method, and as NAME_ that writes to its Tensor."""
    if f is None:
        return lambda g: _entered(g, view, lazy, method, torch, in_place, aliases)
    return _entered(f, view, lazy, method, torch, in_place, aliases)


def _entered(
    f: Callable[..., Any],
    view: bool,
    lazy: bool,
    method: bool,
    torch: bool,
    in_place: bool,
    aliases: tuple[str, ...],
) -> Call:
    call = function(f, view=view, lazy=lazy)
    for name in (f.__name__.rstrip("_"), *aliases):
        if torch:
            TORCH[name] = call
        if method:
            METHODS[name] = call
        if in_place:
            IN_PLACE.add(name)
    return call


def enter(name: str, f: Callable[..., Any], **how: Any) -> Any:
    """Enter a function of another name, such as one of the core's."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return f(*args, **kwargs)

    call.__name__, call.__doc__ = name, without_example(f.__doc__)
    entered: Any = public(**how)
    return entered(call)


def as_tensor(x: Any) -> Any:
    """An argument as a Tensor of the core; Python numbers as they are."""
    if isinstance(x, Value):
        return x
    if isinstance(x, np.generic):
        return x.item()
    return wrapped(x) if isinstance(x, np.ndarray) else x


def promoted(*values: Any) -> Any:
    """The arguments of an elementwise operation in PyTorch's dtype for the result, which is NumPy's from there on."""
    values = tuple(as_tensor(x) for x in values)
    kinds = {x.dtype for x in values if isinstance(x, Value)}
    if len(kinds) == 1:
        (kind,) = kinds
        numbers = [x for x in values if not isinstance(x, Value)]
        if kind.kind == "c" or all(
            (kind.kind == "f" and not isinstance(x, complex))
            or (kind.kind in "iu" and isinstance(x, int) and not isinstance(x, bool))
            for x in numbers
        ):
            return values
    if not kinds:
        return tuple(wrap(np.asarray(x, result_type_of([x]))) for x in values)
    target = result_type_of(values)
    return tuple(
        (x if x.dtype == target else elementwise.astype(x, target)) if isinstance(x, Value) else x
        for x in values
    )


def floating(x: Any) -> Any:
    """Integers and booleans in the default dtype, for functions of real numbers."""
    from tinygrad_dl import config

    x = as_tensor(x)
    if not isinstance(x, Value):
        return wrap(np.asarray(x, result_type_of([x, 1.0])))
    return x if x.dtype.kind in "fc" else elementwise.astype(x, config.default_dtype)
