"""Activations: their values at kinks and far out, and random ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn
from tinygrad_dl.autograd import grad
from tinygrad_dl.nn import functional as F

SIMPLE = [
    nn.ReLU, nn.ReLU6, nn.Tanh, nn.Sigmoid, nn.SELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.LogSigmoid,
    nn.Softsign, nn.Tanhshrink, nn.LeakyReLU, nn.ELU, nn.CELU, nn.GELU, nn.Softplus, nn.Hardtanh, nn.Hardshrink,
    nn.Softshrink, nn.PReLU, nn.RReLU,
]  # fmt: skip

DERIVATIVES = [
    (nn.ReLU(), 0.0, 0.0), (nn.ReLU6(), 0.0, 0.0), (nn.ReLU6(), 6.0, 0.0), (nn.LeakyReLU(0.3), 0.0, 0.3),
    (nn.ELU(2.0), 0.0, 2.0), (nn.CELU(2.0), 0.0, 1.0), (nn.PReLU(init=0.5), 0.0, 0.5), (nn.Hardtanh(), 1.0, 0.0),
    (nn.Hardsigmoid(), 3.0, 0.0), (nn.Hardswish(), -3.0, 0.0), (nn.Hardswish(), 3.0, 1.0),
    (nn.Softshrink(), 0.5, 0.0), (nn.Softshrink(), -0.5, 0.0), (nn.Hardshrink(), 0.5, 0.0),
    (nn.Hardtanh(), -1.0, 0.0), (nn.Hardsigmoid(), -3.0, 0.0), (nn.Hardshrink(), -0.5, 0.0),
    (nn.LogSigmoid(), 0.0, 0.5), (nn.Softplus(), 0.0, 0.5),
    (nn.Threshold(1.0, 0.0), 1.0, 0.0),
    (nn.GELU(), 0.0, 0.5), (nn.SiLU(), 0.0, 0.5), (nn.Mish(), 0.0, 0.6),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "at", "derivative"), DERIVATIVES, ids=lambda v: repr(v))
def test_the_derivative_at_the_kink_is_the_documented_one(layer: Any, at: float, derivative: float) -> None:
    x = Tensor([at], requires_grad=True)
    out = layer(x)
    assert grad(out, [x], create_graph=True)[0].item() == pytest.approx(derivative)
    out.backward()
    assert x.grad is not None and x.grad.item() == pytest.approx(derivative)


@pytest.mark.parametrize("kind", SIMPLE)
def test_values_and_derivatives_far_out_are_finite_and_float32(kind: Any) -> None:
    x = Tensor([-1e4, -100.0, 100.0, 1e4], requires_grad=True)
    out = kind()(x)
    out.sum().backward()
    assert x.grad is not None and out.dtype == x.grad.dtype == np.float32
    assert np.isfinite(out.detach().numpy()).all() and np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize("kind", SIMPLE)
def test_nan_stays_visible(kind: Any) -> None:
    assert np.isnan(kind()(Tensor([float("nan")])).item())


@pytest.mark.parametrize("kind", SIMPLE)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 1, 3)])
def test_the_shape_stays(kind: Any, shape: tuple[int, ...]) -> None:
    x = Tensor(np.ones(shape, "float32"), requires_grad=True)
    out = kind()(x)
    out.sum().backward()
    assert out.shape == shape and x.grad is not None and x.grad.shape == shape


def test_gelu_of_float32_is_that_of_float64_rounded_in_value_and_derivative() -> None:
    data = np.linspace(-9, 9, 70001)  # more than is computed in one piece
    results = []
    for dtype in (np.float32, np.float64):
        x = Tensor(data.astype(dtype), requires_grad=True)
        out = F.gelu(x)
        out.sum().backward()
        results.append((out.detach().numpy(), x.grad.numpy()))
    (out, derivative), (exact, exact_derivative) = results
    assert out.dtype == derivative.dtype == np.float32
    np.testing.assert_allclose(out, exact, rtol=1e-7, atol=6e-7)
    np.testing.assert_allclose(derivative, exact_derivative, rtol=0, atol=3e-7)


def test_gelu_of_infinities_and_of_a_column_of_a_matrix() -> None:
    infinite = F.gelu(Tensor([float("inf"), -float("inf"), 1e30, -1e30])).numpy()
    assert infinite[0] == np.inf and np.isnan(infinite[1]) and infinite[2:].tolist() == [np.float32(1e30), 0]
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(F.gelu(matrix.T), F.gelu(matrix).T)


def test_gelu_keeps_the_order_of_memory_and_takes_parts_and_repeats_of_arrays() -> None:
    whole = np.random.default_rng(0).standard_normal((3, 4, 5, 6)).astype(np.float32)
    last = whole.transpose(0, 3, 1, 2)
    assert F.gelu(last).strides == last.strides
    for part in (
        last,
        whole[:, ::2],
        whole[::-1, ..., 1:].T,
        np.broadcast_to(whole[:1], (2, 4, 5, 6)),
        whole[:, :0],
    ):
        x = Tensor(np.zeros(1, np.float32), requires_grad=True)
        x.data = part
        out = F.gelu(x)
        exact = F.gelu(part.astype(np.float64))
        np.testing.assert_allclose(out.detach().numpy(), exact, rtol=0, atol=6e-7)
        (g,) = grad(out.sum(), [x])
        assert g.shape == part.shape


def test_softmax_asks_along_which_axis() -> None:
    assert nn.Softmax(dim=0)(Tensor([0.0, 0.0])).tolist() == [0.5, 0.5]
    with pytest.raises(ValueError, match="softmax: expected an axis, got dim=None. Pass dim=-1"):
        nn.Softmax()(Tensor([0.0]))
    with pytest.raises(ValueError, match="expected dim to be one of the 1 axes of the input, got 2"):
        F.softmax(Tensor([0.0]), dim=2)


def test_prelu_has_one_weight_or_one_per_channel() -> None:
    layer = nn.PReLU(2)
    layer.load_state_dict({"weight": [0.5, 0.0]})
    assert layer(Tensor([[-2.0, -2.0]])).tolist() == [[-1.0, 0.0]]
    with pytest.raises(
        ValueError, match=r"expected one weight per channel \(axis 1\) of the input \(1, 3\), got 2"
    ):
        layer(Tensor([[1.0, 2.0, 3.0]]))


def test_glu_needs_an_even_size() -> None:
    with pytest.raises(ValueError, match=r"glu: expected an axis of even size, got axis -1 of shape \(3,\)"):
        nn.GLU()(Tensor([1.0, 2.0, 3.0]))


def test_random_activations_follow_rng_and_stop_in_evaluation() -> None:
    x = Tensor([-1.0] * 100)
    layer = nn.RReLU(rng=0)
    slopes = -layer(x).detach().numpy()
    assert slopes.min() >= 1 / 8 and slopes.max() <= 1 / 3 and len(set(slopes)) > 50
    assert layer.eval()(x).tolist() == pytest.approx([-(1 / 8 + 1 / 3) / 2] * 100)
    logits = Tensor(np.zeros((5, 3)), requires_grad=True)
    hard = F.gumbel_softmax(logits, hard=True, rng=0)
    assert sorted(set(hard.detach().numpy().ravel().round(12))) == [0.0, 1.0]
    (hard * np.arange(3)).sum().backward()
    assert logits.grad is not None and logits.grad.numpy().any()
