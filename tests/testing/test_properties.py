"""Properties of every differentiable program: linearity, adjointness, sums over paths, determinism, memory."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given

import tinygrad_dl as tg
from tinygrad_dl import Tensor
from tinygrad_dl.autograd import grad
from tinygrad_dl.func import jvp, vjp
from tinygrad_dl.graph import ancestors
from tinygrad_dl.testing.strategies import programs


def leaves(program, dtype="float64"):
    return [Tensor(x, dtype=dtype, requires_grad=True) for x in program.inputs]


def gradients(program, inputs, **options):
    return grad(program(*inputs), inputs, allow_unused=True, **options)


def arrays(tensors):
    return [None if t is None else t.data for t in tensors]


def same(a, b, tolerance=0.0):
    for x, y in zip(arrays(a), arrays(b), strict=True):
        assert (x is None) == (y is None)
        if x is not None:
            np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


@given(programs())
def test_the_vjp_is_linear_in_the_gradient(program):
    inputs = leaves(program)
    one = gradients(program, inputs)
    tripled = grad(program(*inputs), inputs, [Tensor(-3.0, dtype="float64")], allow_unused=True)
    for a, b in zip(one, tripled):
        assert a is None or np.allclose(-3 * a.data, b.data, rtol=1e-12, atol=1e-12)


@given(programs(max_lines=5))
def test_vjp_and_jvp_are_adjoint(program):
    rng = np.random.default_rng(0)
    points = tuple(Tensor(x) for x in program.inputs)
    directions = tuple(Tensor(rng.standard_normal(x.shape)) for x in program.inputs)
    out, vjp_function = vjp(program, *points)
    u = Tensor(rng.standard_normal(out.shape))
    _, pushed = jvp(program, points, directions)
    back = vjp_function(u)
    back = back if isinstance(back, tuple) else (back,)
    left = float((u.data * pushed.data).sum())
    right = sum(float((b.data * d.data).sum()) for b, d in zip(back, directions) if b is not None)
    assert left == pytest.approx(right, rel=1e-9, abs=1e-9)


@given(programs(max_inputs=1))
def test_the_gradient_of_a_shared_input_is_the_sum_over_its_uses(program):
    (x,) = leaves(program)
    once = x * 1.0
    twice = grad(program(once) + program(once) * 2.0, x)[0]
    single = grad(program(x), x, allow_unused=True)[0]
    if single is not None:
        np.testing.assert_allclose(twice.data, 3 * single.data, rtol=1e-12, atol=1e-12)


@given(programs(), programs())
def test_the_order_in_which_independent_parts_are_built_does_not_matter(first, second):
    a, b = leaves(first), leaves(second)
    p, q = first(*a), second(*b)
    forwards = grad(p + q, [*a, *b], allow_unused=True)
    a2, b2 = leaves(first), leaves(second)
    q2 = second(*b2)
    p2 = first(*a2)
    same(forwards, grad(p2 + q2, [*a2, *b2], allow_unused=True))


@given(programs())
def test_a_second_backward_through_a_retained_graph_doubles_the_gradient_and_a_freed_one_raises(program):
    inputs = leaves(program)
    out = program(*inputs)
    out.backward(retain_graph=True)
    first = [None if x.grad is None else x.grad.data.copy() for x in inputs]
    out.backward()
    for x, g in zip(inputs, first):
        assert g is None or np.array_equal(x.grad.data, 2 * g)
    with pytest.raises(RuntimeError, match="freed"):
        out.backward()


@given(programs())
def test_recorded_gradients_equal_plain_ones(program):
    inputs = leaves(program)
    same(gradients(program, inputs), gradients(program, inputs, create_graph=True), 1e-12)


@given(programs())
def test_gradients_have_the_shape_and_dtype_of_their_inputs(program):
    for dtype in ("float32", "float64"):
        inputs = leaves(program, dtype)
        for x, g in zip(inputs, gradients(program, inputs)):
            assert g is None or (g.shape == x.shape and g.dtype == x.dtype)


@given(programs())
def test_the_same_program_gives_the_same_bits(program):
    same(gradients(program, leaves(program)), gradients(program, leaves(program)))


@given(programs())
def test_inputs_are_not_written_to(program):
    inputs = leaves(program)
    before = [x.data.copy() for x in inputs]
    program(*inputs).backward()
    for x, old in zip(inputs, before):
        assert np.array_equal(x.data, old)


@given(programs(max_lines=4))
def test_a_program_is_freed_with_its_last_reference(program):
    gc.disable()
    try:
        inputs = leaves(program)
        out = program(*inputs)
        reference = weakref.ref(out)
        count = len(ancestors([out.node]))
        out.backward()
        del out
        assert count and reference() is None
    finally:
        gc.enable()


@given(programs())
def test_nothing_is_recorded_under_no_grad(program):
    with tg.no_grad():
        assert not program(*leaves(program)).requires_grad
