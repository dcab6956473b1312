"""func.vmap: axes, nesting, randomness, what is refused, and how it composes with derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import Tensor, func, nn
from tinygrad_dl.autograd import checkpoint
from tinygrad_dl.errors import GraphError
from tinygrad_dl.nn import functional as F

X = np.random.default_rng(0).standard_normal((4, 3))
Y = np.random.default_rng(1).standard_normal((4, 3))


def test_arrays_give_arrays_and_tensors_give_tensors() -> None:
    doubled = func.vmap(lambda x: x * 2)
    assert type(doubled(X)) is np.ndarray
    assert type(doubled(Tensor(X))) is Tensor
    np.testing.assert_allclose(doubled(X), 2 * X)


def test_axes_of_arguments_and_results() -> None:
    out = func.vmap(lambda x, y: x[0] * y, in_axes=(1, None), out_axes=-1)(X, Y)
    np.testing.assert_allclose(out, np.stack([X[0, i] * Y for i in range(3)], axis=-1))
    tree = func.vmap(lambda d, c: {"a": d["p"] + c, "b": (d["q"].sum(),)}, ({"p": 0, "q": -1}, None))(
        {"p": X, "q": Y.T}, 1.0
    )
    np.testing.assert_allclose(tree["a"], X + 1)
    np.testing.assert_allclose(tree["b"][0], Y.sum(axis=1))
    shared, own = func.vmap(lambda x: (Tensor(1.0), x), out_axes=(None, 0))(X)
    assert np.shape(shared) == ()
    assert own.shape == (4, 3)
    repeated = func.vmap(lambda x: Tensor([1.0, 2.0]))(X)
    assert repeated.shape == (4, 2)


def test_nested_maps() -> None:
    products = func.vmap(func.vmap(lambda x, y: (x * y).sum(), (None, 0)), (0, None))(X, Y)
    np.testing.assert_allclose(products, X @ Y.T)
    twice = func.vmap(lambda x: func.vmap(lambda a: a * x)(x))(X)
    np.testing.assert_allclose(twice, X[:, :, None] * X[:, None, :])


def test_no_examples() -> None:
    assert func.vmap(lambda x: (x * 2).sum())(np.zeros((0, 3))).shape == (0,)
    assert func.vmap(lambda x: tg.linalg.matrix_norm(x))(np.zeros((0, 3, 2))).shape == (0,)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: func.vmap(3), TypeError, "expected a function first"),  # type: ignore[arg-type]
        (lambda: func.vmap(lambda x: x)(), ValueError, "at least one argument"),
        (lambda: func.vmap(lambda x: x, in_axes=None)(X), TypeError, "in_axes: expected an int or a tuple"),
        (lambda: func.vmap(lambda x: x, (None,))(X), ValueError, "in_axes is None for all"),
        (lambda: func.vmap(lambda x: x, 2)(X), IndexError, "in_axes.* is 2, but the argument has 2 axes"),
        (lambda: func.vmap(lambda x, y: x)(X, Y[:2]), ValueError, "one size along the mapped axes"),
        (lambda: func.vmap(lambda x, y: x, (0,))(X, Y), ValueError, "nested as the arguments"),
        (lambda: func.vmap(lambda x, y: x)(X, 2.0), TypeError, "expected a Tensor or an array to map over"),
        (lambda: func.vmap(lambda x: 3.0)(X), TypeError, "expected f to return Tensors"),
        (lambda: func.vmap(lambda x: x, out_axes=None)(X), ValueError, "out_axes is None .* differs"),
        (lambda: func.vmap(lambda x: x, out_axes=5)(X), IndexError, "out_axes is 5"),
        (lambda: func.vmap(lambda x: x, randomness="some")(X), ValueError, "randomness"),  # type: ignore[arg-type]
        (lambda: func.vmap(lambda x: x, chunk_size=0)(X), ValueError, "chunk_size"),
        (lambda: func.vmap(lambda x: x if x.sum() > 0 else -x)(X), GraphError, "the truth of a Tensor"),
        (lambda: func.vmap(lambda x: x * x.sum().item())(X), GraphError, r"\.item\(\)"),
        (lambda: func.vmap(lambda x: x * float(x[0]))(X), GraphError, "as a number"),
        (lambda: func.vmap(lambda x: tg.asarray(x.numpy()))(X), GraphError, r"\.numpy\(\)"),
        (lambda: func.vmap(lambda x: Tensor(x))(X), GraphError, "cannot be read"),
        (lambda: func.vmap(lambda x: x[x > 0])(X), IndexError, "another number of elements"),
        (lambda: func.vmap(lambda x: x.sum().backward())(X), GraphError, "backward"),
        (lambda: func.vmap(lambda x: tg.dropout(x))(X), ValueError, 'randomness="different"'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(call: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        call()


def test_a_value_does_not_outlive_its_call() -> None:
    kept = []
    func.vmap(lambda x: kept.append(x) or x)(X)
    with pytest.raises(GraphError, match="after the call ended"):
        kept[0] + 1


def test_randomness() -> None:
    ones = np.ones((50, 20))
    tg.manual_seed(0)
    different = func.vmap(lambda x: tg.dropout(x), randomness="different")(ones)
    same = func.vmap(lambda x: tg.dropout(x), randomness="same")(ones)
    chunked = func.vmap(lambda x: tg.dropout(x), randomness="same", chunk_size=20)(ones)
    assert not (different == different[0]).all()
    assert (same == same[0]).all()
    assert (chunked == chunked[0]).all()
    shared = func.vmap(lambda x, y: tg.dropout(y), (0, None), randomness="different")(ones, ones[0])
    assert not (shared == shared[0]).all()


DRAWS: dict[str, Callable[[Any], Any]] = {
    "randperm": lambda p: tg.randperm(30),
    "choice": lambda p: tg.random.choice(30, (20,)),
    "choice without replacement": lambda p: tg.random.choice(30, (20,), replace=False),
    "choice of p": lambda p: tg.random.choice(30, (20,), p=p / 30),
    "multinomial": lambda p: tg.random.multinomial(np.ones(30), 20),
    "multinomial of p": lambda p: tg.random.multinomial(p, 20),
    "multinomial of p with replacement": lambda p: tg.random.multinomial(p, 20, replacement=True),
    "bernoulli": lambda p: tg.random.bernoulli(0.5, (20,)),
    "bernoulli of p": lambda p: tg.random.bernoulli(p / 2),
    "randint": lambda p: tg.randint(0, 30, (20,)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_each_draw_heeds_randomness(name: str) -> None:
    draw, ones = DRAWS[name], np.ones((4, 30))
    with pytest.raises(ValueError, match='randomness="different"'):
        func.vmap(draw)(ones)
    shape = draw(ones[0]).shape
    different = func.vmap(draw, randomness="different")(ones)
    same = func.vmap(draw, randomness="same")(ones)
    assert different.shape == same.shape == (4, *shape)
    assert len({row.tobytes() for row in different}) == 4
    assert (same == same[0]).all()
    nested = func.vmap(func.vmap(draw, randomness="same"), randomness="different")(np.ones((3, 2, 30)))
    assert nested.shape == (3, 2, *shape)
    assert (nested[:, 0] == nested[:, 1]).all()
    assert len({row.tobytes() for row in nested[:, 0]}) == 3
    assert func.vmap(draw, randomness="different")(ones[:0]).shape == (0, *shape)


def test_each_example_draws_with_its_own_probabilities() -> None:
    p = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.2, 0.8, 0.0]])
    for randomness in ("same", "different"):

        def of_all(f: Any, count: int, randomness: Any = randomness) -> Any:
            return func.vmap(f, randomness=randomness)(np.repeat(p, count, axis=0))

        ones = of_all(lambda p: tg.random.bernoulli(p), 1)
        np.testing.assert_array_equal(ones[:2], p[:2])
        np.testing.assert_array_equal(of_all(lambda p: tg.random.multinomial(p), 1)[:2], [[2], [1]])
        for index in (
            of_all(lambda p: tg.random.multinomial(p, 4000, replacement=True), 1),
            of_all(lambda p: tg.random.choice(3, (4000,), p=p), 1),
        ):
            np.testing.assert_array_equal(index[:2], np.array([[2], [1]]) * np.ones((1, 4000)))
            np.testing.assert_allclose(index[2].mean(), 0.8, atol=0.05)
    first = of_all(lambda p: tg.random.multinomial(p + 0.1, 2), 2000)
    assert (first[:, 0] != first[:, 1]).all()
    np.testing.assert_allclose((first[4000:, 0] == 1).mean(), 0.9 / 1.3, atol=0.05)
    with pytest.raises(ValueError, match="multinomial: expected at most as many samples as weights above 0"):
        of_all(lambda p: tg.random.multinomial(p, 2), 1)
    with pytest.raises(
        ValueError, match=r"choice: p: expected one probability for each of 4 entries, got \(3,\)"
    ):
        of_all(lambda p: tg.random.choice(4, p=p), 1)


def test_chunks_change_nothing() -> None:
    for size in (1, 3, 4, 9):
        out = func.vmap(lambda x: (x * 2, x.sum()), out_axes=(1, 0), chunk_size=size)(X)
        np.testing.assert_allclose(out[0], 2 * X.T)
        np.testing.assert_allclose(out[1], X.sum(axis=1))


def test_indices_that_differ_between_examples() -> None:
    at = np.array([0, 2, 1, 2])
    np.testing.assert_allclose(func.vmap(lambda x, i: x[i])(X, at), X[np.arange(4), at])
    np.testing.assert_allclose(func.vmap(lambda x, i: x[i], (None, 0))(X, at), X[at])
    cube = np.random.default_rng(2).standard_normal((4, 3, 5, 2))
    picked = func.vmap(lambda x, i: x[:, i, None, i - 1])(cube, np.array([1, 0, 1, 1]))
    np.testing.assert_allclose(picked, np.stack([c[:, i, None, i - 1] for c, i in zip(cube, (1, 0, 1, 1))]))
    split = func.vmap(lambda x, i: x[i, :, i])(cube, np.array([[1, 0], [0, 0], [1, 1], [0, 1]]))
    np.testing.assert_allclose(
        split, np.stack([c[i, :, i] for c, i in zip(cube, ([1, 0], [0, 0], [1, 1], [0, 1]))])
    )


def test_assignment_inside() -> None:
    def assigned(x: Any, i: Any) -> Any:
        y = tg.zeros(3, dtype="float64")  # shared by all examples, until something of theirs is put in
        y[i] = x.sum()
        z = x * 1
        z[z < 0] = 0.0
        return y, z

    y, z = func.vmap(assigned)(X, np.array([0, 1, 2, 1]))
    expected = np.zeros((4, 3))
    expected[np.arange(4), [0, 1, 2, 1]] = X.sum(axis=1)
    np.testing.assert_allclose(y, expected)
    np.testing.assert_allclose(z, np.maximum(X, 0))


def test_shapes_that_depend_on_that_of_an_example() -> None:
    assert func.vmap(lambda x: tg.reshape(x, (-1,)))(np.zeros((0, 2, 3))).shape == (0, 6)
    assert func.vmap(tg.squeeze)(np.zeros((1, 1, 4, 1))).shape == (1, 4)
    assert func.vmap(lambda x: tg.squeeze(x, 0))(np.zeros(3)).shape == (3,)  # as NumPy does for a number
    rows = func.vmap(tg.tril)(X)  # of one axis: a matrix of each example, its rows repeated
    np.testing.assert_array_equal(rows, np.stack([np.tril(x) for x in X]))


def test_a_product_with_a_number_is_refused_for_one_example() -> None:
    for f in (lambda x, y: y @ x, lambda x, y: x @ y):
        with pytest.raises(tg.errors.ShapeError, match=r"\(\)"):
            func.vmap(f)(np.ones(4), np.ones((4, 3, 3)))


@pytest.mark.parametrize("weight", [None, np.array([0.5, 2.0, 3.0])])
def test_the_mean_cross_entropy_of_examples_with_one_target_or_none(weight: Any) -> None:
    rng = np.random.default_rng(2)
    x, targets = rng.standard_normal((3, 2, 3)), np.array([[-100, 0], [-100, -100], [1, 2]])

    def loss(x: Any, target: Any) -> Any:
        return F.cross_entropy(x, target, weight=weight)

    with np.errstate(invalid="ignore"):
        expected = [loss(tg.asarray(a), tg.asarray(t)).item() for a, t in zip(x, targets)]
    np.testing.assert_allclose(func.vmap(loss)(x, targets), expected)
    assert np.isnan(expected[1])
    one_class = func.vmap(lambda x, t: F.cross_entropy(x, t, weight=np.array([2.0])))
    np.testing.assert_allclose(one_class(np.ones((1, 2, 1)), np.array([[0, -100]])), [0])


def test_second_derivatives_in_the_parameters_of_each_example_of_a_normalization() -> None:
    rng = np.random.default_rng(4)
    x, w, b = rng.standard_normal((2, 4, 3)), rng.standard_normal((3, 4)), rng.standard_normal((3, 4))

    def change(w: Any, b: Any) -> Any:
        def loss(w: Any, b: Any) -> Any:
            return (F.group_norm(tg.asarray(x), 2, w, b) ** 3).sum()

        slopes = func.grad(loss, argnums=(0, 1))
        return func.grad(lambda w, b: sum((g**2).sum() for g in slopes(w, b)), argnums=(0, 1))(w, b)

    found = func.vmap(change)(w, b)
    for i in range(2):
        np.testing.assert_allclose(found[i], np.stack([change(*one)[i] for one in zip(w, b)]), rtol=1e-9)


def test_explain_tells_what_was_looped() -> None:
    report = func.vmap(lambda x, n: tg.repeat(tg.exp(x) * 2, n)).explain(X, np.full((4, 3), 2))
    assert report.batched == {"exp": 1, "multiply": 1}
    assert report.looped == {"repeat": 1}
    assert "4 examples" in str(report)
    assert "looped" in str(report)


def loss(w: Any, x: Any, y: Any) -> Any:
    return ((x @ w - y) ** 2).sum()


W = np.random.default_rng(3).standard_normal((3, 2))
T = np.random.default_rng(4).standard_normal((4, 2))


def test_per_example_gradients_inside_and_outside_of_other_transformations() -> None:
    each = func.vmap(func.grad(loss), (None, 0, 0))
    expected = np.stack([func.grad(loss)(W, x, t) for x, t in zip(X, T)])
    np.testing.assert_allclose(each(W, X, T), expected)
    # Differentiated again, through the map
    second = func.grad(lambda w: (each(w, X, T) ** 2).sum())(W)
    looped = func.grad(lambda w: sum((func.grad(loss)(w, x, t) ** 2).sum() for x, t in zip(X, T)))(W)
    np.testing.assert_allclose(second, looped)
    hessians = func.vmap(func.hessian(loss), (None, 0, 0))(W, X, T)
    np.testing.assert_allclose(hessians, np.stack([func.hessian(loss)(W, x, t) for x, t in zip(X, T)]))
    jacobians = func.vmap(func.jacobian(lambda x: tg.tanh(W.T @ x)))(X)
    np.testing.assert_allclose(jacobians, np.stack([func.jacobian(lambda x: tg.tanh(W.T @ x))(x) for x in X]))
    through = func.jacobian(func.vmap(lambda x: (x**3).sum()))(X)
    np.testing.assert_allclose(through, np.eye(4)[:, :, None] * 3 * X[None] ** 2)


def test_checkpoint_inside_and_outside() -> None:
    def f(x: Any) -> Any:
        return (tg.sin(x) * x).sum()

    expected = np.cos(X) * X + np.sin(X)
    np.testing.assert_allclose(func.vmap(func.grad(lambda x: checkpoint(f, x)))(X), expected)
    x = Tensor(X, requires_grad=True)
    checkpoint(func.vmap(f), x).sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.data, expected)


def test_modules_inside() -> None:
    tg.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3)
    )
    images = np.random.default_rng(5).standard_normal((5, 1, 4, 4)).astype("float32")
    out = func.vmap(lambda x: model(x[None])[0])(Tensor(images))
    np.testing.assert_allclose(out.detach().data, model(Tensor(images)).detach().data, rtol=1e-5, atol=1e-6)
    normed = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    with pytest.raises(GraphError, match="running mean"):
        func.vmap(lambda x: normed(x))(Tensor(np.ones((2, 5, 3), "float32")))
    normed.eval()
    assert func.vmap(lambda x: normed(x))(Tensor(np.ones((2, 5, 3), "float32"))).shape == (2, 5, 4)


def test_functional_call_uses_other_parameters_and_changes_nothing() -> None:
    model = nn.Linear(2, 1)
    before = model.state_dict()
    out = func.functional_call(model, {"weight": np.array([[1.0, 2.0]], "float32")}, Tensor([1.0, 1.0]))
    np.testing.assert_allclose(out.detach().data, 3 + before["bias"])
    assert all((model.state_dict()[name] == value).all() for name, value in before.items())
    for wrong, words in (
        ({"weigth": W}, "the unknown 'weigth'"),
        ({"weight": W}, "expected the shape"),
        (({"bias": W}, {"bias": W}), "in several"),
        (3, "expected a dict"),
    ):
        with pytest.raises((ValueError, TypeError), match=words):
            func.functional_call(model, wrong, Tensor([1.0, 1.0]))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="none for 'bias'"):
        func.functional_call(model, {"weight": np.ones((1, 2))}, Tensor([1.0, 1.0]), strict=True)


def test_models_that_differ_are_not_stacked() -> None:
    for models, words in (
        ([], "at least one"),
        ([nn.Linear(2, 1), nn.ReLU()], "one class"),
        ([nn.Linear(2, 1), nn.Linear(2, 1).eval()], "both"),
        ([nn.Linear(2, 1), nn.Linear(3, 1)], "one shape"),
        ([nn.Linear(2, 1), nn.Linear(2, 1).requires_grad_(False)], "require grad"),
    ):
        with pytest.raises(ValueError, match=words):
            func.stack_module_state(models)


# Forward mode


def test_forward_mode_keeps_no_graph() -> None:
    seen = []

    def f(x: Any) -> Any:
        for _ in range(3):
            x = tg.sin(x) * x
            seen.append(x.node)
        return x

    func.jvp(f, (X,), (Y,))
    assert seen == [None] * 3


def test_forward_mode_through_control_flow_assignment_and_modules() -> None:
    def f(x: Any) -> Any:
        y = tg.zeros(3, dtype="float64")
        for i in range(3):
            y[i] = x[i] ** 2 if x[i] > 0 else -x[i]
        return y

    value, change = func.jvp(f, (X[0],), (Y[0],))
    np.testing.assert_allclose(change, np.where(X[0] > 0, 2 * X[0], -1) * Y[0])
    np.testing.assert_allclose(value, np.where(X[0] > 0, X[0] ** 2, -X[0]))
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).to("float64")
    out, pullback = func.vjp(model, X)
    _, pushed = func.jvp(model, (X,), (Y,))
    seed = np.ones(out.shape)
    np.testing.assert_allclose(
        (pushed.detach().data * seed).sum(), (pullback(seed)[0].detach().data * Y).sum()
    )


def test_a_tangent_ends_at_detach_and_is_none_for_integers() -> None:
    _, change = func.jvp(lambda x: (x.detach() * x, (x > 0).astype("int64")), (X[0],), (Y[0],))
    np.testing.assert_allclose(change[0], X[0] * Y[0])
    assert not change[1].any()


def test_tangents_of_tangents() -> None:
    def inner(x: Any) -> Any:
        return func.jvp(lambda y: tg.sin(y) * x, (x,), (tg.ones(3, dtype="float64"),))[1]

    _, second = func.jvp(inner, (X[0],), (Y[0],))
    np.testing.assert_allclose(second, (-np.sin(X[0]) * X[0] + np.cos(X[0])) * Y[0])


def test_linearize_and_jacobians_of_nested_arguments() -> None:
    def f(p: Any, x: Any) -> Any:
        return {"out": tg.tanh(p["w"] @ x), "norm": (p["w"] ** 2).sum()}

    p, x = {"w": W.T}, X[0]
    _, along = func.linearize(lambda p: f(p, x), p)
    direction = {"w": np.ones((2, 3))}
    _, expected = func.jvp(lambda p: f(p, x), (p,), (direction,))
    for name, change in along(direction).items():
        np.testing.assert_allclose(change, expected[name])
    for one in (func.jacfwd, func.jacobian):
        found, reference = one(f, argnums=(0, 1))(p, x), func.jacrev(f, argnums=(0, 1))(p, x)
        for name in found:
            np.testing.assert_allclose(found[name][0]["w"], reference[name][0]["w"], atol=1e-12)
            np.testing.assert_allclose(found[name][1], reference[name][1], atol=1e-12)
    for size in (1, 2, 100):
        for one in (func.jacfwd, func.jacrev, func.jacobian):
            chunked = one(lambda x: x**2, chunk_size=size)(x)
            np.testing.assert_allclose(chunked, np.diag(2 * x))
    jacobian, aux = func.jacfwd(lambda x: (x**2, x * 3), has_aux=True)(x)
    np.testing.assert_allclose(jacobian, np.diag(2 * x))
    np.testing.assert_allclose(aux, 3 * x)


def test_models_of_an_ensemble_keep_running_statistics_of_their_own() -> None:
    rng = np.random.default_rng(0)
    models = [nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2, momentum=0.3)).to("float64") for _ in range(4)]
    parameters, buffers = func.stack_module_state(models)
    x = rng.standard_normal((4, 5, 3))

    def call(parameters: Any, buffers: Any, x: Any) -> Any:
        return func.functional_call(models[0], (parameters, buffers), (x,))

    found = func.vmap(call)(parameters, buffers, Tensor(x))
    for k, model in enumerate(models):
        np.testing.assert_allclose(found.detach().data[k], model(Tensor(x[k])).detach().data)
        for name, buffer in model.named_buffers():
            np.testing.assert_allclose(buffers[name].data[k], buffer.data, err_msg=name)
    func.vmap(call, chunk_size=3)(parameters, buffers, Tensor(x))
    assert buffers["1.num_batches_tracked"].tolist() == [2, 2, 2, 2]
    # One batch for all models, and the gradients of each
    shared = func.vmap(call, in_axes=(0, 0, None))(parameters, buffers, Tensor(x[0]))
    shared.sum().backward()
    assert parameters["0.weight"].grad.shape == (4, 2, 3)


def test_running_statistics_that_only_one_of_two_maps_has_are_refused() -> None:
    mean, variance, x = tg.zeros((2, 3)), tg.ones((2, 3)), Tensor(X[:, None] + np.ones((4, 2, 1)))
    one = func.vmap(lambda m, v, x: nn.functional.batch_norm(x, m, v, training=True), (None, None, 0))
    with pytest.raises(GraphError, match="map over the statistics, too: func.stack_module_state"):
        func.vmap(one)(mean, variance, Tensor(np.stack([x.data, x.data])))
    assert not mean.data.any()


def test_running_statistics_in_nested_maps_and_without_a_mapped_input() -> None:
    x = np.random.default_rng(0).standard_normal((2, 4, 5, 3))
    mean, variance = np.zeros((2, 3, 4)), np.ones((2, 4, 3))
    means, variances = tg.asarray(mean), tg.asarray(variance)

    def norm(m: Any, v: Any, x: Any) -> Any:
        return nn.functional.batch_norm(x, m, v, training=True)

    func.vmap(func.vmap(norm, (1, 0, 0)))(means, variances, Tensor(x))
    np.testing.assert_allclose(means.data, 0.1 * x.mean(axis=2).transpose(0, 2, 1), atol=1e-12)
    np.testing.assert_allclose(variances.data, 0.9 + 0.1 * x.var(axis=2, ddof=1))
    means, variances = tg.zeros((4, 3), dtype="float64"), tg.ones((4, 3), dtype="float64")
    out = func.vmap(norm, (0, 0, None))(means, variances, Tensor(x[0, 0]))
    assert out.shape == (4, 5, 3)
    np.testing.assert_allclose(means.data, np.tile(0.1 * x[0, 0].mean(axis=0), (4, 1)), atol=1e-12)
    means, variances = tg.zeros((2, 3), dtype="float64"), tg.ones((2, 3), dtype="float64")
    func.vmap(nn.functional.instance_norm, (0, 0, 0))(Tensor(x.swapaxes(2, 3)), means, variances)
    np.testing.assert_allclose(means.data, 0.1 * x.mean(axis=(1, 2)), atol=1e-12)


def test_functions_that_read_values_are_called_for_each_example_of_every_map() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 3, 4, 2)), rng.standard_normal((2, 3, 4))
    found = func.vmap(func.vmap(lambda a, b: tg.linalg.lstsq(a, b).solution))(a, b)
    each = np.stack([[np.linalg.lstsq(a[i, j], b[i, j])[0] for j in range(3)] for i in range(2)])
    np.testing.assert_allclose(found, each)
    # The matrix belongs to one map, the right side to the other.
    crossed = func.vmap(
        lambda a, bs: func.vmap(lambda b: tg.linalg.lstsq(a, b).solution)(bs), in_axes=(0, None)
    )(a[:, 0], b[0])
    expected = np.stack([[np.linalg.lstsq(a[i, 0], b[0, j])[0] for j in range(3)] for i in range(2)])
    np.testing.assert_allclose(crossed, expected)
    q, rows = np.array([0.2, 0.9]), rng.standard_normal((3, 7))
    found = func.vmap(lambda q: func.vmap(lambda row: tg.quantile(row, q))(rows))(q)
    np.testing.assert_allclose(found, np.stack([np.quantile(rows, x, axis=1) for x in q]))
    # Below a tangent
    grid = rng.uniform(-0.8, 0.8, (3, 1, 2, 2, 2))
    image, t = rng.standard_normal((3, 1, 1, 4, 4)), rng.standard_normal(grid.shape)

    def moved(image: Any, grid: Any, t: Any) -> Any:
        return func.jvp(lambda g: nn.functional.grid_sample(image, g), (grid,), (t,))[1]

    each = np.stack([moved(image[k], grid[k], t[k]) for k in range(3)])
    np.testing.assert_allclose(func.vmap(moved)(image, grid, t), each)


READING: dict[str, Any] = {
    "sinc": np.sinc,
    "nan_to_num": np.nan_to_num,
    "unwrap": np.unwrap,
    "select": lambda x: np.select([x > 0, x < -1], [x, -x], 2.0),
    "choose": lambda x: np.choose((x > 0).astype("int64"), [x, -x]),
    "gradient": lambda x: np.stack(np.gradient(x)),
    "interp": lambda x: np.interp(x, np.arange(5.0), np.arange(5.0) ** 2, period=3.0),
    "nansum": np.nansum,
    "nanvar": lambda x: np.nanvar(x, axis=1),
    "sum": lambda x: np.sum(x, where=x > 0),
    "maximum": lambda x: np.maximum.accumulate(x, axis=1),
    "fmod": lambda x: np.fmod(x, 1.5),
    "fmax": lambda x: np.fmax(x, -x),
    "heaviside": lambda x: np.heaviside(x, 0.5),
    "gcd": lambda x: np.gcd((x * 10).astype("int64"), 6),
    "exp in float32": lambda x: np.exp(x, dtype="float32", order="F"),
    "outer": lambda x: np.add.outer(x, x),
    "rank": lambda x: np.linalg.lstsq(x, x[:, 0], rcond=None)[2],
    "digitize": lambda x: np.digitize(x, np.array([-1.0, 0.0, 1.0])),
}


@pytest.mark.parametrize("name", READING)
def test_numpys_functions_that_read_values_have_each_examples(name: str) -> None:
    f = READING[name]
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    each = np.stack([[np.asarray(f(x[i, j])) for j in range(3)] for i in range(2)])
    found = func.vmap(func.vmap(f), in_axes=1, out_axes=1)(Tensor(x))
    nested = func.vmap(func.vmap(f))(Tensor(x))
    np.testing.assert_allclose(found.data, each, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(nested.data, each, rtol=1e-5, atol=1e-6)
    assert func.vmap(f)(Tensor(x[0])).dtype == each.dtype


def test_what_has_no_value_for_each_example_is_refused() -> None:
    for f in (
        lambda x: np.array_equal(x, x),
        lambda x: np.copyto(x, 0.0),
        lambda x: np.sum(x, out=np.zeros(())),
    ):
        with pytest.raises(GraphError, match="cannot be read inside of the function"):
            func.vmap(f)(Tensor(X))
    assert func.vmap(np.sinc)(Tensor(X[:0])).shape == (0, 3)
    assert func.vmap(np.unwrap)(Tensor(X[:0])).shape == (0, 3)
