"""Attention as functions: scaled dot-product and multi-head attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.arguments import Count, Probability, Real
from tinygrad_dl.convert import beside
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.nn.functional.dropouts import dropout
from tinygrad_dl.ops import reduce
from tinygrad_dl.ops.accumulate import accumulating
from tinygrad_dl.ops.activations import softmax
from tinygrad_dl.ops.elementwise import add, astype, where
from tinygrad_dl.ops.join import concat
from tinygrad_dl.ops.linear import linear
from tinygrad_dl.ops.logic import equal, logical_not, logical_or
from tinygrad_dl.ops.matmul import matmul
from tinygrad_dl.ops.padding import pad
from tinygrad_dl.ops.reduce import mean
from tinygrad_dl.ops.shape import broadcast_to, expand_dims, permute_dims, reshape, squeeze
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, RandomLike


def attention_mask(name: str, argument: str, mask: Any, where_true: str = "attention is masked") -> Any:
    """The mask, a list as an array; raises DTypeError unless it holds booleans or floats.

    Numbers 0 and 1 would be added to the scores, so that padding got more weight.
    """
    if mask is None:
        return None
    mask = mask if isinstance(mask, Value) else np.asarray(mask)
    if mask.dtype != bool and mask.dtype.kind != "f":
        raise DTypeError(
            f"{name}: {argument}: expected booleans, True where {where_true}, or floats to add to the scores, "
            f"got {mask.dtype}. Convert it with .astype(bool)."
        )
    return mask


def _without_fully_masked(mask: Any) -> tuple[Any, Any]:
    """A mask to add, with zeros in the rows that allow no key, and whether each row is such a one.

    The softmax of a row of -inf is nan, and so are its derivatives; computed from zeros, its result is replaced by 0.
    """
    fully_masked = reduce.all(equal(mask, -np.inf), axis=-1, keepdims=True)
    return where(fully_masked, 0.0, mask), fully_masked


def _zero(fully_masked: Any, x: Any) -> Any:
    """x with zeros for the queries that may attend to no key."""
    return x if fully_masked is None else where(fully_masked, 0.0, x)


@accumulating
def scaled_dot_product_attention(
    query: Array,
    key: Array,
    value: Array,
    attn_mask: Array | None = None,
    dropout_p: Probability = 0.0,
    is_causal: bool = False,
    scale: Real | None = None,
    enable_gqa: bool = False,
    *,
    rng: RandomLike = None,
) -> Tensor:
    """Weighted averages of values; the weights are the softmax of scaled query-key products.

    out = softmax(query @ key.T * scale + mask) @ value, scale 1 / sqrt(E) by default.
    query (..., L, E), key (..., S, E), value (..., S, V) -> (..., L, V); attn_mask broadcasts to (..., L, S): True
    where a query may attend, or numbers to add. is_causal: query i attends to keys 0 to i. A query that may
    attend to no key gives 0. Raises ShapeError, ValueRangeError.   Source: Vaswani and others 2017.
    >>> scaled_dot_product_attention(np.zeros((1, 2)), np.ones((2, 2)), np.array([[1.0], [3.0]]))
    array([[2.]])
    """
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise ShapeError(
            f"scaled_dot_product_attention: expected query (..., L, E), key (..., S, E) and value (..., S, V), "
            f"got {query.shape}, {key.shape} and {value.shape}"
        )
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ShapeError(
            f"scaled_dot_product_attention: expected query (..., L, E), key (..., S, E) and value (..., S, V), "
            f"got {query.shape}, {key.shape} and {value.shape}"
        )
    if is_causal and attn_mask is not None:
        raise ValueRangeError(
            "scaled_dot_product_attention: expected either attn_mask or is_causal, got both"
        )
    if enable_gqa:
        key, value = (_grouped(x, query.shape[-3]) for x in (key, value))
    attn_mask = attention_mask("scaled_dot_product_attention", "attn_mask", attn_mask, "a query may attend")
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    # The query is scaled rather than the scores, which usually have more elements.
    scores = matmul(query * factor, key.mT)
    fully_masked = None
    if is_causal:  # each query may attend to a key, the first one
        mask = beside(query, np.tri(query.shape[-2], key.shape[-2], dtype=bool))
        scores = where(mask, scores, -np.inf)
    elif attn_mask is not None and attn_mask.dtype == bool:
        fully_masked = logical_not(reduce.any(attn_mask, axis=-1, keepdims=True))
        scores = where(logical_or(attn_mask, fully_masked), scores, -np.inf)
    elif attn_mask is not None:
        added, fully_masked = _without_fully_masked(attn_mask)
        scores = scores + added
    weights = softmax(scores, axis=-1)
    if dropout_p:
        weights = dropout(weights, dropout_p, True, rng=rng)
    return _zero(fully_masked, matmul(weights, value))


def _grouped(x: Array, heads: int) -> Any:
    """Key or value heads repeated, one for each group of query heads."""
    *lead, own, length, size = x.shape
    if heads % own:
        raise ShapeError(
            f"scaled_dot_product_attention: expected a number of key heads that divides the {heads} query heads, "
            f"got {own}"
        )
    expanded = broadcast_to(expand_dims(x, -3), (*lead, own, heads // own, length, size))
    return reshape(expanded, (*lead, heads, length, size))


def _additive(mask: Array | None, dtype: Any) -> Any:
    """The mask in additive form: True becomes -inf, in the dtype of the scores."""
    if mask is None or mask.dtype != bool:
        return mask
    return astype(where(mask, -np.inf, 0.0), dtype)


def _padded(mask: Array | None) -> Any:
    return None if mask is None else pad(mask, (0, 1))


def _projected(
    query: Array,
    key: Array,
    value: Array,
    embed: int,
    weight: Any,
    bias: Array | None,
    separate: tuple[Any, Any, Any] | None,
) -> tuple[Any, Any, Any]:
    """Queries, keys and values through their linear maps; self-attention needs one product only."""
    if separate is None and query is key is value:
        stacked = linear(query, weight, bias)
        return stacked[..., :embed], stacked[..., embed : 2 * embed], stacked[..., 2 * embed :]
    parts = []
    for i, x in enumerate((query, key, value)):
        rows = slice(i * embed, (i + 1) * embed)
        w = weight[rows] if separate is None else separate[i]
        parts.append(linear(x, w, None if bias is None else bias[rows]))
    return parts[0], parts[1], parts[2]


def multi_head_attention_forward(
    query: Array,
    key: Array,
    value: Array,
    embed_dim_to_check: Count,
    num_heads: Count,
    in_proj_weight: Array | None,
    in_proj_bias: Array | None,
    bias_k: Array | None,
    bias_v: Array | None,
    add_zero_attn: bool,
    dropout_p: Probability,
    out_proj_weight: Array,
    out_proj_bias: Array | None,
    training: bool = True,
    key_padding_mask: Array | None = None,
    need_weights: bool = True,
    attn_mask: Array | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Array | None = None,
    k_proj_weight: Array | None = None,
    v_proj_weight: Array | None = None,
    static_k: Array | None = None,
    static_v: Array | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
    *,
    rng: RandomLike = None,
) -> tuple[Any, Any]:
    """Multi-head attention: query (L, N, E), key and value (S, N, ...) -> (L, N, E) and the weights.

    See MultiheadAttention for the arguments; without N all arrays have one axis less.
    """
    name = "MultiheadAttention"
    attn_mask = attention_mask(name, "attn_mask", attn_mask)
    key_padding_mask = attention_mask(name, "key_padding_mask", key_padding_mask)
    unbatched = query.ndim == 2
    if query.ndim not in (2, 3) or key.ndim != query.ndim or value.ndim != query.ndim:
        raise ShapeError(
            f"{name}: expected query (L, N, E), key (S, N, kdim) and value (S, N, vdim), with N first under "
            f"batch_first, or all without N, got {query.shape}, {key.shape} and {value.shape}"
        )
    if query.shape[-1] != embed_dim_to_check:
        raise ShapeError(
            f"{name}: expected a query of embed_dim = {embed_dim_to_check} features, got {query.shape}"
        )
    if key.shape[:-1] != value.shape[:-1]:
        raise ShapeError(
            f"{name}: expected key and value of the same length and batch size, got {key.shape} and {value.shape}"
        )
    if is_causal and attn_mask is None:
        raise ValueRangeError(
            f"{name}: expected attn_mask with is_causal=True, which only describes that mask, got None. "
            "Pass attn_mask too."
        )
    if unbatched:
        # Identity is preserved, so that self-attention still takes one product for q, k and v.
        same = query is key is value
        query = expand_dims(query, 1)
        key, value = (query, query) if same else (expand_dims(key, 1), expand_dims(value, 1))
        if key_padding_mask is not None:
            key_padding_mask = expand_dims(key_padding_mask, 0)
    length, batch, embed = query.shape
    size = embed // num_heads
    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    q, k, v = _projected(query, key, value, embed, in_proj_weight, in_proj_bias, separate)
    mask, padding = _additive(attn_mask, q.dtype), _additive(key_padding_mask, q.dtype)
    # A learned key and value that every query can attend to; the masks get a column of 0 for it.
    if bias_k is not None and bias_v is not None:
        k = concat([k, broadcast_to(bias_k, (1, batch, embed))], axis=0)
        v = concat([v, broadcast_to(bias_v, (1, batch, embed))], axis=0)
        mask, padding = _padded(mask), _padded(padding)

    def heads(x: Array) -> Tensor:
        return permute_dims(reshape(x, (x.shape[0], batch, num_heads, size)), (1, 2, 0, 3))

    q = heads(q)
    k = heads(k) if static_k is None else reshape(static_k, (batch, num_heads, *static_k.shape[1:]))
    v = heads(v) if static_v is None else reshape(static_v, (batch, num_heads, *static_v.shape[1:]))
    if add_zero_attn:
        k, v = pad(k, (0, 0, 0, 1)), pad(v, (0, 0, 0, 1))
        mask, padding = _padded(mask), _padded(padding)
    # As above: scaling q is cheaper than scaling the scores.
    scores = matmul(q * size**-0.5, k.mT)
    scores_shape = scores.shape
    if attn_mask is not None and mask is not None:
        if mask.shape == (batch * num_heads, *scores_shape[2:]):
            mask = reshape(mask, scores_shape)
        elif mask.shape != scores_shape[2:]:
            raise ShapeError(
                f"{name}: expected attn_mask of shape (L, S) = {(length, key.shape[0])} or (N * num_heads, L, S), "
                f"got {attn_mask.shape}"
            )
    if key_padding_mask is not None and padding is not None:
        if padding.shape != (batch, scores_shape[3]):
            raise ShapeError(
                f"{name}: expected key_padding_mask of shape (N, S) = {(batch, key.shape[0])}, "
                f"got {key_padding_mask.shape}"
            )
        padding = reshape(padding, (batch, 1, 1, scores_shape[3]))
        mask = padding if mask is None else add(mask, padding)
    fully_masked = None
    if mask is not None:
        mask, fully_masked = _without_fully_masked(mask)
        scores = scores + mask
    weights = softmax(scores, axis=-1)
    if training and dropout_p:
        weights = dropout(weights, dropout_p, True, rng=rng)
    attended = _zero(fully_masked, matmul(weights, v))
    merged = reshape(permute_dims(attended, (2, 0, 1, 3)), (length, batch, embed))
    out = linear(merged, out_proj_weight, out_proj_bias)
    if unbatched:
        out = squeeze(out, 1)
    if not need_weights:
        return out, None
    weights = _zero(fully_masked, weights)
    returned = mean(weights, axis=1) if average_attn_weights else weights
    return out, squeeze(returned, 0) if unbatched else returned
