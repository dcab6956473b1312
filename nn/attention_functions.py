"""Attention as functions: scaled products of queries and keys, and several heads of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.nn.dropout_functions import dropout
from tinygrad_dl.ops.activations import softmax
from tinygrad_dl.ops.elementwise import where
from tinygrad_dl.ops.join import concat
from tinygrad_dl.ops.linear import linear
from tinygrad_dl.ops.matmul import matmul
from tinygrad_dl.ops.padding import pad
from tinygrad_dl.ops.reduce import mean
from tinygrad_dl.ops.shape import broadcast_to, expand_dims, permute_dims, reshape, squeeze


def _array(x: Any) -> Any:
    return x._data if isinstance(x, Value) else np.asarray(x)


def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    scale: float | None = None, enable_gqa: bool = False, *, rng: Any = None,
) -> Any:  # fmt: skip
    """Values averaged by how well their keys fit each query.

    out = softmax(query @ key.T * scale + mask) @ value, scale 1 / sqrt(E) by default.
    query (..., L, E), key (..., S, E), value (..., S, V) -> (..., L, V); attn_mask broadcasts to (..., L, S): True
    where a query may look, or numbers to add. is_causal: query i looks at keys 0 to i. A query that may look
    nowhere gives 0. Raises ShapeError, ValueRangeError.   Source: Vaswani and others 2017.
    >>> scaled_dot_product_attention(np.zeros((1, 2)), np.ones((2, 2)), np.array([[1.0], [3.0]]))
    array([[2.]])
    """
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ShapeError(
            f"scaled_dot_product_attention: query {query.shape}, key {key.shape} and value {value.shape} must be "
            "(..., L, E), (..., S, E) and (..., S, V)"
        )
    if is_causal and attn_mask is not None:
        raise ValueRangeError("scaled_dot_product_attention: give either attn_mask or is_causal")
    if enable_gqa:
        key, value = (_grouped(x, query.shape[-3]) for x in (key, value))
    if is_causal:
        attn_mask = np.tri(query.shape[-2], key.shape[-2], dtype=bool)
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    scores = matmul(query * factor, key.mT)
    blind = None
    if attn_mask is not None:
        mask = _array(attn_mask)
        if mask.dtype == bool:
            scores, blind = where(mask, scores, -np.inf), ~mask.any(axis=-1, keepdims=True)
        else:
            scores = scores + attn_mask
            blind = np.isneginf(mask).all(axis=-1, keepdims=True)
    if blind is not None and blind.any():
        weights = where(blind, 0.0, softmax(where(blind, 0.0, scores), axis=-1))
    else:
        weights = softmax(scores, axis=-1)
    if dropout_p:
        weights = dropout(weights, dropout_p, True, rng=rng)
    return matmul(weights, value)


def _grouped(x: Any, heads: int) -> Any:
    """Heads repeated so that groups of query heads share one."""
    *lead, own, length, size = x.shape
    if heads % own:
        raise ShapeError(f"scaled_dot_product_attention: {heads} query heads cannot share {own} key heads")
    wide = broadcast_to(expand_dims(x, -3), (*lead, own, heads // own, length, size))
    return reshape(wide, (*lead, heads, length, size))


def _added(mask: Any, dtype: Any) -> Any:
    """A mask as numbers to add: a boolean one is True where nobody may look."""
    if mask is None or _array(mask).dtype != bool:
        return mask
    return np.where(_array(mask), np.array(-np.inf, dtype), np.array(0, dtype))


def _widened(mask: Any) -> Any:
    return None if mask is None else pad(mask, (0, 1))


def _projected(
    query: Any,
    key: Any,
    value: Any,
    embed: int,
    weight: Any,
    bias: Any,
    separate: tuple[Any, Any, Any] | None,
) -> tuple[Any, Any, Any]:
    """Queries, keys and values through their linear maps; what is one array is multiplied once."""
    if separate is None and query is key is value:
        whole = linear(query, weight, bias)
        return whole[..., :embed], whole[..., embed : 2 * embed], whole[..., 2 * embed :]
    parts = []
    for i, x in enumerate((query, key, value)):
        rows = slice(i * embed, (i + 1) * embed)
        w = weight[rows] if separate is None else separate[i]
        parts.append(linear(x, w, None if bias is None else bias[rows]))
    return parts[0], parts[1], parts[2]


def multi_head_attention_forward(
    query: Any, key: Any, value: Any, embed_dim_to_check: int, num_heads: int, in_proj_weight: Any,
    in_proj_bias: Any, bias_k: Any, bias_v: Any, add_zero_attn: bool, dropout_p: float, out_proj_weight: Any,
    out_proj_bias: Any, training: bool = True, key_padding_mask: Any = None, need_weights: bool = True,
    attn_mask: Any = None, use_separate_proj_weight: bool = False, q_proj_weight: Any = None,
    k_proj_weight: Any = None, v_proj_weight: Any = None, static_k: Any = None, static_v: Any = None,
    average_attn_weights: bool = True, is_causal: bool = False, *, rng: Any = None,
) -> tuple[Any, Any]:  # fmt: skip
    """Attention of several heads: query (L, N, E), key and value (S, N, ...) -> (L, N, E) and the weights.

    See MultiheadAttention for the arguments; without N all arrays have one axis less.
    """
    name = "MultiheadAttention"
    unbatched = query.ndim == 2
    if query.ndim not in (2, 3) or key.ndim != query.ndim or value.ndim != query.ndim:
        raise ShapeError(
            f"{name}: query {query.shape}, key {key.shape} and value {value.shape} must be (L, N, E), (S, N, kdim) "
            "and (S, N, vdim), or all without N (with batch_first N comes first)"
        )
    if query.shape[-1] != embed_dim_to_check:
        raise ShapeError(
            f"{name}: query {query.shape} has {query.shape[-1]} features; embed_dim is {embed_dim_to_check}"
        )
    if key.shape[:-1] != value.shape[:-1]:
        raise ShapeError(
            f"{name}: key {key.shape} and value {value.shape} must have equal lengths and batches"
        )
    if is_causal and attn_mask is None:
        raise ValueRangeError(f"{name}: is_causal=True only says what attn_mask is; pass attn_mask too")
    if unbatched:
        same = query is key is value
        query = expand_dims(query, 1)
        key, value = (query, query) if same else (expand_dims(key, 1), expand_dims(value, 1))
        if key_padding_mask is not None:
            key_padding_mask = expand_dims(key_padding_mask, 0)
    length, batch, embed = query.shape
    size = embed // num_heads
    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    q, k, v = _projected(query, key, value, embed, in_proj_weight, in_proj_bias, separate)
    mask, padding = _added(attn_mask, q.dtype), _added(key_padding_mask, q.dtype)
    if bias_k is not None:
        k = concat([k, broadcast_to(bias_k, (1, batch, embed))], axis=0)
        v = concat([v, broadcast_to(bias_v, (1, batch, embed))], axis=0)
        mask, padding = _widened(mask), _widened(padding)

    def heads(x: Any) -> Any:
        return permute_dims(reshape(x, (x.shape[0], batch, num_heads, size)), (1, 2, 0, 3))

    q = heads(q)
    k = heads(k) if static_k is None else reshape(static_k, (batch, num_heads, *static_k.shape[1:]))
    v = heads(v) if static_v is None else reshape(static_v, (batch, num_heads, *static_v.shape[1:]))
    if add_zero_attn:
        k, v = pad(k, (0, 0, 0, 1)), pad(v, (0, 0, 0, 1))
        mask, padding = _widened(mask), _widened(padding)
    scores = matmul(q * size**-0.5, k.mT)
    whole = scores.shape
    if mask is not None:
        if mask.shape == (batch * num_heads, *whole[2:]):
            mask = reshape(mask, whole)
        elif mask.shape != whole[2:]:
            raise ShapeError(
                f"{name}: attn_mask has the shape {_array(attn_mask).shape}; (L, S) = {(length, key.shape[0])} or "
                f"(N * num_heads, L, S) is needed"
            )
        scores = scores + mask
    if padding is not None:
        if padding.shape != (batch, whole[3]):
            raise ShapeError(
                f"{name}: key_padding_mask has the shape {_array(key_padding_mask).shape}; (N, S) = "
                f"{(batch, key.shape[0])} is needed"
            )
        scores = scores + reshape(padding, (batch, 1, 1, whole[3]))
    weights = softmax(scores, axis=-1)
    if training and dropout_p:
        weights = dropout(weights, dropout_p, True, rng=rng)
    joined = reshape(permute_dims(matmul(weights, v), (2, 0, 1, 3)), (length, batch, embed))
    out = linear(joined, out_proj_weight, out_proj_bias)
    if unbatched:
        out = squeeze(out, 1)
    if not need_weights:
        return out, None
    shown = mean(weights, axis=1) if average_attn_weights else weights
    return out, squeeze(shown, 0) if unbatched else shown
