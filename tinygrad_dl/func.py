"""Derivatives of functions, forward and reverse, and functions of one example applied to batches (vmap).

The functions take arrays, or nested lists, tuples and dicts of arrays; what is differentiated reaches f as
Tensors, Python floats in float64. Given arrays they give arrays, given any Tensor they give Tensors, as an
operation does; a Tensor that f uses from outside and that requires grad counts as given. Results can be
differentiated again, in the arguments and in such Tensors. An argument that f does not depend on has the
derivative zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from tinygrad_dl import autograd, convert, graph, levels
from tinygrad_dl.arguments import require
from tinygrad_dl.backend import is_array
from tinygrad_dl.errors import DTypeError, GraphError, ShapeError, ValueRangeError
from tinygrad_dl.modes import active, call_recording, modes, tell
from tinygrad_dl.ops.elementwise import positive
from tinygrad_dl.ops.join import concat
from tinygrad_dl.ops.shape import moveaxis, reshape
from tinygrad_dl.pytree import leaves, refill
from tinygrad_dl.stateless import functional_call, stack_module_state
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import readable
from tinygrad_dl.vmap import vmap

__all__ = [
    "functional_call",
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "linearize",
    "stack_module_state",
    "value_and_grad",
    "vjp",
    "vmap",
]

Argnums = int | tuple[int, ...]


class Run:
    """One evaluation of f, recorded with respect to the chosen arguments."""

    def __init__(
        self,
        what: str,
        f: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        argnums: Argnums,
        has_aux: bool,
    ) -> None:
        _check(what, f, argnums, has_aux)
        self.what, self.argnums = what, argnums
        self.chosen = _chosen(what, argnums, args)
        given = list(args)
        present = [leaf for _, leaf in leaves([args, kwargs])]
        tensors = any(isinstance(leaf, Tensor) for leaf in present)
        start = graph.next_serial()
        self.variables: list[Tensor] = []
        for n in self.chosen:
            new = [self._variable(leaf, f"argument {n}{path}") for path, leaf in leaves(given[n])]
            given[n] = refill(given[n], iter(new))
            self.variables += new
        result = call_recording(f, *given, **kwargs)
        result, self.aux = _with_aux(what, result, has_aux)
        self.args, self.result = args, result
        self.outs = [_output(what, leaf, path) for path, leaf in leaves(result)]
        self.start = start
        # What the results depend on besides the variables: if there is something, they must be differentiable
        # with respect to it.
        _, outside = autograd.inside([node for t in self.outs for node in levels.nodes_of(t)], start)
        self.recording = bool(outside) and modes.recording
        self.plain = not tensors and not self.recording and any(map(is_array, present))

    def _variable(self, leaf: object, name: str) -> Tensor:
        """A new Tensor for an argument, connected to it if it is a Tensor that requires grad."""
        tensor = _floating(self.what, leaf, name)
        if modes.levels:
            return levels.variable(tensor)
        if tensor.node is not None and modes.recording:
            return positive(tensor)
        return convert.wrap(tensor._data).requires_grad_()

    def vjp(self, seeds: Sequence[Any], *, recording: bool = False) -> list[Tensor | None]:
        """The gradients of the results in the variables, None where none arrives; the graph stays."""
        live = [(t, seed) for t, seed in zip(self.outs, seeds) if t.node is not None and seed is not None]
        if not live or not self.variables:
            return [None] * len(self.variables)
        recording = recording or self.recording
        outs, given = zip(*live)
        return list(autograd.grad(outs, self.variables, given, True, recording, allow_unused=True))

    def jvp(self, directions: Sequence[Any]) -> list[Any]:
        """The changes of the results when the variables change so, None for one that does not; the graph stays."""
        recording = modes.recording
        modes.recording = recording and (self.recording or any(d.node is not None for d in directions))
        try:
            return levels.push_along(self._nodes(), self.variables, directions, self.outs)
        finally:
            modes.recording = recording

    def _nodes(self) -> list[graph.Node]:
        return autograd.inside([t.node for t in self.outs if t.node is not None], self.start)[0]

    def nbytes(self) -> int:
        """The memory of one gradient of everything between the variables and the results."""
        sizes = [int(np.prod(node.shape, dtype=int)) * node.dtype.itemsize for node in self._nodes()]
        return sum(sizes) + sum(t.nbytes for t in self.outs)

    def give(self, tree: object) -> Any:
        """A tree of Tensors as the caller gets it: arrays if arrays were given, cut off unless recorded."""
        return refill(tree, iter([self._give_one(leaf) for _, leaf in leaves(tree)]))

    def _give_one(self, leaf: object) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        if leaf.level is not None:
            return leaf if self.recording else levels.without_node(leaf)
        return leaf._data if self.plain else leaf if self.recording else leaf.detach()

    def gradients(self, found: Sequence[Tensor | None]) -> tuple[Any, ...]:
        """Gradients in the nesting of the chosen arguments, zeros for None, one tree per argument."""
        values = iter([zeros_like(v) if g is None else g for g, v in zip(found, self.variables)])
        return tuple(self.give(refill(self.args[n], values)) for n in self.chosen)

    def by_argnums(self, trees: tuple[Any, ...]) -> Any:
        """One tree for an int, a tuple of them for a tuple."""
        return trees if isinstance(self.argnums, tuple) else trees[0]

    def join(self, tree: object) -> None:
        """Count a vector among what was given: with a Tensor in it, Tensors come out."""
        self.plain = self.plain and not any(isinstance(leaf, Tensor) for _, leaf in leaves(tree))

    def with_aux(self, result: object, has_aux: bool) -> Any:
        return (result, self.give(self.aux)) if has_aux else result


def _one(out: Tensor) -> np.ndarray:
    """The derivative of a result of one element in itself."""
    seed = np.ones(out.shape, out.dtype)
    if active:
        tell("seeded", seed)
    return seed


def _check(what: str, f: object, argnums: object, has_aux: object, chunk_size: Any = None) -> None:
    """Raise for what is no function, no number of an argument, no boolean, or no size of a chunk."""
    if not callable(f):
        raise DTypeError(f"func.{what}: expected a function first, got {convert.describe(f)}")
    require(f"func.{what}", "argnums", argnums, Argnums)
    require(f"func.{what}", "has_aux", has_aux, bool)
    require(f"func.{what}", "chunk_size", chunk_size, int | None)
    if chunk_size is not None and chunk_size < 1:
        raise ValueRangeError(f"func.{what}: chunk_size: expected at least 1, got {chunk_size}")


def _chosen(what: str, argnums: Argnums, args: Sequence[Any]) -> list[int]:
    """The places of the arguments to differentiate with respect to."""
    chosen = argnums if isinstance(argnums, tuple) else (argnums,)
    for n in chosen:
        if not isinstance(n, int) or not -len(args) <= n < len(args):
            raise ValueRangeError(
                f"func.{what}: argnums={argnums!r}, but f was called with {len(args)} "
                f"argument{'' if len(args) == 1 else 's'}"
            )
    places = [n % len(args) for n in chosen]
    if len(set(places)) < len(places):
        raise ValueRangeError(f"func.{what}: argnums: expected each argument once, got {argnums!r}")
    return places


def _check_real(what: str, out: Tensor) -> None:
    if out.dtype.kind == "c":
        raise GraphError(
            f"func.{what}: expected f to return a real number, got {out.dtype}: only a real number has a gradient. "
            "Reduce it to one, such as with abs() or .real, or use func.vjp with the gradient to start from."
        )


def zeros_like(t: Tensor) -> Tensor:
    return convert.constant(np.zeros(t.shape, t.dtype))


@readable
def grad(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The function that gives the gradient of f, which returns one number, in the arguments `argnums`.

    grad(f)(x) = df/dx, nested as x; a tuple of them if `argnums` is a tuple. With `has_aux` f returns
    (result, aux), and (gradient, aux) comes back. Raises GraphError unless f returns one real number.
    >>> grad(grad(lambda x: x**3))(np.array(2.0))
    array(12.)
    """
    both = _of_one_number("grad", f, argnums, has_aux)

    @_renamed(f, "grad")
    def gradient(*args: object, **kwargs: object) -> Any:
        value, g = both(*args, **kwargs)
        return (g, value[1]) if has_aux else g

    return gradient


@readable
def value_and_grad(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The function that gives (f, gradient of f); with `has_aux`, ((result, aux), gradient). See `grad`.

    >>> value_and_grad(lambda x: (x * x).sum())(np.array([1.0, 2.0]))
    (array(5.), array([2., 4.]))
    """
    return _of_one_number("value_and_grad", f, argnums, has_aux)


def _of_one_number(what: str, f: Callable[..., Any], argnums: Argnums, has_aux: bool) -> Callable[..., Any]:
    _check(what, f, argnums, has_aux)

    @_renamed(f, what)
    def value_and_gradient(*args: object, **kwargs: object) -> Any:
        run = Run(what, f, args, kwargs, argnums, has_aux)
        if len(run.outs) != 1 or not isinstance(run.result, Tensor) or run.outs[0].size != 1:
            came = run.outs[0].shape if isinstance(run.result, Tensor) else convert.describe(run.result)
            raise GraphError(
                f"func.{what}: expected f to return one number, got {came}. "
                "Reduce it, such as with .sum() or .mean(), or use func.jacobian."
            )
        _check_real(what, run.outs[0])
        gradients = run.by_argnums(run.gradients(run.vjp([_one(run.outs[0])])))
        return run.with_aux(run.give(run.result), has_aux), gradients

    return value_and_gradient


@readable
def vjp(f: Callable[..., Any], *primals: object, has_aux: bool = False) -> tuple[Any, ...]:
    """f(*primals) and its pullback: the function from cotangents, nested as the result, to gradients.

    pullback(v) = v^T J, a tuple with one entry per primal. It may be called repeatedly. With `has_aux`: (result,
    pullback, aux).
    >>> y, pullback = vjp(lambda x: x * x, np.array([1.0, 3.0]))
    >>> pullback(np.array([1.0, 10.0]))
    (array([ 2., 60.]),)
    """
    run = Run("vjp", f, primals, {}, tuple(range(len(primals))), has_aux)

    plain = run.plain

    def pullback(cotangents: object) -> tuple[Any, ...]:
        run.plain = plain
        run.join(cotangents)
        seeds = _matching("vjp: cotangents", cotangents, run.result, run.outs)
        recording = modes.recording and any(seed.node is not None for seed in seeds)
        found = run.vjp(seeds, recording=recording)
        if not recording:
            return run.gradients(found)
        values = iter([zeros_like(v) if g is None else g for g, v in zip(found, run.variables)])
        return tuple(refill(run.args[n], values) for n in run.chosen)

    result = run.give(run.result)
    return (result, pullback, run.give(run.aux)) if has_aux else (result, pullback)


@readable
def jvp(
    f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> tuple[Any, ...]:
    """f(*primals) and the change of the result when the primals change by the tangents: forward mode.

    J v, computed operation by operation beside the values: no graph is kept, so that memory does not grow with the
    number of operations.   Primals and tangents are tuples of the same nesting. With `has_aux` f returns
    (result, aux), and (result, change, aux) comes back.
    >>> jvp(lambda x, y: x * y, (np.array(2.0), np.array(3.0)), (np.array(1.0), np.array(10.0)))
    (array(6.), array(23.))
    """
    _check("jvp", f, 0, has_aux)
    for name, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, (tuple, list)):
            raise DTypeError(
                f"func.jvp: {name}: expected a tuple with one entry per argument, got {convert.describe(given)}"
            )
    primals = tuple(primals)
    values = [
        _floating("jvp", leaf, f"argument {n}{path}")
        for n, p in enumerate(primals)
        for path, leaf in leaves(p)
    ]
    directions = _matching("jvp: tangents", tuple(tangents), primals, values)
    pushed = Pushed("jvp", f, refill(primals, iter(values)), {}, values, directions, has_aux)
    plain = _only_arrays((primals, tuple(tangents)))
    result, change = (_given(refill(pushed.result, iter(ts)), plain) for ts in (pushed.outs, pushed.changes))
    return (result, change, _given(pushed.aux, plain)) if has_aux else (result, change)


class Pushed:
    """f in forward mode: its results, and their changes when some leaves of its arguments change."""

    def __init__(
        self,
        what: str,
        f: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        values: Sequence[Tensor],
        directions: Sequence[Any],
        has_aux: bool,
    ) -> None:
        level = levels.ForwardLevel()
        new = {id(v): levels.dual(v, d, level) for v, d in zip(values, directions)}
        for v, d in zip(values, directions):
            if v.node is not None:
                level.note(v, d)
        inside = refill(args, iter([new.get(id(leaf), leaf) for _, leaf in leaves(args)]))
        with level:
            result, self.aux = _with_aux(what, f(*inside, **kwargs), has_aux)
            outs = [_output(what, leaf, path) for path, leaf in leaves(result)]
        self.result = result
        self.outs = [level.primal(t) for t in outs]
        self.changes = [zeros_like(t) if (d := level.tangent(t)) is None else d for t in outs]
        if has_aux:
            self.aux = refill(self.aux, iter([level.primal(leaf) for _, leaf in leaves(self.aux)]))


def _with_aux(what: str, result: Any, has_aux: bool) -> tuple[Any, Any]:
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise DTypeError(
            f"func.{what}: expected f to return (result, aux) with has_aux, got {convert.describe(result)}"
        )
    return result


def _output(what: str, leaf: object, path: str) -> Tensor:
    if isinstance(leaf, Tensor):
        return leaf
    raise DTypeError(
        f"func.{what}: f must return Tensors; result{path} is {convert.describe(leaf)}. "
        "If it was taken out with .data, .numpy(), .item() or float(), its derivative is lost: "
        "compute with the Tensor itself."
    )


def _floating(what: str, leaf: object, name: str) -> Tensor:
    """An argument to differentiate with respect to, as a Tensor; a Tensor as it is."""
    # A Python float is exact, as nothing says that a rounded derivative will do
    given: Any = np.asarray(leaf) if type(leaf) is float else leaf
    tensor = given if isinstance(given, Tensor) else convert.wrap(convert.asarray_of(given))
    if tensor.dtype.kind not in "fc":
        raise DTypeError(
            f"func.{what}: {name} is {tensor.dtype}; only floating and complex values have derivatives. "
            "Make it floating, or leave it out with argnums."
        )
    return tensor


def _only_arrays(tree: Any) -> bool:
    """Whether there are arrays and no Tensor among the leaves, so that arrays are to come out."""
    found = [leaf for _, leaf in leaves(tree)]
    return any(map(is_array, found)) and not any(isinstance(leaf, Tensor) for leaf in found)


def _given(tree: Any, plain: bool) -> Any:
    """A tree of Tensors as the caller gets it: arrays if arrays were given, and nothing is recorded."""
    if not plain:
        return tree
    found = [leaf for _, leaf in leaves(tree)]
    return refill(
        tree,
        iter(
            [
                leaf._data if isinstance(leaf, Tensor) and leaf.node is None and leaf.level is None else leaf
                for leaf in found
            ]
        ),
    )


@readable
def linearize(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """f(*primals) and its derivative there, the function from tangents to the change of the result.

    f runs once; the function runs its recorded operations forward, and may be called repeatedly. It takes one tangent
    for each primal, nested as it is. With `has_aux`: (result, function, aux).
    >>> y, change = linearize(lambda x: x * x, np.array([1.0, 3.0]))
    >>> change(np.array([1.0, 10.0]))
    array([ 2., 60.])
    """
    run = Run("linearize", f, primals, {}, tuple(range(len(primals))), has_aux)
    plain = run.plain

    def change_of(*tangents: Any) -> Any:
        directions = _matching("linearize: tangents", tangents, primals, run.variables)
        changes = run.jvp(directions)
        run.plain = plain
        run.join(tangents)
        values = [zeros_like(t) if c is None else c for c, t in zip(changes, run.outs)]
        if modes.recording and any(d.node is not None for d in directions):
            return refill(run.result, iter(values))
        return run.give(refill(run.result, iter(values)))

    result = run.give(run.result)
    return (result, change_of, run.give(run.aux)) if has_aux else (result, change_of)


@readable
def jacobian(
    f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, chunk_size: int | None = None
) -> Callable[..., Any]:
    """The function that gives the derivatives of every element of the result in every element of x.

    J[i..., k...] = d out[i...] / d x[k...].   Shape: out's shape, then x's. A nested result gives its
    nesting, in each place the nesting of the argument. With `has_aux` f returns (result, aux), and (J, aux)
    comes back. By rows, as jacrev, or by columns, as jacfwd, whichever are fewer; `chunk_size` as there.
    >>> jacobian(lambda x: x * x)(np.array([1.0, 3.0]))
    array([[2., 0.],
           [0., 6.]])
    """
    return _jacobian("jacobian", f, argnums, has_aux, chunk_size)


@readable
def jacrev(
    f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, chunk_size: int | None = None
) -> Callable[..., Any]:
    """The Jacobian by rows: backward passes, many at once.

    `chunk_size`: how many rows at once, by default as many as fit into memory. See jacobian.
    >>> jacrev(lambda x: x.sum())(np.array([1.0, 3.0]))
    array([1., 1.])
    """
    return _jacobian("jacrev", f, argnums, has_aux, chunk_size)


@readable
def jacfwd(
    f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, chunk_size: int | None = None
) -> Callable[..., Any]:
    """The Jacobian by columns: forward mode in many directions at once, without a graph.

    `chunk_size`: how many columns at once, by default as many as fit into memory. f is called once for each chunk. See
    jacobian.
    >>> jacfwd(lambda x: x * np.array([[1.0], [2.0]]))(np.array(1.0))
    array([[1.],
           [2.]])
    """
    _check("jacfwd", f, argnums, has_aux, chunk_size)

    @_renamed(f, "jacfwd")
    def derivatives(*args: Any, **kwargs: Any) -> Any:
        chosen = _chosen("jacfwd", argnums, args)
        given = list(args)
        values: list[Tensor] = []
        for n in chosen:
            new = [_floating("jacfwd", leaf, f"argument {n}{path}") for path, leaf in leaves(given[n])]
            # An argument may be given twice; each place has derivatives of its own.
            new = [convert.attach(v._data, v.node) if any(v is w for w in values) else v for v in new]
            given[n] = refill(given[n], iter(new))
            values += new
        _check_arguments("jacfwd", values)
        columns = sum(v.size for v in values)
        size = max(columns, 1) if chunk_size is None else chunk_size
        found: list[list[Any]] = []
        pushed: Any = None
        for start in range(0, max(columns, 1), size):
            level, directions = _columns(values, start, min(size, columns - start))
            with level:
                pushed = Pushed("jacfwd", f, given, kwargs, values, directions, has_aux)
                found.append([levels.exposed(c, level) for c in pushed.changes])
        blocks = [
            _block_of_columns([part[i] for part in found], out.shape, values)
            for i, out in enumerate(pushed.outs)
        ]
        plain = _only_arrays((args, kwargs))
        placed = []
        for block in blocks:
            entries = iter(block)
            trees = tuple(_given(refill(given[n], entries), plain) for n in chosen)
            placed.append(trees if isinstance(argnums, tuple) else trees[0])
        result = refill(pushed.result, iter(placed))
        return (result, _given(pushed.aux, plain)) if has_aux else result

    return derivatives


def _check_arguments(what: str, values: Iterable[Tensor]) -> None:
    if any(v.dtype.kind == "c" for v in values):
        raise DTypeError(
            f"func.{what}: expected real arguments, got complex ones: of f of a complex argument, one complex matrix "
            "does not hold all derivatives. Use vjp or jvp, or real and imaginary parts."
        )


# How much memory the gradients or tangents of one chunk of a Jacobian may take by default, in bytes
CHUNK = 1 << 28


def _chunk(each: int, count: int, chunk_size: int | None) -> int:
    """How many rows or columns are computed at once, when each takes so many bytes."""
    return max(1, min(count, CHUNK // max(each, 1))) if chunk_size is None else chunk_size


def _jacobian(
    what: str, f: Callable[..., Any], argnums: Argnums, has_aux: bool, chunk_size: int | None
) -> Callable[..., Any]:
    _check(what, f, argnums, has_aux, chunk_size)

    @_renamed(f, what)
    def derivatives(*args: Any, **kwargs: Any) -> Any:
        run = Run(what, f, args, kwargs, argnums, has_aux)
        _check_arguments(what, run.variables)
        rows, columns = (sum(t.size for t in ts) for ts in (run.outs, run.variables))
        complex_results = any(t.dtype.kind == "c" for t in run.outs)
        if what == "jacrev" and complex_results:
            raise DTypeError(
                "func.jacrev: expected real results, got complex ones. Use jacfwd, or their parts."
            )
        # A row and a column cost about the same.
        by_columns = what != "jacrev" and (columns < rows or complex_results)
        blocks = (_by_columns if by_columns else _by_rows)(run, chunk_size)
        placed = [run.by_argnums(run.gradients(row)) for row in blocks]
        return run.with_aux(refill(run.result, iter(placed)), has_aux)

    return derivatives


def _by_rows(run: Run, chunk_size: int | None) -> list[list[Any]]:
    """For each result, its derivative in each variable: backward passes from many of its elements at once."""
    blocks = []
    size = _chunk(run.nbytes(), max((t.size for t in run.outs), default=0), chunk_size)
    for place, out in enumerate(run.outs):
        parts: list[list[Any]] = []
        for start in range(0, out.size, size):
            count = min(size, out.size - start)
            seeds: list[Any] = [None] * len(run.outs)
            if out.size == 1:
                seeds[place] = _one(out)
                parts.append([None if g is None else g.reshape((1, *g.shape)) for g in run.vjp(seeds)])
                continue
            level = levels.BatchLevel(count, visible=False)
            ones = np.eye(count, out.size, start, out.dtype).reshape(count, *out.shape)
            seeds[place] = levels.batched(convert.constant(ones), level)
            with level:
                found = run.vjp(seeds)
                parts.append([None if g is None else levels.exposed(g, level) for g in found])
        blocks.append(
            [_joined([part[i] for part in parts], out.shape, v) for i, v in enumerate(run.variables)]
        )
    return blocks


def _joined(parts: list[Any], shape: tuple[int, ...], v: Tensor) -> Tensor:
    """The derivatives in one variable, from those of chunks of rows."""
    whole = (*shape, *v.shape)
    if not parts or parts[0] is None:
        return convert.constant(np.zeros(whole, v.dtype))
    return reshape(parts[0] if len(parts) == 1 else concat(parts), whole)


def _by_columns(run: Run, chunk_size: int | None) -> list[list[Any]]:
    """The same: the recorded operations forward, for many elements of the variables at once."""
    columns = sum(v.size for v in run.variables)
    size = _chunk(run.nbytes(), columns, chunk_size)
    found = []
    for start in range(0, columns, size):
        level, directions = _columns(run.variables, start, min(size, columns - start))
        with level:
            changes = run.jvp(directions)
            found.append(
                [levels.exposed(zeros_like(t) if c is None else c, level) for c, t in zip(changes, run.outs)]
            )
    return [
        _block_of_columns([part[i] for part in found], out.shape, run.variables)
        for i, out in enumerate(run.outs)
    ]


def _columns(values: Sequence[Tensor], start: int, count: int) -> tuple[Any, list[Any]]:
    """The directions of some elements, counted through all values: a batch for each value, and its level."""
    level = levels.BatchLevel(count, visible=False)
    directions, begin = [], 0
    for v in values:
        ones = np.eye(count, v.size, start - begin, v.dtype).reshape(count, *v.shape)
        directions.append(levels.batched(convert.constant(ones), level))
        begin += v.size
    return level, directions


def _block_of_columns(parts: list[Any], shape: tuple[int, ...], values: Sequence[Tensor]) -> list[Any]:
    """The derivatives of one result in each value, from chunks of columns (count, *shape)."""
    if not parts:
        return [convert.constant(np.zeros((*shape, *v.shape), v.dtype)) for v in values]
    whole = moveaxis(parts[0] if len(parts) == 1 else concat(parts), 0, -1)
    block, begin = [], 0
    for v in values:
        part = whole[(..., slice(begin, begin + v.size))]
        dtype = v.dtype if part.dtype.kind == "f" else part.dtype  # complex results have complex derivatives
        block.append(reshape(part if part.dtype == dtype else part.astype(dtype), (*shape, *v.shape)))
        begin += v.size
    return block


@readable
def hessian(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The function that gives the second derivatives of f: the Jacobian of its Jacobian.

    H[k..., l...] = d^2 f / (d x[k...] d x[l...]).   Shape: f's, then x's twice; nested for each argument in
    turn.
    >>> hessian(lambda x: (x**3).sum())(np.array([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])
    """
    once = _jacobian("hessian", f, argnums, has_aux, None)
    return _renamed(f, "hessian")(_jacobian("hessian", once, argnums, has_aux, None))


@readable
def hvp(f: Callable[..., Any], x: object, v: object) -> Any:
    """The product H v of the Hessian of f, which returns one number, with a vector; H is never built.

    The change of the gradient in the direction v: forward mode over a backward pass. `v` is nested as `x` and so is
    the result; a tuple x is several arguments, f(*x).
    >>> hvp(lambda x: (x**4).sum(), np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    array([12., 48.])
    """
    args, vector = (x, v) if isinstance(x, tuple) else ((x,), (v,))
    _check("hvp", f, 0, False)

    def gradient(*args: Any) -> tuple[Any, ...]:
        run = Run("hvp", f, args, {}, tuple(range(len(args))), False)
        if len(run.outs) != 1 or run.outs[0].size != 1:
            raise GraphError(
                f"func.hvp: expected f to return one number, got {', '.join(str(t.shape) for t in run.outs)}"
            )
        _check_real("hvp", run.outs[0])
        return run.gradients(run.vjp([_one(run.outs[0])]))

    values = [
        _floating("hvp", leaf, f"argument {n}{path}") for n, p in enumerate(args) for path, leaf in leaves(p)
    ]
    directions = _matching("hvp: v", vector, args, values)
    pushed = Pushed("hvp", gradient, refill(args, iter(values)), {}, values, directions, False)
    products = _given(refill(pushed.result, iter(pushed.changes)), _only_arrays((args, vector)))
    return products if isinstance(x, tuple) else products[0]


def _matching(what: str, tree: object, like: Any, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The leaves of a tree as Tensors, which must have the nesting and the shapes of others."""
    given, wanted = dict(leaves(tree)), [path for path, _ in leaves(like)]
    if list(given) != wanted:
        raise ShapeError(f"func.{what}: expected the nesting {_shown(wanted)}, got {_shown(given)}")
    found = []
    for (path, leaf), t in zip(given.items(), tensors):
        new = leaf if isinstance(leaf, Tensor) else convert.wrap(convert.asarray_of(leaf))
        if new.shape != t.shape:
            raise ShapeError(f"func.{what}{path}: expected the shape {t.shape}, got {new.shape}")
        if new.dtype.kind == "c" and t.dtype.kind != "c":
            raise DTypeError(
                f"func.{what}{path}: expected real numbers, as it belongs to {t.dtype}, got {new.dtype}"
            )
        found.append(new if new.dtype == t.dtype else new.astype(t.dtype))
    return found


def _shown(paths: Iterable[str]) -> str:
    return ", ".join(path or "one array" for path in paths) or "nothing"


def _renamed(f: Callable[..., Any], what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a derivative the docstring and signature of f, and a name that says what it is."""

    def rename(made: Callable[..., Any]) -> Callable[..., Any]:
        made = wraps(f)(made) if callable(f) else made
        made.__name__ = made.__qualname__ = f"{what}({getattr(f, '__name__', f)})"
        made.__doc__ = f"The result of func.{what}."
        return made

    return rename
