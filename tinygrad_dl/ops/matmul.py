"""Operations that multiply and sum over axes: products of matrices and vectors, contractions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from string import ascii_letters
from typing import Any

import numpy as np

from tinygrad_dl import batching
from tinygrad_dl.arguments import explained
from tinygrad_dl.convert import asarray_of, conjugated, describe, shape_text, wrap
from tinygrad_dl.errors import AxisError, DTypeError, ShapeError
from tinygrad_dl.graph import Value
from tinygrad_dl.kernels import contract
from tinygrad_dl.op import Case, op
from tinygrad_dl.ops.elementwise import multiply
from tinygrad_dl.ops.shape import expand_dims, permute_dims, reshape
from tinygrad_dl.signatures import composed
from tinygrad_dl.typing import Array, ArrayLike, NDArray, Scalar, Shape


def operand(what: str, x: ArrayLike) -> Array:
    """An input of a composite function: a Tensor or an array as it is, a list or a number as a Tensor."""
    if isinstance(x, (Value, np.ndarray)):
        return x
    if isinstance(x, np.generic):
        return np.asarray(x)
    if isinstance(x, (list, tuple, int, float, complex)):
        return wrap(asarray_of(x))
    raise DTypeError(f"{what}: expected a Tensor, an array or a number, got {describe(x)}")


def _needs_matrix(x: NDArray) -> str | None:
    return f"expected at least two axes, got shape {shape_text(x)}"


@op(
    lambda g: matrix_transpose(g),
    cases=(Case((2, 3)), Case((4, 2, 0))),
    label="mT",
    hint=_needs_matrix,
    batch=batching.leading,
    jvp="linear",
    math=(r"x^\top", r"g^\top"),
)
def matrix_transpose(x: NDArray, /) -> Any:
    """The last two axes swapped.

    out[..., j, i] = x[..., i, j].   x (..., M, N) -> (..., N, M).
    >>> matrix_transpose(np.array([[1, 2], [3, 4]]))
    array([[1, 3],
           [2, 4]])
    """
    return np.matrix_transpose(x)


# Products of matrices


def _matmul_hint(x: NDArray, y: NDArray) -> str | None:
    a, b = np.shape(x), np.shape(y)
    if not a or not b:
        return f"{a} @ {b}: both need at least one axis. Multiply by a number with *."
    second = b[-2] if len(b) > 1 else b[-1]
    which = "second-to-last of the second" if len(b) > 1 else "size of the second"
    if a[-1] != second:
        return (
            f"{a} @ {b}: the last size of the first ({a[-1]}) must equal the {which} ({second}). "
            "Transpose one of them?"
        )
    return (
        f"{a} @ {b}: the sizes in front of the last two, {a[:-2]} and {b[:-2]}, do not broadcast. "
        "Reshape one of them?"
    )


def _matmul_all(call: batching.Call) -> Any:
    x, y = call.inputs
    (left, right), (of_x, of_y) = call.batched, (len(call.shape(0)), len(call.shape(1)))
    if of_x == 0 or of_y == 0:
        return None  # for the error
    if of_x > 1 and of_y > 1:
        return batching.elementwise(call)
    # A vector is a row of one matrix (left) or a column (right), unless all examples share it.
    row, column = of_x == 1 and left, of_y == 1 and right
    if row:
        x = x.reshape((call.size, *(1,) * max(of_y - 2, 0), 1, x.shape[1]))
    if column:
        y = y.reshape((call.size, *(1,) * max(of_x - 2, 0), y.shape[1], 1))
    out = call.run(x, y)
    return (
        out[..., 0, 0]
        if row and column
        else out[..., 0, :]
        if row and of_y > 1
        else out[..., 0]
        if column or row
        else out
    )


def _to_left(g: NDArray, y: NDArray, x_shape: Shape) -> NDArray:
    if y.ndim == 1:
        return expand_dims(g, -1) * y if len(x_shape) > 1 else g * y
    if len(x_shape) == 1:
        return matmul(y, expand_dims(g, -1))[..., 0]
    return matmul(g, y.mT)


def _to_right(g: NDArray, x: NDArray, y_shape: Shape) -> NDArray:
    if x.ndim == 1:
        return expand_dims(x, -1) * expand_dims(g, -2) if len(y_shape) > 1 else x * g
    if len(y_shape) == 1:
        return matmul(x.mT, expand_dims(g, -1))[..., 0]
    return matmul(x.mT, g)


@op(
    _to_left,
    _to_right,
    cases=(
        Case((2, 3), (3, 4)), Case((3,), (3,)), Case((3,), (3, 2)), Case((2, 3), (3,)),
        Case((2, 1, 2, 3), (4, 3, 2)), Case((3,), (2, 3, 4)), Case((2, 4, 3), (3,)), Case((2, 2, 3), (3, 4)),
        Case((0, 3), (3, 2)), Case((2, 0), (0, 3)),
    ),
    label="@",
    hint=_matmul_hint,
    ufunc=np.matmul, accumulates=True,
    batch=_matmul_all, jvp=(lambda t, y: matmul(t, y), lambda t, x: matmul(x, t)),
    math=(r"x \, y", r"g \, y^\top", r"x^\top g"),
)  # fmt: skip
def matmul(x: NDArray | Scalar, y: NDArray | Scalar, /) -> Any:
    """The matrix product, over leading axes that broadcast; a vector is a row (left) or a column (right).

    out[..., i, j] = sum_k x[..., i, k] * y[..., k, j].   x (..., N, K), y (..., K, M) -> (..., N, M).
    >>> matmul(np.array([[1, 2]]), np.array([[3], [4]]))
    array([[11]])
    """
    return np.matmul(x, y)


# Products of vectors


def _check_axis(axis: int, x: ArrayLike, y: ArrayLike) -> None:
    """A negative axis of both, for they align from the right."""
    least = -min(np.ndim(x), np.ndim(y))
    if not isinstance(axis, (int, np.integer)) or not least <= axis < 0:
        raise np.exceptions.AxisError(
            f"expected an axis of both, {least} to -1 (they align from the right), got axis={axis!r}"
        )


def _vecdot_hint(x: NDArray, y: NDArray, axis: int) -> str | None:
    a, b = np.shape(x), np.shape(y)
    if not a or not b:
        return f"{a} with {b}: both need at least one axis. Multiply by a number with *."
    if -min(len(a), len(b)) <= axis < 0 and a[axis] != b[axis]:
        return f"{a} with {b}, axis={axis}: the sizes along the axis, {a[axis]} and {b[axis]}, must be equal"
    return None


@op(
    lambda g, y, axis: conjugated(expand_dims(g, axis) * y),
    lambda g, x, axis: expand_dims(g, axis) * conjugated(x),
    cases=(
        Case((2, 3), (2, 3)),
        Case((4, 1, 3), (2, 3)),
        Case((2, 3, 1), (3, 4), axis=-2),
        Case((2, 0), (0,)),
    ),
    hint=_vecdot_hint,
    ufunc=np.vecdot,
    accumulates=True,
    batch=batching.elementwise,
    jvp=(lambda t, y, axis: vecdot(t, y, axis=axis), lambda t, x, axis: vecdot(x, t, axis=axis)),
    math=(r"\sum_k \overline{x_k} \, y_k", r"\overline{g} \, y", r"g \, x"),
)
def vecdot(x: NDArray | Scalar, y: NDArray | Scalar, /, *, axis: int = -1) -> Any:
    """The dot product of vectors along an axis, over other axes, which broadcast; x is conjugated.

    out = sum_k conj(x_k) * y_k.   x (..., K), y (..., K) -> (...). Raises ShapeError if the sizes K differ.
    >>> vecdot(np.array([[1, 2], [3, 4]]), np.array([1, 1]))
    array([3, 7])
    """
    _check_axis(axis, x, y)
    if np.shape(x)[axis] != np.shape(y)[axis]:
        raise ValueError
    return np.vecdot(x, y, axis=axis)  # type: ignore[call-overload]  # NumPy's stubs leave `axis` out


def _cross_hint(x: NDArray, y: NDArray, axis: int) -> str | None:
    a, b = np.shape(x), np.shape(y)
    if -min(len(a), len(b)) > axis or axis >= 0:
        return None
    if a[axis] != 3 or b[axis] != 3:
        return f"{a} with {b}, axis={axis}: expected vectors of size 3, got {a[axis]} and {b[axis]}"
    return f"{a} with {b}: the shapes do not broadcast. Reshape one of them?"


@op(
    lambda g, y, axis: cross(y, g, axis=axis),
    lambda g, x, axis: cross(g, x, axis=axis),
    cases=(Case((3,), (3,)), Case((2, 3), (3,)), Case((3, 1), (4, 3, 2), axis=-2), Case((0, 3), (3,))),
    hint=_cross_hint,
    batch=batching.elementwise,
    jvp=(lambda t, y, axis: cross(t, y, axis=axis), lambda t, x, axis: cross(x, t, axis=axis)),
    math=(r"x \times y", r"y \times g", r"g \times x"),
)
def cross(x: NDArray, y: NDArray, /, *, axis: int = -1) -> Any:
    """The cross product of vectors of size 3 along an axis, over the other axes, which broadcast.

    out = (x2 y3 - x3 y2, x3 y1 - x1 y3, x1 y2 - x2 y1).   x (..., 3), y (..., 3) -> (..., 3).
    >>> cross(np.array([1, 0, 0]), np.array([0, 1, 0]))
    array([0, 0, 1])
    """
    _check_axis(axis, x, y)
    if np.shape(x)[axis] != 3 or np.shape(y)[axis] != 3:
        raise ValueError
    return np.cross(x, y, axis=axis)


# Contractions


def _contract_all(call: batching.Call) -> Any:
    given, _, out = call.options["subscripts"].partition("->")
    axis = next(c for c in ascii_letters if c not in given)
    terms = [axis * batched + term for term, batched in zip(given.split(","), call.batched)]
    return contraction(call.inputs, f"{','.join(terms)}->{axis}{out}")


def _with_operand(t: Any, i: int, operands: Any, subscripts: str) -> Any:
    return contraction((*operands[:i], t, *operands[i + 1 :]), subscripts)


def _to_operand(i: int, g: NDArray, operands: Sequence[NDArray], subscripts: str) -> NDArray:
    """A contraction is linear in each operand: its gradient is the contraction of `g` with the others."""
    given, _, out = subscripts.partition("->")
    terms = given.split(",")
    others = [j for j in range(len(terms)) if j != i]
    return contraction(
        (g, *(operands[j] for j in others)), ",".join([out, *(terms[j] for j in others)]) + "->" + terms[i]
    )


@op(
    _to_operand,
    variadic=True,
    kernel=contract.contraction,
    cases=(
        Case([(2, 3), (3, 4)], subscripts="ij,jk->ik"), Case([(2, 3)], subscripts="ij->ji"),
        Case([(2, 3), (2,), (3, 2)], subscripts="ij,i,jk->k"), Case([(2,), (3,)], subscripts="i,j->ij"),
        Case([(2, 3), (2, 3)], subscripts="ij,ij->"),
    ),
    label="einsum", accumulates=True,
    batch=_contract_all, jvp=(_with_operand,),
    math=(r"\sum_{\text{summed letters}} \prod_i x_i", r"\sum g \prod_{j \ne i} x_j"),
)  # fmt: skip
def contraction(operands: Sequence[NDArray], /, subscripts: str) -> Any:
    """What einsum comes down to: a product, summed over each letter that the result does not have.

    `subscripts`: such as "ij,jk->ik"; no letter twice in an operand, each in the result or in another
    operand, sizes equal. Shape: the sizes of the result's letters.
    >>> contraction((np.array([1, 2]), np.array([3, 4])), "i,i->")
    np.int64(11)
    """
    return np.einsum(subscripts, *operands)


@composed
@explained
def tensordot(x: ArrayLike, y: ArrayLike, /, axes: int | Sequence[int | Sequence[int]] = 2) -> Any:
    """The product of two arrays, summed over pairs of axes.

    `axes`: how many of the last axes of x meet the first of y; or two sequences of axes, pair by pair.
    Shape: the other axes of x, then the other axes of y. Raises ShapeError if a pair's sizes differ.
    >>> tensordot(np.ones((2, 3, 4)), np.ones((4, 3)), axes=((1, 2), (1, 0)))
    array([12., 12.])
    """
    x, y = operand("tensordot", x), operand("tensordot", y)
    if isinstance(axes, (int, np.integer)):
        if not 0 <= axes <= min(x.ndim, y.ndim):
            raise AxisError(
                f"tensordot: {x.shape} with {y.shape}: expected 0 to {min(x.ndim, y.ndim)} axes, got axes={axes}"
            )
        left, right = tuple(range(x.ndim - int(axes), x.ndim)), tuple(range(int(axes)))
    else:
        left, right = ((a,) if isinstance(a, (int, np.integer)) else tuple(a) for a in axes)
    call = f"tensordot: {x.shape} with {y.shape}, axes={axes!r}"
    if len(left) != len(right):
        raise ShapeError(f"tensordot: expected as many axes of the first as of the second, got axes={axes!r}")
    for z, chosen in ((x, left), (y, right)):
        for axis in chosen:
            if not -z.ndim <= axis < z.ndim:
                raise AxisError(f"{call}: {z.shape} has no axis {axis}")
    for a, b in zip(left, right):
        if x.shape[a] != y.shape[b]:
            raise ShapeError(
                f"{call}: the size {x.shape[a]} of axis {a} of the first must equal the size {y.shape[b]} "
                f"of axis {b} of the second"
            )
    of_x = list(ascii_letters[: x.ndim])
    of_y = list(ascii_letters[x.ndim : x.ndim + y.ndim])
    for a, b in zip(left, right):
        of_y[b] = of_x[a]
    out = [c for c in of_x if c not in of_y] + [c for c in of_y if c not in of_x]
    return contraction((x, y), f"{''.join(of_x)},{''.join(of_y)}->{''.join(out)}")


@composed
@explained
def inner(x: ArrayLike, y: ArrayLike, /) -> Any:
    """The product of two arrays, summed over the last axis of both; with a number, their product.

    out[i..., j...] = sum_k x[i..., k] * y[j..., k].   x (..., K), y (..., K) -> (I..., J...).
    >>> inner(np.array([1, 2]), np.array([3, 4]))
    np.int64(11)
    """
    x, y = operand("inner", x), operand("inner", y)
    if not x.ndim or not y.ndim:
        return multiply(x, y)
    if x.shape[-1] != y.shape[-1]:
        raise ShapeError(f"inner: {x.shape} with {y.shape}: the last sizes must be equal")
    return tensordot(x, y, (-1, -1))


@composed
@explained
def dot(x: ArrayLike, y: ArrayLike, /) -> Any:
    """NumPy's dot: the matrix product of matrices and vectors, the product with a number.

    out[i..., j..., m] = sum_k x[i..., k] * y[j..., k, m].   Above two axes matmul is clearer.
    >>> dot(np.array([[1, 2]]), np.array([3, 4]))
    array([11])
    """
    x, y = operand("dot", x), operand("dot", y)
    if not x.ndim or not y.ndim:
        return multiply(x, y)
    if x.ndim <= 2 and y.ndim <= 2:
        return matmul(x, y)
    return tensordot(x, y, (-1, -1 if y.ndim == 1 else -2))


@composed
@explained
def outer(x: ArrayLike, y: ArrayLike, /) -> Any:
    """The products of all elements of one array with all of another, as a matrix.

    out[i, j] = x[i] * y[j], of the flattened arrays.   x (M), y (N) -> (M, N).
    >>> outer(np.array([1, 2]), np.array([3, 4]))
    array([[3, 4],
           [6, 8]])
    """
    x, y = operand("outer", x), operand("outer", y)
    return multiply(reshape(x, (-1, 1)) if x.size else reshape(x, (0, 1)), reshape(y, (1, y.size)))


@composed
@explained
def kron(x: ArrayLike, y: ArrayLike, /) -> Any:
    """The Kronecker product: x with each element replaced by its product with y.

    x (M, N), y (P, Q) -> (M P, N Q); likewise for other numbers of axes, with axes of size 1 put in front.
    >>> kron(np.array([1, 10]), np.array([1, 2]))
    array([ 1,  2, 10, 20])
    """
    x, y = operand("kron", x), operand("kron", y)
    ndim = max(x.ndim, y.ndim)
    a = (1,) * (ndim - x.ndim) + x.shape
    b = (1,) * (ndim - y.ndim) + y.shape
    products = multiply(reshape(x, a + (1,) * ndim), reshape(y, b))
    mixed = permute_dims(products, tuple(i for pair in zip(range(ndim), range(ndim, 2 * ndim)) for i in pair))
    return reshape(mixed, tuple(m * n for m, n in zip(a, b)))


@explained
def multi_dot(arrays: Iterable[ArrayLike], /) -> Any:
    """The product of several matrices, in the order that needs the fewest multiplications.

    out = x_1 @ x_2 @ ... @ x_n; the first and the last may be vectors.
    Raises ShapeError for fewer than two, or for shapes that do not chain. Source: Cormen et al., 15.2.
    >>> multi_dot([np.ones((2, 3)), np.ones((3, 4)), np.ones(4)])
    array([12., 12.])
    """
    chain = [operand("multi_dot", x) for x in arrays]
    shapes = [x.shape for x in chain]
    last = len(chain) - 1
    if last < 1:
        raise ShapeError(f"multi_dot: expected two arrays or more, got {len(chain)}")
    if any(x.ndim != 2 and not (x.ndim == 1 and i in (0, last)) for i, x in enumerate(chain)):
        raise ShapeError(f"multi_dot: expected matrices, or a vector first and last, got {shapes}")
    sizes = [1 if chain[0].ndim == 1 else shapes[0][0], *(s[0] for s in shapes[1:]), shapes[-1][-1]]
    if chain[-1].ndim == 1:
        sizes[-1] = 1
    cost = {(i, i): 0 for i in range(last + 1)}
    cut = {}
    for length in range(1, last + 1):
        for i in range(last + 1 - length):
            j = i + length
            cost[i, j], cut[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            )

    def product_of(i: int, j: int) -> Any:
        return chain[i] if i == j else matmul(product_of(i, cut[i, j]), product_of(cut[i, j] + 1, j))

    return product_of(0, last)
