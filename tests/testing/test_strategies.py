"""The strategies draw what they promise, and programs are correct, readable and shrink."""

from __future__ import annotations

from importlib.util import find_spec

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


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
@pytest.mark.parametrize(
    "domain",
    [
        Domain(-2, 0, avoid=(0,)),
        Domain(0, 1),
        Domain(0.3, 1.01),
        Domain(0.9999, 1.0001, avoid=(0,)),
        Domain(-3, 3, avoid=(0, 0.05, 3), gap=0.5),
        Domain(-2, 0, avoid=(0, -2), distinct=True),
        Domain(0, float("inf")),
    ],
    ids=repr,
)
def test_arrays_stay_inside_their_domain(domain, dtype, special):
    if domain.distinct:  # its values are not whole
        dtype = "float64" if dtype == "int64" else dtype

    @given(strategies.arrays(shape=(4,), domain=domain, dtype=dtype, special=special))
    @settings(max_examples=30)
    def check(x):
        slack = 1e-6 if dtype == "float32" else 1e-12
        assert x.dtype == dtype and x.shape == (4,)
        assert np.all(x >= domain.low - slack) and np.all(x <= domain.high + slack)
        for point in domain.avoid:
            assert np.all(np.abs(x - point) >= domain.gap - slack)

    check()


def test_a_domain_without_values_is_refused():
    with pytest.raises(
        ValueError, match="arrays: domain: expected one with values of float64 in it, got"
    ) as e:
        strategies.arrays(domain=Domain(0, 1, avoid=(0, 1), gap=0.6))
    assert "with a gap of 0.6" in str(e.value)
    with pytest.raises(ValueError, match="values of int64"):
        strategies.arrays(domain=Domain(0.3, 0.6), dtype="int64")


def test_shapes_are_ints_tuples_and_lists():
    assert find(strategies.shapes(max_dims=0), lambda s: True) == ()
    assert find(strategies.arrays(shape=5), lambda a: True).shape == (5,)
    assert find(strategies.arrays(shape=[2, 3]), lambda a: True).shape == (2, 3)
    assert find(strategies.tensors(shape=st.just((2,))), lambda a: True).shape == (2,)
    assert find(strategies.axes(0, allow_none=False), lambda a: True) == ()
    assert find(strategies.mask_indices(2), lambda a: True).shape == (2,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: strategies.shapes(2, 1),
            "shapes: expected min_dims of at most max_dims, got min_dims=2 and max_dims=1",
        ),
        (
            lambda: strategies.shapes(max_dims="3"),
            "shapes: max_dims: expected an int in [0, 32], got str '3'",
        ),
        (lambda: strategies.arrays(shape="ab"), "arrays: shape: expected ints, got str 'ab'"),
        (
            lambda: strategies.arrays(shape=(2**40, 2)),
            "arrays: shape: expected up to 32 ints of at least 0 with a product of at most 2147483647, got tuple "
            "(1099511627776, 2)",
        ),
        (lambda: strategies.arrays(dtype="float1"), "arrays: dtype: expected a dtype, got str 'float1'"),
        (lambda: strategies.arrays(domain=3), "arrays: domain: expected a Domain or None, got int 3"),
        (lambda: strategies.tensors(special="no"), "tensors: special: expected True or False, got str 'no'"),
        (
            lambda: strategies.tensors(dtype="int64"),
            "tensors: dtype: expected a floating or complex dtype, as the Tensors require grad, got int64. Pass "
            "requires_grad=False?",
        ),
        (
            lambda: strategies.integer_indices((2, 0)),
            "integer_indices: shape: expected at least one axis and no empty one, got (2, 0)",
        ),
        (
            lambda: strategies.axes(0, allow_none=False, allow_tuple=False),
            "axes: ndim: expected at least 1 without None and tuples, got 0",
        ),
        (lambda: strategies.convolutions(dims=4), "convolutions: dims: expected an int in [1, 3], got int 4"),
        (
            lambda: strategies.programs(max_inputs=0),
            "programs: max_inputs: expected an int in [1, 100], got int 0",
        ),
    ],
)
def test_wrong_arguments_are_named_where_the_strategy_is_made(call, message):
    with pytest.raises(tg.errors.TinygradError) as caught:
        call()
    assert str(caught.value) == message


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


@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
def test_modules_of_pytorch_pass_gradcheck_and_equal_ours_of_the_same_draw():
    @given(strategies.modules(framework="torch"))
    @settings(max_examples=15)
    def passes(drawn):
        model, x = drawn
        gradcheck(model.eval(), x.requires_grad_(), fast=True, atol=1e-5)

    passes()
    ours, x = find(strategies.modules(), lambda drawn: len(drawn[0]) == 3)
    theirs, same = find(strategies.modules(framework="torch"), lambda drawn: len(drawn[0]) == 3)
    assert np.array_equal(x.numpy(), same.numpy())
    np.testing.assert_allclose(ours(x).numpy(), theirs(same).detach().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
@given(strategies.optimizers(matrices=True, framework="torch"))
@settings(max_examples=30)
def test_optimizers_of_pytorch_update_as_ours_with_the_same_options(drawn):
    import torch

    name, options = drawn
    start = np.array([[1.0, 2.0], [-0.5, 3.0]])
    p, q = nn.Parameter(start), torch.nn.Parameter(torch.tensor(start))
    ours, theirs = getattr(optim, name)([p], **options), getattr(torch.optim, name)([q], **options)
    for _ in range(2):
        for parameter, optimizer in ((p, ours), (q, theirs)):
            optimizer.zero_grad()
            (parameter * parameter).sum().backward()
            optimizer.step()
    # PyTorch counts the steps of ASGD in float32, and computes Muon in bfloat16.
    np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-7, atol=0.02 if name == "Muon" else 1e-12)


def test_models_and_optimizers_are_drawn_for_two_frameworks():
    for draw in (strategies.modules, strategies.optimizers):
        with pytest.raises(ValueError, match="framework: expected 'tinygrad_dl' or 'torch', got 'jax'"):
            draw(framework="jax")


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


@given(strategies.tensors(dtype="complex64", domain=Domain(0.5, 2.0)))
def test_complex_tensors_have_their_real_parts_in_the_domain(z):
    assert z.requires_grad and z.dtype == np.complex64
    assert ((z.data.real >= 0.5) & (z.data.real <= 2.0)).all()


def test_complex_arrays_have_imaginary_parts():
    find(strategies.arrays(shape=(2,), dtype="complex128"), lambda z: bool((z.imag != 0).all()))
