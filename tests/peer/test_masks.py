"""Attention with random masks, some of which leave a query no key, beside PyTorch's: results and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn

torch = pytest.importorskip("torch")


def masks(rng: np.random.Generator, kind: str) -> dict[str, Any]:
    padding, mask = rng.random((3, 5)) < 0.5, rng.random((5, 5)) < 0.4
    padding[0], mask[2] = True, True  # a sequence of padding; a query that may attend to nothing
    if kind == "float":
        padding, mask = np.where(padding, -np.inf, 0.0), np.where(mask, -np.inf, rng.normal(size=(5, 5)))
    return {"key_padding_mask": padding, "attn_mask": mask}


def gradients(model: Any, x: Any) -> list[Any]:
    return [np.asarray(p.grad.tolist()) for p in (*model.parameters(), x)]


@pytest.mark.parametrize("kind", ["bool", "float"])
@pytest.mark.parametrize("options", [{}, {"add_zero_attn": True}, {"add_bias_kv": True}])
@pytest.mark.parametrize("seed", range(5))
def test_attention_with_masks_gives_pytorchs_results(kind: str, options: dict[str, Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference = torch.nn.MultiheadAttention(8, 2, dtype=torch.float64, **options)
    model = nn.MultiheadAttention(8, 2, dtype="float64", **options)
    model.load_state_dict({name: value.numpy() for name, value in reference.state_dict().items()})
    given, values, g = masks(rng, kind), rng.normal(size=(5, 3, 8)), rng.normal(size=(5, 3, 8))
    x, y = Tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    # PyTorch's other path, with weights, still gives nan.
    out, _ = reference(y, y, y, need_weights=False, **{name: torch.tensor(m) for name, m in given.items()})
    out.backward(torch.tensor(g))
    for need_weights in (False, True):
        model.zero_grad()
        x.grad = None
        ours, weights = model(x, x, x, need_weights=need_weights, **given)
        ours.backward(g)
        np.testing.assert_allclose(ours.data, out.detach().numpy(), atol=1e-10)
        for a, b in zip(gradients(model, x), gradients(reference, y), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-10)
    assert np.isfinite(weights.data).all()


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("train", [False, True])
def test_transformers_with_masks_give_pytorchs_results(norm_first: bool, train: bool) -> None:
    rng, options = np.random.default_rng(0), {"dropout": 0.0, "norm_first": norm_first}
    for name in ("TransformerEncoderLayer", "TransformerDecoderLayer"):
        reference = getattr(torch.nn, name)(8, 2, 16, **options).double().train(train)
        model = getattr(nn, name)(8, 2, 16, **options).double().train(train)
        model.load_state_dict({key: value.numpy() for key, value in reference.state_dict().items()})
        values, given = rng.normal(size=(5, 3, 8)), masks(rng, "bool")
        x, y = Tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
        own = {key: torch.tensor(given[part]) for key, part in NAMES[name].items()}
        count = 1 if name == "TransformerEncoderLayer" else 2
        out, ours = (
            reference(*[y] * count, **own),
            model(*[x] * count, **{k: v.numpy() for k, v in own.items()}),
        )
        (out**2).sum().backward()
        (ours**2).sum().backward()
        np.testing.assert_allclose(ours.data, out.detach().numpy(), atol=1e-10)
        for a, b in zip(gradients(model, x), gradients(reference, y), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-9)


NAMES = {
    "TransformerEncoderLayer": {"src_mask": "attn_mask", "src_key_padding_mask": "key_padding_mask"},
    "TransformerDecoderLayer": {
        "tgt_mask": "attn_mask", "tgt_key_padding_mask": "key_padding_mask", "memory_mask": "attn_mask",
        "memory_key_padding_mask": "key_padding_mask",
    },
}  # fmt: skip
