"""Ready-made parametrizations: weight and spectral normalization, orthogonal matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn, tril
from tinygrad_dl.func import hessian
from tinygrad_dl.nn.utils import parametrizations
from tinygrad_dl.testing import gradcheck, gradgradcheck


def linear() -> Any:
    layer = nn.Linear(3, 3, rng=0).double()
    layer.weight.data[...] = np.abs(layer.weight.data) + 1
    return layer


def test_weight_norm_learns_length_and_direction_and_state_dicts_of_its_older_kind_load() -> None:
    layer, x = nn.Conv2d(2, 3, 2).double(), Tensor(np.ones((1, 2, 3, 3)))
    before = layer.weight.data.copy()
    parametrizations.weight_norm(layer, dim=1)
    assert layer.parametrizations.weight.original0.shape == (1, 2, 1, 1)
    layer(x).sum().backward()
    np.testing.assert_allclose(layer.weight.data, before)
    older = nn.utils.weight_norm(nn.Conv2d(2, 3, 2).double(), dim=1)
    nn.Sequential(layer).load_state_dict(nn.Sequential(older).state_dict())
    np.testing.assert_array_equal(layer(x).data, older(x).data)
    whole = parametrizations.weight_norm(linear(), dim=None)
    assert whole.parametrizations.weight.original0.shape == ()


def test_spectral_norm_follows_the_largest_singular_value_in_training_only() -> None:
    layer = parametrizations.spectral_norm(nn.ConvTranspose2d(3, 4, 2, rng=0).double(), rng=0)
    assert layer.parametrizations.weight[0]._u.shape == (4,)
    for _ in range(50):
        w = layer.weight
    largest = np.linalg.svd(w.data.swapaxes(0, 1).reshape(4, -1))[1][0]
    assert largest == pytest.approx(1, abs=1e-6)
    layer.eval()
    u = layer.parametrizations.weight[0]._u.data.copy()
    layer(Tensor(np.ones((1, 3, 2, 2))))
    np.testing.assert_array_equal(layer.parametrizations.weight[0]._u.data, u)
    vector = parametrizations.spectral_norm(nn.Linear(2, 3).double(), "bias")
    assert np.linalg.norm(vector.bias.data) == pytest.approx(1)


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4)])
@pytest.mark.parametrize("name", ["matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("trivialized", [True, False])
def test_an_orthogonal_weight_stays_orthogonal_whatever_its_parameter(
    shape: tuple[int, int], name: str, trivialized: bool
) -> None:
    layer = nn.Linear(shape[1], shape[0], rng=1).double()
    start = layer.weight.data.copy()
    parametrizations.orthogonal(layer, orthogonal_map=name, use_trivialization=trivialized, rng=0)
    original = layer.parametrizations.weight.original
    if trivialized:
        q, r = np.linalg.qr(start if shape[0] >= shape[1] else start.T)
        q *= np.sign(np.diagonal(r))
        np.testing.assert_allclose(layer.weight.data, q if shape[0] >= shape[1] else q.T, atol=1e-12)
    off = np.tril(np.ones(shape), -1) if shape[0] >= shape[1] else np.triu(np.ones(shape), 1)
    original.data[...] += np.random.default_rng(0).standard_normal(shape) * off
    w = layer.weight.data if shape[0] >= shape[1] else layer.weight.data.T
    np.testing.assert_allclose(w.T @ w, np.eye(w.shape[1]), atol=1e-12)
    target = np.linalg.qr(np.random.default_rng(2).standard_normal((4, 4)))[0]
    target = np.linalg.qr(target[: shape[0], : shape[1]] if shape[0] >= shape[1] else target[:2, :4].T)[0]
    target = target if shape[0] >= shape[1] else target.T
    if not trivialized and name != "householder":
        with pytest.raises(
            NotImplementedError, match=f"orthogonal: a weight by {name} can be assigned only with use_triv"
        ):
            layer.weight = target
        return
    layer.weight = target
    np.testing.assert_allclose(layer.weight.data, target, atol=1e-12)


@pytest.mark.parametrize("name", ["matrix_exp", "cayley", "householder"])
def test_the_maps_to_orthogonal_matrices_have_gradients_of_every_order(name: str) -> None:
    make = parametrizations._MAPS[name]
    x = np.tril(np.random.default_rng(0).standard_normal((4, 2)), -1) - np.eye(4, 2)
    weights = np.random.default_rng(1).standard_normal((4, 2))
    gradcheck(lambda x: make(tril(x, k=-1) - np.eye(4, 2)) * weights, [Tensor(x)])
    gradgradcheck(lambda x: make(tril(x, k=-1) - np.eye(4, 2)) * weights, [Tensor(x)])
    assert np.isfinite(
        hessian(lambda x: (make(x) * weights).sum())(Tensor(np.zeros((4, 2)) - np.eye(4, 2))).data
    ).all()


@pytest.mark.parametrize("size", [0.0, 1e-3, 1.0, 40.0])
def test_the_matrix_exponential_turns_by_the_angle(size: float) -> None:
    turned = parametrizations._matrix_exp(Tensor(np.array([[0.0, 0.0], [size, 0.0]]))).data
    np.testing.assert_allclose(
        turned, [[np.cos(size), -np.sin(size)], [np.sin(size), np.cos(size)]], atol=1e-13
    )
