"""The backward pass, function by function: sums, orders, hooks, and whose rule is blamed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.leaves import leaf
from tinygrad_dl.autograd import grad
from tinygrad_dl.backward import backward_pass, unbroadcast
from tinygrad_dl.errors import DTypeError, GraphError, ShapeError
from tinygrad_dl.graph import ancestors


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


def test_unbroadcast_sums_over_stretched_axes_beside_those_of_size_one() -> None:
    g = np.arange(6.0).reshape(2, 3, 1)
    assert unbroadcast(g, (1, 1)).tolist() == [[15]] and unbroadcast(g, (1,)).tolist() == [15]


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


def test_a_backward_pass_that_is_told_what_is_wanted_fills_that_in_and_no_grad() -> None:
    x = leaf([1.0, 2.0])
    y = x * 3
    assert x.node is not None and y.node is not None
    wanted: dict[int, Any] = {x.node.serial: None}
    backward_pass([(y.node, np.ones(2))], wanted=wanted)
    assert wanted[x.node.serial].tolist() == [3, 3] and x.grad is None


def test_recorded_gradients_accumulate_too() -> None:
    x = leaf([1.0, 2.0])
    for expected in ([2, 4], [4, 8], [6, 12]):
        (x * x).sum().backward(create_graph=True)
        assert x.grad is not None and x.grad.tolist() == expected
    (second,) = grad(x.grad.sum(), [x])
    assert second.tolist() == [6, 6]


def test_the_graph_is_freed_on_demand_where_the_gradient_is_recorded() -> None:
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    grad(y, [x], create_graph=True, retain_graph=False)
    with pytest.raises(GraphError, match="the graph was freed by an earlier backward"):
        y.backward()


def test_a_gradient_that_is_kept_stays_as_it_was_when_a_rule_works_in_place() -> None:
    def doubled(g: Any) -> Any:
        g *= 2
        return g

    @tg.op(doubled)
    def twice_in_place(x: Any) -> Any:
        return x * 2

    x = leaf([1.0])
    y = twice_in_place(x)
    y.retain_grad()
    (y * 5).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [10]
    assert y.grad is not None and y.grad.tolist() == [5]


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
        DTypeError, match="^sum_with_a_slip: its derivative rule for y gave float 1.0; expected an array"
    ):
        sum_with_a_slip(leaf([1.0]), leaf([1.0])).backward()


@pytest.mark.parametrize("first", [None, "not an array"])
def test_what_a_rule_gave_to_an_input_that_takes_none_is_not_blamed(first: Any) -> None:
    @tg.op(lambda g: (first, g[:1]), joint=True, inputs=2)
    def second_is_wrong(x: Any, y: Any) -> Any:
        return x + y

    left = leaf([1.0, 1.0]) if first is None else np.ones(2)
    with pytest.raises(ShapeError) as caught:
        second_is_wrong(left, leaf([1.0, 1.0])).sum().backward()
    assert str(caught.value) == (
        "second_is_wrong: its derivative rule for y gave the shape (1,); the input has (2,)"
    )


def test_the_first_of_two_inputs_is_blamed_by_its_own_name() -> None:
    @tg.op(lambda g: g[:1], lambda g: g)
    def first_is_wrong(x: Any, y: Any) -> Any:
        return x + y

    with pytest.raises(ShapeError, match=r"^first_is_wrong: its derivative rule for x gave the shape \(1,\)"):
        first_is_wrong(leaf([1.0, 1.0]), leaf([1.0, 1.0])).sum().backward()


def test_a_later_array_of_a_sequence_is_blamed_by_the_name_of_the_sequence() -> None:
    @tg.op(lambda g, i: g if i == 0 else g[:1], variadic=True)
    def last_is_wrong(arrays: Any, /) -> Any:
        return np.add(*arrays)

    with pytest.raises(
        ShapeError, match=r"^last_is_wrong: its derivative rule for arrays gave the shape \(1,\)"
    ):
        last_is_wrong([leaf([1.0, 1.0]), leaf([1.0, 1.0])]).sum().backward()


def test_an_error_in_a_sequence_names_the_shape_of_each_of_its_arrays() -> None:
    @tg.op(lambda g, i: g, variadic=True)
    def sum_of_all(arrays: Any, /) -> Any:
        return np.add(arrays[0], arrays[1])

    with pytest.raises(ShapeError, match=r"^sum_of_all\(\(2,\), \(3,\)\): the shapes do not broadcast"):
        sum_of_all([np.ones(2), np.ones(3)])
