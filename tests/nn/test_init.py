"""Starting values: distributions, fans, exact fillings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn
from tinygrad_dl.nn import init

STDS: list[tuple[Any, float]] = [
    (init.xavier_normal_, (2 / (300 + 200)) ** 0.5), (init.xavier_uniform_, (2 / (300 + 200)) ** 0.5),
    (init.kaiming_normal_, (2 / 200) ** 0.5), (init.kaiming_uniform_, (2 / 200) ** 0.5),
    (init.lecun_normal_, (1 / 200) ** 0.5), (init.lecun_uniform_, (1 / 200) ** 0.5),
]  # fmt: skip


@pytest.mark.parametrize(("fill", "std"), STDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_spread_follows_from_the_fans(fill: Any, std: float, dtype: str) -> None:
    tensor = nn.Parameter(np.zeros((300, 200), dtype))
    assert fill(tensor, rng=0) is tensor and tensor.dtype == dtype
    assert tensor.data.std() == pytest.approx(std, rel=0.02) and abs(tensor.data.mean()) < std / 50
    if "uniform" in fill.__name__:
        assert abs(tensor.data).max() <= std * 3**0.5


def test_fans_of_a_convolution_count_the_kernel() -> None:
    assert init.fan_in_and_out(Tensor(np.zeros((8, 3, 5, 5)))) == (75, 200)
    out = nn.Parameter(np.zeros((8, 300, 5, 5), "float32"))
    init.kaiming_normal_(out, mode="fan_out", nonlinearity="relu", rng=0)
    assert out.data.std() == pytest.approx((2 / 200) ** 0.5, rel=0.02)
    with pytest.raises(
        ValueError, match=r"weight of at least two axes, to count inputs and outputs, got \(3,\)"
    ):
        init.xavier_uniform_(Tensor([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 2, 3)])
def test_orthogonal_rows_or_columns(shape: tuple[int, ...]) -> None:
    w = init.orthogonal_(Tensor(np.zeros(shape)), gain=2.0, rng=0).data.reshape(shape[0], -1)
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    assert np.allclose(product, 4 * np.eye(len(product)))


@pytest.mark.parametrize(("a", "b"), [(-2.0, 2.0), (3.0, 4.0), (-0.1, 0.1), (-9.0, -3.0)])
def test_truncated_normals_lie_within_their_bounds_and_follow_the_density(a: float, b: float) -> None:
    values = init.trunc_normal_(Tensor(np.zeros(20_000)), a=a, b=b, rng=0).data
    assert values.min() >= a and values.max() <= b
    grid = np.linspace(a, b, 20_001)
    density = np.exp(-(grid**2) / 2)
    assert values.mean() == pytest.approx((grid * density).sum() / density.sum(), abs=0.02 * (b - a))


def test_exact_fillings() -> None:
    assert init.eye_(Tensor(np.ones((2, 3)))).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert init.constant_(Tensor([1.0, 2.0]), 7).tolist() == [7.0, 7.0]
    assert init.ones_(Tensor([0.0])).tolist() == [1.0] and init.zeros_(Tensor([1.0])).tolist() == [0.0]
    dirac = init.dirac_(Tensor(np.ones((4, 2, 3))), groups=2).data
    x = np.arange(8.0).reshape(2, 4)
    assert (
        np.array_equal(dirac[:2, :, 1] @ x, x) and np.array_equal(dirac[2:, :, 1] @ x, x) and dirac.sum() == 4
    )


def test_sparse_columns_hold_the_fraction_of_zeros() -> None:
    w = init.sparse_(Tensor(np.zeros((10, 4))), 0.25, rng=0).data
    assert ((w == 0).sum(axis=0) == 3).all()


def test_gains_and_what_is_not_known() -> None:
    assert init.calculate_gain("leaky_relu", 1.0) == pytest.approx(1.0)
    assert init.calculate_gain("tanh") == pytest.approx(5 / 3)
    with pytest.raises(ValueError, match="expected one of linear, conv1d, .*, got 'swish'"):
        init.calculate_gain("swish")
    with pytest.raises(ValueError, match='expected mode "fan_in" or "fan_out"'):
        init.kaiming_normal_(Tensor(np.zeros((2, 2))), mode="in")
    with pytest.raises(TypeError, match="ones_: tensor: expected a Tensor, got an array of shape"):
        init.ones_(np.zeros(3))  # type: ignore[arg-type]


def test_filling_is_in_place_and_not_recorded() -> None:
    layer = nn.Linear(3, 2)
    array = layer.weight.data
    init.kaiming_normal_(layer.weight, rng=0)
    assert layer.weight.data is array and layer.weight.is_leaf and layer.weight.requires_grad
