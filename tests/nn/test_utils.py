"""Clipping, vectors of parameters, and reparametrized weights."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn
from tinygrad_dl.nn import utils


def with_grad(*grads: list[float]) -> list[Tensor]:
    parameters = [Tensor(np.zeros(len(g)), requires_grad=True) for g in grads]
    for parameter, g in zip(parameters, grads):
        parameter.grad = Tensor(np.array(g))
    return parameters


@pytest.mark.parametrize(
    ("norm_type", "norm"), [(2.0, 5.0), (1.0, 7.0), (float("inf"), 4.0), (3.0, 91 ** (1 / 3))]
)
def test_gradients_are_scaled_to_the_norm_and_the_norm_before_returned(norm_type: float, norm: float) -> None:
    a, b = with_grad([3.0], [4.0])
    assert utils.clip_grad_norm_([a, b], 1.0, norm_type).item() == pytest.approx(norm)
    assert a.grad is not None and b.grad is not None
    assert (a.grad.item(), b.grad.item()) == pytest.approx((3 / norm, 4 / norm), rel=1e-5)


def test_short_gradients_and_missing_ones_stay() -> None:
    (a,) = with_grad([0.3, 0.4])
    assert utils.clip_grad_norm_([a, Tensor([1.0], requires_grad=True)], 1.0).item() == pytest.approx(0.5)
    assert a.grad is not None and a.grad.tolist() == [0.3, 0.4]
    assert utils.clip_grad_norm_([], 1.0).item() == 0.0


def test_the_norm_of_large_float32_gradients_does_not_overflow() -> None:
    p = Tensor(np.zeros(2, "float32"), requires_grad=True)
    p.grad = Tensor(np.array([3e30, 4e30], "float32"))
    assert utils.clip_grad_norm_(p, 1.0).item() == pytest.approx(5e30, rel=1e-6)


def test_a_non_finite_gradient_names_its_parameter_when_asked() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    for p in model.parameters():
        p.grad = np.ones(p.shape, "float32")
    model[1].bias.grad = np.full((1,), np.nan, "float32")
    with pytest.raises(RuntimeError, match=r"the norm of the gradients is nan: nan or inf in 1\.bias\."):
        utils.clip_grad_norm_(model, 1.0, error_if_nonfinite=True)
    with pytest.raises(RuntimeError, match=r"nan or inf in number 3 of shape \(1,\)\."):
        utils.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=True)
    assert model[0].weight.grad.item() == 1.0


def test_values_are_held_between_bounds() -> None:
    (a,) = with_grad([-3.0, 0.5, 3.0])
    utils.clip_grad_value_(a, 1.0)
    assert a.grad is not None and a.grad.tolist() == [-1.0, 0.5, 1.0]


def test_parameters_go_into_a_vector_and_back() -> None:
    layer = nn.Linear(2, 1)
    vector = utils.parameters_to_vector(layer.parameters())
    assert vector.shape == (3,) and vector.requires_grad
    utils.vector_to_parameters(vector.detach() * 2, layer.parameters())
    assert np.allclose(
        utils.parameters_to_vector(layer.parameters()).detach().numpy(), vector.detach().numpy() * 2
    )
    with pytest.raises(ValueError, match=r"expected a vector of 3 elements, got the shape \(2,\)"):
        utils.vector_to_parameters(np.zeros(2), layer.parameters())


def test_the_norm_of_gradients_of_several_dtypes_has_the_one_that_holds_them_all() -> None:
    one, two = Tensor(np.zeros(1, "float32"), requires_grad=True), Tensor(np.zeros(1), requires_grad=True)
    one.grad, two.grad = Tensor(np.array([3.0], "float32")), Tensor(np.array([4.0]))
    for order in ([one, two], [two, one]):
        assert nn.utils.get_total_norm([p.grad for p in order]).dtype == np.float64
        assert nn.utils.clip_grad_norm_(order, 100.0).dtype == np.float64
    assert nn.utils.clip_grad_norm_([one], 100.0).dtype == np.float32


def test_gradients_of_float16_whose_norm_is_beyond_float16_are_scaled_and_small_ones_count() -> None:
    p = Tensor(np.zeros(4, "float16"), requires_grad=True)
    p.grad = Tensor(np.full(4, 50000, "float16"))
    assert nn.utils.clip_grad_norm_([p], 4.0).item() == np.inf
    np.testing.assert_allclose(p.grad.data, [2.0] * 4, rtol=2e-3)
    p.grad = Tensor(np.full(4, 1e-4, "float16"))
    np.testing.assert_allclose(nn.utils.get_total_norm([p.grad]).item(), 2e-4, rtol=2e-3)


def test_gradients_are_clipped_beside_a_lazy_layer_that_was_not_called() -> None:
    model = nn.ModuleList([nn.Linear(2, 1), nn.LazyLinear(3)])
    model[0](np.ones((1, 2), "float32")).sum().backward()
    for parameters in (model, model.parameters(), list(model.named_parameters())):
        assert nn.utils.clip_grad_norm_(parameters, 1e9).item() > 1
    nn.utils.clip_grad_value_(model.parameters(), 0.5)
    assert model[0].weight.grad.tolist() == [[0.5, 0.5]]
