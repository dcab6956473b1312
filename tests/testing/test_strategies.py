"""The strategies draw what they promise, and programs are correct, readable and shrink."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import tinygrad_dl as tg
from tinygrad_dl import Tensor, nn, optim
from tinygrad_dl.op import Domain
from tinygrad_dl.testing import gradcheck, strategies


@given(strategies.broadcastable_shapes(3))
def test_broadcastable_shapes_broadcast(shapes):
    np.broadcast_shapes(*shapes)


@given(strategies.arrays(domain=Domain(-1, 1, avoid=(0,), gap=0.25)))
def test_arrays_keep_their_distance_from_kinks(x):
    assert x.dtype == np.float64
    assert np.all(np.abs(x) >= 0.25) and np.all(np.abs(x) <= 1)


def test_special_values_come_up_with_ties_and_minus_zero():
    x = find(strategies.arrays(shape=(3,), special=True), lambda a: np.any(np.signbit(a) & (a == 0)))
    assert x.shape == (3,)
    find(strategies.arrays(shape=(3,), special=True), lambda a: np.any(np.abs(a) == 1e4))


@given(strategies.tensors(shape=(2, 3), dtype="float32"))
def test_tensors_require_grad_and_have_the_dtype(t):
    assert isinstance(t, Tensor) and t.requires_grad and t.dtype == np.float32 and t.shape == (2, 3)


@given(strategies.shapes(min_side=1).flatmap(lambda s: st.tuples(st.just(s), strategies.indices(s))))
def test_indices_index_their_shape_and_have_the_right_gradient(drawn):
    shape, key = drawn
    x = Tensor(np.arange(float(np.prod(shape, dtype=int))).reshape(shape), requires_grad=True)
    y = x[key]
    y.sum().backward()
    expected = np.zeros(shape)
    np.add.at(expected, key, 1.0)
    assert np.array_equal(x.grad.data, expected)


@given(
    strategies.shapes(min_dims=1, min_side=1).flatmap(
        lambda s: st.tuples(st.just(s), strategies.axes(len(s)))
    )
)
def test_axes_fit_reductions(drawn):
    shape, axis = drawn
    assert tg.sum(np.ones(shape), axis=axis).shape == np.sum(np.ones(shape), axis=axis).shape


@given(strategies.einsums())
@settings(max_examples=25)
def test_einsum_expressions_run_and_pass_gradcheck(drawn):
    expression, operands = drawn
    assert np.allclose(tg.einsum(expression, *operands), np.einsum(expression, *operands))
    gradcheck(lambda *xs: tg.einsum(expression, *xs), operands, fast=True)


@given(strategies.convolutions(dims=1))
@settings(max_examples=25)
def test_convolution_arguments_are_consistent(drawn):
    drawn = dict(drawn)
    x, w = drawn.pop("input"), drawn.pop("weight")
    gradcheck(lambda x, w: nn.functional.conv1d(x, w, **drawn), [x, w], fast=True)


@given(strategies.modules())
@settings(max_examples=25)
def test_modules_fit_their_input_and_pass_gradcheck(drawn):
    model, x = drawn
    model.eval()
    gradcheck(model, x, fast=True, atol=1e-5)


@given(strategies.optimizers(closures=True, matrices=True))
def test_optimizer_options_make_optimizers_that_step(drawn):
    name, options = drawn
    p = nn.Parameter(np.array([[1.0, 2.0]]))
    optimizer = getattr(optim, name)([p], **options)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert np.all(np.isfinite(p.data))


@given(strategies.programs())
def test_a_program_gives_the_same_value_on_arrays_and_tensors(program):
    plain = program(*program.inputs)
    tensors = program(*[Tensor(x, requires_grad=True) for x in program.inputs])
    assert np.allclose(plain, tensors.data, rtol=1e-12, atol=1e-12)


@given(strategies.programs())
def test_a_program_has_the_gradient_of_finite_differences(program):
    gradcheck(program, program.inputs, fast=True, atol=1e-5, rtol=1e-4)


@given(strategies.programs(max_lines=5))
@settings(max_examples=20)
def test_a_program_has_the_second_derivative_of_finite_differences(program):
    gradcheck(program, program.inputs, order=2, fast=True, atol=1e-4, rtol=1e-4)


def test_a_failing_program_shrinks_to_readable_code():
    program = find(strategies.programs(), lambda p: any("@" in line for line in p.lines))
    assert len(program.lines) <= 3
    assert program.source.startswith("import numpy as np\nimport tinygrad_dl as tg\n\n\ndef program(x0")
    space = {}
    exec(program.source, space)
    assert np.size(space["program"](*program.inputs)) == 1


def test_an_unknown_strategy_is_an_attribute_error():
    with pytest.raises(AttributeError, match="strategies has no attribute 'programmes'"):
        strategies.programmes  # noqa: B018
