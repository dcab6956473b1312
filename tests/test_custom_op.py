"""Operations that users make with tinygrad_dl.op: one block, checked as our own are."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.leaves import gradient, leaf
from tinygrad_dl.autograd import grad
from tinygrad_dl.errors import DTypeError, GraphError, ShapeError, ValueRangeError
from tinygrad_dl.op import OPS, Case, Domain, Missing
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.testing import gradcheck, gradgradcheck

RNG = np.random.default_rng(0)


@tg.op(
    lambda g, x, scale: g * tg.where(x > 0, 1.0, scale * tg.exp(x)),
    domain=Domain(avoid=(0,)),
    cases=(Case((2, 3)), Case((4,), scale=0.5), Case(())),
    kinks="1 at 0 from the right, scale from the left",
)
def my_elu(x: Any, /, *, scale: float = 1.0) -> Any:
    """The exponential linear unit.

    out = x above 0, scale (e^x - 1) below.   Shape: same as x.
    >>> my_elu(np.array([2.0]))
    array([2.])
    """
    return np.where(x > 0, x, scale * np.expm1(np.minimum(x, 0)))


@tg.op(
    lambda g, x, y, out: (g[..., None] * y * 2, g[..., None] * x * 2),
    joint=True,
    inputs=2,
)
def twice_dot(x: Any, y: Any, /) -> Any:
    """Twice the dot product of the last axes."""
    return 2 * np.sum(x * y, axis=-1)


@tg.op(lambda g, mask: g * mask, cached=("mask",))
def dropped(x: Any, /, *, seed: int = 0) -> Any:
    """Half of the elements."""
    mask = np.random.default_rng(seed).random(x.shape) < 0.5
    return x * mask, mask


@tg.op(lambda g, i, weights: g * weights[i], variadic=True)
def weighted(arrays: Any, /, *, weights: tuple[float, ...]) -> Any:
    """The weighted sum of arrays of one shape."""
    return np.sum([w * a for w, a in zip(weights, arrays)], axis=0)


@tg.op(lambda g, y: g * y, Missing("nobody has worked it out"))
def half_known(x: Any, y: Any, /) -> Any:
    """A product with one derivative."""
    return x * y


@tg.op(lambda g, x: 3 * g * x * x, fast=(lambda g, x: np.multiply(3 * g, x * x),))
def fast_cube(x: Any, /) -> Any:
    """The cube."""
    return x**3


@tg.op(None)
def rounded_up(x: Any, /) -> Any:
    """A step."""
    return np.ceil(x)


@pytest.mark.parametrize("case", OPS["my_elu"].cases, ids=repr)
def test_an_operation_in_one_block_passes_the_checks_of_both_orders(case: Case) -> None:
    x = OPS["my_elu"].domain.sample(RNG, case.inputs[0])
    gradcheck(lambda t: my_elu(t, **case.options), [x])
    gradgradcheck(lambda t: my_elu(t, **case.options), [x])


def test_it_works_on_arrays_numbers_and_tensors_and_keeps_what_it_is() -> None:
    assert type(my_elu(np.array([1.0]))) is np.ndarray
    assert my_elu(2.0).dtype == np.float32 and type(my_elu(2.0)) is Tensor
    y = my_elu(leaf([-1.0, 2.0], np.float32), scale=2.0)
    assert y.dtype == np.float32 and y.requires_grad and "op=my_elu" in repr(y)
    assert my_elu.__name__ == "my_elu" and (my_elu.__doc__ or "").startswith("The exponential linear unit")
    with tg.no_grad():
        assert not my_elu(leaf([1.0])).requires_grad


def test_it_stands_in_the_registry_with_what_was_said_about_it() -> None:
    op = OPS["my_elu"]
    assert op.kinks.startswith("1 at 0") and op.options == ("scale",) and len(op.cases) == 3
    assert op.saves == ("x",)


def test_one_rule_may_serve_all_inputs() -> None:
    x, y = RNG.normal(size=(2, 3)), RNG.normal(size=(2, 3))
    gradcheck(twice_dot, [x, y])
    gradgradcheck(twice_dot, [x, y])
    only = leaf(x)
    twice_dot(only, y).sum().backward()
    np.testing.assert_allclose(gradient(only), 2 * y)


def test_values_that_the_forward_function_keeps_reach_the_rule() -> None:
    x = leaf(np.arange(1.0, 9.0))
    y = dropped(x, seed=3)
    y.sum().backward()
    np.testing.assert_array_equal(gradient(x) != 0, y.numpy() != 0) if not y.requires_grad else None
    np.testing.assert_array_equal(gradient(x), y.detach().numpy() / np.arange(1.0, 9.0))
    assert type(dropped(np.ones(3))) is np.ndarray
    with tg.no_grad():
        assert dropped(x, seed=3).shape == (8,)


def test_an_operation_may_take_a_sequence() -> None:
    x, y = RNG.normal(size=3), RNG.normal(size=3)
    gradcheck(lambda a, b: weighted([a, b, a], weights=(1.0, 2.0, 0.5)), [x, y])


def test_the_fast_rule_serves_the_first_order_and_the_plain_one_all_others() -> None:
    x = leaf([1.0, 2.0])
    (g,) = grad(fast_cube(x).sum(), x, create_graph=True)
    assert g is not None and g.tolist() == [3, 12]
    assert grad(g.sum(), x)[0].tolist() == [6, 12]  # type: ignore[union-attr]
    fast_cube(x).sum().backward()
    assert gradient(x).tolist() == [3, 12]


def test_a_derivative_that_is_missing_is_an_error_when_it_is_asked_for_and_not_before() -> None:
    x, y = leaf(2.0), leaf(3.0)
    half_known(x, 3.0).backward()
    assert gradient(x) == 3
    with pytest.raises(GraphError) as caught:
        half_known(x, y)
    assert str(caught.value) == (
        "half_known: no derivative with respect to y: nobody has worked it out. "
        "Call .detach() on it if no gradient should flow."
    )
    assert not half_known(Tensor(2.0), Tensor(3.0)).requires_grad


def test_an_operation_without_rules_is_a_constant() -> None:
    assert not rounded_up(leaf([1.5])).requires_grad


def test_an_operation_broadcasts_and_the_engine_sums_its_gradients_back() -> None:
    x, y = leaf(np.ones((2, 1))), leaf(np.ones(3))
    half_known(x, 2 * np.ones(3)).sum().backward()
    assert gradient(x).tolist() == [[6], [6]]
    half_known(x, y.detach()).sum().backward()
    assert gradient(x).tolist() == [[9], [9]]


def test_pickling_a_function_that_op_made_finds_it_by_its_name() -> None:
    assert pickle.loads(pickle.dumps(tg.exp)) is tg.exp


# Mistakes


def test_a_rule_that_names_what_does_not_exist_is_refused_at_definition() -> None:
    with pytest.raises(ValueRangeError) as caught:

        @tg.op(lambda g, z: g * z)
        def wrong(x: Any) -> Any:
            return x

    assert str(caught.value) == (
        "@op wrong: a rule names `z`; it may name g, needs_input_grad, out, x, x_dtype, x_shape"
    )
    assert "wrong" not in OPS


def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(ValueRangeError) as caught:

        @tg.op(lambda g: g)
        def exp(x: Any) -> Any:
            return x

    assert str(caught.value) == "@op: there is already an operation named `exp`. Choose another name."
    assert tg.exp(np.zeros(1)).tolist() == [1]


def test_more_rules_than_inputs_are_refused() -> None:
    with pytest.raises(ValueRangeError) as caught:

        @tg.op(lambda g: g, lambda g: g)
        def one_input(x: Any) -> Any:
            return x

    assert str(caught.value) == "@op one_input: expected one rule per input, got 2 rules for the parameters x"


def test_an_operation_without_any_rule_is_refused() -> None:
    with pytest.raises(ValueRangeError) as caught:

        @tg.op()
        def nothing(x: Any) -> Any:
            return x

    assert str(caught.value) == (
        "@op nothing: expected at least one rule, one per input, got none. Give None for an input without a derivative."
    )


def test_an_operation_with_starred_parameters_is_refused() -> None:
    with pytest.raises(ValueRangeError) as caught:

        @tg.op(lambda g: g)
        def starred(x: Any, *more: Any) -> Any:
            return x

    assert str(caught.value) == (
        "@op starred: an operation cannot take *more. Name each parameter, or use variadic=True for a "
        "sequence."
    )


def wrong_rule(rule: Any) -> Any:
    @tg.op(rule, name="wrongly_ruled")
    def made(x: Any) -> Any:
        return x * 2

    return made


@pytest.mark.parametrize("shape", [(3, 2), (2, 2), (4, 2, 4), (6,), (3,), (0, 3)])
def test_a_gradient_is_only_summed_over_what_was_broadcast(shape: tuple[int, ...]) -> None:
    y = wrong_rule(lambda g: np.ones(shape))(leaf(np.ones((2, 3))))
    with pytest.raises(ShapeError, match="its derivative rule for x gave the shape"):
        y.sum().backward()


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("call", ["backward", "grad"])
def test_a_rule_that_gives_a_wrong_shape_is_named(create_graph: bool, call: str) -> None:
    x = leaf(np.ones((2, 3)))
    y = wrong_rule(lambda g, x: g[0])(x).sum()
    with pytest.raises(ShapeError) as caught:
        y.backward(create_graph=create_graph) if call == "backward" else grad(y, x, create_graph=create_graph)
    assert str(caught.value) == (
        "wrongly_ruled: its derivative rule for x gave the shape (3,); the input has (2, 3)"
    )


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_rule_that_gives_no_array_is_named(create_graph: bool) -> None:
    y = wrong_rule(lambda g: 2.0)(leaf([1.0]))
    with pytest.raises(DTypeError) as caught:
        y.backward(create_graph=create_graph)
    assert str(caught.value) == "wrongly_ruled: its derivative rule for x gave float 2.0; expected an array"


def test_an_option_that_holds_a_tensor_is_refused() -> None:
    with pytest.raises(DTypeError) as caught:
        my_elu(leaf([1.0]), scale=leaf(2.0))  # type: ignore[arg-type]
    assert str(caught.value) == (
        "my_elu: the option scale is a Tensor; options have no gradient. Make it an input, or pass a number."
    )


def test_errors_of_the_forward_function_are_raised_with_the_operation_and_its_inputs() -> None:
    with pytest.raises(ShapeError) as caught:
        weighted([np.ones(2), np.ones(3)], weights=(1.0, 1.0))
    assert str(caught.value).startswith("weighted(")


def test_errors_of_other_kinds_in_the_forward_function_pass_unchanged() -> None:
    @tg.op(lambda g: g)
    def failing(x: Any) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        failing(leaf([1.0]))


def test_a_rule_that_makes_a_tensor_of_plain_numbers_is_told_so():
    @tg.op(lambda g, factor: g * tg.exp(factor), inputs=1)
    def scaled_by_exp(x, factor):
        return x * np.exp(factor)

    x = Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(
        TypeError, match="scaled_by_exp: its derivative rule for x gave a Tensor where only arrays"
    ):
        scaled_by_exp(x, 2.0).sum().backward()


# What the declaration and the calls off the fast path promise


def test_the_function_of_an_operation_is_known_by_where_and_how_it_was_written() -> None:
    forward = OPS["exp"].forward
    for name in ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__"):
        assert getattr(tg.exp, name) == getattr(forward, name)
    assert tg.exp.__module__ == "tinygrad_dl.ops.elementwise"


def test_inputs_that_may_be_left_out_may_be_none_beside_scalars_and_lists() -> None:
    assert tg.clip(np.float64(3), None, 1.0) == 1
    assert tg.clip([3.0], None, 1.0).tolist() == [1]
    assert tg.clip([3.0], 4.0, None).tolist() == [4]
    assert tg.clip(3.0, None, 1.0).item() == 1 and tg.clip(3.0, 4.0, None).item() == 4
    with pytest.raises(
        TypeError, match="^multiply: expected a Tensor, an array or a number, got NoneType None"
    ):
        tg.multiply([3.0], None)


def test_what_a_sequence_holds_is_named_in_its_errors() -> None:
    with pytest.raises(TypeError, match="^concat: expected a Tensor, an array or a number, got str 'a'"):
        tg.concat([np.ones(2), "a"])
    with pytest.raises(IndexError, match=r"^concat\(\(2, 3\), \(1, 3\), axis=5\): axis 5 is out of bounds"):
        tg.concat([np.ones((2, 3)), np.ones((1, 3))], axis=5)


def test_a_rule_may_name_the_sequence_that_came_and_else_it_is_not_kept() -> None:
    @tg.op(lambda g, i, arrays: g * arrays[1 - i], variadic=True, cases=(Case([(3,), (3,)]),))
    def product_of_two(arrays: Any, /) -> Any:
        return arrays[0] * arrays[1]

    x, y = Tensor([2.0], requires_grad=True), Tensor([5.0], requires_grad=True)
    out = product_of_two([x, y])
    (g,) = grad(out, [x], create_graph=True)
    assert grad(g, [y])[0].tolist() == [1]
    out.backward()
    assert x.grad.tolist() == [5] and y.grad.tolist() == [2]
    assert tg.concat([x, y]).node.saved == ()


def test_arrays_in_a_list_keep_their_dtype_where_numbers_take_the_default() -> None:
    assert tg.asarray([np.array([1.0])]).dtype == np.float64
    assert tg.asarray([[np.array([1.0], np.float32)], [[2.0]]]).dtype == np.float32
    assert tg.asarray([1.0]).dtype == np.float32


def test_a_complex_contribution_to_a_real_input_counts_with_its_real_part() -> None:
    @tg.op(lambda g: g * (2 + 3j))
    def with_a_complex_rule(x: Any) -> Any:
        return x * 2

    x = Tensor([1.0], requires_grad=True)
    with_a_complex_rule(x).backward()
    assert x.grad.dtype == np.float32 and x.grad.tolist() == [2]


def test_a_joint_rule_may_give_one_array_to_several_inputs_and_none_to_others() -> None:
    @tg.op(lambda g: (g, g, None, None), joint=True, inputs=4, fast=(lambda g: (g, g, None, None),))
    def sum_of_two(x: Any, y: Any, a: Any, b: Any, /) -> Any:
        return x + y

    x, y, a, b = (leaf([1.0]) for _ in range(4))
    z = sum_of_two(x, y, a, b)
    (z + x * 3 + y * 5).sum().backward()
    assert gradient(x).tolist() == [4] and gradient(y).tolist() == [6]
    assert a.grad is None and b.grad is None


def test_a_rule_may_name_shape_and_dtype_of_an_input_that_needs_no_gradient() -> None:
    seen: list[Any] = []

    @tg.op(lambda g, y_shape, y_dtype: seen.append((y_shape, y_dtype)) or g, None)
    def first_of_two(x: Any, y: Any) -> Any:
        return x * 1

    for y in (np.ones((2, 3)), Tensor(np.ones((2, 3))), leaf(np.ones((2, 3))), 2.0):
        first_of_two(leaf(np.ones((2, 3))), y).sum().backward()
    assert seen == [((2, 3), np.float64)] * 3 + [((), np.float64)]


def test_inputs_without_a_rule_or_without_a_parameter_are_refused() -> None:
    with pytest.raises(ValueRangeError, match="^@op without_a_rule: expected at least one rule"):

        @tg.op(inputs=2)
        def without_a_rule(x: Any, y: Any) -> Any:
            return x + y

    with pytest.raises(
        ValueRangeError, match="expected one rule per input, got 1 rules for the parameters x, y"
    ):

        @tg.op(lambda g: (g, g, g), joint=True, inputs=3)
        def without_a_parameter(x: Any, y: Any) -> Any:
            return x + y


def test_help_shows_the_signature_before_the_first_call_and_op_says_if_it_has_derivatives() -> None:
    assert str(inspect.signature(tg.op(lambda g: g)(lambda x, /: x))) == "(x, /)"
    assert OPS["exp"].differentiable and not OPS["isnan"].differentiable
