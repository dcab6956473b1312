"""Linear algebra: closed forms, singular matrices, and what the errors say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_dl as td
from tests.leaves import leaf
from tests.ops.slopes import drawn, second, slope
from tinygrad_dl import Tensor, linalg
from tinygrad_dl.autograd import grad
from tinygrad_dl.errors import AxisError, DTypeError, MatrixError, ShapeError, ValueRangeError
from tinygrad_dl.ops.linalg import _regular_cofactors, cofactors
from tinygrad_dl.testing import gradcheck

SEEDS = st.integers(0, 2**31)


# Errors


@pytest.mark.parametrize(
    "name", ["inv", "det", "slogdet", "cholesky", "eigh", "eigvalsh", "eig", "eigvals", "matrix_power"]
)
def test_a_matrix_that_is_not_square_is_refused_with_its_shape(name: str) -> None:
    arguments = (np.ones((2, 3)), 2) if name == "matrix_power" else (np.ones((2, 3)),)
    with pytest.raises(MatrixError) as caught:
        getattr(linalg, name)(*arguments)
    assert str(caught.value) == (f"{name}: expected a square matrix, or a stack of them, got shape (2, 3)")


@pytest.mark.parametrize(
    "name", ["svd", "svdvals", "qr", "pinv", "matrix_rank", "matrix_norm", "cond", "trace", "diagonal"]
)
def test_a_vector_in_the_place_of_a_matrix_is_refused(name: str) -> None:
    with pytest.raises(MatrixError) as caught:
        getattr(linalg, name)(np.ones(3))
    assert str(caught.value) == f"{name}: expected a matrix, or a stack of them, got shape (3,)"


def test_a_singular_matrix_is_numpys_linalgerror_and_a_valueerror() -> None:
    for kind in (np.linalg.LinAlgError, ValueError, linalg.LinAlgError):
        with pytest.raises(kind) as caught:
            linalg.inv(Tensor([[1.0, 2.0], [2.0, 4.0]]))
        assert str(caught.value) == (
            "inv: the matrix is singular: its rows are not independent. "
            "Use pinv or lstsq, or add to its diagonal?"
        )
    with pytest.raises(MatrixError) as caught:
        linalg.solve(np.zeros((2, 1, 1)), np.ones(1))
    assert str(caught.value) == (
        "solve: a matrix of the stack is singular: its rows are not independent. "
        "Use pinv or lstsq, or add to its diagonal?"
    )


def test_solve_names_both_sizes_that_do_not_fit() -> None:
    with pytest.raises(ShapeError) as caught:
        linalg.solve(np.eye(2), np.ones(3))
    assert str(caught.value) == (
        "solve: (2, 2) with (3,): expected as many equations, 2, as the right-hand side has rows, 3, "
        "and sizes in front of that must broadcast"
    )
    with pytest.raises(ShapeError) as caught:
        linalg.solve(np.eye(2), np.float64(1))
    assert str(caught.value) == "solve: expected a right-hand side with at least one axis, got a number"


def test_cholesky_says_that_a_matrix_is_not_positive_definite() -> None:
    with pytest.raises(MatrixError) as caught:
        linalg.cholesky(-np.eye(2))
    assert str(caught.value) == (
        "cholesky: the matrix is not positive definite. Add a small multiple of the identity?"
    )
    with pytest.raises(
        MatrixError, match="^cholesky: the matrix or one of the stack is not positive definite"
    ):
        linalg.cholesky(np.zeros((2, 1, 1)))


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: linalg.qr(np.eye(2), mode="raw"),
            ValueRangeError,
            'qr: expected mode "reduced" or "complete", got \'raw\'',
        ),
        (
            lambda: linalg.matrix_power(np.eye(2), 0.5),
            DTypeError,
            "matrix_power: n: expected an int, got float 0.5",
        ),
        (
            lambda: linalg.matrix_norm(np.eye(2), ord=3),
            ValueRangeError,
            'matrix_norm: expected ord "fro", "nuc", 1, -1, 2, -2, inf or -inf, got 3',
        ),
        (
            lambda: linalg.vector_norm(np.ones(2), ord="fro"),
            ValueRangeError,
            "vector_norm: expected ord to be a number, inf or -inf, got 'fro'. See matrix_norm.",
        ),
        (
            lambda: linalg.norm(np.ones((2, 2, 2)), 2),
            ShapeError,
            "norm: with ord=2, expected a vector, a matrix or an axis, got shape (2, 2, 2)",
        ),
        (
            lambda: linalg.norm(np.ones((2, 2, 2)), axis=(0, 1, 2)),
            AxisError,
            "norm: expected one axis or two, got axis=(0, 1, 2). vector_norm takes more.",
        ),
        (
            lambda: linalg.norm(np.ones((2, 2)), axis=(0, 2)),
            AxisError,
            "norm: the shape (2, 2) has no axis 2",
        ),
        (
            lambda: linalg.norm(np.ones((2, 2)), axis=(0, -2)),
            AxisError,
            "norm: axis=(0, -2) names one axis twice",
        ),
        (
            lambda: linalg.lstsq(np.ones((2, 2)), np.ones(3)),
            ShapeError,
            "lstsq: (2, 2) with (3,): the second must have 2 rows, one or two axes",
        ),
        (
            lambda: linalg.lstsq(np.ones(2), np.ones(2)),
            MatrixError,
            "lstsq: expected the first to be one matrix, got shape (2,)",
        ),
        (lambda: linalg.cond(np.ones((0, 0))), MatrixError, "cond: the shape (0, 0) has no elements"),
        (
            lambda: linalg.outer(np.ones((2, 2)), np.ones(2)),
            ShapeError,
            "outer: expected two vectors, got (2, 2) and (2,). tinygrad_dl.outer flattens them.",
        ),
        (lambda: linalg.inv("a"), DTypeError, "inv: expected a Tensor, an array or a number, got str 'a'"),
    ],
)
def test_wrong_calls_say_what_came_and_what_is_needed(call: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


# Values


@pytest.mark.parametrize(
    "name", ["inv", "det", "cholesky", "eigvalsh", "svdvals", "pinv", "matrix_norm", "cond"]
)
def test_arrays_give_arrays_tensors_give_tensors_and_float32_stays(name: str) -> None:
    x = np.array([[2.0, 1.0], [1.0, 3.0]], np.float32)
    function = getattr(linalg, name)
    expected = getattr(np.linalg, name)(x)
    assert not isinstance(function(x), Tensor)
    out = function(Tensor(x, requires_grad=True))
    assert isinstance(out, Tensor) and out.requires_grad and out.dtype == np.float32
    np.testing.assert_allclose(out.numpy() if not out.requires_grad else out.detach().numpy(), expected, 1e-5)
    assert isinstance(function(x.tolist()), Tensor)


def test_empty_stacks_have_empty_results() -> None:
    x = leaf(np.zeros((0, 2, 2)))
    assert linalg.inv(x).shape == (0, 2, 2)
    assert linalg.det(x).shape == (0,)
    assert linalg.svd(x).S.shape == (0, 2)
    assert linalg.eigh(x).eigenvectors.shape == (0, 2, 2)
    assert linalg.matrix_norm(x).shape == (0,)
    assert linalg.det(np.zeros((0, 0))) == 1
    assert slope(lambda x: linalg.det(x), np.zeros((3, 0, 0))).shape == (3, 0, 0)


def test_complex_matrices_are_decomposed_too() -> None:
    x = np.array([[2, 1j], [-1j, 3]])
    w, v = linalg.eigh(Tensor(x))
    assert w.dtype == np.float64 and v.dtype == np.complex128
    np.testing.assert_allclose((v.numpy() * w.numpy()) @ v.numpy().conj().T, x, atol=1e-12)
    u, s, vh = linalg.svd(Tensor(x))
    assert s.dtype == np.float64
    np.testing.assert_allclose((u.numpy() * s.numpy()) @ vh.numpy(), x, atol=1e-12)
    factor = linalg.cholesky(Tensor(x), upper=True).numpy()
    np.testing.assert_allclose(factor.conj().T @ factor, x, atol=1e-12)
    sign, logabsdet = linalg.slogdet(Tensor(x))
    np.testing.assert_allclose(sign.numpy() * np.exp(logabsdet.numpy()), np.linalg.det(x))
    assert logabsdet.dtype == np.float64


def test_integers_are_computed_with_as_floats() -> None:
    assert linalg.det(Tensor([[2, 0], [0, 3]])).item() == pytest.approx(6.0)
    assert linalg.matrix_power(Tensor([[1, 1], [0, 1]]), 5).tolist() == [[1, 5], [0, 1]]
    assert linalg.vector_norm(Tensor([3, 4])).item() == 5.0


def test_numpys_functions_record() -> None:
    x = leaf([[2.0, 1.0], [1.0, 3.0]])
    for f in (
        np.linalg.norm,
        np.linalg.det,
        np.linalg.inv,
        np.linalg.cond,
        np.linalg.svdvals,
        np.linalg.cholesky,
    ):
        out = f(x)
        assert isinstance(out, Tensor) and out.requires_grad, f.__name__
    assert np.linalg.multi_dot([x, x, np.ones(2)]).shape == (2,)
    assert np.linalg.lstsq(x, np.ones(2))[0].requires_grad
    assert np.linalg.svd(x, full_matrices=False).U.requires_grad


# Determinants


def test_the_gradient_of_a_determinant_is_the_matrix_of_cofactors_also_of_singular_matrices() -> None:
    def cofactors(x: np.ndarray) -> np.ndarray:
        n = len(x)
        return np.array(
            [
                [(-1) ** (i + j) * np.linalg.det(np.delete(np.delete(x, i, 0), j, 1)) for j in range(n)]
                for i in range(n)
            ]
        )

    regular = drawn(0, 3, 3)
    rank_two = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]])
    for x in (regular, rank_two, np.ones((3, 3)), np.zeros((3, 3)), np.diag([1.0, 0.0, 2.0]), 1e-8 * regular):
        np.testing.assert_allclose(slope(linalg.det, x), cofactors(x), 1e-9, 1e-13 * max(1, abs(x).max()))
    stack = np.stack([regular, rank_two])
    np.testing.assert_allclose(slope(linalg.det, stack), [cofactors(x) for x in stack], atol=1e-13)
    assert slope(linalg.det, [[5.0]]).tolist() == [[1.0]]
    assert slope(linalg.det, [[0.0]]).tolist() == [[1.0]]


@pytest.mark.parametrize("x", [np.eye(2), np.zeros((2, 2)), np.ones((2, 2)), drawn(1, 2, 2)])
def test_second_derivatives_of_a_determinant_hold_at_singular_matrices(x: np.ndarray) -> None:
    exact = np.zeros((4, 4))  # det = x0 x3 - x1 x2
    exact[0, 3] = exact[3, 0] = 1
    exact[1, 2] = exact[2, 1] = -1
    np.testing.assert_allclose(second(linalg.det, x), exact, atol=1e-12)


def test_second_derivatives_hold_in_a_stack_of_singular_matrices() -> None:
    x = np.stack([np.ones((3, 3)), np.zeros((3, 3)), np.diag([1.0, 2.0, 0.0]), drawn(2, 3, 3)])
    alone = [second(linalg.det, one) for one in x]
    regular = alone[-1]
    together = second(linalg.det, x).reshape(4, 9, 4, 9)
    for i in range(4):
        np.testing.assert_allclose(together[i, :, i], alone[i], atol=1e-12)
    assert alone[0][0, 4] == pytest.approx(1.0)  # d2 det / dx00 dx11 = x22
    assert regular[0, 4] == pytest.approx(x[3, 2, 2])


def test_a_third_derivative_of_a_determinant_holds_at_the_zero_matrix() -> None:
    x = leaf(np.zeros((3, 3)))
    g = linalg.det(x)
    for i, j in ((0, 0), (1, 1), (2, 2)):
        (g,) = grad(g, [x], create_graph=True)
        g = g[i, j]
    assert g.item() == pytest.approx(1.0)


def test_slogdet_of_a_singular_matrix_is_minus_infinity_with_a_gradient_of_nan() -> None:
    x = leaf(np.stack([np.zeros((2, 2)), 2 * np.eye(2)]))
    sign, logabsdet = linalg.slogdet(x)
    assert sign.tolist() == [0.0, 1.0] and logabsdet[0].item() == -np.inf
    (g,) = grad(logabsdet.sum(), [x])
    assert np.isnan(g.numpy()[0]).all()
    np.testing.assert_allclose(g.numpy()[1], np.eye(2) / 2)


@given(SEEDS)
def test_the_determinant_of_a_product_is_the_product_of_determinants_and_so_are_gradients(seed: int) -> None:
    y = drawn(seed + 1, 3, 3)
    x = drawn(seed, 3, 3)
    np.testing.assert_allclose(
        slope(lambda x: linalg.det(x @ y), x),
        slope(lambda x: linalg.det(x) * np.linalg.det(y), x),
        1e-7,
        1e-9,
    )


# Inverse and equations


@given(SEEDS)
def test_solve_and_inv_agree_in_value_and_gradient(seed: int) -> None:
    a, b = drawn(seed, 2, 3, 3) + 3 * np.eye(3), drawn(seed + 1, 3, 2)
    x, y = leaf(a), leaf(b)
    for direct, by_inverse in zip(
        grad((linalg.solve(x, y) ** 2).sum(), [x, y]), grad(((linalg.inv(x) @ y) ** 2).sum(), [x, y])
    ):
        np.testing.assert_allclose(direct.numpy(), by_inverse.numpy(), 1e-8, 1e-10)


def test_one_axis_is_one_right_hand_side_and_more_are_columns() -> None:
    a = np.stack([np.eye(2), 2 * np.eye(2)])
    assert linalg.solve(a, np.ones(2)).shape == (2, 2)
    assert linalg.solve(a, np.ones((2, 1))).shape == (2, 2, 1)
    assert slope(lambda b: linalg.solve(a, b), np.ones(2)).tolist() == [1.5, 1.5]


@pytest.mark.parametrize("n", [-3, -1, 0, 1, 2, 5])
def test_a_power_of_a_matrix_has_the_derivative_of_a_power(n: int) -> None:
    x = leaf([[2.0]])
    out = linalg.matrix_power(x, n)
    assert out is not x and out.item() == 2.0**n
    (g,) = grad(out.sum(), [x])
    assert g.item() == n * 2.0 ** (n - 1)


@pytest.mark.parametrize(
    ("dtype", "wanted"), [("float32", "complex64"), ("float64", "complex128"), ("int64", "complex128")]
)
def test_eigenvalues_of_a_general_matrix_are_complex_whether_or_not_they_happen_to_be_real(
    dtype: str, wanted: str
) -> None:
    for x in (np.array([[2, 0], [0, 1]], dtype), np.array([[0, -1], [1, 0]], dtype)):
        w, v = linalg.eig(x)
        assert w.dtype == v.dtype == linalg.eigvals(x).dtype == wanted
        np.testing.assert_allclose(x @ v, v * w, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_the_second_derivative_of_det_at_a_singular_matrix_grows_with_the_matrix(scale: float) -> None:
    x = drawn(0, 3, 2) @ drawn(1, 2, 3)
    np.testing.assert_allclose(
        second(linalg.det, x * scale), second(linalg.det, x) * scale, atol=1e-9 * scale
    )


def test_svd_gives_the_singular_values_alone_when_asked() -> None:
    x = Tensor(np.array([[3.0, 1.0], [0.0, 2.0], [1.0, 1.0]]), requires_grad=True)
    values = linalg.svd(x, compute_uv=False)
    np.testing.assert_allclose(values.data, np.linalg.svd(x.data, compute_uv=False), rtol=1e-12)
    gradcheck(lambda x: linalg.svd(x, compute_uv=False), x.data)


def test_eigh_reads_the_triangle_it_is_told() -> None:
    x = np.array([[4.0, 9.0, 8.0], [1.0, 5.0, 7.0], [0.5, 1.5, 6.0]])
    for triangle in "LU":
        w, v = linalg.eigh(Tensor(x), UPLO=triangle)
        expected = np.linalg.eigh(x, UPLO=triangle)
        np.testing.assert_allclose(w.data, expected.eigenvalues, rtol=1e-12)
        np.testing.assert_allclose(abs(v.data), abs(expected.eigenvectors), rtol=1e-9)
        gradcheck(lambda x, t=triangle: linalg.eigh(x, UPLO=t).eigenvalues, x)
    with pytest.raises(ValueError) as error:
        linalg.eigh(x, UPLO="x")
    assert str(error.value) == 'eigh: UPLO: expected "L" or "U", got str \'x\''


def test_einsum_refuses_an_unknown_way_to_optimize() -> None:
    for how in (True, "greedy", "optimal", ["einsum_path", (0, 1)]):
        assert td.einsum("i,i->", np.ones(2), np.ones(2), optimize=how) == 2
    with pytest.raises(ValueError) as error:
        td.einsum("i,i->", np.ones(2), np.ones(2), optimize="x")
    assert str(error.value) == (
        'einsum: optimize: expected True, False, "greedy", "optimal" or a path, got str \'x\''
    )


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
@pytest.mark.parametrize("lost", [0.0, 1e-13, 1.0])
def test_cofactors_are_the_same_near_to_singular_matrices_and_far_from_them(dtype: str, lost: float) -> None:
    rng = np.random.default_rng(0)
    u, s, vh = np.linalg.svd(
        rng.normal(size=(3, 9, 9)) + (1j * rng.normal(size=(3, 9, 9)) if dtype[0] == "c" else 0)
    )
    s[..., -1] *= lost
    x = ((u * s[..., None, :]) @ vh).astype(dtype)
    minors = [
        [(-1) ** (i + j) * np.linalg.det(np.delete(np.delete(x, i, 1), j, 2)) for j in range(9)]
        for i in range(9)
    ]
    expected = np.moveaxis(np.array(minors), 2, 0)
    tolerance = 2e-4 if dtype == "float32" else 1e-10
    found = cofactors(x, np.linalg.det(x))
    np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())
    assert found.dtype == dtype
    assert (_regular_cofactors(x, np.linalg.det(x)) is None) == (lost < 1)
