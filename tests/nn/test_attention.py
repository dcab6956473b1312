"""Attention against its formula; masks, heads, and transformers made of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
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


@pytest.mark.parametrize("dtype", ["uint8", "int64", "int32"])
def test_attention_masks_of_integers_are_refused(dtype: str) -> None:
    x, padding, mask = sequence(3, 1, 4), np.array([[0, 0, 1]], dtype), np.eye(3, dtype=dtype)
    text = r"expected booleans, True where attention is masked, or floats to add to the scores, got {}\. Convert it"
    attention = nn.MultiheadAttention(4, 1)
    for name, value in (
        ("key_padding_mask", padding),
        ("attn_mask", Tensor(mask)),
        ("attn_mask", mask.tolist()),
    ):
        with pytest.raises(
            DTypeError, match=f"^MultiheadAttention: {name}: {text.format(np.asarray(value).dtype)}"
        ):
            attention(x, x, x, **{name: value})
    encoder = nn.TransformerEncoderLayer(4, 1, 8)
    for name, value in (("src_key_padding_mask", padding), ("src_mask", mask)):
        with pytest.raises(DTypeError, match=f"^TransformerEncoderLayer: {name}: {text.format(dtype)}"):
            encoder(x, **{name: value})
    with pytest.raises(DTypeError, match="^TransformerEncoder: mask: expected booleans"):
        nn.TransformerEncoder(encoder, 1)(x, mask=mask)
    decoder = nn.TransformerDecoderLayer(4, 1, 8)
    for name in ("tgt_mask", "memory_mask", "tgt_key_padding_mask", "memory_key_padding_mask"):
        with pytest.raises(DTypeError, match=f"^TransformerDecoderLayer: {name}: {text.format(dtype)}"):
            decoder(x, x, **{name: padding if "padding" in name else mask})
    with pytest.raises(
        DTypeError, match="^scaled_dot_product_attention: attn_mask: expected booleans, True where a query"
    ):
        scaled_dot_product_attention(x, x, x, attn_mask=np.zeros((1, 1), dtype))


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("kind", ["bool", "float", "list"])
def test_a_sequence_of_padding_gives_zeros_and_leaves_the_gradients_of_the_others(
    need_weights: bool, kind: str
) -> None:
    attention = nn.MultiheadAttention(4, 2, dtype="float64", rng=0)
    x = Tensor(RNG.standard_normal((3, 2, 4)), requires_grad=True)
    padding: Any = np.array([[False, False, True], [True, True, True]])
    mask = (
        np.where(padding, -np.inf, 0.0)
        if kind == "float"
        else padding.tolist()
        if kind == "list"
        else padding
    )
    out, weights = attention(x, x, x, key_padding_mask=mask, need_weights=need_weights)
    assert out.data[:, 1].tolist() == [[0.0] * 4] * 3  # the bias of the last linear map is 0
    if weights is not None:
        assert weights.data[1].tolist() == [[0.0] * 3] * 3
        np.testing.assert_allclose(weights.data[0].sum(axis=-1), 1)
    out.sum().backward()
    batched = [p.grad.data.copy() for p in attention.parameters() if p is not attention.out_proj.bias]
    assert x.grad.data[:, 1].tolist() == [[0.0] * 4] * 3
    attention.zero_grad()
    alone = Tensor(x.data[:, :1], requires_grad=True)
    single, _ = attention(alone, alone, alone, key_padding_mask=padding[:1])
    single.sum().backward()
    np.testing.assert_allclose(out.data[:, :1], single.data)
    np.testing.assert_allclose(x.grad.data[:, :1], alone.grad.data)
    for a, b in zip(
        batched, [p.grad.data for p in attention.parameters() if p is not attention.out_proj.bias]
    ):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_a_query_that_both_masks_together_leave_no_key_gives_zeros() -> None:
    attention, x = nn.MultiheadAttention(4, 2), sequence(3, 2, 4).astype("float32")
    x.requires_grad_()
    mask = np.array([[False, False, True]] * 3)
    padding = np.array([[True, True, False], [False, False, False]])
    for masks in ((mask, padding), (np.where(mask, -np.inf, np.float32(0)), padding)):
        out, weights = attention(x, x, x, attn_mask=masks[0], key_padding_mask=masks[1])
        assert not out.data[:, 0].any() and not weights.data[0].any() and out.data[:, 1].all()
        (out**2).sum().backward()
        assert np.isfinite(x.grad.data).all() and np.isfinite(attention.in_proj_weight.grad.data).all()


@pytest.mark.parametrize("training", [True, False])
def test_transformers_with_a_sequence_of_padding_have_finite_gradients(training: bool) -> None:
    padding = np.array([[False, False, True], [True, True, True]])
    x = sequence(3, 2, 4).astype("float32")
    for model in (
        nn.TransformerEncoderLayer(4, 1, 8), nn.TransformerEncoderLayer(4, 1, 8, norm_first=True),
        nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 1, 8), 2),
    ):  # fmt: skip
        model.train(training)
        model(x, src_key_padding_mask=padding).sum().backward()
        assert all(np.isfinite(p.grad.data).all() for p in model.parameters())
    decoder = nn.TransformerDecoderLayer(4, 1, 8).train(training)
    decoder(x, x, tgt_key_padding_mask=padding, memory_key_padding_mask=padding).sum().backward()
    assert all(np.isfinite(p.grad.data).all() for p in decoder.parameters())
