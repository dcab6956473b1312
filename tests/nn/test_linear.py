"""Linear and Bilinear: values by hand, dtypes, and what is said of wrong shapes."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn


def small() -> nn.Linear:
    layer = nn.Linear(2, 1)
    layer.load_state_dict({"weight": [[2.0, 3.0]], "bias": [1.0]})
    return layer


@pytest.mark.parametrize(
    ("x", "out"),
    [([1.0, 1.0], [6.0]), ([[1.0, 1.0], [0.0, 2.0]], [[6.0], [7.0]]), ([[[1.0, 0.0]]], [[[3.0]]])],
)
def test_linear_works_on_any_number_of_axes(x: list[float], out: list[float]) -> None:
    assert small()(Tensor(x)).tolist() == out


def test_gradients_of_linear_by_hand() -> None:
    layer, x = small(), Tensor([[1.0, 4.0], [2.0, 5.0]], requires_grad=True)
    layer(x).backward([[1.0], [10.0]])
    assert layer.weight.grad is not None and layer.weight.grad.tolist() == [[21.0, 54.0]]
    assert layer.bias is not None and layer.bias.grad is not None and layer.bias.grad.tolist() == [11.0]
    assert x.grad is not None and x.grad.tolist() == [[2.0, 3.0], [20.0, 30.0]]


def test_an_empty_batch_gives_an_empty_result_and_zero_gradients() -> None:
    layer = small()
    layer(Tensor(np.zeros((0, 2), "float32"))).sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad.tolist() == [[0.0, 0.0]]


def test_the_start_is_uniform_within_one_over_the_root_of_in() -> None:
    layer = nn.Linear(100, 300, rng=0)
    assert layer.bias is not None
    for values in (layer.weight.data, layer.bias.data):
        assert values.dtype == np.float32 and abs(values).max() <= 0.1 and abs(values).max() > 0.095
    assert np.array_equal(nn.Linear(100, 300, rng=0).weight.data, layer.weight.data)


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((5, 1, 2), ". Flatten the axes after the batch first?"),
        ((2, 5), ". Transpose the data? Examples are rows."),
        ((5, 3), ""),
    ],
)
def test_a_wrong_last_size_is_explained(shape: tuple[int, ...], advice: str) -> None:
    features = 4 if len(shape) == 3 else 2
    layer = nn.Linear(features, 1)
    shape = (5, 2, 2) if len(shape) == 3 else shape
    with pytest.raises(ValueError) as caught:
        layer(Tensor(np.zeros(shape, "float32")))
    assert str(caught.value).startswith(
        f"linear: x {shape} and weight (1, {features}): the last size of x must be in = {features}{advice} [in Linear("
    )


def test_sizes_and_devices_are_checked() -> None:
    with pytest.raises(ValueError, match="Linear: in_features: expected an int of at least 0, got int -1"):
        nn.Linear(-1, 2)
    with pytest.raises(ValueError, match='expected "cpu", the only device'):
        nn.Linear(1, 2, device="cuda")
    with pytest.raises(
        TypeError, match="expected a floating-point or complex dtype for parameters, got int64"
    ):
        nn.Linear(1, 2, dtype="int64")


def test_bilinear_is_linear_in_each_input() -> None:
    layer = nn.Bilinear(2, 3, 1, bias=False)
    layer.load_state_dict({"weight": np.arange(6.0).reshape(1, 2, 3)})
    assert layer(Tensor([[1.0, 2.0]]), Tensor([[1.0, 0.0, 1.0]])).tolist() == [[1 * (0 + 2) + 2 * (3 + 5)]]
