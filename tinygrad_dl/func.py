"""Derivatives of functions: gradient, vector-Jacobian and Jacobian-vector products, Jacobian, Hessian.

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

from tinygrad_dl import autograd, convert, graph
from tinygrad_dl.arguments import require
from tinygrad_dl.backend import is_array
from tinygrad_dl.errors import DTypeError, GraphError, ShapeError, ValueRangeError
from tinygrad_dl.modes import call_recording, modes
from tinygrad_dl.ops.elementwise import positive
from tinygrad_dl.ops.join import stack
from tinygrad_dl.ops.shape import reshape
from tinygrad_dl.pytree import leaves, refill
from tinygrad_dl.tensor import Tensor

__all__ = ["grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"]

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
        chosen = argnums if isinstance(argnums, tuple) else (argnums,)
        for n in chosen:
            if not isinstance(n, int) or not -len(args) <= n < len(args):
                raise ValueRangeError(
                    f"func.{what}: argnums={argnums!r}, but f was called with {len(args)} "
                    f"argument{'' if len(args) == 1 else 's'}"
                )
        given = list(args)
        present = [leaf for _, leaf in leaves([args, kwargs])]
        tensors = any(isinstance(leaf, Tensor) for leaf in present)
        start = graph.next_serial()
        self.chosen = [n % len(args) for n in chosen]
        self.variables: list[Tensor] = []
        for n in self.chosen:
            new = [self._variable(leaf, f"argument {n}{path}") for path, leaf in leaves(given[n])]
            given[n] = refill(given[n], iter(new))
            self.variables += new
        result = call_recording(f, *given, **kwargs)
        self.aux = None
        if has_aux:
            if not isinstance(result, tuple) or len(result) != 2:
                raise DTypeError(
                    f"func.{what}: expected f to return (result, aux) with has_aux, got {convert.describe(result)}"
                )
            result, self.aux = result
        self.args, self.result = args, result
        self.outs = [self._output(leaf, path) for path, leaf in leaves(result)]
        # What the results depend on besides the variables: if there is something, they must be differentiable
        # with respect to it.
        _, outside = autograd.inside([t.node for t in self.outs if t.node is not None], start)
        self.recording = bool(outside) and modes.recording
        self.plain = not tensors and not self.recording and any(map(is_array, present))

    def _variable(self, leaf: object, name: str) -> Tensor:
        """A new Tensor for an argument, connected to it if it is a Tensor that requires grad."""
        if isinstance(leaf, Tensor) and leaf.node is not None and modes.recording:
            return positive(leaf)
        # A Python float is exact, as nothing says that a rounded derivative will do
        data = np.asarray(leaf) if type(leaf) is float else convert.asarray_of(leaf)
        if data.dtype.kind not in "fc":
            raise DTypeError(
                f"func.{self.what}: {name} is {data.dtype}; only floating and complex values have derivatives. "
                "Make it floating, or leave it out with argnums."
            )
        return convert.wrap(data).requires_grad_()

    def _output(self, leaf: object, path: str) -> Tensor:
        if isinstance(leaf, Tensor):
            return leaf
        raise DTypeError(
            f"func.{self.what}: f must return Tensors; result{path} is {convert.describe(leaf)}. "
            "If it was taken out with .data, .numpy(), .item() or float(), its derivative is lost: "
            "compute with the Tensor itself."
        )

    def vjp(self, seeds: Sequence[Any], *, recording: bool = False) -> list[Tensor | None]:
        """The gradients of the results in the variables, None where none arrives; the graph stays."""
        live = [(t, seed) for t, seed in zip(self.outs, seeds) if t.node is not None]
        if not live or not self.variables:
            return [None] * len(self.variables)
        recording = recording or self.recording
        outs, given = zip(*live)
        return list(autograd.grad(outs, self.variables, given, True, recording, allow_unused=True))

    def give(self, tree: object) -> Any:
        """A tree of Tensors as the caller gets it: arrays if arrays came, cut off unless recorded."""
        return refill(tree, iter([self._give_one(leaf) for _, leaf in leaves(tree)]))

    def _give_one(self, leaf: object) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
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


def _check(what: str, f: object, argnums: object, has_aux: object) -> None:
    """Raise for what is no function, no number of an argument, or no boolean."""
    if not callable(f):
        raise DTypeError(f"func.{what}: expected a function first, got {convert.describe(f)}")
    require(f"func.{what}", "argnums", argnums, Argnums)
    require(f"func.{what}", "has_aux", has_aux, bool)


def zeros_like(t: Tensor) -> Tensor:
    return convert.wrap(np.zeros(t.shape, t.dtype))


def grad(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The function that gives the gradient of f, which returns one number, in the arguments `argnums`.

    grad(f)(x) = df/dx, nested as x; a tuple of them if `argnums` is a tuple. With `has_aux` f returns
    (result, aux), and (gradient, aux) comes back. Raises GraphError if f returns more than one number.
    >>> grad(grad(lambda x: x**3))(np.array(2.0))
    array(12.)
    """
    both = _of_one_number("grad", f, argnums, has_aux)

    @_renamed(f, "grad")
    def gradient(*args: object, **kwargs: object) -> Any:
        value, g = both(*args, **kwargs)
        return (g, value[1]) if has_aux else g

    return gradient


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
        gradients = run.by_argnums(run.gradients(run.vjp([None])))
        return run.with_aux(run.give(run.result), has_aux), gradients

    return value_and_gradient


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


def jvp(
    f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> tuple[Any, ...]:
    """f(*primals) and the change of the result when the primals change by the tangents.

    J v, computed by differentiating u -> u^T J, which is linear, in u.   Both are tuples of the same nesting.
    >>> jvp(lambda x, y: x * y, (np.array(2.0), np.array(3.0)), (np.array(1.0), np.array(10.0)))
    (array(6.), array(23.))
    """
    for name, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, (tuple, list)):
            raise DTypeError(
                f"func.jvp: {name}: expected a tuple with one entry per argument, got {convert.describe(given)}"
            )
    primals = tuple(primals)
    run = Run("jvp", f, primals, {}, tuple(range(len(primals))), has_aux)
    run.join(tangents)
    directions = _matching("jvp: tangents", tuple(tangents), primals, run.variables)
    recording = run.recording or (modes.recording and any(v.node is not None for v in directions))
    changes = _pushed(run, Transposed(run), directions, recording)
    values = iter([t if recording else t.detach() for t in changes])
    change = refill(run.result, values)
    if not recording:
        change = run.give(change)
    result = run.give(run.result)
    return (result, change, run.give(run.aux)) if has_aux else (result, change)


class Transposed:
    """The map u -> u^T J of a run, recorded, so that it can be differentiated in u."""

    def __init__(self, run: Run) -> None:
        self.u = [convert.wrap(np.ones(t.shape, t.dtype)).requires_grad_() for t in run.outs]
        self.products = run.vjp(self.u, recording=True)


def _pushed(run: Run, transposed: Transposed, directions: Sequence[Tensor], recording: bool) -> list[Tensor]:
    """J v: the changes of a run's results for a change of its variables."""
    live = [(p, v) for p, v in zip(transposed.products, directions) if p is not None and p.node is not None]
    if not live:
        return [zeros_like(t) for t in run.outs]
    products, given = zip(*live)
    found = autograd.grad(products, transposed.u, given, True, recording, allow_unused=True)
    return [zeros_like(t) if c is None else c for c, t in zip(found, run.outs)]


def jacobian(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The function that gives the derivatives of every element of the result in every element of x.

    J[i..., k...] = d out[i...] / d x[k...].   Shape: out's shape, then x's. A nested result gives its
    nesting, in each place the nesting of the argument. With `has_aux` f returns (result, aux), and (J, aux)
    comes back.
    >>> jacobian(lambda x: x * x)(np.array([1.0, 3.0]))
    array([[2., 0.],
           [0., 6.]])
    """
    _check("jacobian", f, argnums, has_aux)

    @_renamed(f, "jacobian")
    def derivatives(*args: object, **kwargs: object) -> Any:
        run = Run("jacobian", f, args, kwargs, argnums, has_aux)
        if any(t.dtype.kind == "c" for t in (*run.outs, *run.variables)):
            raise DTypeError(
                "func.jacobian: expected real arguments and results, got complex ones, of which one complex matrix "
                "does not hold all derivatives. Use vjp or jvp, or real and imaginary parts."
            )
        rows, columns = (sum(t.size for t in ts) for ts in (run.outs, run.variables))
        # A column costs about three rows: a backward pass through the recorded transpose is longer.
        blocks = _by_columns(run) if 3 * columns < rows else _by_rows(run)
        placed = [run.by_argnums(run.gradients(row)) for row in blocks]
        return run.with_aux(refill(run.result, iter(placed)), has_aux)

    return derivatives


def _by_rows(run: Run) -> list[list[Tensor]]:
    """For each result, its derivative in each variable; a backward for each element of the result."""
    blocks = []
    for place, out in enumerate(run.outs):
        found = []
        for k in range(out.size):
            one = np.zeros(out.size, out.dtype)
            one[k] = 1
            seeds = [
                np.zeros(t.shape, t.dtype) if j != place else one.reshape(out.shape)
                for j, t in enumerate(run.outs)
            ]
            found.append(run.vjp(seeds))
        blocks.append([_joined([row[i] for row in found], out.shape, v) for i, v in enumerate(run.variables)])
    return blocks


def _joined(rows: list[Tensor | None], shape: tuple[int, ...], v: Tensor) -> Tensor:
    whole = (*shape, *v.shape)
    if all(row is None for row in rows):
        return convert.wrap(np.zeros(whole, v.dtype))
    return reshape(stack([zeros_like(v) if row is None else row for row in rows]), whole)


def _by_columns(run: Run) -> list[list[Tensor]]:
    """The same; a step forward for each element of the variables."""
    transposed = Transposed(run)
    blocks: list[list[Tensor]] = [[] for _ in run.outs]
    for place, v in enumerate(run.variables):
        found = []
        for k in range(v.size):
            one = np.zeros(v.size, v.dtype)
            one[k] = 1
            directions = [
                zeros_like(t) if j != place else convert.wrap(one.reshape(v.shape))
                for j, t in enumerate(run.variables)
            ]
            found.append(_pushed(run, transposed, directions, run.recording))
        for i, out in enumerate(run.outs):
            if v.size:
                columns = stack([c[i] for c in found], axis=-1)
                blocks[i].append(reshape(columns.astype(v.dtype), (*out.shape, *v.shape)))
            else:
                blocks[i].append(convert.wrap(np.zeros((*out.shape, *v.shape), v.dtype)))
    return blocks


def hessian(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The function that gives the second derivatives of f: the Jacobian of its Jacobian.

    H[k..., l...] = d^2 f / (d x[k...] d x[l...]).   Shape: f's, then x's twice; nested for each argument in
    turn.
    >>> hessian(lambda x: (x**3).sum())(np.array([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])
    """
    _check("hessian", f, argnums, has_aux)
    return jacobian(jacobian(f, argnums, has_aux), argnums, has_aux)


def hvp(f: Callable[..., Any], x: object, v: object) -> Any:
    """The product H v of the Hessian of f, which returns one number, with a vector; H is never built.

    H v = d(grad f(x) . v) / dx.   `v` is nested as `x` and so is the result; a tuple x is several arguments,
    f(*x).
    >>> hvp(lambda x: (x**4).sum(), np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    array([12., 48.])
    """
    args, vector = (x, v) if isinstance(x, tuple) else ((x,), (v,))
    run = Run("hvp", f, args, {}, tuple(range(len(args))), False)
    if len(run.outs) != 1 or run.outs[0].size != 1:
        raise GraphError(
            f"func.hvp: expected f to return one number, got {', '.join(str(t.shape) for t in run.outs)}"
        )
    run.join(vector)
    directions = _matching("hvp: v", vector, args, run.variables)
    derivatives = run.vjp([None], recording=True)
    live = [(g, d) for g, d in zip(derivatives, directions) if g is not None and g.node is not None]
    recording = run.recording or (modes.recording and any(d.node is not None for d in directions))
    found: Sequence[Tensor | None] = [None] * len(run.variables)
    if live:
        outs, given = zip(*live)
        found = autograd.grad(outs, run.variables, given, True, recording, allow_unused=True)
    run.recording, run.plain = recording, run.plain and not recording
    products = run.gradients(found)
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
