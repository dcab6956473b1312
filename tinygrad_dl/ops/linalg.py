"""Operations on square matrices: inverse, linear equations, determinants, powers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dl import batching
from tinygrad_dl.arguments import checked, explained
from tinygrad_dl.convert import conjugated
from tinygrad_dl.errors import DTypeError, MatrixError, ShapeError
from tinygrad_dl.graph import Value
from tinygrad_dl.kernels import triangular
from tinygrad_dl.modes import tell
from tinygrad_dl.op import Case, Domain, Joint, op
from tinygrad_dl.ops.diagonals import trace
from tinygrad_dl.ops.elementwise import is_complex, where
from tinygrad_dl.ops.join import stack
from tinygrad_dl.ops.matmul import matmul, operand
from tinygrad_dl.ops.shape import expand_dims, tril, triu
from tinygrad_dl.signatures import composed
from tinygrad_dl.typing import Array, ArrayLike, NDArray, Shape


class SlogdetResult(NamedTuple):
    """The sign of the determinant and the logarithm of its absolute value."""

    sign: Any
    logabsdet: Any


def check_matrix(what: str, x: Array) -> None:
    """Raise MatrixError unless x is a matrix or a stack of them."""
    shape: tuple[int, ...] = getattr(x, "shape", ())
    if len(shape) < 2:
        raise MatrixError(f"{what}: expected a matrix, or a stack of them, got shape {shape}")


def check_square(what: str, x: Array) -> None:
    """Raise MatrixError unless x is a square matrix or a stack of them."""
    shape: tuple[int, ...] = getattr(x, "shape", ())
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise MatrixError(f"{what}: expected a square matrix, or a stack of them, got shape {shape}")


def _singular(what: str, x: NDArray) -> MatrixError:
    where_ = "the matrix is singular" if np.ndim(x) == 2 else "a matrix of the stack is singular"
    return MatrixError(
        f"{what}: {where_}: its rows are not independent. Use pinv or lstsq, or add to its diagonal?"
    )


def regular(x: np.ndarray) -> np.ndarray:
    """A matrix well away from singular."""
    return x / 2 + np.eye(x.shape[-1]) * 3


SQUARE = (Case((3, 3)), Case((3, 1, 2, 2)), Case((1, 1)), Case((0, 2, 2)))


@op(
    lambda g, out: -(out.mT @ g @ out.mT),
    domain=Domain(make=regular),
    cases=SQUARE,
    batch=batching.leading,
    jvp=(lambda t, out: -(out @ t @ out),),
    math=("x^{-1}", r"-x^{-\top} g \, x^{-\top}"),
)
def inv(x: NDArray, /) -> Any:
    """The inverse of a square matrix. To solve equations, `solve` is faster and more exact.

    x @ out = identity.   x (..., N, N) -> (..., N, N). Raises MatrixError if x is not square or singular.
    >>> inv(np.array([[2.0, 0.0], [0.0, 4.0]]))
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    check_square("inv", x)
    try:
        return np.linalg.inv(x)
    except np.linalg.LinAlgError:
        raise _singular("inv", x) from None


def _to_right_hand_side(g: NDArray, a: NDArray, b_shape: Shape) -> NDArray:
    if len(b_shape) == 1:
        return solve(a.mT, expand_dims(g, -1))[..., 0]
    return solve(a.mT, g)


def _to_matrix(g: NDArray, out: NDArray, a: NDArray, b_shape: Shape) -> NDArray:
    if len(b_shape) == 1:
        return -(solve(a.mT, expand_dims(g, -1)) @ expand_dims(out, -2))
    return -(solve(a.mT, g) @ out.mT)


def _solution_moved(ts: Sequence[Any], out: Any, a: Any, b_shape: Any) -> Any:
    # a @ out = b: a @ (change of out) is what b changes by, less what the change of a does to out
    (of_a, of_b), vectors = ts, len(b_shape) == 1
    change: Any = expand_dims(of_b, -1) if vectors and of_b is not None else of_b
    if of_a is not None:
        moved = of_a @ (expand_dims(out, -1) if vectors else out)
        change = -moved if change is None else change - moved
    return solve(a, change)[..., 0] if vectors else solve(a, change)


def _solve_all(call: batching.Call) -> Any:
    if len(call.shape(1)) > 1 or not call.batched[1]:
        return batching.matrices(call) if len(call.shape(1)) > 1 else call.run(*call.inputs)
    a, b = call.inputs
    ndim = len(call.shape(0))
    b = b.reshape((call.size, *(1,) * (ndim - 2), *call.shape(1), 1))
    return call.run(a, b)[..., 0]


def _solve_hint(a: NDArray, b: NDArray) -> str | None:
    m, n = np.shape(a), np.shape(b)
    if len(m) > 1 and m[-1] == m[-2] == n[-2 if len(n) > 1 else -1]:
        return None
    return (
        f"{m} with {n}: expected as many equations, {m[-1]}, as the right-hand side has rows, "
        f"{n[-1] if len(n) == 1 else n[-2]}, and sizes in front of that must broadcast"
    )


@op(
    _to_matrix,
    _to_right_hand_side,
    domain=(Domain(make=regular), Domain()),
    cases=(
        Case((3, 3), (3,)), Case((3, 3), (3, 2)), Case((2, 2, 2), (2,)), Case((2, 1, 2, 2), (3, 2, 1)),
        Case((2, 2), (3, 2, 2)), Case((0, 2, 2), (2,)),
    ),
    hint=_solve_hint,
    batch=_solve_all, jvp=Joint(_solution_moved, _solution_moved),
    math=("a^{-1} b", r"-a^{-\top} g \, \mathrm{out}^\top", r"a^{-\top} g"),
)  # fmt: skip
def solve(a: NDArray, b: NDArray, /) -> Any:
    """The solution of linear equations; b is one right-hand side, or a matrix of columns.

    a @ out = b.   a (..., N, N), b (N) -> (..., N); b (..., N, K) -> (..., N, K), leading axes broadcasting.
    Raises MatrixError if `a` is not square or singular, ShapeError if the sizes differ.
    >>> solve(np.array([[2.0, 0.0], [0.0, 4.0]]), np.array([2.0, 2.0]))
    array([1. , 0.5])
    """
    check_square("solve", a)
    if not np.ndim(b):
        raise ShapeError("solve: expected a right-hand side with at least one axis, got a number")
    try:
        return np.linalg.solve(a, b)
    except np.linalg.LinAlgError:
        raise _singular("solve", a) from None


def _triangle(x: Array, lower: bool) -> Any:
    return tril(x) if lower else triu(x)


@op(
    lambda g, out, a, lower: -_triangle(solve_triangular(a.mT, g, not lower) @ out.mT, lower),
    lambda g, a, lower: solve_triangular(a.mT, g, not lower),
    kernel=triangular.solve_triangular,
    domain=(Domain(make=regular), Domain()),
    cases=(
        Case((3, 3), (3, 2), lower=True), Case((3, 3), (3, 2), lower=False), Case((2, 1, 2, 2), (3, 2, 1), lower=True),
        Case((2, 2), (3, 2, 2), lower=False), Case((0, 2, 2), (2, 1), lower=True),
    ),
    batch=batching.matrices,
    jvp=(
        lambda t, out, a, lower: -solve_triangular(a, _triangle(t, lower) @ out, lower),
        lambda t, a, lower: solve_triangular(a, t, lower),
    ),
    math=("a^{-1} b", r"-\operatorname{tril}(a^{-\top} g \, \mathrm{out}^\top)", r"a^{-\top} g"),
)  # fmt: skip
def solve_triangular(a: NDArray, b: NDArray, /, lower: bool) -> Any:
    """The solution of linear equations with a triangular matrix; the elements beside its triangle are not read.

    a @ out = b.   a (..., N, N), b (..., N, K) -> (..., N, K), leading axes broadcasting. Raises MatrixError if `a`
    is not square or has a 0 on its diagonal, ShapeError if the sizes differ.
    >>> solve_triangular(np.array([[2.0, 7.0], [2.0, 4.0]]), np.array([[2.0], [2.0]]), lower=True)
    array([[1.],
           [0.]])
    """
    triangular.check_triangle(a, b)
    return np.linalg.solve(np.tril(a) if lower else np.triu(a), b)


# Determinants


def _products_of_others(s: np.ndarray) -> np.ndarray:
    """For each element along the last axis, the product of all others, without dividing by one."""
    before = np.cumprod(np.concatenate([np.ones_like(s[..., :1]), s[..., :-1]], axis=-1), axis=-1)
    after = np.cumprod(np.concatenate([np.ones_like(s[..., :1]), s[..., :0:-1]], axis=-1), axis=-1)
    return before * after[..., ::-1]


def _frames(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The singular vectors and values of x, and the sign that the vectors have as determinant."""
    u, s, vh = np.linalg.svd(x)
    sign = np.linalg.slogdet(u)[0] * np.linalg.slogdet(vh)[0]
    return u, s, vh, sign[..., None, None].astype(x.dtype)


def _regular_cofactors(x: np.ndarray, determinants: np.ndarray) -> np.ndarray | None:
    """The cofactors of large matrices that are far from singular ones, by their inverses; None for others."""
    if x.shape[-1] < 8:
        return None
    with np.errstate(all="ignore"):
        try:
            inverses = np.linalg.inv(x)
        except np.linalg.LinAlgError:
            return None
        condition = np.abs(x).sum(-1).max(-1) * np.abs(inverses).sum(-1).max(-1)
        enough = condition < np.finfo(x.dtype).eps ** (-1 / 3)
        if not (enough & np.isfinite(determinants) & (determinants != 0)).all():
            return None
    return np.asarray(determinants[..., None, None] * inverses.mT)


def cofactors(x: Array, determinants: Array) -> Any:
    """The matrix of cofactors, det(x) * inv(x).T: the derivative of det, also where x is singular."""
    data = x._data if isinstance(x, Value) else x
    if not data.size:
        return data
    regular = None if isinstance(x, Value) else _regular_cofactors(data, np.asarray(determinants))
    if regular is not None:
        return regular
    u, s, vh, sign = _frames(data)
    if not isinstance(x, Value):
        return conjugated(u) @ (_products_of_others(s)[..., :, None] * conjugated(vh)) * sign
    tell("read", "the second derivative of det")  # its formula depends on whether x is singular
    n = s.shape[-1]
    if (s[..., -1] > n * np.finfo(s.dtype).eps * s[..., 0]).all():
        return determinants[..., None, None] * inv(x).mT
    # Singular, and to be differentiated again: the adjugate as a polynomial (Faddeev and LeVerrier), of the
    # matrix rotated by constants until it is diagonal, where the recursion is exact to rounding.
    u, vh = conjugated(u), conjugated(vh)
    rotated = u.mT @ x @ vh.mT
    unit = np.eye(n, dtype=s.dtype)
    power = unit
    for k in range(1, n):
        product = rotated @ power
        power = product - (trace(product, 0, -2, -1) / k)[..., None, None] * unit
    adjugate = power if n % 2 else -power
    return u @ adjugate.mT @ vh * sign


@op(
    lambda g, out, x: g[..., None, None] * cofactors(x, out),
    cases=(
        *SQUARE,
        Case(np.array([[1.0, 2.0], [2.0, 4.0]])),
        Case(np.zeros((3, 3))),
        Case(np.diag([1.0, 0.0, 2.0])),
    ),
    batch=batching.leading,
    jvp=(lambda t, out, x: (t * cofactors(x, out)).sum(axis=(-2, -1)),),
    math=(r"\det x", r"g \det(x) \, x^{-\top}"),
)
def det(x: NDArray, /) -> Any:
    """The determinant of a square matrix. For large matrices slogdet does not overflow.

    x (..., N, N) -> (...). The derivative is the matrix of cofactors, which singular matrices have too.
    Raises MatrixError if x is not square.
    >>> round(float(det(np.array([[2.0, 0.0], [0.0, 4.0]]))), 9)
    8.0
    """
    check_square("det", x)
    return np.linalg.det(x)


def _usable_inverse(out: NDArray, x: NDArray) -> Any:
    # At a singular matrix there is no derivative: nan, not an error about an inverse that was not asked for
    return inv(where(expand_dims(out[..., 0] == 0, (-2, -1)), np.nan, x))


def _derivative_of_slogdet(g: Any, out: NDArray, x: NDArray) -> NDArray:
    if not is_complex(x):
        return g[..., 1, None, None] * _usable_inverse(out, x).mT
    # d log|det| and d(sign) / (i sign) are the real and the imaginary part of tr(inv(x) dx)
    turning = (g[..., 0] * out[..., 0]).imag
    return (g[..., 1].real + 1j * turning)[..., None, None] * _usable_inverse(out, x).mT


def _moved_slogdet(t: Any, out: Any, x: Any) -> Any:
    rate = (t * _usable_inverse(out, x).mT).sum(axis=(-2, -1))
    if not is_complex(x):
        return stack([rate * 0, rate], axis=-1)
    return stack([1j * rate.imag * out[..., 0], rate.real + 0j], axis=-1)


@op(
    _derivative_of_slogdet,
    domain=Domain(make=regular),
    cases=SQUARE,
    kinks="singular matrices: nan",
    jvp=(_moved_slogdet,),
    name="slogdet",
    batch=batching.leading,
    math=(r"\operatorname{sign}(\det x), \ \ln \lvert \det x \rvert", r"g_2 \, x^{-\top}"),
)
def slogdet_parts(x: NDArray, /) -> Any:
    """The parts of slogdet: the sign, then the logarithm.

    x (..., N, N) -> (..., 2).
    >>> slogdet_parts(np.array([[-1.0]]))
    array([-1.,  0.])
    """
    check_square("slogdet", x)
    sign, logabsdet = np.linalg.slogdet(x)
    return np.stack([sign, logabsdet], axis=-1)


@explained
def slogdet(x: ArrayLike, /) -> SlogdetResult:
    """The sign of the determinant and the logarithm of its absolute value, which does not overflow.

    det(x) = sign * exp(logabsdet).   x (..., N, N) -> (...), (...). A singular matrix gives 0 and -inf, and
    nan as the gradient. Raises MatrixError if x is not square.
    >>> slogdet(np.array([[-1.0, 0.0], [0.0, 1.0]])).sign
    array(-1.)
    """
    x = operand("slogdet", x)
    packed = slogdet_parts(x)
    return SlogdetResult(packed[..., 0], packed[..., 1] if x.dtype.kind != "c" else packed[..., 1].real)


@composed
@checked
def matrix_power(x: ArrayLike, n: int, /) -> Any:
    """A square matrix multiplied with itself n times; the inverse if n is negative, the identity if it is 0.

    out = x @ x @ ... @ x.   x (..., N, N) -> (..., N, N).
    Raises MatrixError if x is not square, or if it is singular and n negative.
    >>> matrix_power(np.array([[1, 1], [0, 1]]), 3)
    array([[1, 3],
           [0, 1]])
    """
    x = operand("matrix_power", x)
    check_square("matrix_power", x)
    if not isinstance(n, (int, np.integer)):
        raise DTypeError(f"matrix_power: expected an integer n, got {n!r}")
    if n == 0:
        unit = np.eye(x.shape[-1], dtype=x.dtype)
        return where(np.ones(x.shape, bool), unit, x)  # constant, and still a result of x
    base = inv(x) if n < 0 else x
    result: Any = None
    left = abs(int(n))
    while True:
        if left % 2:
            result = base if result is None else matmul(result, base)
        left //= 2
        if not left:
            return result if result is not x else x * 1
        base = matmul(base, base)
