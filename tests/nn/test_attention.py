"""Attention against its formula; masks, heads, and transformers made of it."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.nn.functional import scaled_dot_product_attention

RNG = np.random.default_rng(0)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sequence(*shape: int) -> Tensor:
    return Tensor(RNG.standard_normal(shape))


def test_attention_averages_values_by_the_fit_of_their_keys() -> None:
    q, k, v = RNG.standard_normal((2, 3, 4)), RNG.standard_normal((2, 5, 4)), RNG.standard_normal((2, 5, 6))
    got = scaled_dot_product_attention(q, k, v)
    np.testing.assert_allclose(got, softmax(q @ k.swapaxes(1, 2) / 2) @ v)


def test_a_causal_query_sees_no_later_key() -> None:
    q = k = RNG.standard_normal((4, 3))
    v = RNG.standard_normal((4, 2))
    changed = v.copy()
    changed[3] = 100
    a, b = (scaled_dot_product_attention(q, k, values, is_causal=True) for values in (v, changed))
    np.testing.assert_array_equal(a[:3], b[:3])
    np.testing.assert_allclose(a[0], v[0])


def test_a_boolean_mask_is_where_one_may_look_and_numbers_are_added() -> None:
    q, k, v = RNG.standard_normal((2, 3)), RNG.standard_normal((3, 3)), RNG.standard_normal((3, 2))
    mask = np.array([[True, False, True], [True, True, False]])
    by_choice = scaled_dot_product_attention(q, k, v, attn_mask=mask)
    by_sum = scaled_dot_product_attention(q, k, v, attn_mask=np.where(mask, 0.0, -np.inf))
    np.testing.assert_allclose(by_choice, by_sum)


def test_a_query_that_may_look_nowhere_gives_zero_and_finite_gradients() -> None:
    q = Tensor(RNG.standard_normal((2, 3)), requires_grad=True)
    k, v = RNG.standard_normal((2, 3)), RNG.standard_normal((2, 2))
    out = scaled_dot_product_attention(q, k, v, attn_mask=np.array([[False, False], [True, True]]))
    assert out.data[0].tolist() == [0, 0]
    out.sum().backward()
    assert q.grad is not None and np.isfinite(q.grad.data).all()


def test_groups_of_query_heads_share_a_key_head() -> None:
    q, k = RNG.standard_normal((1, 4, 3, 2)), RNG.standard_normal((1, 2, 5, 2))
    v = RNG.standard_normal((1, 2, 5, 2))
    got = scaled_dot_product_attention(q, k, v, enable_gqa=True)
    np.testing.assert_allclose(got, scaled_dot_product_attention(q, k.repeat(2, 1), v.repeat(2, 1)))


def test_several_heads_are_attention_side_by_side() -> None:
    layer, x = nn.MultiheadAttention(6, 2).double(), sequence(4, 3, 6)
    out, weights = layer(x, x, x)
    w, b = layer.in_proj_weight.data, layer.in_proj_bias.data
    q, k, v = np.split(x.data @ w.T + b, 3, axis=-1)
    heads = []
    for h in (slice(0, 3), slice(3, 6)):
        parts = (t[..., h].swapaxes(0, 1) for t in (q, k, v))
        heads.append(np.asarray(scaled_dot_product_attention(*parts)))
    joined = np.concatenate(heads, -1).swapaxes(0, 1)
    expected = joined @ layer.out_proj.weight.data.T + layer.out_proj.bias.data
    np.testing.assert_allclose(out.data, expected, atol=1e-12)
    assert weights is not None and weights.shape == (3, 4, 4)
    np.testing.assert_allclose(weights.data.sum(-1), 1)


def test_batch_first_and_no_batch_only_move_axes() -> None:
    layer = nn.MultiheadAttention(4, 2, batch_first=True).double()
    other = nn.MultiheadAttention(4, 2).double()
    other.load_state_dict(layer.state_dict())
    x = sequence(2, 5, 4)
    out, _ = layer(x, x, x)
    swapped = Tensor(x.data.swapaxes(0, 1))
    np.testing.assert_allclose(other(swapped, swapped, swapped)[0].data.swapaxes(0, 1), out.data, atol=1e-12)
    alone, weights = other(x[0], x[0], x[0])
    np.testing.assert_allclose(alone.data, out.data[0], atol=1e-12)
    assert weights is not None and weights.shape == (5, 5)


def test_padded_keys_have_no_weight_and_no_gradient() -> None:
    layer = nn.MultiheadAttention(4, 2, batch_first=True).double()
    x = sequence(2, 3, 4).requires_grad_()
    hidden = np.array([[False, False, True], [False, False, False]])
    query = sequence(2, 2, 4)
    out, weights = layer(query, x, x, key_padding_mask=hidden)
    assert weights is not None and not weights.data[0, :, 2].any()
    out.sum().backward()
    assert x.grad is not None and not x.grad.data[0, 2].any() and x.grad.data[1, 2].any()


def test_shapes_and_masks_that_do_not_fit_are_explained() -> None:
    layer, x = nn.MultiheadAttention(4, 2).double(), sequence(3, 1, 4)
    with pytest.raises(ShapeError, match=r"expected attn_mask of shape \(L, S\) = \(3, 3\) .*, got \(2, 2\)"):
        layer(x, x, x, attn_mask=np.zeros((2, 2)))
    with pytest.raises(ShapeError, match=r"key_padding_mask of shape \(N, S\) = \(1, 3\), got \(3, 1\)"):
        layer(x, x, x, key_padding_mask=np.zeros((3, 1), bool))
    with pytest.raises(ShapeError, match="expected a query of embed_dim = 4 features"):
        layer(sequence(3, 1, 5), x, x)
    with pytest.raises(ValueRangeError, match="Pass attn_mask too"):
        layer(x, x, x, is_causal=True)
    with pytest.raises(ValueRangeError, match="expected embed_dim divisible by num_heads=2, got 5"):
        nn.MultiheadAttention(5, 2)
