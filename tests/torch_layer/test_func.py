"""torch.func's transformations on what programs do: custom functions, random numbers, writes, modules."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl.torch as torch
from tinygrad_dl.torch import func, nn


def numbers(*shape: int, seed: int = 0) -> Any:
    return torch.tensor(np.random.default_rng(seed).standard_normal(shape))


class Cubes(torch.autograd.Function):
    """x³ w and the sum of x; its derivative is that of the formula."""

    @staticmethod
    def forward(ctx: Any, x: Any, w: Any) -> Any:
        out = x * x * x * w
        ctx.save_for_backward(x, w, out)
        return out, x.sum()

    @staticmethod
    def backward(ctx: Any, g: Any, h: Any) -> Any:
        x, w, _ = ctx.saved_tensors
        return 3 * g * x * x * w + h, g * x * x * x


class CubesForward(Cubes):
    @staticmethod
    def forward(ctx: Any, x: Any, w: Any) -> Any:
        ctx.save_for_forward(x, w)
        return Cubes.forward(ctx, x, w)

    @staticmethod
    def jvp(ctx: Any, t_x: Any, t_w: Any) -> Any:
        x, w = ctx.saved_tensors
        return 3 * x * x * w * t_x + x * x * x * t_w, t_x.sum()


def plain(x: Any, w: Any) -> Any:
    return x**3 * w, x.sum()


TRANSFORMED: dict[str, Callable[[Any, Any, Any], Any]] = {
    "jvp": lambda f, x, w: func.jvp(f, (x[0], w[0]), (w[1], x[1])),
    "jvp of jvp": lambda f, x, w: func.jvp(
        lambda a: func.jvp(lambda b: f(b, w[0])[0].exp(), (a,), (w[1],))[1], (x[0],), (x[1],)
    ),
    "vmap": lambda f, x, w: func.vmap(f)(x, w),
    "vmap of one": lambda f, x, w: func.vmap(f, (0, None))(x, w[0]),
    "vmap of grad": lambda f, x, w: func.vmap(func.grad(lambda a, b: (f(a, b)[0] * f(a, b)[1]).sum()))(x, w),
    "grad of vmap": lambda f, x, w: func.grad(lambda a: func.vmap(lambda a, b: f(a, b)[0].exp())(a, w).sum())(
        x
    ),
    "vmap of jvp": lambda f, x, w: func.vmap(lambda a, b: func.jvp(lambda a: f(a, b)[0].exp(), (a,), (b,)))(
        x, w
    ),
    "jvp of vmap": lambda f, x, w: func.jvp(lambda a: func.vmap(f)(a, w)[0].exp(), (x,), (w,)),
    "grad of jvp": lambda f, x, w: func.grad(
        lambda a: func.jvp(lambda b: f(b, w[0])[0].exp(), (a,), (w[1],))[1].sum()
    )(x[0]),
    "jvp of grad": lambda f, x, w: func.jvp(func.grad(lambda a: f(a, w[0])[0].exp().sum()), (x[0],), (w[1],)),
    "hessian": lambda f, x, w: func.hessian(lambda a: (f(a, w[0])[0] * f(a, w[0])[1]).sum())(x[0]),
    "jacfwd": lambda f, x, w: func.jacfwd(f, argnums=(0, 1))(x[0], w[0]),
    "linearize": lambda f, x, w: func.linearize(lambda a: f(a, w[0])[0].exp(), x[0])[1](w[1]),
}


def flat(result: Any) -> list[Any]:
    return [part for r in result for part in flat(r)] if isinstance(result, tuple) else [result]


@pytest.mark.parametrize("cls", [Cubes, CubesForward])
@pytest.mark.parametrize("name", TRANSFORMED)
def test_a_custom_function_is_transformed_as_its_formula(name: str, cls: Any) -> None:
    x, w = numbers(3, 4), numbers(3, 4, seed=1)
    found, expected = (flat(TRANSFORMED[name](f, x, w)) for f in (cls.apply, plain))
    assert len(found) == len(expected)
    for a, b in zip(found, expected):
        np.testing.assert_allclose(a.detach(), b.detach(), rtol=1e-10, atol=1e-12)


class Exponential(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        out, double = x.exp(), 2 * x.exp()
        ctx.save_for_backward(out, double)
        return out, double

    @staticmethod
    def backward(ctx: Any, g: Any, h: Any) -> Any:
        out, double = ctx.saved_tensors
        return g * out + h * double


def test_saved_results_of_a_custom_function_are_differentiated_again() -> None:
    x = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(Exponential.apply(x)[0].sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    np.testing.assert_allclose(second, np.exp([0.5, 2.0]))
    (first,) = torch.autograd.grad(Exponential.apply(x)[1].sum(), x, create_graph=True)
    np.testing.assert_allclose(torch.autograd.grad(first.sum(), x)[0], 2 * np.exp([0.5, 2.0]))
    assert torch.autograd.gradgradcheck(Exponential.apply, x)
    point, direction = x.detach(), torch.tensor([1.0, -1.0], dtype=torch.float64)
    along = func.jvp(func.grad(lambda a: Exponential.apply(a)[1].sum()), (point,), (direction,))[1]
    np.testing.assert_allclose(along, 2 * np.exp([0.5, 2.0]) * [1, -1])


def test_an_ensemble_of_modules_is_one_module_with_stacked_parameters() -> None:
    torch.manual_seed(0)
    models = [
        nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)).double().eval()
        for _ in range(3)
    ]
    parameters, buffers = func.stack_module_state(models)
    base, x = copy.deepcopy(models[0]), numbers(5, 3)
    call = lambda p, b, x: func.functional_call(base, (p, b), (x,))  # noqa: E731
    out = func.vmap(call, (0, 0, None))(parameters, buffers, x)
    np.testing.assert_allclose(out.detach(), np.stack([m(x).detach() for m in models]))


def test_an_ensemble_of_batch_normalizations_averages_its_statistics_over_all_batches() -> None:
    models = [nn.BatchNorm1d(3, momentum=None).double() for _ in range(2)]
    parameters, buffers = func.stack_module_state(models)
    base, x, y = copy.deepcopy(models[0]), numbers(2, 5, 3), numbers(2, 5, 3, seed=1)

    def two_batches(p: Any, b: Any, x: Any, y: Any) -> Any:
        func.functional_call(base, (p, b), (x,))
        func.functional_call(base, (p, b), (y,))
        return b["running_mean"], b["num_batches_tracked"]

    means, counts = func.vmap(two_batches)(parameters, buffers, x, y)
    np.testing.assert_allclose(means, (x.mean(1) + y.mean(1)) / 2)
    assert counts.tolist() == [2, 2]


READ: dict[str, Callable[[Any], Any]] = {
    "topk": lambda x: x.topk(2),
    "scatter_add": lambda x: torch.scatter_add(x, 0, torch.tensor([[0, 1, 1], [0, 0, 1]]), x),
    "index_add": lambda x: x.index_add(0, torch.tensor([1, 0]), x),
    "median": lambda x: x.median(1),
    "quantile": lambda x: x.quantile(0.3, 1),
    "eigh": lambda x: torch.linalg.eigh(x @ x.T)[0],
    "lu": lambda x: torch.linalg.lu(x)[1:],
    "lu_factor": lambda x: torch.linalg.lu_factor(x),
    "matrix_rank": lambda x: torch.linalg.matrix_rank(x),
    "searchsorted": lambda x: torch.searchsorted(x[0].sort()[0], x[1]),
    "log_prob": lambda x: torch.distributions.Normal(x, 1.0).log_prob(x + 1),
    "an index in range": lambda x: x.gather(1, (x > 0).long()),
    "max of a number": lambda x: x.sum().max(0),
    "argmax of a number": lambda x: x.sum().argmax(0),
}


@pytest.mark.parametrize("name", READ)
def test_functions_that_read_values_take_batches(name: str) -> None:
    f, x = READ[name], numbers(4, 2, 3)
    found = flat(func.vmap(lambda x: tuple(flat(tuple(r) if isinstance((r := f(x)), tuple) else r)))(x))
    single = [flat(tuple(r) if isinstance((r := f(one)), tuple) else r) for one in x]
    for a, *b in zip(found, *single):
        np.testing.assert_allclose(a, np.stack(b))


def test_writes_in_place_have_derivatives_and_batches() -> None:
    def f(x: Any) -> Any:
        y = x.clone()
        y[1:] *= x[:-1]
        y[0] = x.sum()
        return (y**2).sum()

    x = numbers(3, 4)
    np.testing.assert_allclose(
        func.vmap(func.grad(f))(x), np.stack([func.grad(f)(one) for one in x]), rtol=1e-12
    )
    derivative = func.jvp(f, (x[0],), (x[1],))[1]
    np.testing.assert_allclose(derivative, (func.grad(f)(x[0]) * x[1]).sum())


def a_row_of_a_transpose(y: Any) -> None:
    y.t()[0].mul_(3)


def a_part_of_a_flat_view(y: Any) -> None:
    y.view(-1)[2:5] = 7.0


def a_copy(y: Any) -> None:
    y.t().reshape(-1).zero_()


def what_indices_took(y: Any) -> None:
    y[[0, 1]].zero_()


def a_new_result_that_functions_of_views_give(y: Any) -> None:
    torch.kron(y, y)[0].zero_()


def rows_and_columns(y: Any) -> None:
    row, column = y[0], y[:, 0]
    row.add_(1)
    column.mul_(2)
    y[1:] *= row


def the_base_of_a_view(y: Any) -> None:
    row = y[0]
    y.mul_(3)
    y[1] = row


@pytest.mark.parametrize(
    "write",
    [
        a_row_of_a_transpose,
        a_part_of_a_flat_view,
        a_copy,
        what_indices_took,
        a_new_result_that_functions_of_views_give,
        rows_and_columns,
        the_base_of_a_view,
    ],
    ids=lambda write: write.__name__,
)
def test_a_write_to_a_view_reaches_what_it_looks_at(write: Callable[[Any], None]) -> None:
    def f(x: Any) -> Any:
        y = x.clone()
        write(y)
        return y

    x, t = numbers(3, 2, 4), numbers(3, 2, 4, seed=1)
    np.testing.assert_allclose(func.vmap(f)(x), np.stack([f(one) for one in x]))
    value, change = func.jvp(f, (x[0],), (t[0],))
    np.testing.assert_allclose(value, f(x[0]))
    np.testing.assert_allclose(change, (f(x[0] + 1e-6 * t[0]) - f(x[0] - 1e-6 * t[0])) / 2e-6, atol=1e-8)


DRAWN: dict[str, Callable[[Any], Any]] = {
    "rand": lambda x: torch.rand(6) + x.sum(),
    "randn_like": torch.randn_like,
    "randint": lambda x: torch.randint(0, 1000, (5,)) + 0 * x.sum(),
    "normal_": lambda x: x.clone().normal_(),
    "uniform_ of a new Tensor": lambda x: torch.empty(6).uniform_() + x.sum(),
    "gumbel_softmax": lambda x: nn.functional.gumbel_softmax(x),
    "dropout": lambda x: nn.functional.dropout(x),
    "alpha_dropout": lambda x: nn.functional.alpha_dropout(x, 0.5, True),
    "rsample": lambda x: torch.distributions.Normal(x, 1.0).rsample(),
    "in a gradient": func.grad(lambda x: (torch.rand(40) * x).sum()),
}
ALONE = {**DRAWN, "bernoulli": torch.bernoulli, "multinomial": lambda x: torch.multinomial(x, 30, True)}


@pytest.mark.parametrize("name", ALONE)
def test_draws_heed_the_randomness_of_vmap(name: str) -> None:
    x = torch.full((3, 40), 0.5)
    with pytest.raises((RuntimeError, ValueError), match="random"):
        func.vmap(ALONE[name])(x)
    out = func.vmap(ALONE[name], randomness="different")(x)
    assert not (out[0] == out[1]).all() and not (out[1] == out[2]).all()
    if name in DRAWN:
        out = func.vmap(ALONE[name], randomness="same")(x)
        assert (out[0] == out[1]).all() and (out[1] == out[2]).all()
    else:
        with pytest.raises(RuntimeError, match="same randomness with a batched tensor"):
            func.vmap(ALONE[name], randomness="same")(x)


def test_auxiliary_results_come_back_cut_off() -> None:
    x, y = numbers(3), numbers(3, seed=1)
    f = lambda x: ((x * y).sum(), {"twice": 2 * x})  # noqa: E731
    gradient, (value, aux) = func.grad_and_value(f, has_aux=True)(x)
    _, pull, aux_vjp = func.vjp(f, x, has_aux=True)
    _, change, aux_jvp = func.jvp(f, (x,), (y,), has_aux=True)
    jacobian, aux_rev = func.jacrev(f, has_aux=True, chunk_size=1)(x)
    for found in (gradient, pull(torch.tensor(1.0, dtype=torch.float64))[0], jacobian):
        np.testing.assert_allclose(found, y)
    np.testing.assert_allclose((value, change), [(x * y).sum(), (y * y).sum()])
    for found in (aux, aux_vjp, aux_jvp, aux_rev):
        np.testing.assert_allclose(found["twice"], 2 * x)
        assert not found["twice"].requires_grad


def test_vjp_takes_gradients_one_by_one_or_nested_as_the_result() -> None:
    x = numbers(3)
    _, pull = func.vjp(lambda x: (x * x, x.sum()), x)
    one = torch.tensor(1.0, dtype=torch.float64)
    np.testing.assert_allclose(pull((x, one))[0], 2 * x * x + 1)
    _, pull = func.vjp(lambda x: {"square": x * x, "rest": [x.sum()]}, x)
    np.testing.assert_allclose(pull({"square": x, "rest": [one]})[0], 2 * x * x + 1)
    np.testing.assert_allclose(func.vmap(lambda x: x + 1, chunk_size=2)(numbers(5, 2)), numbers(5, 2) + 1)
    assert func.functionalize(torch.sin)(one) == one.sin()
