"""Warnings about likely mistakes, each issued once."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn
from tinygrad_dl.nn import warnings as nn_warnings


def test_softmax_in_front_of_cross_entropy_is_warned_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn_warnings, "issued", set())
    x = Tensor([[1.0, 2.0]], requires_grad=True)
    with pytest.warns(
        UserWarning, match="the input is the result of softmax, which cross_entropy applies itself"
    ):
        nn.CrossEntropyLoss()(nn.Softmax(dim=1)(x), [1])
    with pytest.warns(UserWarning, match="the input is the result of sigmoid"):
        nn.BCEWithLogitsLoss()(nn.Sigmoid()(x), [[1.0, 0.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nn.CrossEntropyLoss()(nn.Softmax(dim=1)(x), [1])


@pytest.fixture
def nothing_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn_warnings, "issued", set())


def small() -> nn.Linear:
    layer = nn.Linear(2, 1)
    layer.load_state_dict({"weight": [[2.0, 3.0]], "bias": [1.0]})
    return layer


def test_float64_data_on_float32_parameters_warns_once_with_the_fix(nothing_warned_of: None) -> None:
    layer, x = small(), Tensor(np.ones((1, 2)))
    with pytest.warns(UserWarning) as caught:
        layer(x)
    assert str(caught[0].message) == (
        "Linear: the data is float64, the parameters are float32; all later results are computed in float64, which is "
        "slower. Convert the data with .astype('float32'), or the model with .double()."
    )
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(x)
