"""Derivatives of every order, checkpoints, averages of weights and losses: compiled they are what eager gives."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.compiler.test_steps import BACKENDS
from tinygrad_dl import autograd, func, nn, optim
from tinygrad_dl.nn import functional as F

X = tg.Tensor([0.3, -0.7, 1.2], dtype="float64")
M = tg.Tensor(np.random.default_rng(0).normal(size=(3, 3)))


def f(x: Any) -> Any:
    return (tg.tanh(x @ M) ** 2).sum() + (x**3).sum()


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "grad": func.grad(f),
    "value_and_grad": func.value_and_grad(f),
    "hessian": func.hessian(f),
    "jacobian": func.jacobian(lambda x: tg.sin(x @ M)),
    "grad of grad": func.grad(lambda x: (func.grad(f)(x) ** 2).sum()),
    "hvp": lambda x: func.hvp(f, x, x * 2),
    "vjp": lambda x: func.vjp(lambda y: tg.sin(y) * y, x)[0],
    "jvp": lambda x: func.jvp(lambda y: tg.sin(y) * y, (x,), (x * 2,)),
    "jacfwd": func.jacfwd(lambda x: tg.sin(x @ M)),
    "jvp of a map": lambda x: func.jvp(lambda y: func.vmap(lambda r: (r @ y) ** 2)(M), (x,), (x * 2,)),
    "a gradient for each row": func.vmap(func.grad(lambda r: (tg.tanh(r * M) ** 2).sum())),
    "hessians of rows": lambda x: func.vmap(func.hessian(f))(x * M),
    "the same input twice": lambda x: autograd.grad(f(y := x.requires_grad_()), [y, y]),
}


def assert_equal(a: Any, b: Any, tolerance: float = 1e-9) -> None:
    if isinstance(b, (tuple, list)):
        for x, y in zip(a, b, strict=True):
            assert_equal(x, y, tolerance)
        return
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_of_functions(name: str, backend: str) -> None:
    function = FUNCTIONS[name]
    compiled = tg.compile(function, backend=backend)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for i in range(6):
            x = X * (1 + i / 10)
            assert_equal(compiled(x), function(x))
    assert not caught, [str(w.message) for w in caught]
    assert "runs eagerly" not in compiled.explain()


def squared_gradient(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The gradient of the squared length of the gradient: a second derivative through `create_graph`."""

    def g(x: Any) -> Any:
        x = x.detach().requires_grad_()
        (d,) = autograd.grad(f(x), [x], create_graph=True)
        return autograd.grad((d * d * X).sum(), [x])[0]

    return g


SECOND: dict[str, Callable[[Any], Any]] = {
    "exp of a number": lambda x: tg.exp(x.sum()),
    "length": lambda x: tg.linalg.vector_norm(x[0]),
    "length of order 3": lambda x: tg.linalg.vector_norm(x, ord=3),
    "matrix norm": tg.linalg.matrix_norm,
    "root": lambda x: tg.sqrt((x * x).sum()),
    "sort": lambda x: (tg.sort(x, axis=1) ** 3 * X).sum(),
    "sort of all": lambda x: (tg.sort(x, axis=None) ** 3 * tg.arange(9.0)).sum(),
    "cholesky": lambda x: (tg.linalg.cholesky(x @ x.mT + tg.eye(3)) * M).sum(),
    "qr": lambda x: (tg.linalg.qr(x)[1] * M).sum(),
    "inv": lambda x: (tg.linalg.inv(x) * M).sum(),
    "slogdet": lambda x: tg.linalg.slogdet(x)[1],
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SECOND)
def test_second_derivatives_of_numbers_and_matrices_are_captured(name: str, backend: str) -> None:
    function = squared_gradient(SECOND[name])
    compiled = tg.compile(function, backend=backend, fullgraph=True)
    for i in range(5):
        x = M + (i + 1) * tg.eye(3, dtype="float64") / 4
        assert_equal(compiled(x), function(x), 1e-7)
    x = tg.flip(x, axis=0)  # in another order
    assert_equal(compiled(x), function(x), 1e-7)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 3)])
def test_the_second_derivative_of_det_knows_singular_matrices(shape: tuple[int, ...], backend: str) -> None:
    function = squared_gradient(lambda x: tg.linalg.det(x).sum())
    compiled = tg.compile(function, backend=backend)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(4):
            compiled(tg.broadcast_to(M, shape))
        x = np.random.default_rng(1).normal(size=shape)
        x[..., 2] = x[..., 0] - 2 * x[..., 1]
        assert_equal(compiled(tg.Tensor(x)), function(tg.Tensor(x)))
    assert len(caught) == 1 and "the second derivative of det reads values in Python" in str(
        caught[0].message
    )


def test_a_compiled_function_may_be_mapped_and_differentiated() -> None:
    compiled = tg.compile(f)
    for _ in range(5):
        assert_equal(func.vmap(compiled)(M), func.vmap(f)(M))
        assert_equal(func.jvp(compiled, (X,), (X,)), func.jvp(f, (X,), (X,)))
        assert_equal(func.hessian(compiled)(X), func.hessian(f)(X))


def twins(step_of: Callable[[], tuple[Any, Any]], backend: str, *args: Any) -> None:
    """Steps of two equal models, one compiled: results and parameters agree."""
    found = []
    for compiled in (False, True):
        step, parameters = step_of()
        if compiled:
            step = tg.compile(step, backend=backend)
        tg.manual_seed(5)
        results = [step(*args) for _ in range(6)]
        found.append(([r.detach() for r in results], [p.detach() for p in parameters()]))
    assert_equal(found[1], found[0], 1e-6)


def network() -> Any:
    tg.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()


INPUT = tg.Tensor(np.random.default_rng(1).normal(size=(5, 3)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gradient_penalty_differentiates_a_gradient(backend: str) -> None:
    def make() -> tuple[Any, Any]:
        model = network()
        optimizer = optim.Adam(model.parameters(), lr=0.01)

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            x = (x * 1.0).detach().requires_grad_()
            (g,) = autograd.grad(model(x).sum(), x, create_graph=True)
            loss = ((g**2).sum(axis=1) - 1).square().mean() + model(x).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        return step, model.parameters

    twins(make, backend, INPUT)


@pytest.mark.parametrize("backend", BACKENDS)
def test_inner_steps_are_differentiated(backend: str) -> None:
    def make() -> tuple[Any, Any]:
        model = network()
        optimizer = optim.Adam(model.parameters(), lr=0.01)

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            weights = dict(model.named_parameters())
            for _ in range(2):
                loss = func.functional_call(model, weights, (x,)).square().mean()
                gradients = autograd.grad(loss, list(weights.values()), create_graph=True)
                weights = {k: w - 0.1 * g for (k, w), g in zip(weights.items(), gradients)}
            loss = func.functional_call(model, weights, (x,)).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        return step, model.parameters

    twins(make, backend, INPUT)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_of_what_a_step_makes_are_its_own(backend: str) -> None:
    """Leaves of the step, a result that retains its gradient, and a gradient with a graph in `.grad`."""
    w = tg.Tensor([1.0, 2.0], dtype="float64", requires_grad=True)

    def step(x: Any) -> Any:
        w.grad = None
        leaf = (x * 2).detach().requires_grad_()
        product = leaf * w**2
        product.retain_grad()
        (product**2).sum().backward(create_graph=True)
        first, w.grad = w.grad, None
        (first**2).sum().backward()
        return leaf.grad.detach(), product.grad.detach()

    compiled = tg.compile(step, backend=backend, fullgraph=True)
    for i in range(6):
        x = tg.Tensor([1.0 + i, 2.0], dtype="float64")
        expected, gradient = step(x), w.grad
        assert_equal(compiled(x), expected)
        assert_equal(w.grad, gradient)


@pytest.mark.parametrize("backend", BACKENDS)
def test_checkpoints_and_averages_of_weights(backend: str) -> None:
    def make() -> tuple[Any, Any]:
        model = network()
        optimizer = optim.SGD(model.parameters(), lr=0.05)
        average = optim.swa_utils.AveragedModel(model, multi_avg_fn=optim.swa_utils.get_ema_multi_avg_fn(0.9))

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            loss = autograd.checkpoint(model, x).square().mean()
            loss.backward()
            nn.utils.clip_grad_value_(model.parameters(), 0.5)
            optimizer.step()
            average.update_parameters(model)
            return loss

        return step, average.parameters

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twins(make, backend, INPUT)


TARGETS: dict[str, Any] = {
    "cross_entropy": np.array([0, 1, 1, 0, 1]), "nll_loss": np.array([0, 1, 1, 0, 1]),
    "multi_margin_loss": np.array([0, 1, 1, 0, 1]), "mse_loss": np.ones((5, 2)), "l1_loss": np.ones((5, 2)),
    "smooth_l1_loss": np.ones((5, 2)), "huber_loss": np.ones((5, 2)), "kl_div": np.full((5, 2), 0.5),
    "binary_cross_entropy_with_logits": np.full((5, 2), 0.3), "poisson_nll_loss": np.ones((5, 2)),
    "soft_margin_loss": np.sign(np.random.default_rng(0).normal(size=(5, 2))),
    "hinge_embedding_loss": np.sign(np.random.default_rng(0).normal(size=(5, 2))),
    "multilabel_soft_margin_loss": np.array([[0.0, 1.0]] * 5),
}  # fmt: skip


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", TARGETS)
def test_every_loss_trains_as_the_eager_one(name: str, reduction: str, backend: str) -> None:
    loss_of, target = getattr(F, name), TARGETS[name]

    def make() -> tuple[Any, Any]:
        model = network()
        optimizer = optim.SGD(model.parameters(), lr=0.05)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = loss_of(model(x), y, reduction=reduction)
            loss.sum().backward()
            optimizer.step()
            return loss

        return step, model.parameters

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        twins(make, backend, INPUT, target if target.dtype.kind == "i" else tg.Tensor(target))
    told = [str(w.message) for w in caught]
    # These two compute with the classes in Python, so far.
    assert not told or (name in ("nll_loss", "multi_margin_loss") and "computes another" not in told[0]), told


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_how_many_classes_are_ignored_is_never_stale(name: str, reduction: str, backend: str) -> None:
    loss_of = getattr(F, name)

    def loss(x: Any, y: Any) -> Any:
        return loss_of(x, y, reduction=reduction)

    compiled = tg.compile(loss, backend=backend)
    x = tg.Tensor(np.random.default_rng(0).normal(size=(5, 2)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for y in ([0, 1, 1, 0, 1], [0, -100, 1, 0, 1], [0, -100, -100, 0, 1]):
            for _ in range(4):
                assert_equal(compiled(x, np.array(y)), loss(x, np.array(y)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_ignored_classes_of_every_kind(backend: str) -> None:
    x = tg.Tensor(np.random.default_rng(0).normal(size=(6, 3)), requires_grad=True)
    losses: list[Callable[[Any, Any], Any]] = [
        lambda x, y: F.cross_entropy(x, y),
        lambda x, y: F.cross_entropy(x, y, ignore_index=0),
        lambda x, y: F.cross_entropy(x, y.reshape(-1)),
    ]
    for loss in losses:

        def step(x: Any, y: Any, loss: Any = loss) -> Any:
            x.grad = None
            value = loss(x, y)
            value.backward()
            return value.detach()

        compiled = tg.compile(step, backend=backend)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for y in ([-100, 1, 0, 2, 0, 1], [1, 1, 0, 2, 0, 1], [-100, -100, 1, 2, 1, 1]):
                target = np.where(np.array(y) < 0, 0, y) if loss is losses[1] else np.array(y)
                for _ in range(4):
                    expected = step(x, target)
                    gradient = x.grad.numpy().copy()
                    assert_equal(compiled(x, target), expected)
                    np.testing.assert_allclose(x.grad.numpy(), gradient, rtol=1e-9, atol=1e-12)
