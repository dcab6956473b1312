"""Dropout: how much is dropped, what is scaled, and that the generator decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, manual_seed, nn


def test_a_fraction_p_is_dropped_and_the_rest_scaled_up() -> None:
    x = Tensor(np.ones((100, 100), "float32"), requires_grad=True)
    out = nn.Dropout(0.25, rng=0)(x)
    values = out.detach().numpy()
    assert values.dtype == np.float32 and set(values.ravel()) == {0.0, np.float32(1 / 0.75)}
    assert (values == 0).mean() == pytest.approx(0.25, abs=0.02)
    out.sum().backward()
    assert x.grad is not None and np.array_equal(x.grad.numpy(), values)


def test_the_same_seed_drops_the_same() -> None:
    x = Tensor(np.ones(50))
    manual_seed(3)
    first = nn.Dropout()(x).tolist()
    manual_seed(3)
    assert nn.Dropout()(x).tolist() == first


@pytest.mark.parametrize("kind", [nn.Dropout, nn.AlphaDropout])
def test_evaluation_and_p_of_0_pass_the_input_on_and_draw_nothing(kind: Any) -> None:
    x = Tensor([1.0, 2.0])
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    assert kind(0.5, rng=rng).eval()(x) is x and kind(0.0, rng=rng)(x) is x
    assert rng.bit_generator.state == before


def test_p_of_1_drops_everything() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    out = nn.Dropout(1.0)(x)
    out.sum().backward()
    assert out.tolist() == [0.0, 0.0] and x.grad is not None and x.grad.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("kind", "shape"), [(nn.Dropout1d, (40, 5, 6)), (nn.Dropout2d, (40, 5, 3, 2)), (nn.Dropout3d, (40, 5, 3, 2, 1)),
                        (nn.Dropout2d, (40, 3, 2)), (nn.FeatureAlphaDropout, (40, 5, 3, 2))]
)  # fmt: skip
def test_channels_are_dropped_whole(kind: Any, shape: tuple[int, ...]) -> None:
    out = kind(0.5, rng=0)(Tensor(np.ones(shape))).numpy()
    channels = out.reshape(shape[0] if len(shape) == 3 and kind is nn.Dropout2d else shape[0] * shape[1], -1)
    assert all(len(set(channel)) == 1 for channel in channels)
    assert len(set(channels[:, 0])) == 2


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    x = np.random.default_rng(0).standard_normal(200_000)
    out = nn.AlphaDropout(0.2, rng=1)(Tensor(x)).numpy()
    assert out.mean() == pytest.approx(0, abs=0.02) and out.std() == pytest.approx(1, abs=0.02)


def test_a_probability_is_from_0_to_1() -> None:
    with pytest.raises(ValueError, match=r"Dropout: p: expected a number in \[0, 1\], got float 1.5"):
        nn.Dropout(1.5)
    with pytest.raises(
        ValueError, match=r"dropout2d: expected an input of 3 or 4 axes, got the shape \(2,\)"
    ):
        nn.Dropout2d()(Tensor([1.0, 2.0]))


@pytest.mark.parametrize("source", [np.random.PCG64, np.random.MT19937, np.random.Philox])
@pytest.mark.parametrize("p", [1e-9, 0.1, 1 / 3, 0.5, 0.999999999, 1.0])
def test_dropout_keeps_where_a_draw_of_float32_is_at_least_p(p: float, source: Any) -> None:
    for shape in [(4, 6), (3,), (0,), (), (64, 128)]:
        kept = nn.functional.dropout(Tensor(np.ones(shape)), p, rng=np.random.Generator(source(3))).data != 0
        drawn = np.random.Generator(source(3)).random(shape, dtype=np.float32)
        assert np.array_equal(kept, drawn >= p)
