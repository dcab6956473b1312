"""Tensors of a module computed by other modules: registering, assigning, removing, and those that come with it."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, exp, log, nn, triu
from tinygrad_dl.nn.utils import parametrizations, parametrize


class Symmetric(nn.Module):
    def forward(self, x: Any) -> Any:
        return triu(x) + triu(x, k=1).T

    def right_inverse(self, value: Any) -> Any:
        return triu(value)


class Positive(nn.Module):
    def forward(self, x: Any) -> Any:
        return exp(x)

    def right_inverse(self, value: Any) -> Any:
        return log(value)


class RankOne(nn.Module):
    def forward(self, x: Any, y: Any) -> Any:
        return x[:, None] * y

    def right_inverse(self, value: Any) -> Any:
        return value[:, 0], value[0]


class FirstRow(nn.Module):
    def forward(self, x: Any) -> Any:
        return x[0]


class Number(nn.Module):
    def forward(self, x: Any) -> Any:
        return 3


class Halved(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.astype("float32")


def linear() -> Any:
    layer = nn.Linear(3, 3, rng=0).double()
    layer.weight.data[...] = np.abs(layer.weight.data) + 1
    return layer


def test_a_parametrized_weight_is_computed_from_the_parameter_there_was() -> None:
    layer, x = linear(), Tensor(np.ones((2, 3)))
    parameter, before = layer.weight, layer.weight.data.copy()
    assert parametrize.register_parametrization(layer, "weight", Symmetric()) is layer
    assert type(layer).__name__ == "ParametrizedLinear" and isinstance(layer, nn.Linear)
    assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    assert layer.parametrizations.weight.original is parameter
    np.testing.assert_array_equal(layer.weight.data, np.triu(before) + np.triu(before, 1).T)
    layer(x).sum().backward()
    assert parameter.grad is not None and parameter.grad.data[2, 0] == 0 and parameter.grad.data[0, 2] == 4
    parameter.data[0, 0] = 9.0
    assert layer.weight.data[0, 0] == 9.0
    assert repr(layer) == (
        "ParametrizedLinear(\n  in_features=3, out_features=3, bias=True\n  (parametrizations): ModuleDict(\n"
        "    (weight): ParametrizationList(\n      (0): Symmetric()\n    )\n  )\n)"
    )


def test_parametrizations_are_applied_in_order_and_assigned_through_in_reverse() -> None:
    layer = linear()
    parametrize.register_parametrization(layer, "weight", Symmetric())
    whole = layer.weight.data
    parametrize.register_parametrization(layer, "weight", Positive())
    np.testing.assert_allclose(layer.weight.data, np.exp(whole))
    layer.weight = np.full((3, 3), 2.0)
    np.testing.assert_allclose(layer.weight.data, 2.0)
    np.testing.assert_allclose(
        layer.parametrizations.weight.original.data, np.triu(np.full((3, 3), np.log(2.0)))
    )


def test_a_right_inverse_that_gives_several_tensors_makes_several_originals() -> None:
    layer = parametrize.register_parametrization(linear(), "weight", RankOne())
    assert list(layer.state_dict())[1:] == [f"parametrizations.weight.original{i}" for i in (0, 1)]
    assert [p.shape for p in layer.parametrizations.weight.parameters()] == [(3,), (3,)]
    layer.weight = np.outer([1.0, 2, 3], [1.0, 4, 5])
    np.testing.assert_allclose(layer.weight.data, np.outer([1.0, 2, 3], [1.0, 4, 5]))
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer.weight) is nn.Parameter and layer.weight.requires_grad


@pytest.mark.parametrize("leave", [True, False])
def test_removing_brings_back_the_parameter_with_the_value_asked_for(leave: bool) -> None:
    layer = linear()
    parameter = layer.weight
    parametrize.register_parametrization(layer, "weight", Symmetric())
    computed, original = layer.weight.data, parameter.data.copy()
    assert parametrize.remove_parametrizations(layer, "weight", leave) is layer
    assert type(layer) is nn.Linear and layer.weight is parameter and "parametrizations" not in vars(layer)
    np.testing.assert_array_equal(layer.weight.data, computed if leave else original)


def test_several_tensors_and_buffers_are_parametrized_one_by_one() -> None:
    layer = nn.BatchNorm1d(2)
    parametrize.register_parametrization(layer, "weight", nn.ReLU())
    parametrize.register_parametrization(layer, "running_var", nn.ReLU())
    assert parametrize.is_parametrized(layer) and parametrize.is_parametrized(layer, "weight")
    assert not parametrize.is_parametrized(layer, "bias")
    assert parametrize.type_before_parametrizations(layer) is nn.BatchNorm1d
    assert "parametrizations.running_var.original" in layer.state_dict()
    parametrize.remove_parametrizations(layer, "weight")
    assert parametrize.is_parametrized(layer)
    parametrize.remove_parametrizations(layer, "running_var")
    assert type(layer) is nn.BatchNorm1d and isinstance(layer.running_var, nn.Buffer)
    assert not parametrize.is_parametrized(layer)


def test_while_cached_a_tensor_is_computed_once() -> None:
    layer = parametrize.register_parametrization(linear(), "weight", Positive())
    assert layer.weight is not layer.weight
    with parametrize.cached():
        once = layer.weight
        with parametrize.cached():
            assert layer.weight is once
        assert layer.weight is once
    assert layer.weight is not once


def test_parametrized_modules_are_copied_and_pickled() -> None:
    layer = parametrizations.weight_norm(parametrizations.orthogonal(linear()), "bias")
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert repr(twin) == repr(layer)
        np.testing.assert_array_equal(twin.weight.data, layer.weight.data)
        twin.parametrizations.bias.original0.data[...] = 7.0
        assert twin.bias.data[0] != layer.bias.data[0]


def test_parametrizations_are_shared_with_another_module() -> None:
    layer = parametrizations.weight_norm(linear())
    other = parametrize.transfer_parametrizations_and_params(layer, nn.Linear(3, 3).double())
    assert other.parametrizations.weight.original1 is layer.parametrizations.weight.original1
    np.testing.assert_array_equal(other.weight.data, layer.weight.data)


def test_what_does_not_fit_leaves_the_module_as_it_was() -> None:
    layer = linear()
    before = layer.weight
    with pytest.raises(ValueError):
        parametrize.register_parametrization(layer, "weight", FirstRow())
    assert (
        type(layer) is nn.Linear and layer.weight is before and list(layer.state_dict()) == ["weight", "bias"]
    )


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda layer: parametrize.register_parametrization(layer, "weight", FirstRow()), ValueError,
            "register_parametrization: expected the shape (3, 3) from the parametrization, got (3,). "
            "Pass unsafe=True to allow it.",
        ),
        (
            lambda layer: parametrize.register_parametrization(layer, "weight", Halved()), TypeError,
            "register_parametrization: expected float64 from the parametrization, got float32. "
            "Pass unsafe=True to allow it.",
        ),
        (
            lambda layer: parametrize.register_parametrization(layer, "weight", Number()), TypeError,
            "register_parametrization: expected a Tensor from the parametrization, got int",
        ),
        (
            lambda layer: parametrize.register_parametrization(layer, "wait", Positive()), ValueError,
            "register_parametrization: Linear has no parameter or buffer 'wait'",
        ),
        (
            lambda layer: setattr(
                parametrize.register_parametrization(layer, "weight", nn.ReLU()), "weight", np.ones((3, 3))
            ),
            RuntimeError, "ReLU has no right_inverse, so its result cannot be assigned",
        ),
        (
            lambda layer: setattr(
                parametrize.register_parametrization(layer, "weight", Positive()), "weight",
                np.ones((3, 3), np.float32),
            ),
            TypeError, "right_inverse: expected a value of dtype float64, got float32",
        ),
        (
            lambda layer: parametrize.remove_parametrizations(layer, "weight"), ValueError,
            "remove_parametrizations: Linear.weight is not parametrized",
        ),
        (
            lambda layer: parametrize.remove_parametrizations(
                parametrizations.weight_norm(layer), "weight", leave_parametrized=False
            ),
            ValueError,
            "remove_parametrizations: weight is computed from 2 tensors; only its present value can be left. "
            "Pass leave_parametrized=True.",
        ),
        (
            lambda layer: parametrizations.orthogonal(layer, "bias"), ValueError,
            "orthogonal: expected a matrix or a batch of them, got bias of shape (3,)",
        ),
        (
            lambda layer: parametrizations.orthogonal(layer, orthogonal_map="exp"), ValueError,
            "orthogonal: expected orthogonal_map to be one of matrix_exp, cayley, householder, got 'exp'",
        ),
        (
            lambda layer: setattr(parametrizations.orthogonal(layer), "weight", np.ones((2, 3))), ValueError,
            "orthogonal: expected the shape (3, 3), got (2, 3)",
        ),
        (
            lambda layer: parametrizations.spectral_norm(layer, dim=2), ValueError,
            "spectral_norm: expected dim to be an axis of a weight of shape (3, 3), got 2",
        ),
        (
            lambda layer: parametrizations.spectral_norm(layer, n_power_iterations=0), ValueError,
            "spectral_norm: n_power_iterations: expected an int of at least 1, got int 0",
        ),
        (
            lambda layer: parametrizations.spectral_norm(layer, "wait"), ValueError,
            "spectral_norm: Linear has no parameter or buffer 'wait'",
        ),
    ],
)  # fmt: skip
def test_errors_say_what_came_and_what_is_needed(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as error:
        call(linear())
    assert str(error.value) == message
