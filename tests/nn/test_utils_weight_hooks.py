"""Weight and spectral normalization by forward pre-hooks."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn
from tinygrad_dl.nn import utils


def test_weight_norm_keeps_the_weight_and_learns_length_and_direction() -> None:
    layer = nn.Linear(3, 2)
    weight = layer.weight.data.copy()
    utils.weight_norm(layer)
    assert sorted(name for name, _ in layer.named_parameters()) == ["bias", "weight_g", "weight_v"]
    layer(Tensor(np.ones((1, 3), "float32"))).sum().backward()
    assert np.allclose(layer.weight.detach().numpy(), weight, atol=1e-6)
    assert layer.weight_g.grad.shape == (2, 1)
    v, g = layer.weight_v.data, layer.weight_v.grad.numpy()
    assert np.allclose((v * g).sum(axis=1), 0, atol=1e-5)  # the direction's gradient is perpendicular to it
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        twin.weight_g.data *= 2
        twin(Tensor(np.ones((1, 3), "float32")))
        assert np.allclose(twin.weight.detach().numpy(), 2 * weight, atol=1e-6)
    utils.remove_weight_norm(layer)
    assert sorted(name for name, _ in layer.named_parameters()) == ["bias", "weight"]
    with pytest.raises(ValueError, match="has no weight_norm"):
        utils.remove_weight_norm(layer)


def test_spectral_norm_makes_the_largest_singular_value_one() -> None:
    layer = utils.spectral_norm(nn.Linear(5, 4, rng=0), rng=0)
    for _ in range(20):
        out = layer(Tensor(np.ones((1, 5), "float32")))
    assert np.linalg.svd(layer.weight.detach().numpy())[1][0] == pytest.approx(1, abs=1e-3)
    out.sum().backward()
    assert layer.weight_orig.grad is not None
    layer.eval()
    u = layer.weight_u.data.copy()
    layer(Tensor(np.ones((1, 5), "float32")))
    assert np.array_equal(layer.weight_u.data, u)
    assert sorted(utils.remove_spectral_norm(layer).state_dict()) == ["bias", "weight"]
