"""Moving elements: joining, cutting, repeating and broadcasting."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_dl as td
from tinygrad_dl import Tensor


def leaf(*shape: int) -> Tensor:
    return Tensor(np.arange(float(np.prod(shape))).reshape(shape), requires_grad=True)


def test_the_parts_of_a_split_are_those_of_numpy_and_differentiable() -> None:
    x = leaf(2, 6)
    for where in (3, [1, 4], [], [2, 2, 9]):
        parts = td.split(x, where, axis=1)
        for part, expected in zip(parts, np.split(x.data, where, axis=1), strict=True):
            np.testing.assert_array_equal(part.data, expected)
    first, _ = td.split(x, 2, axis=1)
    first.sum().backward()
    assert x.grad.tolist() == [[1, 1, 1, 0, 0, 0]] * 2


def test_unstack_is_the_counterpart_of_stack() -> None:
    x = leaf(2, 3)
    again = td.stack(td.unstack(x, axis=1), axis=1)
    assert again.tolist() == x.tolist()
    again.sum().backward()
    assert x.grad.tolist() == [[1, 1, 1], [1, 1, 1]]


def test_a_tensor_may_be_joined_with_itself_and_with_arrays() -> None:
    x = leaf(2)
    y = td.concat([x, np.ones(1), x, [5.0]])
    assert y.shape == (6,)
    y.sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_concat_flattens_for_axis_none() -> None:
    x, y = leaf(2, 2), leaf(1)
    (td.concat([x, y], axis=None) * np.arange(5.0)).sum().backward()
    assert x.grad.tolist() == [[0, 1], [2, 3]] and y.grad.tolist() == [4]


def test_moveaxis_is_numpys_for_every_pair_of_places() -> None:
    x = np.zeros((2, 3, 4, 5))
    for source in range(-4, 4):
        for destination in range(-4, 4):
            assert td.moveaxis(x, source, destination).shape == np.moveaxis(x, source, destination).shape
    assert td.moveaxis(x, (0, 1), (-1, -2)).shape == np.moveaxis(x, (0, 1), (-1, -2)).shape


def test_grids_of_coordinates_are_differentiable_in_both_orders() -> None:
    x, y = leaf(3), leaf(2)
    for indexing, shape in (("xy", (2, 3)), ("ij", (3, 2))):
        first, second = td.meshgrid(x, y, indexing=indexing)
        assert first.shape == second.shape == shape
        np.testing.assert_array_equal(first.data, np.meshgrid(x.data, y.data, indexing=indexing)[0])
    td.meshgrid(x, y)[0].sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


def test_repeats_may_differ_from_element_to_element() -> None:
    x = leaf(3)
    y = td.repeat(x, Tensor([0, 1, 3]))
    assert y.tolist() == [1, 2, 2, 2]
    y.sum().backward()
    assert x.grad.tolist() == [0, 1, 3]


def test_broadcast_arrays_sum_their_gradients() -> None:
    x, y = leaf(2, 1), leaf(3)
    a, b = td.broadcast_arrays(x, y)
    (a + b).sum().backward()
    assert x.grad.tolist() == [[3], [3]] and y.grad.tolist() == [2, 2, 2]


def test_writing_to_a_broadcast_result_does_not_reach_the_array_it_came_from() -> None:
    x = np.zeros(3)
    y = td.broadcast_to(td.asarray(x), (2, 3)) + 1
    y[0, 0] = 7.0
    assert x.tolist() == [0, 0, 0]


def test_lists_and_numbers_become_tensors() -> None:
    assert td.swapaxes([[1, 2]], 0, 1).tolist() == [[1], [2]]
    assert td.unstack([1.0, 2.0])[1].item() == 2
    assert type(td.broadcast_arrays(1.0, [1, 2])[0]) is Tensor


@pytest.mark.parametrize("shape", [(0,), (2, 0), ()])
def test_empty_and_zero_dimensional_tensors_move_too(shape: tuple[int, ...]) -> None:
    x = Tensor(np.zeros(shape), requires_grad=True)
    for y in (
        td.flip(x),
        td.roll(x, 1),
        td.tile(x, 2),
        td.repeat(x, 2),
        td.reshape(x, (-1,) if x.size else (0,)),
    ):
        y.sum().backward()
    assert x.grad.shape == shape
