"""The walk back through the graph, function by function: sums, orders, hooks, and whose rule is blamed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.leaves import leaf
from tinygrad_dl.autograd import grad
from tinygrad_dl.errors import DTypeError, ShapeError
from tinygrad_dl.graph import ancestors, unbroadcast


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((2, 3, 4), ()), ((3, 4), (0,)), ((1, 4), (0, 1)), ((3, 1), (0, 2)), ((4,), (0, 1)), ((1,), (0, 1, 2)),
        ((), (0, 1, 2)), ((2, 1, 1), (1, 2)), ((1, 3, 1), (0, 2)),
    ],
)  # fmt: skip
def test_unbroadcast_sums_over_the_axes_that_were_stretched(shape: tuple[int, ...], axes: Any) -> None:
    g = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(unbroadcast(g, shape), g.sum(axis=axes).reshape(shape))


@pytest.mark.parametrize("shape", [(2, 2, 3, 4), (2, 4), (2, 3, 3), (24,)])
def test_unbroadcast_refuses_a_shape_that_was_never_stretched(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="cannot be summed to"):
        unbroadcast(np.zeros((2, 3, 4)), shape)


def test_ancestors_are_each_there_once_and_oldest_first() -> None:
    x, y = leaf(1.0), leaf(2.0)
    a = x * y
    b = a + 1.0
    c = a * b
    assert ancestors([c.node, b.node]) == [t.node for t in (x, y, a, b, c)]


def test_one_output_that_is_asked_for_twice_starts_with_both_gradients() -> None:
    x = leaf([1.0, 2.0])
    y = x * 3
    (g,) = grad([y, y], [x], [np.array([1.0, 10.0]), np.array([2.0, 20.0])])
    assert g.tolist() == [9, 90]


def test_gradients_that_are_handed_out_share_no_memory() -> None:
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    seed = np.ones(2)
    found = grad(x + y, [x, y], seed)
    found[0].data[:] = 7
    assert found[1].tolist() == [1, 1] and seed.tolist() == [1, 1]


def test_a_hook_that_returns_an_array_is_followed_where_the_gradient_is_recorded() -> None:
    x = leaf([1.0, 2.0])
    y = x * x
    y.register_hook(lambda g: np.array([5.0, 7.0]))
    (g,) = grad(y.sum(), [x], create_graph=True)
    assert g.tolist() == [10, 28]
    (again,) = grad(g.sum(), [x])
    assert again.tolist() == [10, 14]


def test_the_rule_that_gave_no_array_is_named_by_its_input() -> None:
    @tg.op(lambda g: g, lambda g: 1.0)
    def sum_with_a_slip(x: Any, y: Any) -> Any:
        return x + y

    with pytest.raises(
        DTypeError, match="^sum_with_a_slip: its derivative rule for y gave float 1.0; an array"
    ):
        sum_with_a_slip(leaf([1.0]), leaf([1.0])).backward()


def test_an_error_in_a_sequence_names_the_shape_of_each_of_its_arrays() -> None:
    @tg.op(lambda g, i: g, variadic=True)
    def sum_of_all(arrays: Any, /) -> Any:
        return np.add(arrays[0], arrays[1])

    with pytest.raises(ShapeError, match=r"^sum_of_all\(\(2,\), \(3,\)\): the shapes do not broadcast"):
        sum_of_all([np.ones(2), np.ones(3)])
