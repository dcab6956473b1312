"""Twenty places where autograd engines go wrong, each with the right number."""

from __future__ import annotations

import copy
import gc
import threading
import warnings
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.leaves import gradient, leaf
from tinygrad_dl import func, nn, optim
from tinygrad_dl.autograd import grad
from tinygrad_dl.errors import AnomalyError, GraphError
from tinygrad_dl.nn import functional as F
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.testing import gradcheck
from tinygrad_dl.testing.report import GradcheckError


def slope(f: Any, *values: Any) -> list[Any]:
    """The gradients of f, summed, at float64 values, as lists."""
    leaves = [leaf(v) for v in values]
    f(*leaves).sum().backward()
    return [gradient(t).tolist() for t in leaves]


def test_trap_1_gradients_of_broadcast_operands_are_summed_back() -> None:
    assert slope(lambda a, b: a * b, [[1.0], [2.0]], [[1.0, 2.0, 3.0]]) == [[[6], [6]], [[3, 3, 3]]]
    assert slope(lambda a, b: a * b, [[2.0]], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])[0] == [[21]]
    x = leaf(1.0)
    (x + np.ones((2, 3))).sum().backward()
    assert gradient(x) == 6 and gradient(x).shape == () and type(gradient(x)) is np.ndarray


def test_trap_2_a_value_used_again_waits_for_its_whole_gradient() -> None:
    def f(x: Tensor) -> Tensor:
        y = x * x
        return y + y * x

    def doubled(x: Tensor) -> Tensor:
        for _ in range(60):
            x = x + x
        return x

    assert slope(f, 3.0) == [33] and slope(doubled, 1.0) == [2.0**60] and slope(lambda x: x - x, 2.0) == [0]


def test_trap_3_a_second_backward_adds_once_or_raises() -> None:
    x = leaf(3.0)
    d = 2 * (x * x)
    d.backward(retain_graph=True)
    assert gradient(x) == 12
    d.backward()
    assert gradient(x) == 24
    with pytest.raises(GraphError):
        d.backward()


def test_trap_4_deep_graphs_work_and_die_without_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        x = leaf(0.0)
        y = x
        for _ in range(20_000):
            y = y + 1
        y.backward()
        assert gradient(x) == 1
        made = copy.deepcopy(y)
        assert made.is_leaf
        del y, made
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_trap_5_gradients_that_share_buffers_are_not_mixed_up() -> None:
    a, b = slope(lambda x, y: x / (x + y), 2.0, 3.0)
    assert (a, b) == (pytest.approx(0.12), pytest.approx(-0.08))
    assert slope(lambda x: x @ x, [[1.0, 2.0], [3.0, 4.0]]) == [[[7, 11], [9, 13]]]

    def f(a: Tensor) -> Tensor:
        b = a * 1
        return (b + b) * b

    assert slope(f, [1.0, 2.0]) == [[4, 8]]


def test_trap_6_values_that_change_after_they_were_used() -> None:
    # Assignments make new values: every one of these is right, where in-place engines raise or are wrong.
    x = leaf([1.0, 2.0, 3.0])
    e = x.exp()
    e += 1
    e.sum().backward()
    np.testing.assert_allclose(gradient(x), np.exp([1, 2, 3]))

    def doubled(x: Tensor) -> Tensor:
        y = x + 1
        y *= 2
        return y

    def assigned(x: Tensor, v: Tensor) -> Tensor:
        y = x * 1
        y[1] = v
        return y**2

    def scaled(x: Tensor) -> Tensor:
        y = x * 1
        y[:2] *= 10
        return y**2

    assert slope(doubled, [1.0, 2.0]) == [[2, 2]]
    assert slope(assigned, [1.0, 2.0, 3.0], 5.0) == [[2, 0, 6], 10]
    assert slope(scaled, [1.0, 2.0, 3.0]) == [[200, 400, 6]]
    # What is written past the engine is found by detect_anomaly.
    for write in (lambda x, a: x.data, lambda x, a: a):
        t, array = leaf([1.0, 2.0]), np.array([3.0, 4.0])
        with tg.detect_anomaly():
            y = t * array * t
            write(t, array)[:] = 100
            with pytest.raises(AnomalyError, match="was changed in place since"):
                y.sum().backward()
    with pytest.raises(GraphError, match="on a leaf that requires grad"):
        x[0] = 1.0


def test_trap_7_an_element_picked_repeatedly_adds_up() -> None:
    assert slope(lambda x: x[[0, 0, 2]] * tg.asarray(np.array([1.0, 10.0, 100.0])), [1.0, 2.0, 3.0]) == [
        [11, 0, 100]
    ]
    table = nn.Embedding(3, 2)
    table(np.array([1, 1, 2])).sum().backward()
    assert table.weight.grad is not None and table.weight.grad.tolist() == [[0, 0], [2, 2], [1, 1]]


def test_trap_8_float32_stays_float32() -> None:
    x = leaf([1.0, 2.0, 4.0], np.float32)
    for y in (x * 2.0, x + np.float64(1), x.mean(), x.std(), F.dropout(x, 0.5), x / 3, 2**x):
        assert y.dtype == np.float32
        (g,) = grad(y.sum(), x)
        assert g is not None and g.dtype == np.float32
    norm = nn.BatchNorm1d(3)
    out = norm(leaf(np.ones((2, 3)), np.float32))
    out.sum().backward()
    assert out.dtype == np.float32 and norm.running_mean.dtype == np.float32
    p = nn.Parameter(np.ones(2, np.float32))
    adam = optim.Adam([p], lr=0.1)
    (p * np.float64(3)).sum().backward()
    adam.step()
    assert p.dtype == np.float32


def test_trap_9_ties_and_kinks() -> None:
    assert slope(lambda x: tg.max(x), [1.0, 3.0, 3.0]) == [[0, 0.5, 0.5]]
    assert slope(tg.maximum, 2.0, 2.0) == [0.5, 0.5] and slope(tg.minimum, 2.0, 2.0) == [0.5, 0.5]
    assert slope(tg.relu, [0.0]) == [[0]] and slope(abs, [0.0]) == [[0]]
    assert slope(F.relu6, [0.0, 6.0]) == [[0, 0]]
    assert slope(lambda x: F.leaky_relu(x, 0.25), [0.0]) == [[0.25]]
    assert slope(lambda x: tg.clip(x, -1.0, 1.0), [-1.0, 1.0, 2.0]) == [[1, 1, 0]]
    assert slope(lambda x: F.max_pool2d(x, 2), np.ones((1, 1, 2, 2))) == [[[[[1, 0], [0, 0]]]]]


def test_trap_10_zeros_have_finite_gradients() -> None:
    assert slope(tg.linalg.vector_norm, [0.0, 0.0]) == [[0, 0]]
    assert slope(lambda x: x.std(), [1.0, 1.0]) == [[0, 0]]
    assert slope(tg.prod, [0.0, 2.0, 3.0]) == [[6, 0, 0]] and slope(tg.prod, [0.0, 0.0, 3.0]) == [[0, 0, 0]]
    assert slope(tg.cumulative_prod, [0.0, 2.0, 3.0]) == [[9, 0, 0]]
    assert slope(lambda x: x**0, 0.0) == [0] and slope(lambda x: x**1, 0.0) == [1]
    assert slope(lambda x: x**0.0, 0.0) == [0] and slope(lambda x: x ** np.zeros(()), 0.0) == [0]
    assert slope(lambda t: 0**t, 2.0) == [0] and slope(lambda x, t: x**t, 0.0, 2.0) == [0, 0]
    base, exponent = slope(lambda x, t: x**t, -2.0, 2.0)
    assert base == -4 and np.isnan(exponent)


def test_trap_11_the_branch_that_is_not_taken() -> None:
    with np.errstate(all="ignore"):
        (plain,) = slope(lambda x: tg.where(x > 0, x.sqrt(), 0.0), [0.0, 4.0])
    assert np.isnan(plain[0]) and plain[1] == 0.25
    assert slope(lambda x: tg.where_safe(x > 0, tg.sqrt, x, 0.0), [0.0, 4.0]) == [[0, 0.25]]


def test_trap_12_losses_and_activations_far_out() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = leaf([[1000.0, 0.0]])
        loss = F.cross_entropy(x, np.array([1]))
        loss.backward()
        assert loss.item() == 1000 and gradient(x).tolist() == [[1, -1]]
        z = leaf([-200.0])
        loss = F.binary_cross_entropy_with_logits(z, np.array([1.0]))
        loss.backward()
        assert loss.item() == 200 and gradient(z).tolist() == [-1]
        assert slope(lambda z: F.binary_cross_entropy_with_logits(z, np.array([0.0])), [0.0]) == [[0.5]]
        assert F.softplus(Tensor(1000.0)).item() == 1000
        assert tg.sigmoid(Tensor([-800.0, 800.0])).tolist() == [0, 1]
    x = leaf([np.nan])
    y = x.relu()
    y.sum().backward()
    assert np.isnan(y.item())


def test_trap_13_losses_never_broadcast() -> None:
    with pytest.raises(ValueError, match=r"\(3, 1\).*\(3,\)"):
        F.mse_loss(leaf([[1.0], [2.0], [3.0]]), Tensor([1.0, 2.0, 3.0]))


def test_trap_14_batch_normalization() -> None:
    norm = nn.BatchNorm1d(1).double()
    x = leaf([[1.0], [2.0], [3.0], [6.0]])
    y = norm(x)
    np.testing.assert_allclose(y.detach().numpy()[:, 0], [-1.0690, -0.5345, 0, 1.6036], atol=1e-4)
    np.testing.assert_allclose(norm.running_mean.numpy(), [0.3])
    np.testing.assert_allclose(norm.running_var.numpy(), [1.366667], atol=1e-6)
    y[0].sum().backward()
    np.testing.assert_allclose(gradient(x)[:, 0], [0.248171, -0.209990, -0.133630, 0.095450], atol=1e-6)
    norm.eval()
    x.grad = None
    norm(x)[0].sum().backward()
    np.testing.assert_allclose(gradient(x)[:, 0], [0.855396, 0, 0, 0], atol=1e-6)
    norm.train()
    with pytest.raises(ValueError):
        norm(leaf([[1.0]]))
    x = leaf(np.ones((4, 1)))
    norm(x)[0].sum().backward()
    assert np.isfinite(gradient(x)).all()


def test_trap_15_gradients_of_products_of_matrices_have_the_shapes_of_their_inputs() -> None:
    for a, b in (((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 1, 2, 3), (4, 3, 2)), ((2, 3), (3, 2))):
        x, y = leaf(np.ones(a)), leaf(np.ones(b))
        (x @ y).sum().backward()
        assert gradient(x).shape == a and gradient(y).shape == b
    x, y = leaf(np.ones((2, 1, 2, 3))), leaf(np.ones((4, 3, 2)))
    (x @ y).sum().backward()
    assert (gradient(x) == 8).all() and (gradient(y) == 4).all()


def steps(make: Any, gradients: list[float], start: float = 1.0) -> list[float]:
    """Where a parameter stands after each step with the given gradients."""
    p = nn.Parameter(np.array([start]))
    optimizer = make([p])
    found = []
    for g in gradients:
        p.grad = Tensor(np.array([g], float))
        optimizer.step()
        found.append(p.item())
    return found


@pytest.mark.parametrize(
    ("name", "options", "gradients", "expected"),
    [
        ("SGD", {"lr": 0.1, "momentum": 0.9}, [1, 1, 1], [0.9, 0.71, 0.439]),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}, [1, 1, 1], [0.81, 0.539, 0.1951]),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.1}, [1, 1], [0.9, 0.72]),
        ("Adagrad", {"lr": 0.1}, [1, 1, 1], [0.9, 0.8292893, 0.7715543]),
        ("RMSprop", {"lr": 0.01, "alpha": 0.99}, [1, 1], [0.90000001, 0.8291119]),
        ("Adam", {"lr": 0.1}, [1, -2, 0.5], [0.900000001, 0.9366103535, 0.9502794197]),
        ("Adam", {"lr": 0.1}, [1e-9], [0.990909]),
        ("Adam", {"lr": 0.1, "weight_decay": 0.1}, [1, 1], [None, 0.8000248]),
        ("AdamW", {"lr": 0.1, "weight_decay": 0.1}, [1, 1], [None, 0.7811]),
    ],
)
def test_trap_16_optimizers_step_as_they_are_written_down(
    name: str, options: dict[str, Any], gradients: list[float], expected: list[Any]
) -> None:
    found = steps(lambda ps: getattr(optim, name)(ps, **options), gradients)
    for value, right in zip(found, expected):
        assert right is None or value == pytest.approx(right, abs=1e-6)


def test_trap_16_clipping_by_the_norm() -> None:
    p = nn.Parameter(np.array([3.0, 4.0]))
    p.grad = Tensor(np.array([3.0, 4.0]))
    norm = nn.utils.clip_grad_norm_([p], 1.0)
    assert float(norm) == pytest.approx(5)
    np.testing.assert_allclose(p.grad.numpy(), [0.6, 0.8], rtol=1e-5)


def test_trap_17_higher_orders() -> None:
    x = np.array(2.0)
    f = func.grad(lambda x: x**3)
    assert [f(x), func.grad(f)(x), func.grad(func.grad(f))(x)] == [12, 12, 6]
    assert func.hvp(lambda x: (x**4).sum(), np.array([1.0, 2.0]), np.ones(2)).tolist() == [12, 48]
    (g,) = slope(lambda x: grad(x.tanh().sum(), x, create_graph=True)[0] ** 2, [1.0, 2.0])  # type: ignore[operator]
    np.testing.assert_allclose(g, [-0.537315, -0.019248], atol=1e-6)


def test_trap_18_convolution_and_pooling_with_strides_and_padding() -> None:
    image = np.arange(16.0).reshape(1, 1, 4, 4)
    w = leaf(np.ones((1, 1, 3, 3)))
    y = F.conv2d(Tensor(image), w, stride=2, padding=1)
    assert y.tolist() == [[[[10, 24], [51, 90]]]]
    y.sum().backward()
    assert gradient(w).tolist() == [[[[5, 10, 12], [10, 20, 24], [18, 36, 40]]]]
    x = leaf(np.ones((1, 1, 5)))
    F.conv1d(x, Tensor(np.ones((1, 1, 2))), stride=2).sum().backward()
    assert gradient(x).tolist() == [[[1, 1, 1, 1, 0]]]
    kernel = Tensor(np.array([[[[1.0, 2.0]]]]))  # not turned around: cross-correlation
    assert F.conv2d(Tensor(np.array([[[[1.0, 10.0]]]])), kernel).item() == 21
    assert F.max_pool2d(Tensor(-np.ones((1, 1, 2, 2))), 2, padding=1).tolist() == [[[[-1, -1], [-1, -1]]]]


def test_trap_19_modes_are_restored_and_belong_to_their_thread() -> None:
    with pytest.raises(KeyError), tg.no_grad():
        raise KeyError
    assert tg.is_grad_enabled()

    @tg.no_grad()
    def suspended() -> Any:
        yield tg.is_grad_enabled()
        yield tg.is_grad_enabled()

    run = suspended()
    assert next(run) is False and tg.is_grad_enabled() and next(run) is False
    seen: list[bool] = []
    with tg.no_grad():
        thread = threading.Thread(target=lambda: seen.append(tg.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_trap_20_gradcheck_tells_kinks_from_bugs_and_refuses_float32() -> None:
    at_kink = gradcheck(tg.relu, [np.array([0.0])])  # 0 is between the derivatives of both sides, 0 and 1
    assert at_kink.kinks == 1 and "1 of them at a kink" in str(at_kink)
    with pytest.raises(GradcheckError, match="kink"):
        gradcheck(np.abs, [np.array([0.0])], backward=lambda g, x: 2 * g)
    with pytest.raises(TypeError, match="float32"):
        gradcheck(tg.exp, [np.array([1.0], np.float32)])

    @tg.op(lambda g, out: 1.01 * g * out)
    def wrong_exp(x: Any, /) -> Any:
        return np.exp(x)

    with pytest.raises(GradcheckError):
        gradcheck(wrong_exp, [np.array([0.5, 1.0])])
    assert gradcheck(tg.exp, [np.array([0.5, 1.0])])


def test_a_tensor_is_not_equal_to_none_or_a_string():
    x = Tensor([1.0, 2.0])
    assert (x == None) is False and (x != None) is True  # noqa: E711
    assert (x == "a") is False
    assert (x == [1.0, 3.0]).tolist() == [True, False]
