"""Embeddings: rows, their gradients, padding and norms."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn
from tinygrad_dl.nn import functional as F


def test_repeated_rows_add_their_gradients_up() -> None:
    table = Tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    out = F.embedding([1, 1, 2], table)
    assert out.tolist() == [[2.0, 3.0], [2.0, 3.0], [4.0, 5.0]]
    out.sum().backward()
    assert table.grad is not None and table.grad.tolist() == [[0.0, 0.0], [2.0, 2.0], [1.0, 1.0]]


def test_the_padding_row_starts_at_0_and_gets_no_gradient() -> None:
    layer = nn.Embedding(3, 2, padding_idx=-1)
    assert layer.padding_idx == 2 and layer.weight.data[2].tolist() == [0.0, 0.0]
    layer([0, 2, 2]).sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad.tolist() == [
        [1.0, 1.0],
        [0.0, 0.0],
        [0.0, 0.0],
    ]


def test_gradients_can_be_divided_by_frequency() -> None:
    table = Tensor(np.zeros((2, 1)), requires_grad=True)
    F.embedding([0, 0, 1], table, scale_grad_by_freq=True).sum().backward()
    assert table.grad is not None and table.grad.tolist() == [[1.0], [1.0]]


def test_long_rows_are_shortened_in_place_where_they_are_used() -> None:
    layer = nn.Embedding(2, 2, max_norm=1.0)
    layer.weight.data[...] = [[3.0, 4.0], [3.0, 4.0]]
    assert layer([0]).tolist() == [pytest.approx([0.6, 0.8])]
    assert layer.weight.data[1].tolist() == [3.0, 4.0]


def test_wrong_indices_are_named() -> None:
    layer = nn.Embedding(3, 2)
    with pytest.raises(
        IndexError, match="embedding: expected indices from 0 to 2, the rows of the table, got 3"
    ):
        layer([0, 3])
    with pytest.raises(
        IndexError, match="embedding: expected indices from 0 to 2, the rows of the table, got -1"
    ):
        layer([-1])
    with pytest.raises(TypeError, match="expected integer indices, got float32"):
        layer(Tensor([0.5]))
    assert layer(np.zeros((0,), int)).shape == (0, 2)


def test_a_given_table_is_frozen_unless_asked() -> None:
    layer = nn.Embedding.from_pretrained([[1.0, 2.0]])
    assert not layer.weight.requires_grad and layer([0]).tolist() == [[1.0, 2.0]]
    assert nn.Embedding.from_pretrained([[1.0, 2.0]], freeze=False).weight.requires_grad


@pytest.mark.parametrize(
    ("mode", "out"),
    [("sum", [[4.0], [0.0], [2.0]]), ("mean", [[4 / 3], [0.0], [2.0]]), ("max", [[2.0], [0.0], [2.0]])],
)
def test_bags_of_different_sizes(mode: str, out: list[list[float]]) -> None:
    table = Tensor(np.array([[0.0], [2.0]]), requires_grad=True)
    bags = F.embedding_bag([0, 1, 1, 1], table, [0, 3, 3], mode=mode)
    assert np.allclose(bags.detach().numpy(), out)
    bags.sum().backward()
    assert table.grad is not None and np.isfinite(table.grad.numpy()).all()


def test_weights_and_padding_of_a_bag() -> None:
    table = np.array([[1.0], [10.0]])
    assert F.embedding_bag(
        np.array([[0, 1]]), table, mode="sum", per_sample_weights=np.array([[2.0, 3.0]])
    ).tolist() == [[32.0]]
    assert F.embedding_bag(np.array([[0, 1]]), table, padding_idx=0).tolist() == [[10.0]]


def test_one_hot() -> None:
    assert F.one_hot([1, 0]).tolist() == [[0, 1], [1, 0]]
    assert F.one_hot(np.array([[1]]), 3).tolist() == [[[0, 1, 0]]]
    with pytest.raises(IndexError, match="expected classes from 0 to 2, got 3"):
        F.one_hot([3], 3)


@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("padding_idx", [None, 3])
def test_gradients_of_bags_of_different_sizes_are_divided_by_how_often_a_row_was_looked_up(
    mode: str, padding_idx: int | None
) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        sizes = rng.integers(0, 5, 4)
        index, offsets = rng.integers(0, 6, int(sizes.sum())), np.cumsum([0, *sizes[:-1]])
        weight, grad = Tensor(rng.standard_normal((6, 2)), requires_grad=True), rng.standard_normal((4, 2))
        options = {"mode": mode, "padding_idx": padding_idx}
        F.embedding_bag(index, weight, offsets, scale_grad_by_freq=True, **options).backward(grad)
        plain = Tensor(weight.data, requires_grad=True)
        F.embedding_bag(index, plain, offsets, **options).backward(grad)
        counts = np.maximum(np.bincount(index, minlength=6), 1)
        np.testing.assert_allclose(weight.grad.data, plain.grad.data / counts[:, None], atol=1e-12)


def test_places_after_the_end_of_a_bag_are_no_look_ups() -> None:
    weight = Tensor(np.ones((4, 1)), requires_grad=True)
    F.embedding_bag(
        np.array([1, 3, 3]), weight, np.array([0, 1]), mode="sum", scale_grad_by_freq=True
    ).sum().backward()
    np.testing.assert_allclose(weight.grad.data.ravel(), [0, 1, 0, 1])
    layer = nn.EmbeddingBag(4, 1, mode="sum", scale_grad_by_freq=True)
    layer(np.array([1, 3, 3]), np.array([0, 1])).sum().backward()
    np.testing.assert_allclose(layer.weight.grad.data.ravel(), [0, 1, 0, 1])
