"""Products and contractions: NumPy's values, gradients of every form of einsum, and what the errors say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_dl as td
from tinygrad_dl import Tensor, linalg
from tinygrad_dl.errors import AxisError, DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.testing import gradcheck, gradgradcheck


def drawn(*shapes: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1, 1, shape) for shape in shapes]


EINSUMS = [
    ("ij,jk->ik", [(2, 3), (3, 4)]),
    ("ij,jk", [(2, 3), (3, 4)]),
    ("ba", [(2, 3)]),  # implicit: the letters in order, so a transpose
    ("ii", [(3, 3)]),
    ("ii->i", [(3, 3)]),
    ("iii->i", [(2, 2, 2)]),
    ("iij,jk->ik", [(3, 3, 2), (2, 2)]),
    ("ijij->", [(2, 3, 2, 3)]),
    ("...ij->...ji", [(5, 2, 3)]),
    ("...", [(2, 3)]),
    ("i...,i...->...", [(2, 3, 4), (2, 1, 4)]),
    ("a...b,b...->a...", [(2, 4, 3), (3, 1)]),
    ("...i,...i", [(4, 1, 3), (2, 3)]),
    ("ij,jk->ik", [(2, 1), (3, 4)]),
    ("ii,ij->j", [(1, 1), (3, 2)]),
    ("ij->", [(2, 3)]),
    ("ijk,kl->", [(2, 3, 4), (4, 5)]),
    ("ij,k->i", [(2, 3), (4,)]),
    ("bi,bj,ijk->bk", [(2, 3), (2, 4), (3, 4, 5)]),
    ("i,i,i->", [(3,), (3,), (3,)]),
    (",i", [(), (2,)]),
    ("", [()]),
    ("i,i->i", [(0,), (0,)]),
    (" i j , j k -> i k ", [(2, 3), (3, 4)]),
]


@pytest.mark.parametrize(("subscripts", "shapes"), EINSUMS)
def test_einsum_is_numpys_in_value_and_has_derivatives_of_both_orders(subscripts: str, shapes: Any) -> None:
    arrays = drawn(*shapes)
    expected = np.einsum(subscripts, *arrays)
    out = td.einsum(subscripts, *arrays)
    assert np.shape(out) == expected.shape and not isinstance(out, Tensor)
    np.testing.assert_allclose(out, expected, atol=1e-14)
    if expected.size:
        tensors = [Tensor(x, requires_grad=True) for x in arrays]
        gradcheck(lambda *xs: td.einsum(subscripts, *xs), tensors)
        gradgradcheck(lambda *xs: td.einsum(subscripts, *xs), tensors)


def test_einsum_takes_lists_of_axes_as_numpy_does() -> None:
    x, y = drawn((2, 3), (3, 4))
    np.testing.assert_allclose(
        td.einsum(x, [0, 1], y, [1, 2], [2, 0]), np.einsum(x, [0, 1], y, [1, 2], [2, 0])
    )
    np.testing.assert_allclose(td.einsum(x, [0, 1], y, [1, 2]), x @ y)
    np.testing.assert_allclose(td.einsum(x, [..., 1], [1, ...]), x.T)
    assert np.einsum(Tensor(x), [0, 1], [1, 0]).shape == (3, 2)


def test_einsum_of_large_operands_agrees_with_matrix_products() -> None:
    x, y, z = drawn((20, 30), (30, 40), (40, 10))
    np.testing.assert_allclose(td.einsum("ij,jk,kl->il", x, y, z), x @ y @ z, atol=1e-12)


def test_einsum_keeps_float32_and_integers() -> None:
    x = Tensor(np.ones((2, 2), np.float32), requires_grad=True)
    assert td.einsum("ij,jk->ik", x, x).dtype == np.float32
    assert td.einsum("ij->j", np.ones((2, 2), np.int8)).dtype == np.int8
    assert isinstance(td.einsum("i,i->", [1, 2], [3, 4]), Tensor)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (
            ("ij,jk", np.ones((2, 3)), np.ones((2, 3))),
            ShapeError,
            "'ij,jk': 'j' names axes of the sizes 3 and 2",
        ),
        (("ii", np.ones((1, 3))), ShapeError, "'ii': 'i' names axes of the sizes 1 and 3 of one operand"),
        (("i", np.ones((1, 3))), ShapeError, "'i': operand 0 has the shape (1, 3), but 'i' names 1 axes"),
        (("ij", np.ones(3)), ShapeError, "'ij': operand 0 has the shape (3,), but 'ij' names 2 axes"),
        (("i,i", np.ones(3)), ValueRangeError, "'i,i': expected 2 operands, got 1"),
        (("i->ii", np.ones(3)), ValueRangeError, "'i->ii': the result has 'i' twice"),
        (("i->j", np.ones(3)), ValueRangeError, "'i->j': the result has 'j', which no operand has"),
        (("i1", np.ones(3)), ValueRangeError, "'i1': expected letters, ',', '->' and '...', got '1'"),
        (("...i->i", np.ones((2, 3))), ValueRangeError, "'...i->i': the result needs '...' too"),
    ],
)
def test_einsum_says_which_letter_is_wrong(arguments: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind) as caught:
        td.einsum(*arguments)
    assert str(caught.value) == f"einsum: {message}"


def test_einsum_refuses_what_are_no_subscripts() -> None:
    with pytest.raises(ValueRangeError) as caught:
        td.einsum(np.ones(2), "i")
    assert str(caught.value) == (
        "einsum: expected subscripts such as 'ij,jk->ik', or a list of axes after each operand"
    )
    with pytest.raises(ValueRangeError) as caught:
        td.einsum(np.ones(2), [52])
    assert str(caught.value) == "einsum: expected axes from 0 to 51 or Ellipsis, got 52"


@given(st.integers(0, 2**31))
def test_einsum_is_linear_in_each_operand(seed: int) -> None:
    x, y, z = drawn((2, 3), (2, 3), (3, 2), seed=seed)
    np.testing.assert_allclose(
        td.einsum("ij,jk->ki", 2 * x + y, z),
        2 * td.einsum("ij,jk->ki", x, z) + td.einsum("ij,jk->ki", y, z),
        atol=1e-12,
    )


# Other products


@pytest.mark.parametrize("axes", [0, 1, 2, ((1, 2), (1, 0)), ((-1,), (-2,)), (2, 0), ([], [])])
def test_tensordot_is_numpys_and_differentiable(axes: Any) -> None:
    x, y = (
        drawn((2, 4, 3), (3, 4, 2))
        if axes not in (1, 2)
        else drawn((2, 4, 3), (3, 2) if axes == 1 else (4, 3, 2))
    )
    if axes == ((-1,), (-2,)):
        y = y.reshape(4, 3, 2)
    np.testing.assert_allclose(td.tensordot(x, y, axes), np.tensordot(x, y, axes), atol=1e-14)
    gradcheck(
        lambda x, y: td.tensordot(x, y, axes), [Tensor(x, requires_grad=True), Tensor(y, requires_grad=True)]
    )


@pytest.mark.parametrize(
    ("x", "y"),
    [((), (2,)), ((2,), (2,)), ((3, 2), (2,)), ((3, 2), (2, 4)), ((4, 3, 2), (2,)), ((4, 3), (2, 3, 5))],
)
def test_dot_is_numpys_for_every_number_of_axes(x: Any, y: Any) -> None:
    a, b = drawn(x, y)
    np.testing.assert_allclose(td.dot(a, b), np.dot(a, b))
    assert np.dot(Tensor(a), Tensor(b)).shape == np.dot(a, b).shape


@pytest.mark.parametrize(
    ("x", "y"), [((), (2,)), ((2,), (2,)), ((3, 2), (2,)), ((3, 2), (4, 5, 2)), ((0,), (0,))]
)
def test_inner_outer_and_kron_are_numpys(x: Any, y: Any) -> None:
    a, b = drawn(x, y)
    for name in ("inner", "outer", "kron"):
        expected = getattr(np, name)(a, b)
        assert np.shape(getattr(td, name)(a, b)) == expected.shape, name
        np.testing.assert_allclose(getattr(td, name)(a, b), expected)
        if a.size:
            gradcheck(getattr(td, name), [Tensor(a, requires_grad=True), Tensor(b, requires_grad=True)])


def test_vecdot_and_cross_take_a_negative_axis_and_broadcast() -> None:
    x, y = drawn((2, 3, 1), (3, 4))
    np.testing.assert_allclose(td.vecdot(x, y, axis=-2), (x * y).sum(-2))
    np.testing.assert_allclose(np.vecdot(Tensor(x.mT), Tensor(y.T)).numpy(), np.vecdot(x.mT, y.T))
    np.testing.assert_allclose(td.cross(x, y, axis=-2), np.cross(*np.broadcast_arrays(x, y), axis=-2))
    z = np.array([1j, 2.0])
    assert td.vecdot(z, z) == 5


@pytest.mark.parametrize("n", [2, 3, 5])
def test_multi_dot_is_the_product_with_vectors_at_the_ends(n: int) -> None:
    sizes = [4, 2, 7, 3, 6, 5][: n + 1]
    chain = drawn(*zip(sizes, sizes[1:]))
    np.testing.assert_allclose(linalg.multi_dot(chain), np.linalg.multi_dot(chain), atol=1e-13)
    ends = [chain[0][0], *chain[1:-1], chain[-1][:, 0]]
    np.testing.assert_allclose(linalg.multi_dot(ends), np.linalg.multi_dot(ends), atol=1e-13)
    gradcheck(lambda *xs: linalg.multi_dot(xs), [Tensor(x, requires_grad=True) for x in chain])


def test_multi_dot_takes_the_cheapest_order() -> None:
    x = Tensor(np.ones((100, 1)), requires_grad=True)
    out = linalg.multi_dot([x, np.ones((1, 100)), np.ones((100, 1))])
    assert out.node is not None
    assert out.node.parents[0] is x.node  # x @ (y @ z), never the (100, 100) matrix


# Diagonals


@pytest.mark.parametrize("offset", [-3, -1, 0, 1, 2, 9])
def test_diagonals_are_numpys_and_lie_back_in_place(offset: int) -> None:
    x = drawn((3, 4, 5))[0]
    np.testing.assert_array_equal(td.diagonal(x, offset), np.diagonal(x, offset))
    np.testing.assert_array_equal(td.trace(x, offset), np.trace(x, offset))
    np.testing.assert_array_equal(linalg.diagonal(x, offset=offset), np.linalg.diagonal(x, offset=offset))
    np.testing.assert_array_equal(linalg.trace(x, offset=offset), np.linalg.trace(x, offset=offset))
    np.testing.assert_array_equal(td.diag(x[0], offset), np.diag(x[0], offset))
    np.testing.assert_array_equal(td.diag(x[0, 0], offset), np.diag(x[0, 0], offset))
    t = Tensor(x, requires_grad=True)
    td.trace(t, offset).sum().backward()
    assert t.grad is not None
    np.testing.assert_array_equal(t.grad.numpy(), np.stack([np.eye(3, 4, offset)] * 5, axis=-1))


def test_a_diagonal_of_a_tensor_does_not_share_its_array_with_a_gradient() -> None:
    x = Tensor(np.ones((2, 2)), requires_grad=True)
    d = td.diagonal(x)
    (d * d).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [[2.0, 0.0], [0.0, 2.0]]


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: td.matmul(np.ones((2, 3)), np.ones((2, 3))),
            ShapeError,
            "matmul: (2, 3) @ (2, 3): the last size of the first (3) must equal the second-to-last of the second (2). "
            "Transpose one of them?",
        ),
        (
            lambda: td.matmul(np.ones((2, 2, 3)), np.ones((5, 3, 2))),
            ShapeError,
            "matmul: (2, 2, 3) @ (5, 3, 2): the sizes in front of the last two, (2,) and (5,), do not broadcast. "
            "Reshape one of them?",
        ),
        (
            lambda: td.matmul(np.ones(2), 3.0),
            ShapeError,
            "matmul: (2,) @ (): both need at least one axis. Multiply by a number with *.",
        ),
        (
            lambda: td.vecdot(np.ones(2), np.ones(3)),
            ShapeError,
            "vecdot: (2,) with (3,), axis=-1: the sizes along the axis, 2 and 3, must be equal",
        ),
        (
            lambda: td.vecdot(np.ones((2, 2)), np.ones((2, 2)), axis=0),
            AxisError,
            "vecdot((2, 2), (2, 2), axis=0): "
            "expected an axis of both, -2 to -1 (they align from the right), got axis=0",
        ),
        (
            lambda: td.cross(np.ones(2), np.ones(3)),
            ShapeError,
            "cross: (2,) with (3,), axis=-1: expected vectors of size 3, got 2 and 3",
        ),
        (
            lambda: td.cross(np.ones(3), np.ones((3, 2)), axis=-2),
            AxisError,
            "cross((3,), (3, 2), axis=-2): expected an axis of both, -1 to -1 (they align from the right), got axis=-2",
        ),
        (
            lambda: td.tensordot(np.ones((2, 3)), np.ones((2, 3)), 1),
            ShapeError,
            "tensordot: (2, 3) with (2, 3), axes=1: the size 3 of axis 1 of the first must equal the size 2 "
            "of axis 0 of the second",
        ),
        (
            lambda: td.tensordot(np.ones(2), np.ones(2), 2),
            AxisError,
            "tensordot: (2,) with (2,): expected 0 to 1 axes, got axes=2",
        ),
        (
            lambda: td.tensordot(np.ones(2), np.ones(2), ((0,), ())),
            ShapeError,
            "tensordot: expected as many axes of the first as of the second, got axes=((0,), ())",
        ),
        (
            lambda: td.inner(np.ones(2), np.ones(3)),
            ShapeError,
            "inner: (2,) with (3,): the last sizes must be equal",
        ),
        (
            lambda: td.diag(np.ones((2, 2, 2))),
            ShapeError,
            "diag: expected a vector or a matrix, got shape (2, 2, 2). See diagonal.",
        ),
        (lambda: td.trace(np.ones(2)), AxisError, "trace: expected at least two axes, got shape (2,)"),
        (
            lambda: td.matrix_transpose(np.ones(2)),
            ShapeError,
            "matrix_transpose: expected at least two axes, got shape (2,)",
        ),
        (
            lambda: linalg.multi_dot([np.ones((2, 2))]),
            ShapeError,
            "multi_dot: expected two arrays or more, got 1",
        ),
        (
            lambda: linalg.multi_dot([np.ones((2, 2)), np.ones(2), np.ones((2, 2))]),
            ShapeError,
            "multi_dot: expected matrices, or a vector first and last, got [(2, 2), (2,), (2, 2)]",
        ),
        (lambda: td.kron({}, 1), DTypeError, "kron: expected a Tensor, an array or a number, got dict {}"),
    ],
)
def test_wrong_calls_say_what_came_and_what_is_needed(call: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message
