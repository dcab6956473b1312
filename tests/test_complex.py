"""Complex values: PyTorch's convention at the ends of the backward pass, hooks, functions, branch cuts, phases."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import Tensor, func, linalg, nn
from tinygrad_dl.autograd import checkpoint, grad
from tinygrad_dl.errors import AnomalyError, DTypeError, GraphError
from tinygrad_dl.testing import gradcheck, gradgradcheck

RNG = np.random.default_rng(0)
Z = np.array([1 + 2j, -0.5 + 0.25j, 3 - 1j])


def leaf(z: Any = Z) -> Tensor:
    return Tensor(z, requires_grad=True)


def draw(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)


# The convention


def test_the_gradient_of_a_real_loss_points_where_it_rises_fastest() -> None:
    z = leaf()
    (tg.abs(z - (2 + 1j)) ** 2).sum().backward()
    assert z.grad is not None and z.grad.dtype == np.complex128
    np.testing.assert_allclose(z.grad.data, 2 * (Z - (2 + 1j)))


def test_the_gradient_of_a_holomorphic_function_is_the_conjugate_of_its_derivative() -> None:
    z = leaf()
    (z**3).backward(np.ones(3))
    assert z.grad is not None
    np.testing.assert_allclose(z.grad.data, np.conj(3 * Z**2))


def test_the_gradient_of_a_real_value_is_real() -> None:
    x = leaf(np.array([1.0, 2.0, 3.0]))
    for recorded in (False, True):
        x.grad = None
        (x * Z).backward(np.array([1j, 1, 1 + 1j]), create_graph=recorded)
        assert x.grad is not None and x.grad.dtype == np.float64
        np.testing.assert_allclose(x.grad.data, (np.conj(Z) * np.array([1j, 1, 1 + 1j])).real)


def test_real_gradients_of_complex_results_are_taken_as_complex_ones() -> None:
    z = leaf()
    (z * 2j).backward(np.ones(3))
    assert z.grad is not None
    np.testing.assert_array_equal(z.grad.data, -2j * np.ones(3))


def test_backward_from_a_complex_number_asks_for_a_gradient() -> None:
    with pytest.raises(
        GraphError, match="expected a gradient for a complex result, got none: only a real number"
    ):
        (leaf() ** 2).sum().backward()
    with pytest.raises(GraphError, match=r"^autograd\.grad: expected a gradient for a complex result"):
        grad((leaf() ** 2).sum(), leaf())


def test_gradients_add_up_over_calls() -> None:
    z = leaf()
    for _ in range(2):
        z.real.sum().backward()
        z.imag.sum().backward()
    assert z.grad is not None
    np.testing.assert_array_equal(z.grad.data, np.full(3, 2 + 2j))


# What stands between the ends


def test_hooks_see_and_replace_gradients_in_the_convention_of_grad() -> None:
    z, seen = leaf(), []
    y = z * (1 + 1j)
    y.register_hook(lambda g: seen.append(g.data.copy()))
    y.register_hook(lambda g: g * 1j)
    for recorded in (False, True):
        z.grad = None
        (y.imag * 2).sum().backward(retain_graph=True, create_graph=recorded)
        np.testing.assert_array_equal(seen.pop(), np.full(3, 2j))
        assert z.grad is not None
        np.testing.assert_array_equal(z.grad.data, np.full(3, 2j * 1j * (1 - 1j)))


def test_hooks_of_modules_see_the_convention_of_grad() -> None:
    layer, seen = nn.Linear(3, 2, dtype="complex128"), []
    layer.register_full_backward_hook(lambda module, given, got: seen.append((given, got)))
    z = leaf()
    out = layer(z)
    (out.imag * 2).sum().backward()
    ((given,), (got,)) = seen[0]
    np.testing.assert_array_equal(got.data, np.full(2, 2j))
    assert z.grad is not None
    np.testing.assert_allclose(given.data, z.grad.data)


def test_intermediate_gradients_and_those_of_grad_are_conjugated_too() -> None:
    z = leaf()
    y = z * z
    y.retain_grad()
    loss = (y * (2 - 1j)).real.sum()
    (of_y, of_z) = grad(loss, [y, z], retain_graph=True)
    loss.backward()
    assert of_y is not None and of_z is not None and y.grad is not None and z.grad is not None
    np.testing.assert_array_equal(of_y.data, np.full(3, 2 + 1j))
    np.testing.assert_array_equal(of_y.data, y.grad.data)
    np.testing.assert_array_equal(of_z.data, z.grad.data)


def test_checkpoint_gives_the_same_gradients_for_real_and_complex_results() -> None:
    def parts(z: Any, x: Any) -> Any:
        return z * x, tg.abs(z) * x

    def gradients(run: Any) -> list[np.ndarray]:
        z, x = leaf(), leaf(np.array([1.0, 2.0, 3.0]))
        a, b = run(z, x)
        ((a * (1 + 2j)).imag.sum() + b.sum()).backward()
        assert z.grad is not None and x.grad is not None
        return [z.grad.data, x.grad.data]

    for expected, found in zip(gradients(parts), gradients(lambda *args: checkpoint(parts, *args))):
        np.testing.assert_allclose(found, expected)


def test_recorded_gradients_are_differentiated_again() -> None:
    assert gradgradcheck(lambda z: tg.exp(z) * tg.conj(z) / tg.abs(z), Z)
    assert gradcheck(lambda z: (z**3).real.sum(), Z, order=3)


def test_anomalies_are_found_among_complex_values() -> None:
    z = leaf(np.array([0j, 1j]))
    with tg.detect_anomaly(), pytest.raises(AnomalyError, match=r"log: made .* in 1 of 2 elements"):
        tg.log(z)
    with tg.detect_anomaly():
        loss = tg.sqrt(z).real.sum()
        with pytest.raises(
            AnomalyError, match=r"(?s)the derivative of sqrt in x made .*complex128 .*magnitudes, 1"
        ):
            loss.backward()


def test_assignments_and_indexing_keep_complex_gradients() -> None:
    z, value = leaf(), leaf(np.array(2 - 1j))
    y = z * 1
    y[1] = value
    (y * (1 + 1j)).imag.sum().backward()
    assert z.grad is not None and value.grad is not None
    np.testing.assert_array_equal(z.grad.data, np.array([1 + 1j, 0, 1 + 1j]))
    assert value.grad.item() == 1 + 1j


def test_complex_leaves_are_copied_and_pickled() -> None:
    z = leaf()
    (z * z).imag.sum().backward()
    assert z.grad is not None
    for twin in (copy.deepcopy(z), pickle.loads(pickle.dumps(z))):
        assert twin.requires_grad and twin.dtype == z.dtype
        np.testing.assert_array_equal(twin.grad.data, z.grad.data)


# Functions of functions


def test_func_differentiates_in_complex_arguments() -> None:
    g = func.grad(lambda z: (tg.abs(z) ** 2).sum())(Z)
    np.testing.assert_allclose(g, 2 * Z)
    value, pullback = func.vjp(lambda z: z**2, Z)
    np.testing.assert_allclose(value, Z**2)
    np.testing.assert_allclose(pullback(np.full(3, 1j))[0], 1j * np.conj(2 * Z))


def test_the_jvp_of_a_complex_function_is_its_change() -> None:
    v = np.array([1j, 1, 1 - 2j])
    _, change = func.jvp(lambda z: z**2, (Z,), (v,))
    np.testing.assert_allclose(change, 2 * Z * v)
    _, change = func.jvp(lambda z: tg.abs(z) ** 2, (Z,), (v,))
    np.testing.assert_allclose(change, 2 * (np.conj(Z) * v).real)


def test_a_product_with_the_hessian_of_a_real_function_of_complex_arguments() -> None:
    v = np.array([1j, 1, 1 - 2j])
    found = func.hvp(lambda z: (tg.abs(z) ** 4).sum(), Z, v)
    step = 1e-6
    slope = func.grad(lambda z: (tg.abs(z) ** 4).sum())
    np.testing.assert_allclose(found, (slope(Z + step * v) - slope(Z - step * v)) / (2 * step), rtol=1e-6)


@pytest.mark.parametrize("what", ["grad", "value_and_grad", "hvp"])
@pytest.mark.parametrize("x", [np.array(1.0), np.array(1 + 2j)])
def test_a_complex_result_has_no_gradient(what: str, x: np.ndarray) -> None:
    def f(x: Any) -> Any:
        return x * (1 + 0.2j)

    with pytest.raises(
        GraphError, match=rf"^func\.{what}: expected f to return a real number, got complex128"
    ):
        func.hvp(f, x, x) if what == "hvp" else getattr(func, what)(f)(x)


@pytest.mark.parametrize("what", ["jacobian", "jacfwd", "jacrev", "hessian"])
def test_a_jacobian_in_complex_values_is_refused(what: str) -> None:
    with pytest.raises(DTypeError, match=rf"^func\.{what}: expected real arguments, got complex ones"):
        getattr(func, what)(lambda z: abs(z) ** 2)(Z)


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_complex_results_have_a_jacobian_in_real_values(chunk_size: int | None) -> None:
    x = np.array([0.3, -0.7, 1.1])
    matrix = np.exp(1j * np.arange(6.0)).reshape(2, 3)

    def f(x: Any) -> Any:
        return {"complex": matrix @ tg.exp(1j * x), "real": x[:2] ** 2}

    for of in (func.jacobian, func.jacfwd):
        found = of(f, chunk_size=chunk_size)(x)
        np.testing.assert_allclose(found["complex"], matrix * 1j * np.exp(1j * x))
        np.testing.assert_allclose(found["real"], np.diag(2 * x)[:2])
        assert found["real"].dtype == np.float64
    assert func.jacfwd(lambda x: 1j * x)(x.astype("float32")).dtype == np.complex64
    with pytest.raises(
        DTypeError, match=r"^func\.jacrev: expected real results, got complex ones\. Use jacfwd"
    ):
        func.jacrev(f)(x)


def test_a_complex_tangent_does_not_belong_to_a_real_value() -> None:
    for call, what in (
        (lambda: func.jvp(lambda x: x**2, (np.ones(2),), (Z[:2],)), "jvp: tangents"),
        (lambda: func.vjp(lambda x: x**2, np.ones(2))[1](Z[:2]), "vjp: cotangents"),
        (lambda: func.linearize(lambda x: x**2, np.ones(2))[1](Z[:2]), "linearize: tangents"),
    ):
        with pytest.raises(DTypeError, match=rf"^func\.{what}.*: expected real numbers"):
            call()


# Branch cuts, and points without a derivative


@pytest.mark.parametrize("name", ["asin", "acos", "acosh", "asinh", "log", "sqrt", "atanh", "atan"])
@pytest.mark.parametrize(
    "z", [2 + 0j, complex(2, -0.0), -2 + 0j, complex(-2, -0.0), 2j, -2j, complex(-0.0, 2)]
)
def test_on_a_branch_cut_the_derivative_is_that_of_the_side_whose_value_is_taken(
    name: str, z: complex
) -> None:
    function = getattr(tg, name)
    x = leaf(np.array([z]))
    function(x).backward(np.ones(1))
    assert x.grad is not None
    step = 1e-6
    along = complex(step, 0) if z.imag == 0 else complex(0, step)  # along the cut, which is on an axis

    def at(t: int) -> np.ndarray:
        moved = (
            complex(z.real + t * along.real, z.imag)
            if z.imag == 0
            else complex(z.real, z.imag + t * along.imag)
        )
        return function(np.array([moved]))

    slope = (at(1) - at(-1)) / (2 * along)
    np.testing.assert_allclose(np.conj(x.grad.data), slope, rtol=1e-6)


@pytest.mark.parametrize("name", ["abs", "angle", "sign"])
def test_at_zero_the_derivative_of_lengths_and_angles_is_zero(name: str) -> None:
    z = leaf(np.array([0j]))
    out = getattr(tg, name)(z)
    out.backward(np.ones(1))
    assert z.grad is not None and z.grad.item() == 0


@pytest.mark.parametrize("name", ["angle", "sign"])
def test_at_zero_second_derivatives_of_angles_are_zero(name: str) -> None:
    z = leaf(np.array([0j, 3 + 4j]))
    (first,) = grad(getattr(tg, name)(z).real.sum(), [z], create_graph=True)
    (again,) = grad(first.imag.sum(), [z])
    assert again.tolist()[0] == 0
    assert np.isfinite(again.tolist()[1])


@pytest.mark.parametrize("base", [-2.0, complex(-2, 0.0), complex(-2, -0.0)])
@pytest.mark.parametrize("exponent", [0j, 0.5j, 1 - 2j, -1 - 1j])
def test_the_slope_of_a_power_in_a_complex_exponent_is_on_the_side_of_its_value(
    base: complex, exponent: complex
) -> None:
    x, y = np.array([base]), leaf(np.array([exponent]))
    out = tg.asarray(x) ** y
    out.backward(np.ones(1))
    logarithm = np.log(x.astype(complex))
    np.testing.assert_allclose(out.data, np.exp(exponent * logarithm), rtol=1e-12)
    assert y.grad is not None
    np.testing.assert_allclose(np.conj(y.grad.data), out.data * logarithm, rtol=1e-12)


def test_functions_of_real_numbers_have_no_complex_derivative() -> None:
    with pytest.raises(GraphError, match="^softplus: it is a function of real numbers"):
        tg.softplus(leaf())
    with pytest.raises(GraphError, match="^squared_error: it is a function of real numbers"):
        nn.MSELoss()(leaf(), Z)
    with pytest.raises(DTypeError, match="^erf: expected real numbers, got complex ones"):
        tg.erf(leaf())


# Decompositions


def test_what_depends_on_the_phase_of_eigenvectors_is_refused() -> None:
    a, h = draw(3, 3), draw(3, 3)
    h = h + h.conj().T
    for name, decompose in (
        ("eig", lambda x: linalg.eig(x).eigenvectors),
        ("eigh", lambda x: linalg.eigh(x).eigenvectors),
        ("svd", lambda x: linalg.svd(x).U),
    ):
        x = leaf(h if name == "eigh" else a)
        with pytest.raises(GraphError, match=f"^{name}: .* depends on the phases of the complex vectors"):
            decompose(x).imag.sum().backward()
        (tg.abs(decompose(x)) ** 3).sum().backward()


def test_projections_on_degenerate_spaces_have_a_finite_right_derivative() -> None:
    # the projection on the space of the two smallest eigenvalues, which are equal
    q = np.linalg.qr(draw(3, 3))[0]
    h = (q * np.array([1.0, 1.0, 3.0])) @ q.conj().T
    w = draw(3, 3)

    def others(x: Any) -> Any:
        v = linalg.eigh(x).eigenvectors[:, 2:]  # its complement is the projection
        return ((np.eye(3) - v @ tg.conj(v).mT) * w).real.sum()

    assert gradcheck(others, h)

    def values(x: Any) -> Any:
        return (linalg.eigvalsh(x) ** 3).sum()  # symmetric in the equal ones

    assert gradcheck(values, h)


def test_vectors_of_equal_eigenvalues_have_a_derivative_that_is_not_finite() -> None:
    x = leaf(np.eye(2) * (1 + 0j))
    (tg.abs(linalg.eigh(x).eigenvectors) ** 3 * np.arange(4).reshape(2, 2)).sum().backward()
    assert x.grad is not None and not np.isfinite(x.grad.data).all()


def test_eigenvalues_of_real_matrices_have_real_gradients() -> None:
    a = RNG.standard_normal((4, 4))
    x = leaf(a)
    tg.abs(linalg.eigvals(x)).sum().backward()
    assert x.grad is not None and x.grad.dtype == np.float64
    assert gradgradcheck(lambda x: tg.abs(linalg.eigvals(x)), a)
    assert gradgradcheck(lambda x: tg.abs(linalg.eig(x).eigenvectors) ** 2, a)


# Modules and files


def test_a_complex_model_is_saved_and_loaded(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 3, dtype="complex64"), nn.Conv1d(1, 1, 2, dtype="complex64"))
    path = tmp_path / "model.safetensors"
    tg.save(model.state_dict(), path)
    other = nn.Sequential(nn.Linear(2, 3, dtype="complex64"), nn.Conv1d(1, 1, 2, dtype="complex64"))
    other.load_state_dict(tg.load(path))
    for p, q in zip(model.parameters(), other.parameters()):
        assert q.dtype == np.complex64
        np.testing.assert_array_equal(p.data, q.data)
    with pytest.raises(
        DTypeError, match=r"complex128 is not a dtype of safetensors files\. Convert to complex64"
    ):
        tg.save({"w": Z}, path)


def test_a_model_becomes_complex_and_stays_so() -> None:
    model = nn.Linear(2, 3).astype("complex64")
    assert model.weight.dtype == np.complex64
    assert model.astype("complex128").weight.dtype == np.complex128
    assert model.astype("float32").weight.dtype == np.complex128  # its imaginary parts are kept


def test_norms_of_complex_gradients_are_clipped() -> None:
    p = leaf(np.array([1j, 0]))
    p.grad = Tensor(np.array([3 + 4j, 0]))
    total = nn.utils.clip_grad_norm_([p], 1.0)
    assert total.dtype == np.float64 and total.item() == 5
    np.testing.assert_allclose(p.grad.data, [0.6 + 0.8j, 0], rtol=1e-5)
    with pytest.raises(DTypeError, match="^clip_grad_value_: .*: expected real gradients"):
        nn.utils.clip_grad_value_([p], 1.0)


@pytest.mark.parametrize(
    ("fill", "variance"),
    [
        (lambda t: nn.init.normal_(t, std=2.0), 4.0),
        (lambda t: nn.init.xavier_normal_(t), 2 / 600),
        (lambda t: nn.init.uniform_(t, -3.0, 3.0), 6.0),
    ],
)
def test_initializers_draw_both_parts(fill: Any, variance: float) -> None:
    t = Tensor(np.zeros((300, 300), np.complex64))
    fill(t)
    assert np.mean(np.abs(t.data) ** 2) == pytest.approx(variance, rel=0.05)
    assert np.var(t.data.real) == pytest.approx(np.var(t.data.imag), rel=0.05)


def test_the_complex_orthogonal_initializer_is_unitary() -> None:
    w = nn.init.orthogonal_(Tensor(np.zeros((3, 5), np.complex128))).data
    np.testing.assert_allclose(w @ w.conj().T, np.eye(3), atol=1e-12)


def test_diagrams_show_complex_values_and_gradients() -> None:
    z = Tensor(1 + 2j, requires_grad=True)
    z.name = "z"
    source = tg.draw((z * (1 + 1j)).imag).source
    assert "z\\n() complex64\\nvalue 1+2j\\ngrad 1+1j" in source
    y = leaf() * leaf(np.array([1.0, 2.0, 3.0]))
    assert "complex128" in tg.draw((tg.abs(y) ** 2).sum()).html()
