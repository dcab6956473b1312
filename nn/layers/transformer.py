"""Transformers: encoder and decoder layers, stacks of them, and the whole model."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np

from tinygrad_dl import config
from tinygrad_dl.arguments import Count, NonNegative, Probability, Size
from tinygrad_dl.convert import constant
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.nn import init
from tinygrad_dl.nn.containers import ModuleList
from tinygrad_dl.nn.functional import activation as activation_functions
from tinygrad_dl.nn.functional.attention import attention_mask
from tinygrad_dl.nn.layers.attention import MultiheadAttention
from tinygrad_dl.nn.layers.dropout import Dropout
from tinygrad_dl.nn.layers.linear import Linear
from tinygrad_dl.nn.layers.normalization import LayerNorm
from tinygrad_dl.nn.module import Module
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, DTypeLike, RandomLike


def _activation(given: str | Callable[[Any], Any]) -> Callable[[Any], Any]:
    if callable(given):
        return given
    if given not in ("relu", "gelu"):
        raise ValueRangeError(f"expected activation 'relu', 'gelu' or a function, got {given!r}")
    chosen: Callable[[Any], Any] = getattr(activation_functions, given)
    return chosen


class TransformerEncoderLayer(Module):
    """Self-attention and a two-layer network, each added to its input and normalized.

    x = norm1(x + attention(x)), x = norm2(x + linear2(activation(linear1(x)))); norm_first: x + f(norm(x)) instead.
    src (L, N, E), or (N, L, E) with batch_first -> the same shape. Masks: see MultiheadAttention.
    Source: Vaswani and others 2017.
    >>> from tinygrad_dl import zeros
    >>> TransformerEncoderLayer(4, 2, dim_feedforward=8)(zeros((5, 1, 4))).shape
    (5, 1, 4)
    """

    def __init__(
        self,
        d_model: Count,
        nhead: Count,
        dim_feedforward: Count = 2048,
        dropout: Probability = 0.1,
        activation: str | Callable[[Any], Any] = "relu",
        layer_norm_eps: NonNegative = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        *,
        rng: RandomLike = None,
    ) -> None:
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, **factory, rng=rng
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, **factory, rng=rng)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **factory, rng=rng)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **factory)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **factory)
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)
        self.activation = _activation(activation)

    def forward(
        self,
        src: Array,
        src_mask: Array | None = None,
        src_key_padding_mask: Array | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Apply the layer to src; the result has its shape."""
        x, name = src, type(self).__name__
        src_mask = attention_mask(name, "src_mask", src_mask)
        src_key_padding_mask = attention_mask(name, "src_key_padding_mask", src_key_padding_mask)
        if self.norm_first:
            x = x + self._attend(self.norm1(x), src_mask, src_key_padding_mask, is_causal)
            return x + self._feed(self.norm2(x))
        x = self.norm1(x + self._attend(x, src_mask, src_key_padding_mask, is_causal))
        return self.norm2(x + self._feed(x))

    def _attend(self, x: Array, mask: Array | None, padding: Any, is_causal: bool) -> Any:
        out, _ = self.self_attn(
            x, x, x, attn_mask=mask, key_padding_mask=padding, need_weights=False, is_causal=is_causal
        )
        return self.dropout1(out)

    def _feed(self, x: Array) -> Any:
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))


class TransformerDecoderLayer(Module):
    """Self-attention, attention to the encoder's result, and a two-layer network, each added and normalized.

    x = norm1(x + attention(x)), x = norm2(x + attention(x, memory)), x = norm3(x + linear2(activation(linear1(x)))).
    tgt (L, N, E), memory (S, N, E), or with batch_first N first -> the shape of tgt.
    Source: Vaswani and others 2017.
    """

    def __init__(
        self,
        d_model: Count,
        nhead: Count,
        dim_feedforward: Count = 2048,
        dropout: Probability = 0.1,
        activation: str | Callable[[Any], Any] = "relu",
        layer_norm_eps: NonNegative = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        *,
        rng: RandomLike = None,
    ) -> None:
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        heads: dict[str, Any] = {"batch_first": batch_first, "rng": rng, **factory}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, **heads)
        self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, bias, **heads)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **factory, rng=rng)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **factory, rng=rng)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **factory)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **factory)
        self.norm3 = LayerNorm(d_model, layer_norm_eps, bias=bias, **factory)
        self.dropout1, self.dropout2, self.dropout3 = Dropout(dropout), Dropout(dropout), Dropout(dropout)
        self.activation = _activation(activation)

    def forward(
        self,
        tgt: Array,
        memory: Array,
        tgt_mask: Array | None = None,
        memory_mask: Array | None = None,
        tgt_key_padding_mask: Array | None = None,
        memory_key_padding_mask: Array | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Apply the layer to tgt, of the same shape."""
        x, name = tgt, type(self).__name__
        own = (
            attention_mask(name, "tgt_mask", tgt_mask),
            attention_mask(name, "tgt_key_padding_mask", tgt_key_padding_mask),
            tgt_is_causal,
        )
        other = (
            attention_mask(name, "memory_mask", memory_mask),
            attention_mask(name, "memory_key_padding_mask", memory_key_padding_mask),
            memory_is_causal,
        )
        if self.norm_first:
            x = x + self._attend(self.norm1(x), *own)
            x = x + self._look(self.norm2(x), memory, *other)
            return x + self._feed(self.norm3(x))
        x = self.norm1(x + self._attend(x, *own))
        x = self.norm2(x + self._look(x, memory, *other))
        return self.norm3(x + self._feed(x))

    def _attend(self, x: Array, mask: Array | None, padding: Any, is_causal: bool) -> Any:
        out, _ = self.self_attn(
            x, x, x, attn_mask=mask, key_padding_mask=padding, need_weights=False, is_causal=is_causal
        )
        return self.dropout1(out)

    def _look(self, x: Array, memory: Array, mask: Array | None, padding: Any, is_causal: bool) -> Any:
        out, _ = self.multihead_attn(
            x,
            memory,
            memory,
            attn_mask=mask,
            key_padding_mask=padding,
            need_weights=False,
            is_causal=is_causal,
        )
        return self.dropout2(out)

    def _feed(self, x: Array) -> Any:
        return self.dropout3(self.linear2(self.dropout(self.activation(self.linear1(x)))))


class TransformerEncoder(Module):
    """A stack of copies of an encoder layer, with an optional final normalization.

    >>> from tinygrad_dl import zeros
    >>> encoder = TransformerEncoder(TransformerEncoderLayer(4, 2, dim_feedforward=8), num_layers=2)
    >>> encoder(zeros((5, 1, 4))).shape
    (5, 1, 4)
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: Count,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        self.layers = ModuleList([deepcopy(encoder_layer) for _ in range(num_layers)])
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        src: Array,
        mask: Array | None = None,
        src_key_padding_mask: Array | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """The result of the last layer, normalized if there is a norm."""
        out: Any = src
        mask = attention_mask(type(self).__name__, "mask", mask)
        for layer in self.layers:
            out = layer(
                out, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=bool(is_causal)
            )
        return out if self.norm is None else self.norm(out)


class TransformerDecoder(Module):
    """A stack of copies of a decoder layer, with an optional final normalization."""

    def __init__(self, decoder_layer: Module, num_layers: Count, norm: Module | None = None) -> None:
        self.layers = ModuleList([deepcopy(decoder_layer) for _ in range(num_layers)])
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        tgt: Array,
        memory: Array,
        tgt_mask: Array | None = None,
        memory_mask: Array | None = None,
        tgt_key_padding_mask: Array | None = None,
        memory_key_padding_mask: Array | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The result of the last layer for tgt, which attends to memory; normalized if there is a norm."""
        out: Any = tgt
        for layer in self.layers:
            out = layer(
                out, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask,
                bool(tgt_is_causal), memory_is_causal,
            )  # fmt: skip
        return out if self.norm is None else self.norm(out)


class Transformer(Module):
    """An encoder and a decoder: the decoder reads tgt and attends to the encoder's result for src.

    src (S, N, E), tgt (L, N, E), or with batch_first N first -> the shape of tgt.
    Source: Vaswani and others 2017.
    """

    def __init__(
        self,
        d_model: Count = 512,
        nhead: Count = 8,
        num_encoder_layers: Size = 6,
        num_decoder_layers: Size = 6,
        dim_feedforward: Count = 2048,
        dropout: Probability = 0.1,
        activation: str | Callable[[Any], Any] = "relu",
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: NonNegative = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        *,
        rng: RandomLike = None,
    ) -> None:
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        layer = (
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            batch_first,
            norm_first,
            bias,
        )
        self.encoder: Any = custom_encoder
        self.decoder: Any = custom_decoder
        if custom_encoder is None:
            norm = LayerNorm(d_model, layer_norm_eps, bias=bias, **factory)
            encoder_layer = TransformerEncoderLayer(*layer, **factory, rng=rng)
            self.encoder = TransformerEncoder(encoder_layer, num_encoder_layers, norm)
        if custom_decoder is None:
            norm = LayerNorm(d_model, layer_norm_eps, bias=bias, **factory)
            decoder_layer = TransformerDecoderLayer(*layer, **factory, rng=rng)
            self.decoder = TransformerDecoder(decoder_layer, num_decoder_layers, norm)
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        # As in PyTorch, Xavier replaces the initialization of the layers inside.
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter, rng=rng)

    def forward(
        self,
        src: Array,
        tgt: Array,
        src_mask: Array | None = None,
        tgt_mask: Array | None = None,
        memory_mask: Array | None = None,
        src_key_padding_mask: Array | None = None,
        tgt_key_padding_mask: Array | None = None,
        memory_key_padding_mask: Array | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The decoder's result for tgt."""
        axis = 0 if self.batch_first else 1
        if src.ndim != tgt.ndim or (src.ndim == 3 and src.shape[axis] != tgt.shape[axis]):
            raise ShapeError(
                f"Transformer: expected src and tgt of one batch size N, got {src.shape} and {tgt.shape}"
            )
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise ShapeError(
                f"Transformer: expected src and tgt of d_model = {self.d_model} features, "
                f"got {src.shape} and {tgt.shape}"
            )
        memory = self.encoder(
            src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal
        )
        return self.decoder(
            tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, tgt_is_causal,
            memory_is_causal,
        )  # fmt: skip

    @staticmethod
    def generate_square_subsequent_mask(
        sz: int, device: str | None = None, dtype: DTypeLike | None = None
    ) -> Tensor:
        """An additive causal mask (sz, sz): -inf above the diagonal, so that position i attends to positions 0 to i.

        >>> Transformer.generate_square_subsequent_mask(2)
        Tensor([[  0., -inf],
                [  0.,   0.]])
        """
        kind = config.default_dtype if dtype is None else np.dtype(dtype)
        return constant(np.where(np.tri(sz, dtype=bool), 0.0, -np.inf).astype(kind))
