"""What an operation keeps of its definition, and which of its rules runs when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dl as td
from tests.leaves import leaf
from tinygrad_dl import OPS, Tensor
from tinygrad_dl.autograd import grad
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.op import Domain


def test_an_operation_has_the_domain_that_was_given_or_the_usual_one() -> None:
    far = Domain(3, 4)

    @td.op(lambda g: g, domain=far)
    def far_out(x: Any) -> Any:
        return x + 0

    @td.op(lambda g: g)
    def anywhere(x: Any) -> Any:
        return x + 0

    assert OPS["far_out"].domain is far and repr(OPS["anywhere"].domain) == repr(Domain())
    assert far_out.op is OPS["far_out"]


def test_values_kept_for_the_rules_are_no_part_of_the_result() -> None:
    @td.op(lambda g, kept: g * kept, cached=("kept",))
    def cubed(x: Any) -> Any:
        return x**3, 3 * x**2

    assert cubed(np.array([2.0])).tolist() == [8] and cubed([2.0]).tolist() == [8]
    with td.no_grad():
        assert cubed(leaf([2.0])).tolist() == [8]
    assert cubed(leaf([2.0])).tolist() == [8]


def test_a_kernel_runs_in_place_of_the_plain_forward_and_caches_for_the_fast_rules() -> None:
    ran: list[str] = []

    def kernel(x: Any, scale: float = 1.0) -> Any:
        ran.append("kernel")
        return x * x * scale, 2 * x * scale

    @td.op(
        lambda g, x, scale: g * 2 * x * scale,
        kernel=kernel,
        cached=("double",),
        fast=(lambda g, double: g * double,),
    )
    def squared_by_a_kernel(x: Any, scale: float = 1.0) -> Any:
        ran.append("plain")
        return x * x * scale

    x = leaf([3.0])
    y = squared_by_a_kernel(x, scale=2.0)
    y.backward(retain_graph=True)
    (g,) = grad(y, [x], create_graph=True)
    assert y.tolist() == [18] and x.grad.tolist() == [12] == g.tolist()
    assert squared_by_a_kernel(np.array([2.0])).tolist() == [4]
    assert ran == ["kernel", "kernel"]
    assert OPS["squared_by_a_kernel"].forward(np.array([2.0])).tolist() == [4]


def test_a_plain_rule_may_not_name_what_only_a_kernel_caches() -> None:
    with pytest.raises(ValueRangeError, match="a rule names `double`"):

        @td.op(lambda g, double: g * double, kernel=lambda x: (x * x, 2 * x), cached=("double",))
        def squared_by_a_wrong_rule(x: Any) -> Any:
            return x * x


def test_the_fast_rule_runs_on_arrays_and_the_plain_one_where_it_is_recorded() -> None:
    ran: list[str] = []

    def plain(g: Any, x: Any) -> Any:
        ran.append("plain")
        return g * 2 * x

    def fast(g: Any, x: Any) -> Any:
        ran.append("fast")
        return g * 2 * x

    @td.op(plain, fast=(fast,))
    def squared_by_two_rules(x: Any) -> Any:
        return x * x

    x = leaf([3.0])
    squared_by_two_rules(x).backward()
    grad(squared_by_two_rules(x), [x])
    squared_by_two_rules(x).backward(create_graph=True)
    grad(squared_by_two_rules(x), [x], create_graph=True)
    assert ran == ["fast", "fast", "plain", "plain"]


def test_one_array_that_a_joint_rule_gives_to_two_inputs_is_not_added_to_for_both() -> None:
    def both(g: Any) -> Any:
        twice = g * 2
        return twice, twice

    @td.op(both, joint=True, inputs=2)
    def doubled_sum(x: Any, y: Any) -> Any:
        return 2 * (x + y)

    x, y = leaf([1.0]), leaf([1.0])
    a, b = x * 3, y * 5
    (doubled_sum(x, y) + a + b).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [5]
    assert y.grad is not None and y.grad.tolist() == [7]


def test_what_is_positional_in_the_definition_is_positional_in_the_call() -> None:
    @td.op(lambda g, k: g * k)
    def times(x: Any, /, k: float = 2.0) -> Any:
        return x * k

    assert times(leaf([1.0]), k=3.0).tolist() == [3]
    with pytest.raises(TypeError, match="positional-only"):
        times(x=leaf([1.0]))


def test_a_forward_function_may_answer_with_a_tensor() -> None:
    @td.op(lambda g, k: g * k)
    def times_as_tensor(x: Any, k: float = 2.0) -> Any:
        return Tensor(x * k)

    x = leaf([1.0, 2.0])
    y = times_as_tensor(x)
    y.sum().backward()
    assert y.tolist() == [2, 4] and x.grad is not None and x.grad.tolist() == [2, 2]


def test_starred_parameters_are_named_beside_those_by_keyword() -> None:
    with pytest.raises(ValueError) as caught:

        @td.op(lambda g: g)
        def starred(x: Any, *more: Any, k: float = 1.0) -> Any: ...

    assert str(caught.value).startswith("@op starred: an operation cannot take *more")


def test_fewer_rules_than_inputs_are_refused_unless_there_is_one_for_all() -> None:
    with pytest.raises(ValueError) as caught:

        @td.op(lambda g: g, lambda g: g, inputs=3)
        def of_three(x: Any, y: Any, z: Any) -> Any: ...

    assert (
        str(caught.value)
        == "@op of_three: expected one rule per input, got 2 rules for the parameters x, y, z"
    )
