"""Averages of weights: moving averages, stochastic weight averaging."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn
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
    assert len(list(average.parameters())) == 4
    assert repr(average) == "AveragedModel(\n  (module): " + repr(model).replace("\n", "\n  ") + "\n)"
    with pytest.raises(
        ShapeError,
        match="expected the model that is averaged, got one where 0.weight is missing or has another",
    ):
        average.update_parameters(nn.Linear(2, 3))
    with pytest.raises(
        ValueRangeError, match=r"the names do not match AveragedModel\. Missing: n_averaged, module\.0\."
    ):
        average.load_state_dict({})
    with pytest.raises(DTypeError, match="expected a module, got int"):
        swa_utils.AveragedModel(3)


def test_an_average_is_a_module() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    average = swa_utils.AveragedModel(model, avg_fn=swa_utils.get_ema_avg_fn(0.5), use_buffers=True)
    assert isinstance(average, nn.Module) and next(average.children()) is average.module
    assert [name for name, _ in average.named_modules()] == ["", "module", "module.0", "module.1"]
    assert next(name for name, _ in average.named_parameters()) == "module.0.weight"
    assert [name for name, _ in average.named_buffers()][:2] == ["n_averaged", "module.1.running_mean"]
    assert list(average.state_dict())[:2] == ["n_averaged", "module.0.weight"]
    for value in (1.0, 3.0):
        model[0].weight.data[...] = value
        model[1].running_mean.data[...] = value
        average.update_parameters(model)
    assert average.module[1].running_mean.tolist() == [2.0, 2.0, 2.0] and average.n_averaged.item() == 2
    again = pickle.loads(pickle.dumps(average)).double()
    again.update_parameters(model)
    assert again.module[0].weight.tolist() == [[2.5, 2.5]] * 3 and again.module[0].weight.dtype == "float64"
    calls: list[int] = []
    average.register_forward_hook(lambda *_: calls.append(1))
    average.eval()(np.ones((1, 2), "float32"))
    assert calls == [1] and not average.module[1].training
    outer = nn.Sequential(average)
    assert "0.module.0.weight" in outer.state_dict()


def test_wrong_arguments_of_averages_are_refused() -> None:
    model = nn.Linear(2, 1)
    average = swa_utils.AveragedModel(model)
    with pytest.raises(
        DTypeError, match="^AveragedModel.update_parameters: model: expected a module, got int$"
    ):
        average.update_parameters(3)
    with pytest.raises(DTypeError, match="^AveragedModel: avg_fn: expected a function, got float 0.9$"):
        swa_utils.AveragedModel(model, avg_fn=0.9)  # type: ignore[arg-type]
    with pytest.raises(
        ValueRangeError, match=r"^get_ema_avg_fn: decay: expected a number in \[0, 1\], got float 1.5$"
    ):
        swa_utils.get_ema_avg_fn(1.5)
    with pytest.raises(
        DTypeError, match="^update_bn: loader: expected batches, such as a DataLoader, got int 3$"
    ):
        swa_utils.update_bn(3, nn.BatchNorm1d(1))  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match="^update_bn: model: expected a module, got int$"):
        swa_utils.update_bn([], 3)


def test_statistics_are_recomputed_as_the_mean_over_the_batches() -> None:
    model = nn.Sequential(nn.BatchNorm1d(1))
    model.eval()
    norm = next(iter(model.children()))
    before = norm.momentum
    batches = [np.array([[1.0], [3.0]], "float32"), np.array([[5.0], [7.0]], "float32")]
    swa_utils.update_bn([(Tensor(b), None) for b in batches], model)
    assert norm.running_mean.tolist() == [4.0]
    assert norm.momentum == before and not model.training
