"""Lazy layers become the plain ones at their first input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn


def test_a_lazy_layer_becomes_the_plain_one_at_its_first_input() -> None:
    layer = nn.LazyConv2d(4, kernel_size=3)
    assert layer(Tensor(np.zeros((1, 2, 5, 5), np.float32))).shape == (1, 4, 3, 3)
    assert type(layer) is nn.Conv2d and layer.weight.shape == (4, 2, 3, 3)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [(nn.LazyInstanceNorm1d, (5,)), (nn.LazyInstanceNorm2d, (5, 4)), (nn.LazyInstanceNorm3d, (5, 4, 2))],
)
@pytest.mark.parametrize("batch", [(), (2,)])
def test_a_lazy_instance_norm_takes_its_channels_from_the_first_input_with_or_without_a_batch(
    kind: Any, shape: tuple[int, ...], batch: tuple[int, ...]
) -> None:
    layer = kind(eps=1e-3)
    assert repr(layer).startswith(
        f"{kind.__name__}(?, eps=0.001, momentum=0.1, affine=True, track_running_stats=True"
    )
    x = np.random.default_rng(0).standard_normal((*batch, 3, *shape)).astype(np.float32)
    out = layer(x)
    assert type(layer).__name__ == kind.__name__.removeprefix("Lazy") and layer.num_features == 3
    assert layer.weight.shape == layer.running_mean.shape == (3,) and layer.eps == 1e-3
    np.testing.assert_allclose(out.data.mean(axis=tuple(range(-len(shape), 0))), 0, atol=1e-5)
