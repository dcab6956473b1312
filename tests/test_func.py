"""Derivatives of functions, against closed forms, central differences and PyTorch."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_dl as tg
from tests.leaves import gradient, leaf
from tinygrad_dl import func
from tinygrad_dl.tensor import Tensor

X = np.array([1.0, 2.0])


def difference(f: Callable[[float], float], x: float, step: float = 1e-4) -> float:
    """The derivative of f at x, by a central difference of fourth order."""
    return (f(x - 2 * step) - 8 * f(x - step) + 8 * f(x + step) - f(x + 2 * step)) / (12 * step)


def central(f: Callable[[np.ndarray], np.ndarray], x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """The Jacobian of f at x by central differences, out's shape then x's."""
    columns = []
    for k in range(x.size):
        move = np.zeros(x.size)
        move[k] = step
        move = move.reshape(x.shape)
        columns.append((np.asarray(f(x + move)) - np.asarray(f(x - move))) / (2 * step))
    out = np.stack(columns, axis=-1)
    return out.reshape(*out.shape[:-1], *x.shape)


# What comes in and what goes out


def test_arrays_give_arrays_and_tensors_and_numbers_give_tensors() -> None:
    slope = func.grad(lambda x: (x**3).sum())
    assert type(slope(X)) is np.ndarray and slope(X).tolist() == [3, 12]
    assert type(slope(np.float64(2.0))) is np.ndarray
    for given_ in (Tensor(X), 2.0):
        assert type(slope(given_)) is Tensor and not slope(given_).requires_grad
    assert type(func.jvp(lambda x: x * x, (X,), (Tensor(X),))[0]) is Tensor
    assert type(func.vjp(lambda x: x * x, X)[1](Tensor(X))[0]) is Tensor
    assert type(func.hvp(lambda x: (x**3).sum(), X, Tensor(X))) is Tensor
    assert slope(X.astype("float32")).dtype == np.float32


def test_python_floats_are_differentiated_in_float64() -> None:
    slope = func.grad(np.sin)
    assert slope(0.1).dtype == np.float64
    np.testing.assert_allclose(slope(0.1).item(), np.cos(0.1), rtol=1e-15)
    value, gradient = func.value_and_grad(lambda p: np.exp(p["a"]) * p["b"][0])({"a": 0.1, "b": [0.3]})
    np.testing.assert_allclose(value.item(), np.exp(0.1) * 0.3, rtol=1e-15)
    np.testing.assert_allclose(gradient["b"][0].item(), np.exp(0.1), rtol=1e-15)
    # what is float64 outside is not rounded on its way through a number
    x = np.array(1.1)
    inner = func.grad(lambda x: x * func.grad(lambda y: x * y)(2.0))
    np.testing.assert_allclose(inner(x), 2.2, rtol=1e-15)


def test_f_gets_tensors_for_what_is_differentiated_and_the_rest_as_it_is() -> None:
    seen: list[type] = []

    def f(x: Any, y: Any, *, k: Any) -> Any:
        seen.extend(map(type, (x, y, k)))
        return (x * y * k).sum()

    assert func.grad(f)(X, X, k=2).tolist() == [2, 4]
    assert seen == [Tensor, np.ndarray, int]


def test_a_tensor_outside_that_requires_grad_makes_the_result_differentiable_in_it() -> None:
    w = leaf([1.0, 2.0])
    g = func.grad(lambda x: (w * x * x).sum())(X)
    assert type(g) is Tensor
    g.sum().backward()
    assert gradient(w).tolist() == [2, 4]
    with tg.no_grad():
        assert type(func.grad(lambda x: (w * x * x).sum())(X)) is np.ndarray


def test_the_gradient_at_a_tensor_that_requires_grad_is_differentiable_in_it() -> None:
    x = leaf(2.0)
    g = func.grad(lambda t: t**3)(x)
    assert g.item() == 12
    g.backward()
    assert gradient(x) == 12 and x.grad is not None and not x.grad.requires_grad


def test_derivatives_work_under_no_grad() -> None:
    with tg.no_grad():
        assert func.grad(func.grad(lambda x: x**3))(np.array(2.0)) == 12
        assert not func.grad(lambda t: t**3)(leaf(2.0)).requires_grad
        assert func.hvp(lambda x: (x**4).sum(), X, np.ones(2)).tolist() == [12, 48]
        assert func.jvp(lambda x: x**2, (X,), (X,))[1].tolist() == [2, 8]


def test_arguments_stay_as_they_are() -> None:
    x = X.copy()
    func.grad(lambda t: (t * t).sum())(x)
    assert x.tolist() == [1, 2]
    t = Tensor(X)
    func.grad(lambda t: (t * t).sum())(t)
    assert not t.requires_grad and t.grad is None


Point = namedtuple("Point", "x y")


def test_nested_arguments_give_nested_gradients() -> None:
    tree = {"layers": [(X, np.array(3.0)), (X * 2, None)], "p": Point(X, X)}

    def f(t: Any) -> Any:
        (w, b), (v, none) = t["layers"]
        assert none is None and isinstance(t["p"], Point)
        return (w * b).sum() + (v * v).sum() + (t["p"].x * t["p"].y).sum()

    g = func.grad(f)(tree)
    assert list(g) == ["layers", "p"]
    (gw, gb), (gv, none) = g["layers"]
    assert gw.tolist() == [3, 3] and gb == 3 and gv.tolist() == [4, 8] and none is None
    assert isinstance(g["p"], Point) and g["p"].x.tolist() == [1, 2]


def test_argnums_chooses_arguments() -> None:
    def f(x: Any, y: Any) -> Any:
        return (x * x * y).sum()

    assert func.grad(f, argnums=1)(X, X).tolist() == [1, 4]
    assert func.grad(f, argnums=-1)(X, X).tolist() == [1, 4]
    gx, gy = func.grad(f, argnums=(0, 1))(X, X)
    assert gx.tolist() == [2, 8] and gy.tolist() == [1, 4]
    (only,) = func.grad(f, argnums=(1,))(X, X)
    assert only.tolist() == [1, 4]


def test_aux_comes_along_cut_off_from_the_graph() -> None:
    def f(x: Any) -> Any:
        y = x * x
        return y.sum(), {"y": y, "n": 3}

    g, aux = func.grad(f, has_aux=True)(X)
    assert g.tolist() == [2, 4] and type(aux["y"]) is np.ndarray and aux["n"] == 3
    (value, aux), g = func.value_and_grad(f, has_aux=True)(Tensor(X))
    assert value.item() == 5 and g.tolist() == [2, 4] and not aux["y"].requires_grad
    jac, aux = func.jacobian(lambda x: (x * x, x), has_aux=True)(X)
    assert jac.tolist() == [[2, 0], [0, 4]] and aux.tolist() == [1, 2]
    assert func.hessian(f, has_aux=True)(X)[0].tolist() == [[2, 0], [0, 2]]
    assert func.vjp(lambda x: (x * 2, "aux"), X, has_aux=True)[2] == "aux"
    assert func.jvp(lambda x: (x * 2, "aux"), (X,), (X,), has_aux=True)[2] == "aux"


def test_an_argument_without_influence_has_the_derivative_zero() -> None:
    assert func.grad(lambda x, y: (y * y).sum(), argnums=0)(X, Tensor(X)).tolist() == [0, 0]
    assert func.grad(func.grad(lambda x: 3 * x))(np.array(2.0)) == 0
    assert func.hessian(lambda x: x.sum())(X).tolist() == [[0, 0], [0, 0]]
    assert func.hvp(lambda x: x.sum(), X, X).tolist() == [0, 0]
    assert func.jvp(lambda x: Tensor(X) * 1, (X,), (X,))[1].tolist() == [0, 0]
    assert func.jacobian(lambda x: Tensor(X))(X).tolist() == [[0, 0], [0, 0]]
    assert func.vjp(lambda x: Tensor(X), X)[1](X)[0].tolist() == [0, 0]


# Values


def test_value_and_grad_gives_both() -> None:
    value, g = func.value_and_grad(lambda x: (x**3).sum())(X)
    assert value == 9 and g.tolist() == [3, 12] and type(value) is np.ndarray


def test_known_higher_derivatives() -> None:
    slope = func.grad(lambda x: x**3)
    x = np.array(2.0)
    assert [slope(x), func.grad(slope)(x), func.grad(func.grad(slope))(x)] == [12, 12, 6]
    assert func.hvp(lambda x: (x**4).sum(), X, np.ones(2)).tolist() == [12, 48]
    penalty = func.grad(lambda x: (func.grad(lambda t: t.tanh().sum())(x) ** 2).sum())
    np.testing.assert_allclose(penalty(X), [-0.537315, -0.019248], atol=1e-6)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.exp() * x,
        lambda x: (x * x + 1).log() * x.tanh(),
        lambda x: x.sqrt() / (1 + x),
        lambda x: x.sigmoid() ** 2 * x**3,
        lambda x: tg.logsumexp(tg.stack([x, x * 2, -x])),
        lambda x: tg.sin(x) * tg.cos(x * 2),
        lambda x: (tg.stack([x, x**2]) @ tg.stack([x**3, x.exp()])).tanh(),
    ],
)
def test_first_second_and_third_order_agree_with_differences_of_the_order_below(f: Any) -> None:
    below: Any = f
    for _ in range(3):
        above = func.grad(below)
        for x in (0.4, 0.9):
            numeric = difference(lambda v, below=below: float(below(tg.asarray(np.array(v)))), x)
            np.testing.assert_allclose(above(np.array(x)), numeric, rtol=1e-6, atol=1e-7)
        below = above


def mix(x: Any) -> Any:
    """A function of a matrix (2, 3) with all kinds of terms and the shape (2, 2)."""
    y = tg.tanh(x @ x.T) + x[:, :2] * x.sum()
    return y * tg.max(x, axis=1, keepdims=True)


def test_the_jacobian_agrees_with_differences_and_with_products_on_both_sides() -> None:
    rng = np.random.default_rng(3)
    x, u, v = rng.normal(size=(2, 3)), rng.normal(size=(2, 2)), rng.normal(size=(2, 3))
    jac = func.jacobian(mix)(x)
    assert jac.shape == (2, 2, 2, 3)
    np.testing.assert_allclose(jac, central(lambda a: mix(tg.asarray(a)).numpy(), x), rtol=1e-6, atol=1e-8)
    y, change = func.jvp(mix, (x,), (v,))
    np.testing.assert_allclose(y, mix(x), rtol=1e-12)
    np.testing.assert_allclose(change, np.tensordot(jac, v, 2), rtol=1e-10)
    y, pullback = func.vjp(mix, x)
    np.testing.assert_allclose(pullback(u)[0], np.tensordot(u, jac, 2), rtol=1e-10)
    np.testing.assert_allclose(pullback(2 * u)[0], 2 * np.tensordot(u, jac, 2), rtol=1e-10)


def test_the_hessian_agrees_with_differences_of_the_gradient_and_is_symmetric() -> None:
    x = np.random.default_rng(4).normal(size=(2, 3))

    def f(x: Any) -> Any:
        return mix(x).sum()

    h = func.hessian(f)(x)
    assert h.shape == (2, 3, 2, 3)
    np.testing.assert_allclose(h, central(func.grad(f), x), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(h, h.transpose(2, 3, 0, 1), rtol=1e-9, atol=1e-12)
    v = np.ones((2, 3))
    np.testing.assert_allclose(func.hvp(f, x, v), np.tensordot(h, v, 2), rtol=1e-10)


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 12))
def test_jacobians_by_rows_and_by_columns_agree_with_differences(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    a, x = rng.normal(size=(m, n)), rng.normal(size=n)
    jac = func.jacobian(lambda x: (a @ x).tanh() * (1 + x[0]))(x)
    t = np.tanh(a @ x)
    expected = (1 - t * t)[:, None] * a * (1 + x[0])
    expected[:, 0] += t
    np.testing.assert_allclose(jac, expected, rtol=1e-9, atol=1e-12)


def test_a_nested_result_gives_a_jacobian_in_each_place() -> None:
    jac = func.jacobian(lambda p, q: {"a": p["w"] @ q, "b": [q * q]}, argnums=(0, 1))(
        {"w": np.ones((2, 2))}, X
    )
    assert [j["w"].shape if isinstance(j, dict) else j.shape for j in jac["a"]] == [(2, 2, 2), (2, 2)]
    assert jac["b"][0][0]["w"].tolist() == np.zeros((2, 2, 2)).tolist()
    assert jac["b"][0][1].tolist() == [[2, 0], [0, 4]]


def test_the_hessian_of_several_arguments_has_all_the_mixed_blocks() -> None:
    (xx, xy), (yx, yy) = func.hessian(lambda x, y: (x * y * y).sum(), argnums=(0, 1))(X, X)
    assert xx.tolist() == [[0, 0], [0, 0]] and xy.tolist() == yx.tolist() == [[2, 0], [0, 4]]
    assert yy.tolist() == [[2, 0], [0, 4]]


def test_jacobians_of_numbers_vectors_and_empty_arrays_have_the_two_shapes() -> None:
    for out, x in (
        ((), ()),
        ((), (3,)),
        ((3,), ()),
        ((0,), (2,)),
        ((2,), (0,)),
        ((40,), (2,)),
        ((2, 1), (1, 2)),
    ):
        jac = func.jacobian(lambda x, out=out: tg.broadcast_to(x.sum(), out) * 2)(np.ones(x))
        assert jac.shape == (*out, *x) and (jac == 2).all()


def test_a_jacobian_is_differentiable_itself() -> None:
    w = leaf(X)
    for size in (2, 40):  # by rows, by columns
        w.grad = None
        jac = func.jacobian(lambda x, size=size: tg.broadcast_to((w * x * x).sum(), (size,)))(X)
        assert jac.requires_grad
        jac[0].sum().backward()
        assert gradient(w).tolist() == [2, 4]


def test_products_with_vectors_that_require_grad_are_differentiable_in_them() -> None:
    v = leaf(X)
    _, change = func.jvp(lambda x: x * x, (X,), (v,))
    change.sum().backward()
    assert gradient(v).tolist() == [2, 4]
    v.grad = None
    func.vjp(lambda x: x * x, X)[1](v)[0].sum().backward()
    assert gradient(v).tolist() == [2, 4]
    v.grad = None
    func.hvp(lambda x: (x**3).sum(), X, v).sum().backward()
    assert gradient(v).tolist() == [6, 12]


def test_jvp_of_several_nested_arguments() -> None:
    y, change = func.jvp(
        lambda p, b: {"y": p["w"] * b, "w2": p["w"] ** 2},
        ({"w": X}, np.array(3.0)),
        ({"w": np.ones(2)}, np.array(10.0)),
    )
    assert y["y"].tolist() == [3, 6] and change["y"].tolist() == [13, 23] and change["w2"].tolist() == [2, 4]


def test_hvp_of_a_tuple_takes_several_arguments_and_of_a_dict_one() -> None:
    a, b = func.hvp(lambda x, y: (x * y * y).sum(), (X, X), (X, X))
    assert a.tolist() == [2, 8] and b.tolist() == [4, 16]
    (a,) = func.hvp(lambda x: (x**4).sum(), (X,), (np.ones(2),))
    assert a.tolist() == [12, 48]
    assert func.hvp(lambda p: (p["x"] ** 4).sum(), {"x": X}, {"x": np.ones(2)})["x"].tolist() == [12, 48]


def test_gradients_inside_functions_do_not_confuse_their_variables() -> None:
    # d/dx (x * d/dy (x + y)) = 1: a derivative that mixed up x and y would say 2.
    assert func.grad(lambda x: x * func.grad(lambda y: x + y)(np.array(1.0)))(np.array(1.0)) == 1
    assert func.grad(lambda x: func.grad(lambda y: x * y * y)(x * 1.0))(np.array(3.0)) == 12


def test_derivatives_keep_name_and_work_as_functions_do() -> None:
    def loss(x: Any) -> Any:
        return (x * x).sum()

    assert func.grad(loss).__name__ == "grad(loss)"
    assert func.hessian(loss).__name__ == "hessian(loss)"


def test_pytorch_gives_the_same_jacobians_and_hessians() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is one of the peers, installed by the extra `peer`")

    def theirs(x: Any) -> Any:
        y = torch.tanh(x @ x.T) + x[:, :2] * x.sum()
        return y * x.amax(dim=1, keepdim=True)

    x = np.random.default_rng(5).normal(size=(2, 3))
    jac = torch.autograd.functional.jacobian(theirs, torch.tensor(x))
    np.testing.assert_allclose(func.jacobian(mix)(x), jac.numpy(), rtol=1e-10, atol=1e-12)
    hess = torch.autograd.functional.hessian(lambda x: theirs(x).sum(), torch.tensor(x))
    np.testing.assert_allclose(func.hessian(lambda x: mix(x).sum())(x), hess.numpy(), rtol=1e-9, atol=1e-10)
