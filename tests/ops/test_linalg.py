"""Linear algebra: closed forms, singular and degenerate matrices, norms at 0, and what the errors say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_dl as td
from tinygrad_dl import Tensor, linalg
from tinygrad_dl.autograd import grad
from tinygrad_dl.errors import AxisError, DTypeError, GraphError, MatrixError, ShapeError, ValueRangeError

SEEDS = st.integers(0, 2**31)


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape)


def leaf(array: Any) -> Tensor:
    return Tensor(np.asarray(array, np.float64), requires_grad=True)


def slope(f: Callable[[Tensor], Any], array: Any) -> np.ndarray:
    """The gradient of the sum of f(x)."""
    x = leaf(array)
    (g,) = grad(td.sum(f(x)), [x])
    return np.asarray(g.numpy())


def second(f: Callable[[Tensor], Any], array: Any) -> np.ndarray:
    """The matrix of second derivatives of the sum of f(x), over the flattened x."""
    x = leaf(array)
    (g,) = grad(td.sum(f(x)), [x], create_graph=True)
    if not g.requires_grad:
        return np.zeros((x.size, x.size))
    rows = [grad(g.reshape(-1)[i], [x], retain_graph=True, allow_unused=True)[0] for i in range(x.size)]
    return np.array([np.zeros(x.size) if r is None else r.numpy().reshape(-1) for r in rows])


# Errors


@pytest.mark.parametrize(
    "name", ["inv", "det", "slogdet", "cholesky", "eigh", "eigvalsh", "eig", "eigvals", "matrix_power"]
)
def test_a_matrix_that_is_not_square_is_refused_with_its_shape(name: str) -> None:
    arguments = (np.ones((2, 3)), 2) if name == "matrix_power" else (np.ones((2, 3)),)
    with pytest.raises(MatrixError) as caught:
        getattr(linalg, name)(*arguments)
    assert str(caught.value) == (
        f"{name}: a square matrix, or a stack of them, is needed; the shape (2, 3) came"
    )


@pytest.mark.parametrize(
    "name", ["svd", "svdvals", "qr", "pinv", "matrix_rank", "matrix_norm", "cond", "trace", "diagonal"]
)
def test_a_vector_in_the_place_of_a_matrix_is_refused(name: str) -> None:
    with pytest.raises(MatrixError) as caught:
        getattr(linalg, name)(np.ones(3))
    assert str(caught.value) == f"{name}: a matrix, or a stack of them, is needed; the shape (3,) came"


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
        "solve: (2, 2) with (3,): the equations, 2, must be as many as the right-hand side has rows, 3, "
        "and sizes in front of that must broadcast"
    )
    with pytest.raises(ShapeError) as caught:
        linalg.solve(np.eye(2), np.float64(1))
    assert str(caught.value) == "solve: the right-hand side needs at least one axis; a number came"


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
            'qr: mode "reduced" or "complete" is needed; \'raw\' came',
        ),
        (
            lambda: linalg.matrix_power(np.eye(2), 0.5),
            DTypeError,
            "matrix_power: n must be an integer; 0.5 came",
        ),
        (
            lambda: linalg.matrix_norm(np.eye(2), ord=3),
            ValueRangeError,
            'matrix_norm: ord is "fro", "nuc", 1, -1, 2, -2, inf or -inf; 3 came',
        ),
        (
            lambda: linalg.vector_norm(np.ones(2), ord="fro"),
            ValueRangeError,
            "vector_norm: ord is a number, inf or -inf; 'fro' came. See matrix_norm.",
        ),
        (
            lambda: linalg.norm(np.ones((2, 2, 2)), 2),
            ShapeError,
            "norm: with ord=2, a vector, a matrix or an axis is needed; the shape (2, 2, 2) came",
        ),
        (
            lambda: linalg.norm(np.ones((2, 2, 2)), axis=(0, 1, 2)),
            AxisError,
            "norm: one axis or two are needed; axis=(0, 1, 2) came. vector_norm takes more.",
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
            "lstsq: the first must be one matrix; the shape (2,) came",
        ),
        (lambda: linalg.cond(np.ones((0, 0))), MatrixError, "cond: the shape (0, 0) has no elements"),
        (
            lambda: linalg.outer(np.ones((2, 2)), np.ones(2)),
            ShapeError,
            "outer: two vectors are needed; (2, 2) and (2,) came. tinygrad_dl.outer flattens them.",
        ),
        (lambda: linalg.inv("a"), DTypeError, "inv: a Tensor, an array or a number is needed; str 'a' came"),
        (
            lambda: linalg.eig(leaf(np.eye(2))),
            GraphError,
            "eig: no derivative with respect to x: the eigenvalues of a general matrix are complex; of a symmetric "
            "one, eigh and eigvalsh have it. Call .detach() on it if no gradient should flow.",
        ),
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


# Decompositions


@given(SEEDS)
def test_the_parts_multiply_to_the_matrix_and_their_gradients_to_ones(seed: int) -> None:
    x = drawn(seed, 3, 3) + np.diag([3.0, 5.0, 8.0])
    products: dict[str, Callable[[Tensor], Any]] = {
        "qr": lambda x: (lambda r: r.Q @ r.R)(linalg.qr(x)),
        "svd": lambda x: (lambda r: (r.U * r.S) @ r.Vh)(linalg.svd(x)),
        "cholesky": lambda x: (lambda r: r @ r.mT)(linalg.cholesky((x + x.mT) / 2)),
        "eigh": lambda x: (lambda r: (r[1] * r[0]) @ r[1].mT)(linalg.eigh((x + x.mT) / 2)),
    }
    for name, f in products.items():
        whole = x if name in ("qr", "svd") else (x + x.T) / 2
        np.testing.assert_allclose(f(Tensor(x)).numpy(), whole, atol=1e-10, err_msg=name)
        np.testing.assert_allclose(slope(f, x), np.ones((3, 3)), atol=1e-8, err_msg=name)


@pytest.mark.parametrize("shape", [(4, 2), (2, 4)])
def test_rectangular_parts_multiply_to_the_matrix_and_their_gradients_to_ones(shape: tuple[int, int]) -> None:
    x = drawn(3, *shape)
    for f in (
        lambda x: (lambda r: r.Q @ r.R)(linalg.qr(x)),
        lambda x: (lambda r: r.Q @ r.R)(linalg.qr(x, mode="complete")),
        lambda x: (lambda r: (r.U * r.S) @ r.Vh)(linalg.svd(x, full_matrices=False)),
        lambda x: (lambda r: (r.U[:, :2] * r.S) @ r.Vh[:2])(linalg.svd(x)),
    ):
        np.testing.assert_allclose(f(Tensor(x)).numpy(), x, atol=1e-12)
        np.testing.assert_allclose(slope(f, x), np.ones(shape), atol=1e-10)


def test_the_space_beside_the_columns_has_a_gradient_where_its_basis_does_not_matter() -> None:
    x, w = drawn(4, 5, 2), drawn(5, 5, 5)

    def exact(x: Tensor) -> Any:
        return (np.eye(5) - x @ linalg.pinv(x)) * w

    def by_svd(x: Tensor) -> Any:
        rest = linalg.svd(x).U[:, 2:]
        return (rest @ rest.mT) * w

    def by_qr(x: Tensor) -> Any:
        rest = linalg.qr(x, mode="complete").Q[:, 2:]
        return (rest @ rest.mT) * w

    def by_wide_svd(x: Tensor) -> Any:
        rest = linalg.svd(x.mT).Vh[2:]
        return (rest.mT @ rest) * w

    for f in (by_svd, by_qr, by_wide_svd):
        np.testing.assert_allclose(slope(f, x), slope(exact, x), atol=1e-12)
        np.testing.assert_allclose(second(f, x), second(exact, x), atol=1e-9)


def test_what_depends_on_an_arbitrary_basis_is_refused() -> None:
    x = leaf(drawn(6, 5, 2))
    for name, part in (("svd", linalg.svd(x).U), ("qr", linalg.qr(x, mode="complete").Q)):
        with pytest.raises(GraphError) as caught:
            grad((part * drawn(7, 5, 5)).sum(), [x])
        assert str(caught.value) == (
            f"{name}: what was computed depends on how the basis of the remaining space is turned, which is "
            "arbitrary, so it has no derivative. Use the reduced form."
        )


def test_a_missing_rank_is_named_in_the_derivative_of_qr() -> None:
    x = leaf(np.zeros((2, 2)))
    with pytest.raises(MatrixError) as caught:
        grad(linalg.qr(x).R.sum(), [x])
    assert str(caught.value) == "qr: no derivative, for the matrix does not have full rank"


def test_the_gradient_of_cholesky_is_symmetric_and_only_the_symmetric_part_counts() -> None:
    x = drawn(8, 3, 3) + 4 * np.eye(3)
    g = slope(lambda x: linalg.cholesky(x) * drawn(9, 3, 3), x)
    np.testing.assert_allclose(g, g.T)
    np.testing.assert_allclose(linalg.cholesky(x), np.linalg.cholesky((x + x.T) / 2))
    np.testing.assert_allclose(linalg.cholesky(x, upper=True), linalg.cholesky(x).T)


def test_the_gradient_of_an_eigenvalue_is_the_product_of_its_vector_with_itself() -> None:
    x = np.array([[2.0, 1.0], [1.0, 5.0]])
    v = np.linalg.eigh(x)[1]
    for f in (lambda x: linalg.eigvalsh(x)[1], lambda x: linalg.eigh(x).eigenvalues[1]):
        np.testing.assert_allclose(slope(f, x), np.outer(v[:, 1], v[:, 1]), atol=1e-14)


def test_symmetric_functions_of_equal_eigenvalues_have_their_gradient() -> None:
    np.testing.assert_allclose(slope(lambda x: linalg.eigvalsh(x) ** 2, 3 * np.eye(3)), 6 * np.eye(3))
    np.testing.assert_allclose(slope(lambda x: linalg.svdvals(x) ** 2, 3 * np.eye(3)), 6 * np.eye(3))


def test_equal_eigenvalues_harm_only_what_uses_their_vectors() -> None:
    x = np.diag([1.0, 1.0, 4.0])
    w = np.arange(1.0, 4.0)
    g = slope(lambda x: (linalg.eigh(x).eigenvectors[:, 2] * linalg.eigh(x).eigenvectors[0, 2]) @ w, x)
    # the projection on the third axis turns by 1 / (4 - 1) for each unit in that direction
    np.testing.assert_allclose(g, [[0, 0, 0.5], [0, 0, 0], [0.5, 0, 0]], atol=1e-12)
    with np.errstate(all="ignore"):
        assert not np.isfinite(slope(lambda x: linalg.eigh(x).eigenvectors[:, 0] ** 2 @ w, x)).all()
        hessian = second(lambda x: linalg.eigvalsh(x) ** 2, np.eye(2))
    assert np.isnan(hessian).any()  # 2 on the diagonal in truth: seen, not silently wrong


# Norms


@pytest.mark.parametrize("ord", [1, 2, 3, 1.5, 0.5, 0, -1, np.inf, -np.inf])
def test_a_vector_norm_at_zero_has_gradient_zero_of_both_orders(ord: float) -> None:
    with np.errstate(divide="ignore"):  # a negative power of 0
        assert slope(lambda x: linalg.vector_norm(x, ord=ord), np.zeros(3)).tolist() == [0.0] * 3
        assert np.isfinite(second(lambda x: linalg.vector_norm(x, ord=ord), np.zeros(2))).all()
        part = slope(lambda x: linalg.vector_norm(x, ord=ord, axis=1), [[0.0, 0.0], [3.0, -4.0]])
    assert part[0].tolist() == [0.0, 0.0] and np.isfinite(part).all()


@pytest.mark.parametrize("ord", ["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
def test_a_matrix_norm_at_zero_has_gradient_zero(ord: Any) -> None:
    assert slope(lambda x: linalg.matrix_norm(x, ord=ord), np.zeros((2, 3))).tolist() == [[0.0] * 3] * 2
    x = drawn(10, 4, 2, 3)
    np.testing.assert_allclose(linalg.matrix_norm(x, ord=ord), np.linalg.matrix_norm(x, ord=ord))
    assert linalg.matrix_norm(x, ord=ord, keepdims=True).shape == (4, 1, 1)


def test_the_gradient_of_a_norm_is_the_direction() -> None:
    np.testing.assert_allclose(slope(linalg.vector_norm, [3.0, -4.0]), [0.6, -0.8])
    np.testing.assert_allclose(second(linalg.vector_norm, [3.0, 0.0]), [[0, 0], [0, 1 / 3]], atol=1e-16)


def test_ties_share_the_gradient_of_the_largest_and_the_smallest() -> None:
    assert slope(lambda x: linalg.vector_norm(x, ord=np.inf), [2.0, -2.0, 1.0]).tolist() == [0.5, -0.5, 0.0]
    assert slope(lambda x: linalg.vector_norm(x, ord=-np.inf), [2.0, -1.0, 1.0]).tolist() == [0.0, -0.5, 0.5]
    assert slope(lambda x: linalg.matrix_norm(x, ord=1), np.ones((2, 2))).tolist() == [[0.5, 0.5]] * 2


@given(SEEDS, st.sampled_from([1, 2, 3, 1.5, 0.5, -1, np.inf]), st.floats(0.1, 10))
def test_a_norm_grows_with_its_vector(seed: int, ord: float, factor: float) -> None:
    x = drawn(seed, 4) + np.sign(drawn(seed, 4)) * 0.1
    np.testing.assert_allclose(
        linalg.vector_norm(factor * x, ord=ord), factor * linalg.vector_norm(x, ord=ord)
    )
    # Euler: the gradient of a homogeneous function, along x, is the function
    np.testing.assert_allclose(
        slope(lambda x: linalg.vector_norm(x, ord=ord), x) @ x, linalg.vector_norm(x, ord=ord)
    )


def test_norm_takes_numpys_arguments() -> None:
    x = drawn(11, 2, 3, 4)
    for arguments in (
        {},
        {"axis": 1},
        {"axis": (0, 2)},
        {"axis": (2, 0), "ord": 1},
        {"axis": (-1, 1), "ord": "nuc"},
    ):
        for keepdims in (False, True):
            expected = np.linalg.norm(x, keepdims=keepdims, **arguments)
            out = linalg.norm(Tensor(x), keepdims=keepdims, **arguments)
            assert out.shape == expected.shape
            np.testing.assert_allclose(out.numpy(), expected)
    assert td.norm is linalg.norm


# Rank, condition, pseudo-inverse, least squares


def test_the_gradient_of_a_pseudo_inverse_holds_along_matrices_of_the_same_rank() -> None:
    a, b, w = drawn(12, 4, 2), drawn(13, 2, 3), drawn(14, 3, 4)
    da = drawn(15, 4, 2)
    x = leaf(a)
    (g,) = grad((linalg.pinv(x @ b, rtol=1e-10) * w).sum(), [x])

    def value(t: float) -> float:
        return float((np.linalg.pinv((a + t * da) @ b, rtol=1e-10) * w).sum())

    assert (g.numpy() * da).sum() == pytest.approx((value(1e-6) - value(-1e-6)) / 2e-6, rel=1e-6)
    square = drawn(16, 3, 3) + 2 * np.eye(3)
    np.testing.assert_allclose(slope(linalg.pinv, square), slope(linalg.inv, square), atol=1e-10)


def test_least_squares_are_numpys_and_differentiable() -> None:
    a, b = drawn(17, 5, 2), drawn(18, 5, 3)
    for right in (b, b[:, 0]):
        expected = np.linalg.lstsq(a, right)
        out = linalg.lstsq(a, right)
        for e, o in zip(expected, out):
            assert np.shape(o) == np.shape(e)
            np.testing.assert_allclose(o, e, atol=1e-12)
    assert linalg.lstsq(a[:2], b[:2]).residuals.shape == (0,)

    def normal_equations(a: Tensor) -> Any:
        return linalg.solve(a.mT @ a, a.mT @ b)

    np.testing.assert_allclose(
        slope(lambda a: linalg.lstsq(a, b).solution, a), slope(normal_equations, a), atol=1e-10
    )


def test_condition_and_rank_are_numpys() -> None:
    x = drawn(19, 2, 3, 3)
    for p in (None, 2, -2, 1, -1, np.inf, "fro", "nuc"):
        np.testing.assert_allclose(linalg.cond(x, p), np.linalg.cond(x, p), err_msg=str(p))
    assert linalg.matrix_rank(Tensor(np.ones((2, 2)))).item() == 1
    assert linalg.matrix_rank(leaf(np.eye(2))).requires_grad is False
    assert linalg.matrix_rank(np.diag([1.0, 0.01]), rtol=0.1) == 1
