"""How a call of an operation runs off the fast path: arrays, numbers and lists alone, sequences, modes, errors.

The call generated for an operation (codegen.py) handles Tensors and arrays itself and comes here for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np

from tinygrad_dl import arguments
from tinygrad_dl.backend import is_array
from tinygrad_dl.config import default_rng
from tinygrad_dl.convert import coerce, describe, shape_text, short, tensor_type, wrap
from tinygrad_dl.errors import DTypeError, GraphError, ShapeError, TinygradError, UnreadError, ValueRangeError
from tinygrad_dl.graph import Node, Value, constant_entry, next_serial
from tinygrad_dl.modes import active, effect, modes
from tinygrad_dl.pytree import leaves
from tinygrad_dl.typing import Array, Input, NDArray, RandomLike, Shape

if TYPE_CHECKING:
    from tinygrad_dl.op import Op

F = TypeVar("F", bound=Callable[..., Any])


def apply_without_tensors(op: Op, inputs: tuple[Any, ...], options: tuple[Any, ...]) -> Any:
    """A call without a Tensor: arrays and NumPy scalars give arrays; numbers and lists alone give Tensors."""
    if any(is_array(x) for x in inputs):
        data = [
            x if is_array(x) or (x is None and name in op.defaults) else coerce(op.name, x)
            for name, x in zip(op.inputs, inputs)
        ]
        return op.compute(data, options)
    if all(x is None for x in inputs):
        coerce(op.name, None)  # raises
    coerced = [
        None if x is None and name in op.defaults else coerce(op.name, x)
        for name, x in zip(op.inputs, inputs)
    ]
    tensor = tensor_type()
    args, kwargs = op.arguments([None if x is None else tensor(x) for x in coerced], options)
    return op.function(*args, **kwargs)


def apply_variadic(op: Op, values: Iterable[Input], options: tuple[Any, ...]) -> Any:
    """A call of an operation that takes a sequence of arrays."""
    if active:
        values = tuple(values) if isinstance(values, Iterable) else values
        result = under_modes(op, (values,), options)
        if result is not None:
            return result
    if not isinstance(values, Iterable):
        raise DTypeError(f"{op.name}: expected a sequence of arrays, got {describe(values)}")
    values = tuple(values)
    if not values:
        raise ValueRangeError(f"{op.name}: expected at least one array, got an empty sequence")
    data = tuple(v._data if isinstance(v, Value) else coerce(op.name, v) for v in values)
    out = op.compute((data,), options)
    if not any(isinstance(v, Value) for v in values):
        return out if any(is_array(v) for v in values) else wrap(out)
    nodes = [v.node if isinstance(v, Value) else None for v in values]
    result = wrap(out)
    if any(node is not None for node in nodes) and out.dtype.kind in "fc":
        node = Node()
        node.op, node.options, node.shape, node.dtype = op, options, out.shape, out.dtype
        node.parents = tuple(
            n if n is not None else constant_entry(v, d) for n, v, d in zip(nodes, values, data)
        )
        node.saved = (data,) if op.inputs[0] in op.saves else ()
        node.serial, node.watch, node.scope = next_serial(), None, None
        result.node = node
    return result


def under_modes(op: Op, inputs: tuple[Any, ...], options: tuple[Any, ...]) -> Any:
    """The result of a call while a mode is on in some thread; None if this thread's modes do not change the call."""
    if modes.levels:
        level = newest_level(op, inputs, options)
        if level is not None:
            return level.apply(op, inputs[0] if op.variadic else inputs, options)
    if modes.watched:
        return None
    values = tuple(inputs[0]) if op.variadic else inputs
    if not any(isinstance(x, Value) for x in values):
        return _on_arrays(op, values, options)
    if modes.strict:
        check_strict_broadcast(op, values)
    if modes.recording:
        if not modes.watchers:
            return None
        args, kwargs = op.arguments((values,) if op.variadic else values, options)
        try:
            try:
                modes.watched = True  # so that this inner call takes the ordinary path
                result = op.function(*args, **kwargs)
            finally:
                modes.watched = False
        finally:  # once more: Ctrl-C may come between `finally` and the line after it
            modes.watched = False
    else:
        names = op.inputs * len(values) if op.variadic else op.inputs
        data = tuple(
            x._data
            if isinstance(x, Value)
            else None
            if x is None and name in op.defaults
            else coerce(op.name, x)
            for name, x in zip(names, values)
        )
        result = wrap(op.compute((data,) if op.variadic else data, options))
    for watcher in modes.watchers:
        watcher.after_forward(op, values, options, result)
    return result


def newest_level(op: Op, inputs: Sequence[Any], options: Sequence[Any]) -> Any:
    """The newest level that an input belongs to, or an index among the options; None if none does."""
    newest = None
    values = inputs[0] if op.variadic and isinstance(inputs[0], tuple) else inputs
    for x in (*values, *_index(options[op.options.index("key")])) if "key" in op.options else values:
        if isinstance(x, Value):
            level = x.level
            if level is not None and (newest is None or level.number > newest.number):
                newest = level
    if "rng" in op.options:  # in func.vmap, a draw is one for each example
        mapped = [level for level in modes.levels if level.visible]
        newest = max([*mapped, newest] if newest else mapped, key=lambda level: level.number, default=None)
    return newest


def _index(key: Any) -> tuple[Any, ...]:
    return key if type(key) is tuple else (key,)


def _on_arrays(op: Op, values: tuple[Any, ...], options: tuple[Any, ...]) -> Any:
    """A call on plain arrays, for the watchers that want to know of these too; None if there are none."""
    watchers = [w for w in modes.watchers if getattr(w, "arrays", False)]
    if not watchers or not any(isinstance(x, np.ndarray) for x in values):
        return None
    data = [x if is_array(x) or x is None else coerce(op.name, x) for x in values]
    out = op.compute((tuple(data),) if op.variadic else data, options)
    for watcher in watchers:
        watcher.after_forward(op, values, options, out)
    return out


def check_strict_broadcast(op: Op, values: Sequence[Any]) -> None:
    if op.ufunc is None or len(values) < 2:
        return
    shapes = [x._data.shape if isinstance(x, Value) else np.shape(x) for x in values]
    full = _broadcast_shape(shapes)
    if full is not None and all(np.prod(s, dtype=int) < np.prod(full, dtype=int) for s in shapes):
        raise ShapeError(
            f"{op.name}: {' with '.join(map(str, shapes))} expands both to {full} under strict_broadcast. "
            "Reshape one of them to the shape of the other."
        )


def _broadcast_shape(shapes: Sequence[Shape]) -> Shape | None:
    """The shape that the given ones broadcast to; None if they do not."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        return None


def plain_array(op: Op, out: Input, options: Sequence[Any]) -> NDArray:
    """The result of a forward function as a plain array where it is not one: a NumPy scalar, most often."""
    if isinstance(out, Value):
        for name, option in zip(op.options, options):
            if isinstance(option, Value):
                raise DTypeError(
                    f"{op.name}: the option {name} is a Tensor; options have no gradient. "
                    "Make it an input, or pass a number."
                )
    return np.asarray(out)


def refuse_complex(op: Op, inputs: Sequence[Any]) -> None:
    """Raise GraphError for recording a function of real numbers at complex ones."""
    if any(is_array(x) and x.dtype.kind == "c" for x in inputs):
        raise GraphError(
            f"{op.name}: it is a function of real numbers, and has no derivative for complex ones. "
            "Take real(x), imag(x) or abs(x) first, or call .detach() if no gradient should flow."
        )


# Inside of func.vmap


def drawn(
    what: str,
    draw: Callable[..., Any],
    shape: Shape,
    text: str = "",
    rng: RandomLike = None,
    given: Sequence[Any] = (),
) -> Any:
    """Random numbers of a shape: `draw(generator, shape, *given)`; in func.vmap as its `randomness` says.

    A compiled step draws again at every run, from the generator that `rng` stands for. `given`: the arrays that the
    draw reads. `text` is the draw in NumPy for those who read the step, with `{shape}` in the place of the shape.
    """
    mapped = [level for level in modes.levels if level.visible]
    if mapped:
        return mapped[-1].drawn(what, lambda size: draw(default_rng(rng), size, *given), shape, mapped[:-1])
    return effect(draw_now, draw, shape, text, rng, *given)


def draw_now(draw: Callable[..., Any], shape: Shape, text: str, rng: RandomLike, *given: Any) -> Any:
    """The draw itself, which a compiled step repeats at every run."""
    return draw(default_rng(rng), shape, *given)


def each_example(function: F) -> F:
    """A function that reads values, such as the rank of a matrix: in func.vmap it is called for each example."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if modes.levels:
            found = [level for _, x in leaves([args, kwargs]) for level in maps_of(x)]
            newest = max(found, key=lambda level: level.number, default=None)
            if newest is not None:
                return newest.each(call, args, kwargs)  # in which older maps have their turns
        return function(*args, **kwargs)

    return call  # type: ignore[return-value]


def by_example_if_read(name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """function(*args, **kwargs); where it reads values that belong to func.vmap, it is called for each example."""
    try:
        return function(*args, **kwargs)
    except UnreadError:
        found = [level for _, x in leaves([args, kwargs]) for level in maps_of(x)]
        if not found:
            raise

        def call(*args: Any, **kwargs: Any) -> Any:
            return by_example_if_read(name, function, *args, **kwargs)

        call.__name__ = name
        return max(found, key=lambda level: level.number).each(call, args, kwargs)


def maps_of(x: Any) -> Iterator[Any]:
    """The running func.vmap by which a value itself, not only its tangent, is batched."""
    while isinstance(x, Value) and x.level is not None:
        if x.level.size is not None:
            yield x.level
        x = x.held


# float16, which operations that accumulate compute in float32


def is_half(x: object) -> bool:
    """Whether an input, or the first of several, is an array of float16."""
    first = x[0] if isinstance(x, tuple) and x else x
    return isinstance(first, np.ndarray) and first.dtype == np.float16


def in_float32(op: Op, inputs: Sequence[Any], options: Sequence[Any]) -> Any:
    """What an operation that accumulates gives for float16: computed in float32, its result rounded to float16.

    Of 4,000 ones float16 counts 2,048, and the square of 300 is infinite; so everything that adds up is float32, as
    in PyTorch. What is cached for the derivative stays float32.
    """
    given = [x for value in inputs for x in (value if isinstance(value, tuple) else (value,))]
    floating = [x for x in given if is_array(x) and x.dtype.kind in "fc"]
    kept = all(x.dtype == np.float16 for x in floating)
    options = list(options)
    if "dtype" in op.options and options[i := op.options.index("dtype")] is not None:
        kept = np.dtype(options[i]) == np.float16
        options[i] = None if kept else options[i]
    args, kwargs = op.arguments([wide(x) for x in inputs], options)
    out = op.run(*args, **kwargs)
    if op.cached:
        return (_narrow(out[0]), *out[1:]) if kept else out
    return _narrow(out) if kept else out


def widened(node: Node, g: Array) -> tuple[Node, Any]:
    """A node of float16 and its gradient as the rules see them: with what was saved in float32."""
    twin = Node()
    twin.op, twin.parents, twin.options, twin.shape = node.op, node.parents, node.options, node.shape
    twin.dtype, twin.serial, twin.watch, twin.scope = (
        np.dtype(np.float32),
        node.serial,
        node.watch,
        node.scope,
    )
    twin.saved = None if node.saved is None else tuple(map(wide, node.saved))
    return twin, wide(g)


def wide(x: Any) -> Any:
    """An array of float16, or each of several, in float32."""
    if isinstance(x, tuple):
        return tuple(map(wide, x))
    return x.astype(np.float32) if isinstance(x, (np.ndarray, np.generic)) and x.dtype == np.float16 else x


def _narrow(x: Any) -> Any:
    if x.dtype != np.float32:
        return x
    with np.errstate(over="ignore"):  # too large for float16 is inf
        return x.astype(np.float16)


# What NumPy raises, in its own modules, for arguments of a user's operation that do not fit.
NUMPYS = (np.exceptions.AxisError, IndexError, ValueError, TypeError)
NUMPYS_MODULES = ("builtins", "numpy.exceptions", "numpy._core._exceptions")
OWN_OPERATIONS = __name__.partition(".")[0] + ".ops."


def check_option(op: Op, name: str, value: object) -> None:
    """Raise for an option that its annotation does not allow; generated calls ask where it is not plainly right."""
    if name in op.defaults and value is op.defaults[name]:
        return
    hint = arguments.hints(op.forward)[name]
    if not arguments.fits(value, hint):
        raise arguments.unfit(op.name, name, value, hint)


def explain(op: Op, inputs: Sequence[Any], options: Sequence[Any], error: Exception) -> NoReturn:
    """Raise the error of a forward function as one of errors.py, with the operation, its arguments, and what to do."""
    if isinstance(error, TinygradError):
        text = str(error)
        said = re.match(r"([a-z_][\w.]*)[:(]", text)
        if len(error.args) == 1 and (said is None or said[1] in (*op.inputs, *op.options)):
            error.args = (f"{op.name}: {text}",)  # a helper raised it, without a name of what was called
        raise error
    own = op.forward.__module__.startswith(OWN_OPERATIONS)
    # What somebody else's code raised in a forward function passes unchanged.
    if not own and (type(error).__module__ not in NUMPYS_MODULES or not isinstance(error, NUMPYS)):
        raise error
    if op.real and any(is_array(x) and x.dtype.kind == "c" for x in inputs):
        raise DTypeError(f"{op.name}: expected real numbers, got complex ones") from None
    kind = next((ours for theirs, ours in arguments.KINDS if isinstance(error, theirs)), None)
    if kind is None:
        raise error
    advice = op.hint(*inputs, *options) if op.hint is not None and isinstance(error, NUMPYS) else None
    if advice is not None:
        raise kind(f"{op.name}: {advice}") from None
    try:
        problem = _misfit(op, inputs, options, error) if own else None
    except TinygradError as found:
        problem = found
    if problem is not None:
        raise problem from None
    text = str(error)
    if "could not be broadcast" in text:
        text = (
            "the shapes do not broadcast: aligned from the right, two sizes must be equal or one of them 1. "
            "Reshape one of them?"
        )
    arrays = inputs[0] if op.variadic and len(inputs) == 1 else inputs
    shown = [shape_text(x) for x in arrays]
    for name, value in zip(op.options, options):
        usual = op.defaults.get(name, op)  # op: a value that no option has
        if not (value is usual or (type(value) in (int, float, str) and value == usual)):
            large = isinstance(value, np.ndarray) and value.size > 8
            shown.append(f"{name}={describe(value) if large else short(value)}")
    raise kind(f"{op.name}({', '.join(shown)}): {text}") from None


def _misfit(op: Op, inputs: Sequence[Any], options: Sequence[Any], error: Exception) -> TinygradError | None:
    """The first argument of a failed call that is not what its annotation says, that is too large, or no array."""
    hints = arguments.hints(op.forward)
    for name, value in zip(op.options, options):
        if not (value is op.defaults.get(name, op) or arguments.fits(value, hints[name])):
            return arguments.unfit(op.name, name, value, hints[name])
    for name, value in zip((*op.inputs, *op.options), (*inputs, *options)):
        if isinstance(error, (OverflowError, MemoryError)) or "fit into a C" in str(error):
            arguments.refuse_huge(op.name, name, value)
    if isinstance(error, AttributeError):
        for name, value in zip(op.inputs, inputs):
            if not is_array(value) and not (value is None and name in op.defaults):
                return DTypeError(f"{op.name}: {name}: expected a Tensor or an array, got {describe(value)}")
    return None
