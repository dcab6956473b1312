"""Transformers: encoder and decoder layers, stacks and masks."""

from __future__ import annotations

import copy
import pickle

import numpy as np

from tinygrad_dl import Tensor, nn

RNG = np.random.default_rng(0)


def sequence(*shape: int) -> Tensor:
    return Tensor(RNG.standard_normal(shape))


def test_a_causal_encoder_does_not_look_ahead() -> None:
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0), 2).double()
    x = sequence(5, 1, 4)
    mask = nn.Transformer.generate_square_subsequent_mask(5, dtype="float64")
    changed = Tensor(np.concatenate([x.data[:4], x.data[4:] + 1]))
    before, after = encoder(x, mask=mask).data, encoder(changed, mask=mask).data
    np.testing.assert_allclose(after[:4], before[:4], atol=1e-12)
    assert not np.allclose(after[4], before[4])


def test_a_transformer_can_be_copied_pickled_and_trained() -> None:
    model = nn.Transformer(4, 2, 1, 1, 8, dropout=0.0)
    src, tgt = Tensor(np.ones((3, 2, 4), np.float32)), Tensor(np.ones((2, 2, 4), np.float32))
    out = model(src, tgt)
    assert out.shape == (2, 2, 4)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other(src, tgt).data, out.data)
    (out**2).sum().backward()
    assert all(p.grad is not None and np.isfinite(p.grad.data).all() for p in model.parameters())


def test_layers_of_an_encoder_are_independent_copies() -> None:
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 2)
    first, second = encoder.layers
    assert first.linear1.weight is not second.linear1.weight
    assert len(list(encoder.parameters())) == 2 * len(list(first.parameters()))
