"""autograd.grad and checkpoint."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.leaves import gradient, leaf
from tinygrad_dl import checkpoint, config
from tinygrad_dl.autograd import grad
from tinygrad_dl.errors import DTypeError, GraphError, ShapeError
from tinygrad_dl.tensor import Tensor


def values(found: Any) -> list[Any]:
    return [None if g is None else g.tolist() for g in found]


def test_grad_gives_a_tuple_and_leaves_grad_alone() -> None:
    x, y = leaf([1.0, 2.0]), leaf(3.0)
    found = grad((x * y).sum(), [x, y])
    assert isinstance(found, tuple) and values(found) == [[3, 3], 3]
    assert x.grad is None and y.grad is None
    assert values(grad((x * x).sum(), x)) == [[2, 4]]


def test_grad_sums_over_the_outputs_with_their_weights() -> None:
    x = leaf(2.0)
    assert values(grad([x * x, x * 3], [x])) == [7]
    assert values(grad([x * x, x * 3], [x], [10.0, None])) == [43]
    y = x * tg.asarray(np.array([1.0, 2.0]))
    assert values(grad(y, x, np.array([1.0, 10.0]))) == [21]
    assert values(grad((x * x, x * x), x, grad_outputs=(Tensor(2.0), 1))) == [12]


def test_grad_of_an_intermediate_value() -> None:
    x = leaf(3.0)
    h = x * x
    assert values(grad(h * h, [h, x])) == [18, 108]


def test_grad_of_the_output_itself_is_the_seed() -> None:
    x = leaf([1.0, 2.0])
    y = x * 2
    assert values(grad(y, [y, x], np.array([1.0, 10.0]))) == [[1, 10], [2, 20]]
    assert values(grad(x, x, np.array([5.0, 6.0]))) == [[5, 6]]


def test_grad_up_to_an_intermediate_value_leaves_what_is_below_it_usable() -> None:
    x = leaf(3.0)
    h = x * x
    z = h * h
    assert values(grad(z, h)) == [18]
    h.backward()
    assert gradient(x) == 6


def test_only_paths_to_the_inputs_are_computed() -> None:
    calls: list[str] = []

    def counting(g: Any, x: Any, y: Any) -> Any:
        calls.append("x")
        return g * y

    def counting_too(g: Any, x: Any, y: Any) -> Any:
        calls.append("y")
        return g * x

    @tg.op(counting, counting_too)
    def counted_product(x: Any, y: Any, /) -> Any:
        return x * y

    x, y = leaf(2.0), leaf(3.0)
    h = counted_product(x, y)
    other = counted_product(h, y)
    assert values(grad(other, h, retain_graph=True)) == [3] and calls == ["x"]
    calls.clear()
    assert values(grad(other, x, create_graph=True)) == [9] and calls == ["x", "x"]
    calls.clear()
    constant = counted_product(x, 5.0)
    assert values(grad(constant, x)) == [5] and calls == ["x"]


def test_retain_graph_follows_create_graph() -> None:
    x = leaf(2.0)
    y = x**3
    (g,) = grad(y, x, create_graph=True)
    assert values(grad(y, x, retain_graph=True)) == [12]
    assert values(grad(y, x)) == [12]
    with pytest.raises(GraphError, match="freed by an earlier backward"):
        grad(y, x)
    assert g is not None and not isinstance(g, np.ndarray)


def test_higher_orders_by_create_graph() -> None:
    x = leaf(2.0)
    (first,) = grad(x**3, x, create_graph=True)
    (second,) = grad(first, x, create_graph=True)
    (third,) = grad(second, x)
    assert values([first, second, third]) == [12, 12, 6]


def test_a_recorded_gradient_is_differentiable_in_the_weights_of_the_outputs() -> None:
    x, v = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (g,) = grad(x * x, x, v, create_graph=True)
    assert g is not None and values(grad(g.sum(), [v, x])) == [[2, 4], [6, 8]]


def test_the_same_input_twice_gets_its_gradient_twice() -> None:
    x = leaf(2.0)
    a, b = grad(x * x, [x, x])
    assert a is not None and b is not None and a is not b and a.item() == b.item() == 4


def test_an_unused_input_raises_or_is_none() -> None:
    x, y = leaf(1.0), leaf([2.0, 3.0])
    with pytest.raises(GraphError) as caught:
        grad(x * 2, [x, y])
    assert str(caught.value) == (
        "autograd.grad: no output depends on inputs[1] (shape (2,)). Pass allow_unused=True to get None "
        "for it."
    )
    assert values(grad(x * 2, [x, y], allow_unused=True)) == [2, None]


def test_an_input_that_enters_only_where_there_is_no_derivative_is_unused() -> None:
    x, y = leaf([1.0, -1.0]), leaf([1.0, 1.0])
    out = tg.where(x > 0, y, 0.0).sum()
    assert values(grad(out, [x, y], allow_unused=True)) == [None, [1, 0]]


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        (
            lambda x: (x.detach(), x),
            GraphError,
            "autograd.grad: outputs[0] does not require grad: nothing it depends on does, or the graph was "
            "cut by "
            "detach(), no_grad or NumPy",
        ),
        (
            lambda x: (x * 2, [x, Tensor([1.0])]),
            GraphError,
            "autograd.grad: inputs[1] does not require grad: call requires_grad_() on it before the "
            "outputs are "
            "computed",
        ),
        (
            lambda x: (x * 2, x),
            GraphError,
            "autograd.grad: expected a gradient for a result of shape (2,), got none. Reduce it to one number "
            "first, such as "
            "with .sum() or .mean(), or pass the gradient.",
        ),
        (
            lambda x: (x * 2, x, np.ones(3)),
            ShapeError,
            "autograd.grad: expected a gradient of the result's shape (2,), got (3,)",
        ),
        (
            lambda x: ([x.sum(), x.sum()], x, [1.0]),
            ShapeError,
            "autograd.grad: expected one of grad_outputs per output, got 1 for 2 outputs",
        ),
        (
            lambda x: (x.sum(), np.ones(2)),
            DTypeError,
            "autograd.grad: inputs: expected a Tensor or a sequence of Tensors, got an array of shape (2,) "
            "and dtype float64",
        ),
        (
            lambda x: ([x.sum(), 3.0], x),
            DTypeError,
            "autograd.grad: outputs[1]: expected a Tensor, got float 3.0",
        ),
        (
            lambda x: (x.sum(), []),
            DTypeError,
            "autograd.grad: inputs: expected at least one Tensor, got an empty sequence",
        ),
    ],
)
def test_grad_says_what_is_wrong(args: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        grad(*args(leaf([1.0, 2.0])))
    assert str(caught.value) == message


# checkpoint


def block(x: Tensor, w: Tensor) -> Tensor:
    return (x @ w).tanh()


@pytest.mark.parametrize("create_graph", [False, True])
def test_checkpoint_gives_the_same_values_and_gradients(create_graph: bool) -> None:
    found = []
    for wrap in (checkpoint, lambda f, *args: f(*args)):
        x, w = leaf(np.linspace(-1, 1, 6).reshape(2, 3)), leaf(np.linspace(0, 1, 9).reshape(3, 3))
        y = wrap(block, wrap(block, x, w), w)
        (y * y).sum().backward(create_graph=create_graph)
        assert x.grad is not None and w.grad is not None
        found.append((y.tolist(), x.grad.tolist(), w.grad.tolist()))
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-12)
    np.testing.assert_allclose(found[0][2], found[1][2], rtol=1e-12)
    assert found[0][0] == found[1][0]


def test_checkpoint_and_chunks_of_vmap_draw_the_same_from_a_generator_of_the_users() -> None:
    from tinygrad_dl.nn.functional import dropout

    rng = np.random.default_rng(0)
    x = Tensor(np.ones(100), requires_grad=True)
    out = checkpoint(
        lambda x: checkpoint(lambda x: dropout(x, 0.5, rng=rng), x) + dropout(x, 0.5, rng=rng), x
    )
    after = rng.bit_generator.state
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == out.tolist()
    assert rng.bit_generator.state == after
    drawn = tg.func.vmap(lambda x: dropout(x, 0.5, rng=rng), randomness="same", chunk_size=2)(
        np.ones((6, 50))
    )
    assert (drawn == drawn[0]).all()


def test_checkpoint_is_differentiated_twice_and_three_times() -> None:
    orders = []
    for wrap in (checkpoint, lambda f, *args: f(*args)):
        x, w = leaf(0.3), leaf(0.7)
        g: Any = wrap(lambda x, w=w: (x * w).exp() * x, x)
        values = []
        for _ in range(3):
            (g,) = grad(g, x, create_graph=True)
            values.append(g.item())
        values.append(grad(g, w)[0].item())  # type: ignore[union-attr]
        orders.append(values)
    np.testing.assert_allclose(orders[0], orders[1], rtol=1e-12)


def test_checkpoint_reaches_parameters_that_the_function_uses_from_outside() -> None:
    w, x = leaf(2.0), leaf(3.0)
    h = w * w
    out = checkpoint(lambda x: x * h + w, x)
    out.backward()
    assert gradient(w) == 3 * 4 + 1 and gradient(x) == 4


def test_hooks_of_what_checkpoint_uses_run_once() -> None:
    w, x = leaf(2.0), leaf(3.0)
    seen: list[float] = []
    w.register_hook(lambda g: seen.append(g.item()))
    (checkpoint(lambda x: x * w, x) + w).backward()
    assert seen == [4]


def test_checkpoint_keeps_nothing_of_what_happens_inside() -> None:
    inner: list[Any] = []

    def f(x: Tensor) -> Tensor:
        h = x.exp()
        inner.append(weakref.ref(h.data))
        return (h * h).sum()

    gc.disable()
    try:
        x = leaf(np.ones(100))
        y = checkpoint(f, x)
        assert inner[0]() is None
        y.backward()
        assert len(inner) == 2 and inner[1]() is None
    finally:
        gc.enable()
    np.testing.assert_allclose(gradient(x), 2 * np.exp(2))


def test_checkpoint_repeats_the_choices_of_the_default_generator() -> None:
    config.manual_seed(1)
    masks = []

    def f(x: Tensor) -> Tensor:
        mask = config.default_rng().random(5) > 0.5
        masks.append(mask.tolist())
        return (x * mask).sum()

    x = leaf(np.ones(5))
    y = checkpoint(f, x)
    drawn = config.default_rng().random()
    y.backward()
    assert masks[0] == masks[1] and gradient(x).tolist() == [float(m) for m in masks[0]]
    after = config.default_rng().random()
    config.manual_seed(1)
    config.default_rng().random(5)
    assert [config.default_rng().random() for _ in range(2)] == [drawn, after]


def test_checkpoint_takes_and_gives_nested_arguments_of_several_dtypes() -> None:
    x, y = leaf([1.0, 2.0], np.float32), leaf([[3.0]], np.float64)

    def f(given: dict[str, Any], *, k: int) -> dict[str, Any]:
        a, b = given["pair"]
        return {"p": a * k, "q": (b * b, None, "text"), "n": 3, "same": a}

    out = checkpoint(f, {"pair": [x, y]}, k=2)
    assert out["n"] == 3 and out["q"][1:] == (None, "text")
    assert out["p"].dtype == np.float32 and out["q"][0].dtype == np.float64 and out["q"][0].shape == (1, 1)
    (out["p"].sum() * out["q"][0].sum() + out["same"].sum()).backward()
    assert gradient(x).tolist() == [19, 19] and gradient(y).tolist() == [[36]]
    assert x.grad is not None and x.grad.dtype == np.float32


def test_one_result_of_several_may_stay_unused() -> None:
    x = leaf(2.0)
    a, _ = checkpoint(lambda x: (x * x, x.exp()), x)
    a.backward()
    assert gradient(x) == 4


def test_checkpoints_nest() -> None:
    x = leaf(0.5)
    checkpoint(lambda x: checkpoint(lambda y: y.exp(), x * 2) * x, x).backward()
    assert gradient(x) == pytest.approx(np.e + 0.5 * 2 * np.e)


def test_checkpoint_without_anything_to_differentiate_just_calls() -> None:
    x = leaf(2.0)
    with tg.no_grad():
        assert not checkpoint(lambda x: x * 2, x).requires_grad
    assert not checkpoint(lambda x: x * 2, Tensor(2.0)).requires_grad
    assert checkpoint(lambda: 3) == 3


def test_grad_of_a_checkpoint_computes_what_was_asked_for() -> None:
    w, x = leaf(2.0), leaf(3.0)
    assert values(grad(checkpoint(lambda x: x * w, x), w)) == [3]
    assert values(grad(checkpoint(lambda x: x * w, x), [x, w])) == [2, 3]


def test_a_checkpointed_function_that_changes_raises() -> None:
    x, w = leaf([1.0, 2.0]), leaf(2.0)
    size = [1]

    def f(x: Tensor) -> Tensor:
        size[0] += 1
        return x[: size[0] - 1] * 2

    y = checkpoint(f, x)
    with pytest.raises(GraphError) as caught:
        y.backward([1.0])
    assert str(caught.value) == (
        "checkpoint: the function computed something else when it was run again: other results, or from "
        "other "
        "Tensors. It must depend on its arguments and the random numbers that it draws only."
    )
    seen: list[int] = []

    def g(x: Tensor) -> Tensor:
        seen.append(1)
        return x * 2 if len(seen) == 1 else x * w

    z = checkpoint(g, x).sum()
    with pytest.raises(GraphError, match="from other Tensors"):
        z.backward()
