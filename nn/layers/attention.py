"""Multi-head attention as a layer."""

from __future__ import annotations

from tinygrad_dl.arguments import Count, Probability
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.nn import init
from tinygrad_dl.nn.functional.attention import multi_head_attention_forward
from tinygrad_dl.nn.layers.linear import Linear
from tinygrad_dl.nn.module import Module
from tinygrad_dl.ops.shape import permute_dims
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, DTypeLike, RandomLike


class MultiheadAttention(Module):
    """Multi-head attention: each head averages values with query-key weights; a linear map mixes the heads.

    head_h = softmax(q_h @ k_h.T / sqrt(E / heads) + masks) @ v_h, q_h the h-th part of W_q query + b_q, and so on.
    query (L, N, E), key (S, N, kdim), value (S, N, vdim) -> (L, N, E) and the weights (N, L, S), averaged over
    heads unless average_attn_weights is False; with batch_first N comes first, and N may be left out.
    attn_mask (L, S) or (N * heads, L, S), key_padding_mask (N, S): True where attention is masked, or floats to add.
    A query that may attend to no key, as in a sequence of padding, has the weights 0, and no gradient.
    Parameters: in_proj_weight (3 E, E), or q_, k_ and v_proj_weight; in_proj_bias, out_proj.
    Source: Vaswani and others 2017.
    >>> from tinygrad_dl import zeros
    >>> x = zeros((5, 2, 4))
    >>> [part.shape for part in MultiheadAttention(4, 2)(x, x, x)]
    [(5, 2, 4), (2, 5, 5)]
    """

    _optional = dict.fromkeys(
        (
            "in_proj_weight",
            "q_proj_weight",
            "k_proj_weight",
            "v_proj_weight",
            "in_proj_bias",
            "bias_k",
            "bias_v",
        )
    )

    def __init__(
        self,
        embed_dim: Count,
        num_heads: Count,
        dropout: Probability = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: Count | None = None,
        vdim: Count | None = None,
        batch_first: bool = False,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        *,
        rng: RandomLike = None,
    ) -> None:
        if embed_dim < 1 or num_heads < 1 or embed_dim % num_heads:
            raise ValueRangeError(
                f"MultiheadAttention: expected embed_dim divisible by num_heads={num_heads}, got {embed_dim}"
            )
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = (
            embed_dim,
            num_heads,
            dropout,
            batch_first,
        )
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.head_dim, self.add_zero_attn, self.rng = embed_dim // num_heads, add_zero_attn, rng
        self._qkv_same_embed_dim = self.kdim == self.vdim == embed_dim
        self.in_proj_weight = self.q_proj_weight = self.k_proj_weight = self.v_proj_weight = None
        if self._qkv_same_embed_dim:
            self.in_proj_weight = init.empty((3 * embed_dim, embed_dim), dtype, device)
        else:
            self.q_proj_weight = init.empty((embed_dim, embed_dim), dtype, device)
            self.k_proj_weight = init.empty((embed_dim, self.kdim), dtype, device)
            self.v_proj_weight = init.empty((embed_dim, self.vdim), dtype, device)
        self.in_proj_bias = init.empty((3 * embed_dim,), dtype, device) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, device, dtype, rng=rng)
        self.bias_k = init.empty((1, 1, embed_dim), dtype, device) if add_bias_kv else None
        self.bias_v = init.empty((1, 1, embed_dim), dtype, device) if add_bias_kv else None
        self.reset_parameters(rng)

    def reset_parameters(self, rng: RandomLike = None) -> None:
        """Reinitialize the weights (Xavier uniform) and set the biases to 0."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight, rng=rng)
        # Zero biases, unlike Linear's own initialization, as in PyTorch.
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias, rng=rng)

    def forward(
        self,
        query: Array,
        key: Array,
        value: Array,
        key_padding_mask: Array | None = None,
        need_weights: bool = True,
        attn_mask: Array | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Apply the layer; returns the result and the attention weights, or None without need_weights."""
        swapped = self.batch_first and query.ndim == 3
        if swapped:
            same_key, same_value = key is query, value is key
            query = permute_dims(query, (1, 0, 2))
            key = query if same_key else permute_dims(key, (1, 0, 2)) if key.ndim == 3 else key
            value = key if same_value else permute_dims(value, (1, 0, 2)) if value.ndim == 3 else value
        out, weights = multi_head_attention_forward(
            query, key, value, self.embed_dim, self.num_heads, self.in_proj_weight, self.in_proj_bias,
            self.bias_k, self.bias_v, self.add_zero_attn, self.dropout, self.out_proj.weight, self.out_proj.bias,
            self.training, key_padding_mask, need_weights, attn_mask, not self._qkv_same_embed_dim,
            self.q_proj_weight, self.k_proj_weight, self.v_proj_weight,
            average_attn_weights=average_attn_weights, is_causal=is_causal, rng=self.rng,
        )  # fmt: skip
        return permute_dims(out, (1, 0, 2)) if swapped else out, weights

    def extra_repr(self) -> str:
        """The sizes."""
        return f"embed_dim={self.embed_dim}, num_heads={self.num_heads}"
