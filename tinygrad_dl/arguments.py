"""Arguments checked against the annotations of the function that takes them.

A parameter is declared once, by its annotation: `eps: Positive = 1e-5` is a float for type checkers and a number
above 0 at run time. `@checked` compares every argument before the function runs, which suits constructors;
`@explained` compares them only after the function failed, which costs nothing on calls that succeed.
"""

from __future__ import annotations

import builtins
import collections.abc
import math
import re
import reprlib
import sys
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from inspect import Parameter, signature
from types import TracebackType, UnionType
from typing import Annotated, Any, ForwardRef, Literal, TypeAlias, TypeGuard, TypeVar, Union, cast

import numpy as np

from tinygrad_dl import typing as names
from tinygrad_dl.backend import is_array
from tinygrad_dl.convert import asarray_of, describe, wrap
from tinygrad_dl.errors import (
    AxisError,
    DTypeError,
    IndexRangeError,
    MatrixError,
    OutOfMemoryError,
    ShapeError,
    TinygradError,
    ValueRangeError,
)
from tinygrad_dl.graph import Value
from tinygrad_dl.typing import Array, readable

F = TypeVar("F", bound=Callable[..., Any])

# No array has this many elements along an axis; refusing it early keeps a slip from asking for terabytes.
LARGEST = 2**31 - 1


SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = 60


@dataclass(frozen=True)
class Bounds:
    """The range of a number: `least <= x`, `x <= most`, `x > above`, `x < below`; nan is in no range."""

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None

    def hold(self, x: float) -> bool:
        return (
            x == x
            and (self.least is None or x >= self.least)
            and (self.most is None or x <= self.most)
            and (self.above is None or x > self.above)
            and (self.below is None or x < self.below)
        )

    def __str__(self) -> str:
        if self.least == -math.inf:
            return " other than nan"
        if self.above == -math.inf:
            return " that is finite"
        low = self.least if self.least is not None else self.above
        high = self.most if self.most is not None else self.below
        if low == -LARGEST:
            return ""
        if low is not None and high is not None and high < LARGEST:
            begin, end = "[" if self.least is not None else "(", "]" if self.most is not None else ")"
            return f" in {begin}{low:g}, {high:g}{end}"
        if low is not None:
            return f" of at least {low:g}" if self.least is not None else f" above {low:g}"
        if high is not None:
            return f" of at most {high:g}" if self.most is not None else f" below {high:g}"
        return ""


@dataclass(frozen=True)
class Advice:
    """What to do instead, as the end of the message; `{value}` is what was given."""

    text: str


#: A finite number above 0, such as an epsilon.
Positive: TypeAlias = Annotated[float, Bounds(above=0, below=math.inf)]
#: A finite number of at least 0, such as a weight decay.
NonNegative: TypeAlias = Annotated[float, Bounds(least=0, below=math.inf)]
#: A probability.
Probability: TypeAlias = Annotated[float, Bounds(least=0, most=1)]
#: A number in [0, 1), such as the decay of a moving average.
Decay: TypeAlias = Annotated[float, Bounds(least=0, below=1)]
#: A number that is neither nan nor infinite.
Finite: TypeAlias = Annotated[float, Bounds(above=-math.inf, below=math.inf)]
#: An int of at least 1, such as a number of groups.
Count: TypeAlias = Annotated[int, Bounds(least=1, most=LARGEST)]
#: An int of at least 0, such as the number of features of a layer.
Size: TypeAlias = Annotated[int, Bounds(least=0, most=LARGEST)]
#: A number other than nan: a margin, a slope, a threshold.
Real: TypeAlias = Annotated[float, Bounds(least=-math.inf)]
#: An int that may be negative, such as the width of padding that crops.
Offset: TypeAlias = Annotated[int, Bounds(least=-LARGEST, most=LARGEST)]
#: One of them or several.
Offsets: TypeAlias = Union[Offset, Sequence[Offset]]
#: A boolean that PyTorch deprecates in favor of `reduction`.
OldBoolean: TypeAlias = Annotated[Union[bool, None], Advice("It is deprecated: write reduction={value}.")]
#: An int of at least 1 or several of them, one per spatial dimension: kernel sizes, strides, dilations.
Counts: TypeAlias = Union[Count, Sequence[Count]]
#: An int of at least 0 or several of them, such as paddings.
Widths: TypeAlias = Union[Size, Sequence[Size]]


def checked(function: F) -> F:
    """Compare every argument with its annotation before the function runs; it is meant for constructors.

    Raises DTypeError for another type and ValueRangeError for a value out of range; nothing has been changed then.
    What fails later is explained, as by `explained`.
    """
    readable(function)

    @wraps(function)
    def call(*args: object, **kwargs: object) -> Any:
        refuse_unfit(function, args, kwargs)
        try:
            return function(*args, **kwargs)
        except Exception as error:
            problem = explanation(function, args, kwargs, error)
            if problem is None:
                raise
        raise problem

    return call  # type: ignore[return-value]


def explained(function: F) -> F:
    """Where the function fails for want of a fitting argument, name the argument instead of the failing line.

    Nested lists of numbers are taken where an array is meant: they are converted once the call has failed.
    """
    readable(function)

    @wraps(function)
    def call(*args: object, **kwargs: object) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            converted = with_arrays(function, args, kwargs)
            problem = None if converted else explanation(function, args, kwargs, error)
            if problem is None and not converted:
                raise
        if problem is not None:
            raise problem
        args, kwargs = converted  # type: ignore[misc]
        try:
            return function(*args, **kwargs)
        except Exception as error:
            problem = explanation(function, args, kwargs, error)
            if problem is None:
                raise
        raise problem

    return call  # type: ignore[return-value]


def vetted(function: F) -> F:
    """`explained`, with the options compared before, since some wrong ones would do nothing at all.

    Options, all parameters but arrays, are compared once for equal values: calls with the usual ones cost no more than
    looking them up.
    """
    explaining = explained(function)
    names, annotations = _parameters(function), function.__annotations__
    # By the text of the annotation: evaluating it would slow the import.
    options = {name for name in names if not str(annotations.get(name, "Any")).startswith(ARRAYS)}
    first = next((i for i, name in enumerate(names) if name in options), len(names))
    known: set[Any] = set()

    @wraps(function)
    def call(*args: object, **kwargs: object) -> Any:
        if kwargs or len(args) > first:
            given = (args[first:], *[item for item in kwargs.items() if item[0] in options])
            try:
                new = given not in known
            except TypeError:  # a list, an array
                new = True
            if new:
                problem = _unfit(function, args, kwargs, None, options)
                if problem is not None:
                    raise problem
                if len(known) < 1000 and _is_plain(given):
                    known.add(given)
        return explaining(*args, **kwargs)

    return call  # type: ignore[return-value]


# How the annotations of arrays begin, and of what is not compared.
ARRAYS = ("Array", "Tensor", "Any", "object", "Sequence[Array", "Parameters", "Iterable")


def _is_plain(x: object) -> bool:
    """Whether a value is made of numbers and text alone, and may be kept."""
    if isinstance(x, tuple):
        return all(map(_is_plain, x))
    return x is None or type(x) in (bool, int, float, str)


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    code = function.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def refuse_unfit(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], name: str | None = None
) -> None:
    """Raise for the first argument that its annotation does not allow."""
    problem = _unfit(function, args, kwargs, name)
    if problem is not None:
        raise problem


def with_arrays(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """The arguments with lists of numbers as Tensors where the annotation asks for an array; None if there are none."""
    declared = _declared(function)
    positional = [_taken(x, declared.get(name)) for name, x in zip(declared, args)] + list(
        args[len(declared) :]
    )
    named = {name: _taken(x, declared.get(name)) for name, x in kwargs.items()}
    changed = any(a is not b for a, b in zip([*positional, *named.values()], [*args, *kwargs.values()]))
    return (tuple(positional), named) if changed else None


def _taken(x: object, declared: _Declared | None) -> Any:
    """The argument itself, or a list of numbers as a Tensor if an array is asked for."""
    if not isinstance(x, (list, tuple)) or declared is None or not _takes_arrays(declared.hint):
        return x
    return x if _fits(x, declared.hint) or not _is_numbers(x) else wrap(asarray_of(x))


# NumPy's and Python's exceptions, and the one of errors.py that is raised in their place; the first that fits counts.
KINDS: tuple[tuple[type[Exception], type[TinygradError]], ...] = (
    (np.exceptions.AxisError, AxisError),
    (np.linalg.LinAlgError, MatrixError),
    (IndexError, IndexRangeError),
    (ZeroDivisionError, ValueRangeError),
    (OverflowError, ValueRangeError),
    (RecursionError, ValueRangeError),
    (KeyError, ValueRangeError),
    (MemoryError, OutOfMemoryError),
    (ValueError, ShapeError),
    (TypeError, DTypeError),
    (AttributeError, DTypeError),
    (AssertionError, ValueRangeError),
)


def explanation(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    error: Exception,
    name: str | None = None,
) -> TinygradError | None:
    """The package's own error for a call that failed, or None where the failure is not the arguments'.

    An error of the package's own that does not say what the user called is given that name, and None returned.
    """
    trace = error.__traceback__
    inner = trace.tb_next if trace is not None else None
    if inner is None:
        # None: Python's own error, such as for an argument that is missing
        return _unknown_argument(error, _made(function, args), _declared(function))
    if isinstance(error, Warning) or _from_users_code(inner.tb_next):
        return None
    called = name or _name_of_call(function, args)
    if error.args and str(error.args[0]).startswith(f"{called}: "):
        return None  # raised on purpose
    problem = _unfit(function, args, kwargs, name)
    if problem is not None:
        return problem
    if isinstance(error, TinygradError):
        _name(error, called, _declared(function))
        return None
    for base, kind in KINDS:
        if isinstance(error, base):
            bound = _bound(function, args, kwargs)
            shown = ", ".join(f"{n}={describe(v)}" for n, v in bound.items() if n != "self")
            return kind(f"{called}({shown}): {error}")
    return None


def hinted(function: F) -> F:
    """Where another library's name of an argument is given, raise the error that says this library's."""
    readable(function)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            inner = error.__traceback__.tb_next if error.__traceback__ is not None else None
            made = _made(function, args)
            problem = _unknown_argument(error, made, _parameters(function)) if inner is None else None
            if problem is None:
                raise
        raise problem

    return call  # type: ignore[return-value]


def _made(function: Callable[..., Any], args: Sequence[Any]) -> str:
    """The class that the user made, which may have inherited the constructor; "" for other functions."""
    return type(args[0]).__name__ if function.__name__ == "__init__" and args else ""


def unknown_option(what: str, others: Mapping[str, object]) -> Exception:
    """The error for keyword arguments that an operation does not have, with the names here of what others call them."""
    error = TypeError(f"{what}() got an unexpected keyword argument {next(iter(others))!r}")
    return _unknown_argument(error) or DTypeError(str(error))


def _unknown_argument(error: Exception, made: str = "", known: Collection[str] = ()) -> TinygradError | None:
    """Python's error about a keyword argument that there is not, with what to write instead; None for any other.

    `known`: the arguments that there are. The name may be another library's, or a misspelled one.
    """
    from difflib import get_close_matches

    from tinygrad_dl.vocabulary import hint

    found = re.match(
        r"(?:(\w+)\.__init__|([\w.]+))\(\) got an unexpected keyword argument '(\w+)'", str(error)
    )
    if found is None:
        many = re.match(r"(\w+)\(\) takes .*positional argument.* given", str(error))
        advice = hint("tinygrad_dl", many[1]) if many else ""
        return DTypeError(f"{many[1]}: too many arguments; {advice}") if many and advice else None

    given, own = found[3], [name for name in known if name != "self"]
    begun = [name for name in own if len(given) > 3 and name.startswith(given)]  # batch of batch_size
    same = [name for name in own if given in RANDOM and name in RANDOM]
    near = get_close_matches(given, own, 1, 0.7) or begun or same
    none = given in RANDOM and own  # it draws nothing: another library's name of `rng` is of no use
    advice = f"did you mean {near[0]}?" if near else "" if none else hint("=", given)
    if (
        not advice and made and str(found[1]).startswith("_")
    ):  # Python's words, with the class that the user knows
        return DTypeError(f"{made}.__init__() got an unexpected keyword argument {given!r}")
    called = (
        made or found[1] or found[2].removeprefix("Methods.")
    )  # Tensor's, which are called as functions are
    return DTypeError(f"{called}: {given}: there is no such argument; {advice}") if advice else None


def _from_users_code(trace: TracebackType | None) -> bool:
    """Whether an error passed through code that is neither this package's, NumPy's nor Python's."""
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        ours = module in OURS or (module in sys.stdlib_module_names and module != "__main__")
        if not ours and module:  # a generated function has no module
            return True
        trace = trace.tb_next
    return False


OURS = (__name__.partition(".")[0], "numpy")

# What libraries call the argument that random numbers follow from.
RANDOM = frozenset(["rng", "seed", "random_state", "generator"])


# Arguments of operations that layers and functions have under another name, PyTorch's.
ARGUMENTS = {"kernel": "kernel_size", "w": "weight", "size": "output_size"}


def _name(error: TinygradError, called: str, declared: Collection[str]) -> None:
    """Begin the message with what the user called, in the place of a helper's name."""
    text = str(error)
    if called in text or len(error.args) != 1:
        return
    helper = re.match(r"([a-z_][\w.]*)(?=[:(])", text)
    if helper is not None and "self" in declared and helper[0] not in declared:
        return  # a function that a method calls is one that users know
    if helper is not None and helper[0] not in declared:
        # A helper's call is not shown: its arguments are not the user's.
        _, shown, rest = text.partition("): ") if text[helper.end()] == "(" else (text, "", "")
        text = rest if shown else text[helper.end() :].removeprefix(": ")
    for ours, theirs in ARGUMENTS.items():
        if theirs in declared and ours not in declared:
            text = re.sub(rf"\b{ours}(?=[=:])", theirs, text)
    error.args = (f"{called}: {text}",)


@dataclass(frozen=True)
class _Declared:
    """What a parameter's annotation says: the type, None where it says nothing that can be compared."""

    hint: Any
    default: Any


@cache
def _declared(function: Callable[..., Any]) -> dict[str, _Declared]:
    """The parameters that have an annotation; read at the first comparison, so that imports stay fast."""
    function = getattr(function, "__wrapped__", function)
    found = {}
    for parameter in signature(function).parameters.values():
        hint = _resolved(parameter.annotation, getattr(function, "__globals__", {}))
        if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            hint = Any
        found[parameter.name] = _Declared(hint, parameter.default)
    return found


def _resolved(annotation: object, space: dict[str, Any]) -> Any:
    """An annotation as an object; Any where it names something that is known to type checkers only."""
    if annotation is Parameter.empty:
        return Any
    if not isinstance(annotation, str):
        return annotation
    known = _Names(
        {**vars(builtins), **vars(typing), **vars(names), "Callable": collections.abc.Callable, **space}
    )
    try:
        return eval(annotation, {}, known)
    except Exception:
        return Any


class _Names(dict[str, Any]):
    """Names of types; those that are imported for type checkers only are compared by name."""

    def __missing__(self, name: str) -> Any:
        return ForwardRef(name)


def _bound(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    try:
        return dict(_signature(function).bind(*args, **kwargs).arguments)
    except TypeError:  # Python's own error for the call says it
        return {}


_signature = cache(signature)


def _called(function: Callable[..., Any]) -> str:
    name: str = function.__qualname__
    return name.removesuffix(".__init__").removesuffix(".forward").rpartition(".")[2]


def _name_of_call(function: Callable[..., Any], args: Sequence[Any]) -> str:
    if next(iter(_declared(function)), None) != "self" or not args:
        return _called(function)
    kind = type(args[0]).__name__
    return f"{kind}.{function.__name__}" if issubclass(type(args[0]), Value) else kind


def _unfit(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    name: str | None,
    only: Collection[str] | None = None,
) -> TinygradError | None:
    declared = _declared(function)
    for argument, value in _bound(function, args, kwargs).items():
        if only is not None and argument not in only:
            continue
        parameter = declared[argument]
        if value is parameter.default or _fits(value, parameter.hint):
            continue
        if argument == "self":
            continue
        if name is None:
            name = _name_of_call(function, args)
        if function.__name__ == "__init__" and isinstance(value, Value):
            # nn.MSELoss(prediction, target): the arguments of a call, given to the class.
            return DTypeError(
                f"{name}: {argument}: expected {expected(parameter.hint)}, got {describe(value)}. {name}(...) makes "
                f"the module: call what it returns, {name}(...)(x)."
            )
        return unfit(name, argument, value, parameter.hint)
    return None


def fits(value: object, hint: object) -> bool:
    """Whether a value is of the annotated type and in its range; what cannot be compared fits."""
    return _fits(value, hint)


def require(called: str, argument: str, value: object, hint: object) -> None:
    """Raise for an argument that is not what an annotation says; for checks inside a function."""
    if not _fits(value, hint):
        raise unfit(called, argument, value, hint)


def is_huge(value: object) -> bool:
    """Whether a value is or holds an int that no array has as a size."""
    if isinstance(value, (tuple, list)):
        return any(map(is_huge, value[:64]))
    number: Any = value
    if isinstance(value, (Value, np.ndarray)):
        return number.size == 1 and number.dtype.kind in "iuf" and not abs(number.item()) <= LARGEST
    return isinstance(value, (int, float, np.number)) and not abs(number) <= LARGEST


def refuse_huge(called: str, argument: str, value: object) -> None:
    """Raise ValueRangeError for a size that no array has, before anything is allocated."""
    if is_huge(value):
        raise ValueRangeError(
            f"{called}: {argument}: expected a number from {-LARGEST} to {LARGEST}, got {describe(value)}"
        )


def unfit(called: str, argument: str, value: object, hint: object) -> TinygradError:
    """The error for an argument that its annotation does not allow."""
    is_dtype = typing.get_origin(hint) in (Union, UnionType) and takes_dtypes(typing.get_args(hint))
    in_type = not is_dtype and _fits(value, _without_bounds(hint))
    kind = ValueRangeError if in_type else DTypeError
    limit = f" and at most {LARGEST}" if isinstance(value, int) and value > LARGEST else ""
    advice = [part.text for part in typing.get_args(hint)[1:] if isinstance(part, Advice)]
    more = f". {advice[0].format(value=repr(value))}" if advice else ""
    return kind(f"{called}: {argument}: expected {expected(hint)}{limit}, got {describe(value)}{more}")


def hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotation of each parameter as an object; Any where it says nothing that can be compared."""
    return {name: parameter.hint for name, parameter in _declared(function).items()}


def _without_bounds(hint: object) -> Any:
    """The type alone, so that a value of the right type out of range is told from one of another type."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return parts[0]
    if origin is Literal:
        return Union[tuple(type(part) for part in parts)]
    if origin in (Union, UnionType):
        return Union[tuple(map(_without_bounds, parts))]
    if origin is tuple or origin in (collections.abc.Sequence, list):
        return tuple[Any, ...]
    return hint


def _is_int(x: object) -> bool:
    return isinstance(x, (int, np.integer)) or (_is_array(x) and x.ndim == 0 and x.dtype.kind in "iu")


def _is_array(x: object) -> TypeGuard[Array]:
    return isinstance(x, (Value, np.ndarray))


def _is_number(x: object) -> bool:
    if isinstance(x, (int, float, np.integer, np.floating)):
        return True
    return _is_array(x) and math.prod(x.shape) == 1 and x.dtype.kind in "biuf"


def _is_real(x: object) -> bool:
    return isinstance(x, (int, float, np.integer, np.floating)) and not isinstance(x, bool)


def _is_dtype(x: Any) -> bool:
    try:
        kind = np.dtype(x).kind
    except Exception:  # whatever NumPy raises for what is none
        return False
    return kind in "biufc" and not isinstance(x, float)


def _is_numbers(x: object, depth: int = 0) -> bool:
    """Whether `asarray` could take it: a number, an array, or nested lists of them."""
    if isinstance(x, (list, tuple, range)):
        return depth < 64 and all(_is_numbers(part, depth + 1) for part in x)
    if isinstance(x, Value):
        return True
    if isinstance(x, (np.ndarray, np.generic)):
        return x.dtype.kind in "biufc"
    return isinstance(x, (int, float, complex)) or hasattr(type(x), "__array__") or is_array(x)


def _takes_arrays(hint: object) -> bool:
    """Whether an annotation asks for an array: `Array`, `Tensor`, also with `| None`."""
    if isinstance(hint, TypeVar):
        return hint.__bound__ is not None and _takes_arrays(hint.__bound__)
    if typing.get_origin(hint) in (Union, UnionType):
        return any(map(_takes_arrays, typing.get_args(hint)))
    if isinstance(hint, ForwardRef):
        return hint.__forward_arg__ == "Tensor"
    return typing.get_origin(hint) is np.ndarray or hint is np.ndarray


def _takes_lists(parts: Collection[Any]) -> bool:
    """Whether the parts of a union are those of `ArrayLike`, perhaps with others."""
    return set(typing.get_args(names.ArrayLike)) <= set(parts)


def takes_dtypes(parts: Collection[Any]) -> bool:
    """Whether the parts of a union are those of `DTypeLike`."""
    return set(typing.get_args(names.DTypeLike)) <= set(parts)


def _fits(x: Any, hint: Any) -> bool:
    """Whether a value is of the annotated type; what cannot be compared fits."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, TypeVar):
        return not isinstance(hint, TypeVar) or hint.__bound__ is None or _fits(x, hint.__bound__)
    if hint is None or hint is type(None):
        return x is None
    if origin in (Union, UnionType):
        if _takes_lists(parts):
            return _is_numbers(x) or (x is None and type(None) in parts)
        if takes_dtypes(parts):
            return _is_dtype(x)
        if np.random.Generator in parts and _is_int(x):
            return int(x) >= 0
        return any(_fits(x, part) for part in parts)
    if origin is Annotated:
        if parts[0] is int and isinstance(x, (bool, np.bool_)):
            return False  # a size of True is a slip
        number = x.item() if _is_array(x) and _is_number(x) else x
        return _fits(x, parts[0]) and all(
            b.hold(cast(Any, number)) for b in parts[1:] if isinstance(b, Bounds)
        )
    if origin is Literal:
        return any((type(x) is type(part) or _is_real(x) and _is_real(part)) and x == part for part in parts)
    if hint is bool:
        return isinstance(x, (bool, np.bool_)) or (type(x) is int and x in (0, 1))
    if hint is int:
        return _is_int(x)
    if hint is float:
        return _is_number(x)
    if hint is complex:
        return _is_number(x) or isinstance(x, (complex, np.complexfloating))
    if isinstance(hint, ForwardRef):
        # Its class may be on a higher floor: it is known by its name.
        name = hint.__forward_arg__
        return (
            isinstance(x, Value) if name == "Tensor" else name in [kind.__name__ for kind in type(x).__mro__]
        )
    if origin is np.ndarray or hint is np.ndarray:
        return isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind in "biufc"
    if origin is tuple:
        if not isinstance(x, (tuple, list)):
            return False
        if len(parts) == 2 and parts[1] is Ellipsis:
            return all(_fits(part, parts[0]) for part in x)
        return len(x) == len(parts) and all(map(_fits, x, parts))
    if origin in (collections.abc.Sequence, list):
        sequence = isinstance(x, (list, tuple, range)) or (_is_array(x) and x.ndim == 1)
        return sequence and all(_fits(part, parts[0]) for part in x)
    if hint is collections.abc.Callable or origin is collections.abc.Callable:
        return callable(x)
    if origin is not None:
        hint = origin
    if isinstance(hint, type):
        try:
            return isinstance(x, hint)
        except TypeError:  # a protocol that cannot be compared
            return True
    return True


WORDS: dict[Any, str] = {
    bool: "True or False",
    int: "an int",
    float: "a number",
    complex: "a number",
    str: "a string",
    None: "None",
    type(None): "None",
    np.random.Generator: "a NumPy random generator",
    np.ndarray: "an array",
}


def expected(hint: object) -> str:
    """The words for an annotated type in an error message: `a number above 0`."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, TypeVar) and hint.__bound__ is not None:
        return expected(hint.__bound__)
    if hint == names.Array:
        return "a Tensor or an array"
    if origin in (Union, UnionType) and _takes_lists(parts):
        return (
            "a Tensor, an array or numbers"
            if type(None) not in parts
            else "a Tensor, an array, numbers or None"
        )
    if origin in (Union, UnionType) and takes_dtypes(parts):
        return "a dtype or None" if type(None) in parts else "a dtype"
    if origin in (Union, UnionType):
        several: Any = Sequence[parts[0]]  # type: ignore[valid-type]  # a size for all dimensions, or one for each
        if several in parts:
            rest = [expected(part) for part in parts[1:] if part != several]
            return " or ".join([expected(parts[0]), "a sequence of them", *rest])
        words = [word for part in parts for word in (["True", "False"] if part is bool else [expected(part)])]
        words = list(dict.fromkeys(words))
        if np.random.Generator in parts:
            words = ["a seed of at least 0" if word == "an int" else word for word in words]
        return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
    if origin is Annotated:
        return expected(parts[0]) + "".join(str(b) for b in parts[1:] if isinstance(b, Bounds))
    if origin is Literal:
        words = [repr(part) for part in parts]
        return words[0] if len(words) == 1 else f"one of {', '.join(words)}"
    if origin is np.ndarray:
        return "an array"
    if origin is tuple and len(parts) == 2 and parts[1] is Ellipsis:
        return f"a tuple of {_plural(expected(parts[0]))}"
    if origin is tuple:
        if len(set(parts)) == 1:
            return f"a tuple of {len(parts)} {_plural(expected(parts[0]))}"
        return f"a tuple of {len(parts)} ({', '.join(map(expected, parts))})"
    if origin in (collections.abc.Sequence, list):
        return f"a sequence of {_plural(expected(parts[0]))}" if parts[0] is not Any else "a sequence"
    if hint is collections.abc.Callable or origin is collections.abc.Callable:
        return "a function"
    if isinstance(hint, ForwardRef):
        return f"a {hint.__forward_arg__}"
    if hint in WORDS:
        return WORDS[hint]
    name = getattr(origin or hint, "__name__", str(hint))
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"


def _plural(words: str) -> str:
    article, _, rest = words.partition(" ")
    noun, _, bounds = (rest if article in ("a", "an") else words).partition(" ")
    return f"{noun}s {bounds}".strip()


def declared_types(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotation of each parameter, for arguments that are stored and may be changed later."""
    return {name: parameter.hint for name, parameter in _declared(function).items()}


def misfit(name: str, argument: str, value: object, hint: object) -> TinygradError | None:
    """The error for a value that an annotation does not allow, or None; `name`: what the user called."""
    if _fits(value, hint):
        return None
    kind = ValueRangeError if _fits(value, _without_bounds(hint)) else DTypeError
    shown = repr(value) if kind is ValueRangeError else describe(value)
    return kind(f"{name}: {argument}: expected {expected(hint)}, got {shown}")


def described(made: object, without: Collection[str] = ()) -> str:
    """The text of an object: its class, and the arguments that it was made with and that differ from the defaults."""
    given = []
    for name, parameter in list(signature(type(made)).parameters.items()):
        value = getattr(made, name, parameter.default)
        default = parameter.default
        same = (
            name in without
            or value is default
            or (isinstance(value, (str, int, float, tuple)) and value == default)
        )
        if not same and value is not Parameter.empty:
            given.append(f"{name}={brief(value)}")
    return f"{type(made).__name__}({', '.join(given)})"


def brief(value: Any) -> str:
    """A value in a few words: arrays by shape and dtype, functions by name, other objects on one short line."""
    if hasattr(value, "dtype") and hasattr(value, "shape") and getattr(value, "size", 0) > 4:
        return f"{type(value).__name__} {value.shape} {value.dtype}"
    if callable(value) and hasattr(value, "__name__"):
        return str(value.__name__)
    text = " ".join(SHORT.repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
