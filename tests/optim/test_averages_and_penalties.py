"""Averages of weights, penalties on weights, groups by decay."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn, optim
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.optim import swa_utils


def test_the_mean_of_weights_and_their_moving_average() -> None:
    model = nn.Linear(2, 1)
    mean = swa_utils.AveragedModel(model)
    moving = swa_utils.AveragedModel(model, avg_fn=swa_utils.get_ema_avg_fn(0.5))
    many = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.5))
    for value in (1.0, 2.0, 6.0):
        model.weight.data[...] = value
        for average in (mean, moving, many):
            average.update_parameters(model)
    assert mean.module.weight.tolist() == [[3.0, 3.0]]
    assert moving.module.weight.tolist() == many.module.weight.tolist() == [[3.75, 3.75]]
    assert mean.module.weight.dtype == model.weight.dtype
    assert model.weight.tolist() == [[6.0, 6.0]]


def test_an_average_is_called_saved_and_copied_like_a_model() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    average = swa_utils.AveragedModel(model).eval()
    average.update_parameters(model)
    x = Tensor(np.ones((2, 2), "float32"))
    saved = average.state_dict()
    assert set(saved) == {"n_averaged", *(f"module.{name}" for name in model.state_dict())}
    other = swa_utils.AveragedModel(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))).eval()
    other.load_state_dict(saved)
    assert other.n_averaged == 1
    np.testing.assert_array_equal(other(x).data, average(x).data)
    np.testing.assert_array_equal(copy.deepcopy(average)(x).data, average(x).data)
    assert len(list(average.parameters())) == 4 and "n_averaged=1" in repr(average)
    with pytest.raises(
        ShapeError, match="the model is another one: 0.weight is missing or has another shape"
    ):
        average.update_parameters(nn.Linear(2, 3))
    with pytest.raises(ValueRangeError, match='"n_averaged" is missing'):
        average.load_state_dict({})
    with pytest.raises(DTypeError, match="a module is needed; int came"):
        swa_utils.AveragedModel(3)


def test_statistics_are_computed_anew_as_the_mean_over_the_batches() -> None:
    model = nn.Sequential(nn.BatchNorm1d(1))
    model.eval()
    norm = next(iter(model.children()))
    before = norm.momentum
    batches = [np.array([[1.0], [3.0]], "float32"), np.array([[5.0], [7.0]], "float32")]
    swa_utils.update_bn([(Tensor(b), None) for b in batches], model)
    assert norm.running_mean.tolist() == [4.0]
    assert norm.momentum == before and not model.training


def test_only_weights_are_penalized() -> None:
    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.LayerNorm([2, 4]), nn.PReLU(2), nn.Linear(4, 3))
    assert [p.shape for p in optim.weights(model)] == [(2, 1, 3), (3, 4)]
    assert optim.weights([("bias_k", Tensor(np.ones((1, 1, 2))))]) == []
    for p in model.parameters():
        p.data[...] = -2.0
    assert optim.l1_penalty(model, 0.5).item() == 18.0
    loss = optim.l2_penalty(model, 0.5)
    assert loss.item() == 18.0
    loss.backward()
    weights = optim.weights(model)
    for p in model.parameters():
        if any(p is w for w in weights):
            np.testing.assert_array_equal(p.grad.data, 0.5 * p.data)
        else:
            assert p.grad is None


def test_penalties_say_what_they_need() -> None:
    with pytest.raises(ValueRangeError, match="^l1_penalty: the model has no weights"):
        optim.l1_penalty(nn.LayerNorm(3))
    with pytest.raises(DTypeError, match="a module or a list of Tensors is needed; int came"):
        optim.l2_penalty(3)
    with pytest.raises(DTypeError, match="int came in it"):
        optim.weights([3])


def test_groups_by_decay_hold_each_parameter_once() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    groups = optim.decay_groups(model, 0.1)
    assert [g["weight_decay"] for g in groups] == [0.1, 0.0]
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))
    assert len(optim.decay_groups(nn.LayerNorm(2), 0.1)) == 1
