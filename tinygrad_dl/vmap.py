"""func.vmap: a function of one example, called with all of them at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, Literal

from tinygrad_dl import config, convert
from tinygrad_dl.arguments import require
from tinygrad_dl.backend import is_array
from tinygrad_dl.errors import AxisError, DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.levels import BatchLevel, belongs, exposed, hidden
from tinygrad_dl.ops.index import getitem
from tinygrad_dl.ops.join import concat
from tinygrad_dl.ops.shape import moveaxis
from tinygrad_dl.pytree import leaves, refill
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import readable

Randomness = Literal["error", "different", "same"]


class Report:
    """How the operations of a mapped function ran: `batched` and `looped` count the calls of each by name.

    An operation that is batched ran once for all examples; one that is looped ran once for each.
    """

    def __init__(self, name: str, size: int, calls: Counter[tuple[str, str]]) -> None:
        self.name, self.size = name, size
        self.batched = {op: n for (op, how), n in calls.items() if how == "batched"}
        self.looped = {op: n for (op, how), n in calls.items() if how == "looped"}

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.size} examples"]
        for what, calls in (("batched", self.batched), ("looped, one example after the other", self.looped)):
            if calls:
                lines.append(
                    f"  {what}: " + ", ".join(f"{op} x {n}" if n > 1 else op for op, n in calls.items())
                )
        return "\n".join(lines)

    __repr__ = __str__


@readable
def vmap(
    f: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    randomness: Randomness = "error",
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The function that applies f, written for one example, to a batch of them at once.

    `in_axes`: the axis of each argument along which the examples are, None for one that they share; an int for all
    arguments, or nested as they are. `out_axes`: where that axis is in the results. `randomness`: whether draws such
    as dropout's raise ("error"), differ between examples or are the same. `chunk_size`: how many examples at once, to
    save memory. Inside of f no value can be read in Python; nested vmap, func.grad and the others work. The result has
    a method explain(*args), which tells how each operation ran. Raises ShapeError, AxisError, DTypeError,
    ValueRangeError, and GraphError for a value that is read.

    Shape: the results', with the batch axis at `out_axes`.
    >>> import numpy as np
    >>> vmap(lambda x, y: (x * y).sum(), in_axes=(0, None))(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 10.0]))
    array([21., 43.])
    """
    name = getattr(f, "__name__", type(f).__name__)
    if not callable(f):
        raise DTypeError(f"func.vmap: expected a function first, got {convert.describe(f)}")
    if not isinstance(randomness, str) or randomness not in ("error", "different", "same"):
        raise ValueRangeError(
            f'func.vmap: randomness: expected "error", "different" or "same", got {convert.describe(randomness)}'
        )
    require("func.vmap", "chunk_size", chunk_size, int | None)
    if chunk_size is not None and chunk_size < 1:
        raise ValueRangeError(f"func.vmap: chunk_size: expected at least 1, got {chunk_size}")
    if type(in_axes) is bool or not isinstance(in_axes, (int, tuple, list)):
        raise DTypeError(
            "func.vmap: in_axes: expected an int or a tuple nested as the arguments, got "
            f"{convert.describe(in_axes)}"
        )
    for path, axis in _axes_in(out_axes):
        if axis is not None and (type(axis) is bool or not isinstance(axis, int)):
            raise DTypeError(
                f"func.vmap: out_axes{path}: expected an int or None, got {convert.describe(axis)}"
            )

    def run(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, BatchLevel]:
        given, axes = _inputs(name, in_axes, args)
        kwargs_given = [leaf for _, leaf in leaves(kwargs)]
        axes += [None] * len(kwargs_given)  # as in PyTorch
        given += [(f"{path}", leaf) for path, leaf in leaves(kwargs)]
        size = _size(name, given, axes)
        arrays = not any(isinstance(leaf, Value) for _, leaf in given)
        values = [leaf for _, leaf in given]
        # An array that the examples share is a Tensor inside, too: it may be indexed by one.
        values = [_tensor(leaf) if is_array(leaf) else leaf for leaf in values]
        fronts = [leaf if axis is None else moveaxis(leaf, axis, 0) for leaf, axis in zip(values, axes)]
        step = size if chunk_size is None else chunk_size
        states: Any = None
        parts: list[Any] = []
        level: BatchLevel | None = None
        for start in range(0, max(size, 1), max(step, 1)):
            if randomness == "same" and start:
                config.restore_generators(states)
            whole = step >= size
            chunk = [
                x if axis is None or whole else getitem(x, slice(start, start + step))
                for x, axis in zip(fronts, axes)
            ]
            calls: Counter[tuple[str, str]] | None = None if level is None else level.calls
            level = BatchLevel(size if whole else min(step, size - start), randomness)
            level.calls = level.calls if calls is None else calls
            with config.noted_generators() as noted:
                parts.append(_one_run(name, f, level, args, kwargs, chunk, axes, out_axes))
            states = states or noted
        assert level is not None
        result, ends = parts[0]
        if len(parts) > 1:
            joined = [
                values[0] if axis is None else concat(values, axis=axis)
                for axis, *values in zip(ends, *([leaf for _, leaf in leaves(tree)] for tree, _ in parts))
            ]
            result = refill(result, iter(joined))
        if arrays:
            plain = [
                leaf._data if isinstance(leaf, Value) and leaf.node is None and leaf.level is None else leaf
                for _, leaf in leaves(result)
            ]
            result = refill(result, iter(plain))
        return result, level

    @wraps(f)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        return run(args, kwargs)[0]

    def explain(*args: Any, **kwargs: Any) -> Report:
        """How each operation of the function ran for these arguments."""
        _, level = run(args, kwargs)
        return Report(mapped.__name__, level.size, level.calls)

    mapped.__name__ = mapped.__qualname__ = f"vmap({name})"
    mapped.__doc__ = "The result of func.vmap."
    mapped.explain = explain  # type: ignore[attr-defined]
    return mapped


def _one_run(
    name: str, f: Callable[..., Any], level: BatchLevel, args: Any, kwargs: Any, values: Sequence[Any], axes: Any,
    out_axes: Any,
) -> tuple[Any, list[int | None]]:  # fmt: skip
    """f on one chunk of examples: the tree of results with their batch axes in place, and where these are."""
    inside = iter([x if axis is None else hidden(x, level) for x, axis in zip(values, axes)])
    new_args = tuple(refill(arg, inside) for arg in args)
    new_kwargs = refill(kwargs, inside)
    with level:
        result = f(*new_args, **new_kwargs)
        found = list(leaves(result))
        ends = _spread(name, "out_axes", out_axes, result, "results")
        outs = [_out(name, path, leaf, axis, level) for (path, leaf), axis in zip(found, ends)]
    return refill(result, iter(outs)), ends


def _out(name: str, path: str, leaf: Any, axis: int | None, level: BatchLevel) -> Any:
    if axis is None:
        if isinstance(leaf, Value) and belongs(leaf, level):
            raise ValueRangeError(
                f"vmap({name}): out_axes is None for result{path}, but it differs between the examples"
            )
        return leaf
    if not isinstance(leaf, Value):
        raise DTypeError(
            f"vmap({name}): expected f to return Tensors, got {convert.describe(leaf)} for result{path}. "
            "Give it out_axes=None to pass it through."
        )
    whole = exposed(leaf, level)
    if not -whole.ndim <= axis < whole.ndim:
        raise AxisError(
            f"vmap({name}): out_axes is {axis} for result{path}, which has {whole.ndim} axes with the batch's"
        )
    return moveaxis(whole, 0, axis) if axis else whole


def _tensor(leaf: Any) -> Any:
    return leaf if isinstance(leaf, Value) else convert.wrap(convert.asarray_of(leaf))


def _axes_in(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a tree of axes with their paths; None is one."""
    if isinstance(tree, dict):
        for key, child in tree.items():
            yield from _axes_in(child, f"{path}[{key!r}]")
    elif isinstance(tree, (list, tuple)):
        for i, child in enumerate(tree):
            yield from _axes_in(child, f"{path}[{i}]")
    else:
        yield path, tree


def _inputs(name: str, in_axes: Any, args: tuple[Any, ...]) -> tuple[list[tuple[str, Any]], list[int | None]]:
    """The leaves of the arguments with their paths, and the batch axis of each, counted from the front."""
    if not args:
        raise ValueRangeError(f"vmap({name}): expected at least one argument to map over, got none")
    given = [(path, leaf) for path, leaf in leaves(args)]
    axes = _spread(name, "in_axes", in_axes, args, "arguments")
    leaf: Any
    for i, ((path, leaf), axis) in enumerate(zip(given, axes)):
        if axis is None:
            continue
        if type(axis) is bool or not isinstance(axis, int):
            raise DTypeError(
                f"vmap({name}): in_axes{path}: expected an int or None, got {convert.describe(axis)}"
            )
        if not (isinstance(leaf, Tensor) or is_array(leaf)):
            raise DTypeError(
                f"vmap({name}): argument{path}: expected a Tensor or an array to map over, got "
                f"{convert.describe(leaf)}. Give it in_axes=None to pass it to every example."
            )
        if not -leaf.ndim <= axis < leaf.ndim:
            raise AxisError(
                f"vmap({name}): in_axes{path} is {axis}, but the argument has {leaf.ndim} "
                f"ax{'i' if leaf.ndim == 1 else 'e'}s"
            )
        axes[i] = axis % leaf.ndim
    return given, axes


def _spread(name: str, what: str, axes: Any, tree: Any, of: str) -> list[Any]:
    """One axis for each leaf of a tree; an axis in the place of a part of the tree holds for all of it."""
    if isinstance(tree, (dict, list, tuple)) and isinstance(axes, (dict, list, tuple)):
        kinds = all(isinstance(x, dict) for x in (axes, tree)) or not any(
            isinstance(x, dict) for x in (axes, tree)
        )
        if not kinds or len(axes) != len(tree) or (isinstance(axes, dict) and set(axes) != set(tree)):
            raise ShapeError(
                f"vmap({name}): expected {what} nested as the {of}, got {convert.short(axes)} for "
                f"{len(tree)} {'entries' if len(tree) != 1 else 'entry'}"
            )
        pairs = [(axes[key], tree[key]) for key in tree] if isinstance(tree, dict) else zip(axes, tree)
        return [axis for a, part in pairs for axis in _spread(name, what, a, part, of)]
    if isinstance(axes, (dict, list, tuple)):
        if isinstance(axes, (list, tuple)) and len(axes) == 1 and what == "out_axes":
            return _spread(name, what, axes[0], tree, of)
        raise ShapeError(
            f"vmap({name}): expected {what} nested as the {of}, got {convert.short(axes)} for one value"
        )
    return [axes for _ in leaves(tree)]


def _size(name: str, given: Sequence[tuple[str, Any]], axes: Sequence[int | None]) -> int:
    sizes = {path: leaf.shape[axis] for (path, leaf), axis in zip(given, axes) if axis is not None}
    if not sizes:
        raise ValueRangeError(
            f"vmap({name}): expected an argument to map over, but in_axes is None for all of them"
        )
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f"{size} for argument{path}" for path, size in sizes.items())
        raise ShapeError(f"vmap({name}): expected one size along the mapped axes, got {shown}")
    return next(iter(sizes.values()))
