"""Data sets and subsets, indexed by example."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor
from tinygrad_dl.data import Dataset, Subset, TensorDataset
from tinygrad_dl.errors import DTypeError, IndexRangeError, ShapeError, ValueRangeError


def test_an_example_is_a_tuple_of_tensors() -> None:
    data = TensorDataset(np.arange(6.0).reshape(3, 2), [0, 1, 2])
    x, y = data[-1]
    assert isinstance(x, Tensor) and x.tolist() == [4.0, 5.0] and y.item() == 2
    assert [y.item() for _, y in data] == [0, 1, 2]
    assert data[1:][1].tolist() == [1, 2]


def test_arrays_are_shared_and_lists_take_the_default_dtype() -> None:
    x = np.zeros((2, 3))
    data = TensorDataset(x, [[1.0], [2.0]])
    assert data.x is x and data.y.dtype == np.float32


def test_unequal_lengths_are_refused_and_a_transposed_x_is_recognized() -> None:
    with pytest.raises(
        ShapeError, match=r"got shapes \(2, 5\), \(5,\)\. The first axis runs over the examples: transpose x"
    ):
        TensorDataset(np.zeros((2, 5)), np.zeros(5))
    with pytest.raises(ShapeError, match=r"got shapes \(\), \(5,\)\.$"):
        TensorDataset(np.zeros(()), np.zeros(5))
    with pytest.raises(ValueRangeError, match="at least one array"):
        TensorDataset()


def test_an_example_that_does_not_exist_is_refused() -> None:
    with pytest.raises(IndexRangeError, match="expected an index below 3, the number of examples, got 3"):
        TensorDataset(np.zeros(3))[3]
    with pytest.raises(IndexRangeError, match="expected indices below 3, the number of examples, got 3"):
        Subset([1, 2, 3], [0, 3])


def test_a_subset_of_a_subset_counts_in_the_first_data_set() -> None:
    data = [10, 20, 30, 40]
    inner = Subset(Subset(data, [3, 2, 1]), [0, -1])
    assert list(inner) == [40, 20]
    assert list(inner[1:]) == [20]
    assert len(Subset(data, [])) == 0


def test_a_data_set_without_its_methods_says_what_to_define() -> None:
    with pytest.raises(DTypeError, match="Dataset must define __len__"):
        len(Dataset())
    with pytest.raises(DTypeError, match=r"must define __getitem__\(i\)"):
        Dataset()[0]


@pytest.mark.parametrize("kind", [list, np.array, Tensor])
def test_a_mask_selects_the_examples_where_it_is_true(kind: Any) -> None:
    data = TensorDataset(np.arange(6.0), np.array([0, 1, 0, 1, 0, 1]))
    mask = kind([False, True, False, True, False, True])
    assert Subset(data, mask).indices.tolist() == [1, 3, 5]
    assert data[mask][0].tolist() == data.take(mask).x.tolist() == [1.0, 3.0, 5.0]
    assert Subset(data, slice(4, None)).indices.tolist() == [4, 5]
    assert Subset(Subset(data, [5, 4, 3]), [True, False, True]).indices.tolist() == [0, 2]
    assert Subset(data, range(6))[mask if kind is not Tensor else mask.data].indices.tolist() == [1, 3, 5]


@pytest.mark.parametrize(
    ("indices", "error", "message"),
    [
        ([0.9, 1.7], DTypeError, "indices: expected integers, a slice or a boolean mask, got list"),
        (
            [True, False],
            ShapeError,
            r"indices: expected a mask with one value per example, \(3,\), got \(2,\)",
        ),
        (["a"], DTypeError, "indices: expected integers"),
        (None, DTypeError, "indices: expected integers"),
        ([0, -4], IndexRangeError, "expected indices below 3, the number of examples, got -4"),
    ],
)
def test_other_indices_are_refused(indices: Any, error: type[Exception], message: str) -> None:
    data = TensorDataset(np.arange(3.0))
    for call in (lambda: Subset(data, indices), lambda: data[indices], lambda: data.take(indices)):
        with pytest.raises(error, match=message):
            call()
