"""Norms of vectors and matrices; rank, condition, pseudo-inverse and least squares."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinygrad_dl import batching
from tinygrad_dl.arguments import checked
from tinygrad_dl.convert import conjugated
from tinygrad_dl.dispatch import each_example
from tinygrad_dl.errors import AxisError, MatrixError, ShapeError, ValueRangeError
from tinygrad_dl.op import Case, Domain, op
from tinygrad_dl.ops.elementwise import abs, sign, where
from tinygrad_dl.ops.linalg import check_matrix, check_square, inv
from tinygrad_dl.ops.matmul import matmul, operand
from tinygrad_dl.ops.packing import adjoint, well_shaped
from tinygrad_dl.ops.reduce import broadcast_back, expand_reduced, max, min, sum
from tinygrad_dl.ops.shape import expand_dims, permute_dims
from tinygrad_dl.ops.spectral import svdvals
from tinygrad_dl.signatures import composed
from tinygrad_dl.typing import ArrayLike, Axis, NDArray, Shape


class LstsqResult(NamedTuple):
    """The solution, the sums of squared residuals, the rank and the singular values."""

    solution: Any
    residuals: Any
    rank: Any
    singular_values: Any


def _derivative_of_norm(
    g: NDArray, out: NDArray, x: NDArray, x_shape: Shape, axis: Axis, keepdims: bool, ord: float
) -> Any:
    g, out = expand_reduced(g, x_shape, axis, keepdims), expand_reduced(out, x_shape, axis, keepdims)
    if ord == 2:
        return conjugated(x) * where(out == 0, 0, g / where(out == 0, 1, out))
    if ord == 1:
        return g * conjugated(sign(x))
    if ord == 0:
        return broadcast_back(g * 0, x_shape, axis, True)
    if ord in (np.inf, -np.inf):
        hit = abs(x) == out
        return g * conjugated(sign(x)) * (hit / sum(hit, axis=axis, keepdims=True))
    # An element that is 0 has a derivative of 0, or for ord < 1 an infinite one with no sign: 0 too
    still = (out == 0) if ord > 1 else (x == 0) | (out == 0)
    share = where(still, 1, abs(x) / where(out == 0, 1, out))
    return where(still, 0, g * conjugated(sign(x)) * share ** (ord - 1))


def _derivative_along(t: Any, out: Any, x: Any, x_shape: Shape, axis: Axis, keepdims: bool, ord: Any) -> Any:
    if ord == 1:
        return sum(t * conjugated(sign(x)), axis=axis, keepdims=keepdims)
    rates = _derivative_of_norm(out * 0 + 1, out, x, x_shape, axis, keepdims, ord)
    return sum(t * rates, axis=axis, keepdims=keepdims)


NORM_CASES = (
    Case((2, 3)), Case((2, 3, 4), axis=1), Case((2, 3, 4), axis=(0, -1), keepdims=True), Case(()),
    Case((2, 3), axis=1, ord=3), Case((2, 3), axis=0, ord=0.5), Case((2, 3), axis=1, ord=np.inf),
    Case((2, 3), axis=1, ord=-np.inf), Case((3,), ord=0), Case((3,), ord=-1), Case((0, 3), axis=0),
    Case((3,), ord=1), Case((2,), ord=1.5),
)  # fmt: skip


@op(
    _derivative_of_norm,
    domain=Domain(-2, 1.7, avoid=(0,), distinct=True),
    cases=(*NORM_CASES, Case(np.zeros((2, 0)), axis=1)),
    kinks="0 at the zero vector and, for ord <= 1, for elements that are 0; for ord=inf ties share evenly",
    accumulates=True,
    batch=batching.along,
    jvp=(_derivative_along,),
    math=(
        r"(\sum_i \lvert x_i \rvert^p)^{1 / p}",
        r"g \cdot \operatorname{sign}(x_i) (\frac{\lvert x_i \rvert}{\mathrm{out}})^{p - 1}",
    ),
)
def vector_norm(x: NDArray, /, *, axis: Axis = None, keepdims: bool = False, ord: float | str = 2) -> Any:
    """The norm of vectors along axes (all elements by default); `ord` any number, inf or -inf.

    out = (sum_i |x_i|^ord)^(1 / ord); the largest |x_i| for inf, the smallest for -inf, the
    number of elements that are not 0 for 0.
    Shape: without `axis`, an int or a tuple; with size 1 there if `keepdims`.
    >>> vector_norm(np.array([3.0, 4.0]))
    np.float64(5.0)
    """
    if isinstance(ord, str):
        raise ValueRangeError(
            f"vector_norm: expected ord to be a number, inf or -inf, got {ord!r}. See matrix_norm."
        )
    return np.linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)  # type: ignore[arg-type]  # stubs leave axis=None out


@composed
@checked
def matrix_norm(x: ArrayLike, /, *, keepdims: bool = False, ord: float | str = "fro") -> Any:
    """The norm of matrices: "fro", "nuc", 1, -1, 2, -2, inf or -inf.

    "fro" sqrt(sum_ij x_ij^2); "nuc" the sum of singular values; 2 and -2 the largest and smallest of them;
    1 and -1 the largest and smallest sum of |x_ij| in a column; inf and -inf in a row.
    x (..., M, N) -> (...).
    The gradient at the zero matrix is 0, ties share it evenly. Raises MatrixError, ValueRangeError.
    >>> matrix_norm(np.array([[3.0, 0.0], [0.0, 4.0]]))
    np.float64(5.0)
    """
    x = operand("matrix_norm", x)
    check_matrix("matrix_norm", x)
    if ord == "fro":
        return vector_norm(x, axis=(-2, -1), keepdims=keepdims)
    if ord in (1, -1, np.inf, -np.inf):
        sums = sum(abs(x), axis=-2 if ord in (1, -1) else -1)
        out = max(sums, axis=-1) if ord > 0 else min(sums, axis=-1)
    elif ord in ("nuc", 2, -2):
        values = abs(svdvals(x))  # they are not negative; the derivative of abs is 0 where one is 0
        out = (
            sum(values, axis=-1)
            if ord == "nuc"
            else max(values, axis=-1)
            if ord == 2
            else min(values, axis=-1)
        )
    else:
        raise ValueRangeError(
            f'matrix_norm: expected ord "fro", "nuc", 1, -1, 2, -2, inf or -inf, got {ord!r}'
        )
    return expand_dims(out, (-2, -1)) if keepdims else out


@composed
@checked
def norm(x: ArrayLike, /, ord: float | str | None = None, axis: Axis = None, keepdims: bool = False) -> Any:
    """NumPy's norm: of vectors along one axis, of matrices in two; by default of all elements.

    The orders are those of vector_norm (2 by default) and matrix_norm ("fro" by default).
    Shape: without `axis`; with size 1 there if `keepdims`. Raises ShapeError, AxisError, ValueRangeError.
    >>> norm(np.array([3.0, 4.0]))
    np.float64(5.0)
    """
    x = operand("norm", x)
    if axis is None and ord is None:
        return vector_norm(x, keepdims=keepdims)
    if axis is None:
        if x.ndim not in (1, 2):
            raise ShapeError(
                f"norm: with ord={ord!r}, expected a vector, a matrix or an axis, got shape {x.shape}"
            )
        axes = tuple(range(x.ndim))
    else:
        axes = (int(axis),) if isinstance(axis, (int, np.integer)) else tuple(axis)
    if len(axes) == 1:
        return vector_norm(x, axis=axes[0], keepdims=keepdims, ord=2 if ord is None else ord)
    if len(axes) != 2:
        raise AxisError(f"norm: expected one axis or two, got axis={axis!r}. vector_norm takes more.")
    for a in axes:
        if not -x.ndim <= a < x.ndim:
            raise AxisError(f"norm: the shape {x.shape} has no axis {a}")
    pair = [a % x.ndim for a in axes]
    if pair[0] == pair[1]:
        raise AxisError(f"norm: axis={axis!r} names one axis twice")
    others = [a for a in range(x.ndim) if a not in pair]
    out = matrix_norm(permute_dims(x, (*others, *pair)), ord="fro" if ord is None else ord)
    return expand_dims(out, tuple(pair)) if keepdims else out


@composed
@checked
def cond(x: ArrayLike, /, p: float | str | None = None) -> Any:
    """The condition number: how far a small relative change of the matrix can move the solution of equations.

    out = norm(x, p) * norm(inv(x), p); for p None or 2 the largest singular value by the smallest, for -2
    the reverse.   x (..., M, N) -> (...); square unless p is None, 2 or -2. Raises MatrixError.
    >>> cond(np.array([[4.0, 0.0], [0.0, 2.0]]))
    np.float64(2.0)
    """
    x = operand("cond", x)
    check_matrix("cond", x)
    if p in (None, 2, -2):
        values = svdvals(x)
        if not values.shape[-1]:
            raise MatrixError(f"cond: the shape {x.shape} has no elements")
        return values[..., -1] / values[..., 0] if p == -2 else values[..., 0] / values[..., -1]
    check_square("cond", x)
    return matrix_norm(x, ord=p) * matrix_norm(inv(x), ord=p)


@op(None, cases=(Case((3, 2)), Case((2, 2, 2)), Case((2, 2), rtol=0.1)), batch=batching.leading)
def matrix_rank(x: NDArray, /, *, rtol: NDArray | float | None = None) -> Any:
    """How many singular values exceed `rtol` times the largest.

    x (..., M, N) -> (...), integers. `rtol` is max(M, N) times the dtype's precision by default.
    Raises MatrixError if x has fewer than two axes.
    >>> matrix_rank(np.array([[1.0, 2.0], [2.0, 4.0]]))
    np.int64(1)
    """
    check_matrix("matrix_rank", x)
    return np.linalg.matrix_rank(x, rtol=rtol)


def _derivative_of_pinv(g: NDArray, out: NDArray, x: NDArray) -> NDArray:
    # Golub and Pereyra 1973: three terms, the inverse's and those of the two null spaces
    p, ph, gh = out, adjoint(out), g.mT
    gx = -(ph @ conjugated(g) @ ph)
    inner = gh @ p @ ph
    gx = gx + inner - x @ (p @ inner)
    inner = ph @ p @ gh
    return conjugated(gx + inner - (inner @ p) @ x)


def _moved_pinv(t: Any, out: Any, x: Any) -> Any:
    if x.shape[-2] < x.shape[-1]:  # so that all products but the last are of the smaller size
        return adjoint(_moved_pinv(adjoint(t), adjoint(out), adjoint(x)))
    p, ph, th = out, adjoint(out), adjoint(t)
    rows, columns = (p @ ph) @ th, (th @ ph) @ p
    return rows + columns - (rows @ x + p @ t) @ p - (p @ x) @ columns


@op(
    _derivative_of_pinv,
    jvp=(_moved_pinv,),
    domain=Domain(make=well_shaped),
    cases=(Case((3, 3)), Case((2, 4, 2)), Case((2, 4)), Case((0, 3, 2)), Case((3, 2), rtol=1e-6)),
    batch=batching.leading,
    math=(
        "x^+",
        r"-x^{+\top} g \, x^{+\top} + (1 - x x^+) g^\top x^+ x^{+\top} + x^{+\top} x^+ "
        r"g^\top (1 - x^+ x)",
    ),
)
def pinv(x: NDArray, /, *, rtol: NDArray | float | None = None) -> Any:
    """The Moore-Penrose pseudo-inverse; singular values up to `rtol` times the largest count as 0.

    x @ out @ x = x, out @ x @ out = out, both products Hermitian.   x (..., M, N) -> (..., N, M).
    `rtol` is max(M, N) times the dtype's precision by default. The derivative is the one at constant rank.
    >>> pinv(np.array([[2.0], [0.0]]))
    array([[0.5, 0. ]])
    """
    check_matrix("pinv", x)
    return np.linalg.pinv(x, rtol=rtol)  # type: ignore[arg-type]  # NumPy's stubs leave None out


@each_example  # whether there are residuals depends on the rank
@checked
def lstsq(a: ArrayLike, b: ArrayLike, /, rcond: float | None = None) -> LstsqResult:
    """The least-squares solution of linear equations, the shortest one if there are several.

    minimizes |a @ solution - b|^2.   a (M, N), b (M) or (M, K) -> solution (N) or (N, K), residuals (K) if
    a has rank N < M, else (0), rank, singular values; those up to `rcond` times the largest count as 0.
    Raises MatrixError, ShapeError.
    >>> lstsq(np.array([[1.0], [1.0]]), np.array([1.0, 3.0])).solution
    array([2.])
    """
    a, b = operand("lstsq", a), operand("lstsq", b)
    if a.ndim != 2:
        raise MatrixError(f"lstsq: expected the first to be one matrix, got shape {a.shape}")
    if b.ndim not in (1, 2) or b.shape[0] != a.shape[0]:
        raise ShapeError(
            f"lstsq: {a.shape} with {b.shape}: the second must have {a.shape[0]} rows, one or two axes"
        )
    values = svdvals(a)
    rank = matrix_rank(a, rtol=rcond)
    solution = matmul(pinv(a, rtol=rcond), b)
    rest = matmul(a, solution) - b
    squares = sum((rest * conjugated(rest)).real, axis=0, keepdims=b.ndim == 1)
    full = int(rank) == a.shape[1] < a.shape[0]
    return LstsqResult(solution, squares if full else squares[:0], rank, values)
