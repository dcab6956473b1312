"""Indexing, assignment, gathering and padding: values, repeated indices, and what has no gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_dl as td
from tinygrad_dl import Tensor


def leaf(shape: tuple[int, ...]) -> Tensor:
    return Tensor(np.arange(1.0, 1 + np.prod(shape)).reshape(shape), requires_grad=True)


def test_repeated_indices_add_up() -> None:
    x = leaf((3,))
    (x[[0, 0, 2]] * np.array([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [11, 0, 100]


def test_rows_of_a_table_are_counted_as_often_as_they_are_taken() -> None:
    table = leaf((3, 2))
    td.take(table, np.array([1, 1, 2]), axis=0).sum().backward()
    assert table.grad.tolist() == [[0, 0], [2, 2], [1, 1]]


INDICES = st.one_of(
    hnp.basic_indices((4, 3, 2), allow_newaxis=True),
    hnp.integer_array_indices((4, 3, 2)),
    hnp.arrays(bool, (4, 3)),
    st.tuples(st.slices(4), hnp.arrays(np.intp, (2,), elements=st.integers(-3, 2))),
    st.tuples(hnp.arrays(np.intp, (2,), elements=st.integers(-4, 3)), st.none(), st.just(slice(None))),
)


@given(INDICES, st.integers(0, 99))
def test_any_index_gives_what_numpy_gives_and_its_gradient_puts_everything_back(key: Any, seed: int) -> None:
    x = leaf((4, 3, 2))
    y = x[key]
    np.testing.assert_array_equal(y.data, x.data[key])
    weights = np.random.default_rng(seed).normal(size=y.shape)
    (y * weights).sum().backward()
    expected = np.zeros(x.shape)
    np.add.at(expected, key, weights)
    np.testing.assert_allclose(x.grad.data, expected)


@given(INDICES, st.integers(0, 99))
def test_assignment_gives_each_element_to_the_one_that_wrote_it_last(key: Any, seed: int) -> None:
    x = leaf((4, 3, 2))
    value = Tensor(np.random.default_rng(seed).normal(size=x.data[key].shape), requires_grad=True)
    y = x * 1
    y[key] = value
    expected = x.data.copy()
    expected[key] = value.data
    np.testing.assert_array_equal(y.data, expected)
    weights = np.random.default_rng(seed + 1).normal(size=x.shape)
    (y * weights).sum().backward()
    # perturbing a value changes the sum by the weight of the place where it still stands
    places = np.full(x.shape, -1)
    places[key] = np.arange(value.size).reshape(value.shape)
    by_hand = np.zeros(value.size)
    by_hand[places[places >= 0]] = weights[places >= 0]
    np.testing.assert_allclose(value.grad.data, by_hand.reshape(value.shape))
    np.testing.assert_allclose(x.grad.data, np.where(places >= 0, 0, weights))


def test_of_values_written_to_one_place_only_the_last_has_a_gradient() -> None:
    x, value = leaf((3,)), Tensor([5.0, 6.0, 7.0], requires_grad=True)
    y = x * 1
    y[[0, 2, 0]] = value
    assert y.tolist() == [7, 2, 6]
    y.sum().backward()
    assert value.grad.tolist() == [0, 1, 1]
    assert x.grad.tolist() == [0, 1, 0]


def test_a_value_that_broadcasts_gets_the_sum_of_its_places() -> None:
    y, value = td.zeros((2, 3)), Tensor(4.0, requires_grad=True)
    y[:, 1:] = value
    y.sum().backward()
    assert value.grad.item() == 4


def test_assignment_leaves_other_names_of_the_old_value_alone() -> None:
    x = leaf((3,))
    y = x * 1
    cut, view = y.detach(), y[:2]
    y[1] = 5.0
    assert (y.tolist(), cut.tolist(), view.tolist()) == ([1, 5, 3], [1, 2, 3], [1, 2])
    (y**2).sum().backward()
    assert x.grad.tolist() == [2, 0, 6]


def test_a_tensor_of_integers_or_booleans_is_an_index() -> None:
    x = leaf((4,))
    assert x[Tensor([0, 3])].tolist() == [1, 4]
    assert x[x > 2].tolist() == [3, 4]
    assert x[Tensor(1)].tolist() == 2
    assert x[Tensor(True)].tolist() == [[1, 2, 3, 4]]


def test_take_along_axis_goes_with_argsort() -> None:
    x = leaf((2, 3))
    order = td.argsort(x, axis=1, descending=True)
    td.take_along_axis(x, order, axis=1)[:, 0].sum().backward()
    assert x.grad.tolist() == [[0, 0, 1], [0, 0, 1]]


@pytest.mark.parametrize(
    ("mode", "numpys"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")]
)
def test_padding_with_elements_is_numpys_at_the_corners_too_and_may_cut(mode: str, numpys: Any) -> None:
    pad_with = td.OPS["pad_with"].function
    x = np.arange(24.0).reshape(2, 3, 4)
    whole = np.pad(x, ((0, 0), (1, 2), (3, 0)), numpys)
    np.testing.assert_array_equal(pad_with(x, ((0, 0), (1, 2), (3, 0)), mode), whole)
    np.testing.assert_array_equal(pad_with(x, ((-1, 0), (1, 2), (3, -2)), mode), whole[1:, :, :-2])
    folded = td.OPS["pad_fold"].function(np.ones((1, 6, 5)), ((-1, 0), (1, 2), (3, -2)), mode)
    assert folded.shape == x.shape and folded.sum() == 30 and not folded[0].any()


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric", "wrap"])
def test_padding_is_numpys(mode: Any) -> None:
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(td.pad(x, ((1, 1), (2, 0)), mode), np.pad(x, ((1, 1), (2, 0)), mode))


def test_an_index_out_of_bounds_says_which() -> None:
    with pytest.raises(IndexError) as error:
        td.ones((2, 3))[5]
    assert str(error.value) == "getitem((2, 3), key=5): index 5 is out of bounds for axis 0 with size 2"
