"""check_op keeps quiet about right operations, and names the law that a wrong one breaks, with the smallest inputs."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import Tensor
from tinygrad_dl.op import Domain
from tinygrad_dl.testing import OpCheckError, check_op, strategies


def report(f, *arguments, **options):
    return check_op(f, *arguments, **{"examples": 10, "raise_exception": False, **options})


def broken(f, *arguments, **options):
    return {v.law for v in report(f, *arguments, **options).broken}


@pytest.mark.parametrize(
    ("f", "domain"),
    [
        (tg.log, Domain(0.1, 5)),
        (tg.relu, Domain(-2, 2, avoid=(0,))),
        (tg.abs, Domain(-2, 2, avoid=(0,))),
        (tg.divide, [Domain(-2, 2), Domain(0.5, 2)]),
        (tg.sqrt, Domain(0, 4)),
    ],
    ids=lambda x: getattr(x, "__name__", "domain"),
)
def test_right_operations_keep_all_laws(f, domain):
    found = report(f, domain)
    assert found, found
    assert len([v for v in found.verdicts if v.outcome == "holds"]) >= 9


def test_functions_of_fixed_shapes_and_of_a_strategy_of_shapes_are_tried():
    assert report(tg.matmul, shapes=[(2, 3), (3, 4)])
    drawn = strategies.shapes(min_dims=2, max_dims=2, min_side=1).map(lambda s: (s, s[::-1]))
    assert report(tg.matmul, shapes=drawn)
    assert report(lambda x: tg.softmax(x, axis=-1), shapes=(2, 3))


def operation(rule, forward):
    """A NumPy function and its backward."""
    return {"f": forward, "backward": rule}


TWO = Domain(0.5, 2)


@pytest.mark.parametrize(
    ("law", "forward", "backward", "words"),
    [
        ("gradient", np.arctan, lambda g, x: g / (1 + 1.1 * x * x), "fault: the analytic gradient is wrong"),
        ("linearity", np.sin, lambda g, x: abs(g) * np.cos(x), "vjp(2 u - 3 v) and 2 vjp(u) - 3 vjp(v)"),
        ("linearity", np.sin, lambda g, x: g * np.cos(x) + 1e-7, "is not 0 where that of the result is"),
        ("shapes and dtypes", np.sin, lambda g, x: g * np.cos(x).astype(np.float64), "has the dtype float64"),
        ("shapes and dtypes", lambda x: x * np.ones((), np.float64), lambda g, x: g.astype(x.dtype),
         "the result of float32 inputs has the dtype float64"),
        ("memory", lambda x: np.negative(x, out=x), lambda g, x: -g, "the function writes into input 0"),
        ("memory", np.negative, lambda g, x: np.negative(g, out=g), "backward writes into g, the gradient"),
        ("memory", np.negative, lambda g, x: (x.fill(0), -g)[1], "backward writes into input 0"),
        ("layout", lambda x: x * 2, lambda g, x: 2 * g if g.flags.c_contiguous else 3 * g, "column by column"),
    ],
)  # fmt: skip
def test_each_law_is_broken_by_what_breaks_it(law, forward, backward, words):
    found = report(lambda x: forward(x), TWO, backward=backward)
    said = {v.law: v.message for v in found.broken}
    assert law in said and words in said[law], found


def test_a_function_that_draws_random_numbers_is_not_deterministic():
    rng = np.random.default_rng(0)
    assert "determinism" in broken(lambda x: x * rng.random(), TWO, backward=lambda g, x: g)


def test_a_missing_sum_over_broadcast_axes_is_shown_at_the_smallest_shapes():
    found = report(lambda x, y: x * y, TWO, backward=lambda g, x, y: (g * y, g * x))
    said = {v.law: v for v in found.broken}
    assert {"gradient", "shapes and dtypes", "broadcasting"} <= set(said)
    assert sorted(a.size for a in said["shapes and dtypes"].inputs) == [1, 1]
    assert {a.shape for a in said["shapes and dtypes"].inputs} == {(), (1,)}


def test_a_wrong_second_derivative_a_wrong_jvp_and_an_input_that_needs_the_other_are_found():
    @tg.op(lambda g, x: g * 3 * (Tensor(x.data**2) if isinstance(x, Tensor) else x**2))
    def cube_cut(x):
        return x**3

    assert broken(cube_cut, TWO) == {"second order"}

    @tg.op(lambda g, x: g * 2 * x, jvp=(lambda t, x: t * 3 * x,))
    def square_with_another_jvp(x):
        return x**2

    assert "adjointness" in broken(square_with_another_jvp, TWO)


def test_a_derivative_at_a_kink_and_at_the_empty_array_belongs_to_the_edges():
    def slopes(at_zero):
        return lambda g, x: g * np.where(x == 0, at_zero, np.sign(x)).astype(x.dtype)

    domain = Domain(-2, 2, avoid=(0,))
    assert report(lambda x: np.abs(x), domain, backward=slopes(0.3))
    found = report(lambda x: np.abs(x), domain, backward=slopes(1.7))
    assert {v.law for v in found.broken} == {"edges"}
    assert "x at 0: input 0" in str(found) and "kink" in str(found)
    empty = report(
        lambda x: np.abs(x), domain, backward=lambda g, x: slopes(0)(g, x) if x.size else np.zeros(3)
    )
    assert {v.law for v in empty.broken} == {"edges"} and "an input of shape (0,)" in str(empty)
    refusing = report(lambda x: x + 0 * x[0], shapes=None, backward=lambda g, x: g)
    assert refusing.broken[0].law == "the call" and "pass shapes=" in str(refusing)


def test_the_report_names_the_inputs_and_is_raised():
    with pytest.raises(OpCheckError, match="check_op failed: sine breaks 1 of 6 laws") as caught:

        def sine(angle):
            return np.sin(angle)

        check_op(sine, TWO, backward=lambda g, x: g * np.cos(x) * 1.01, examples=10, skip=("edges",))
    text = str(caught.value)
    assert "\n    angle = array(" in text and "kept: shapes and dtypes, linearity" in text
    assert "not tried: second order, as backward= has first derivatives only" in text
    assert caught.value.report.verdict == "wrong" and "<pre>" in caught.value.report._repr_html_()


def test_the_same_seed_gives_the_same_report():
    def once():
        return str(report(tg.tanh, TWO, backward=None, seed=3)), str(
            report(lambda x: np.sin(x), TWO, backward=lambda g, x: g)
        )

    assert once() == once()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"f": 3}, "check_op: f: expected a function, got int 3"),
        ({"domain": [Domain(), Domain()], "shapes": (2,)},
         "check_op: domain: expected one, or one for each of 1 inputs, got 2"),
        ({"shapes": 3}, "check_op: shapes: expected shapes or a strategy for them, got int 3"),
        ({"shapes": [("a",)]}, "check_op: shapes: expected a tuple of sizes for each input, got list [('a',)]"),
        ({"framework": "tf"},
         "check_op: framework: expected one of 'torch', 'jax', 'autograd', 'mygrad', 'numpy', got 'tf'"),
        ({"skip": ("speed",)}, "check_op: skip: expected some of gradient, shapes and dtypes, linearity, adjointness, "
         "broadcasting, each input alone, determinism, memory, layout, second order, edges, got 'speed'"),
        ({"examples": 0}, "check_op: examples: expected an int of at least 1 or None, got int 0"),
        ({"f": lambda *xs: xs[0]}, "check_op: expected a function whose signature says how many inputs it has, got "
         "<lambda>. Pass shapes=, or one domain for each input."),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)  # fmt: skip
def test_wrong_arguments_are_named(given, message):
    with pytest.raises(tg.errors.TinygradError) as caught:
        check_op(**{"f": tg.exp, **given})
    assert str(caught.value) == message


def test_functions_of_pytorch_are_tried():
    torch = pytest.importorskip("torch")

    class Scale(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return x * w

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            return g * w if ctx.needs_input_grad[0] else None, g * x if ctx.needs_input_grad[1] else None

    assert report(Scale)
    assert report(torch.hypot, [TWO, TWO], framework="torch")

    class Careless(Scale):
        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            return (g.mul_(w), g / w * x) if ctx.needs_input_grad[0] else (None, None)

    found = report(Careless, TWO)
    assert {"each input alone", "memory"} <= {v.law for v in found.broken}
    assert "backward writes into g" in str(found)


def test_functions_of_jax_hips_autograd_and_mygrad_are_tried():
    anp = pytest.importorskip("autograd.numpy")
    mg = pytest.importorskip("mygrad")
    assert report(lambda x, y: anp.sin(x) * y, framework="autograd")
    assert report(lambda x, y: mg.sin(x) * y, framework="mygrad")
    wrong = report(lambda x: anp.sin(x) * np.asarray(anp.array(x).size), framework="mygrad", examples=3)
    assert not wrong  # autograd's functions cut MyGrad's graph


def test_a_custom_vjp_of_jax_is_tried():
    state = np.random.get_state()  # noqa: NPY002   # JAX's first compilation draws from it
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    try:
        jax.config.update("jax_enable_x64", True)
        sine = jax.custom_vjp(jax.numpy.sin)
        sine.defvjp(lambda x: (jax.numpy.sin(x), x), lambda x, g: (1.1 * g * jax.numpy.cos(x),))
        found = report(sine, TWO, examples=3, skip=("second order", "edges", "layout"))
        assert {v.law for v in found.broken} == {"gradient"}
    finally:
        jax.config.update("jax_enable_x64", before)
        np.random.set_state(state)  # noqa: NPY002


def test_an_infinite_derivative_breaks_no_law():
    for f in (tg.sqrt, tg.log):
        report = check_op(f, Domain(0, 4), raise_exception=False)
        assert report, str(report)


def test_functions_and_modules_of_pytorch_that_draw_random_numbers_or_have_parameters():
    torch = pytest.importorskip("torch")
    state = torch.random.get_rng_state()
    dropout = check_op(
        lambda x: torch.nn.functional.dropout(x, 0.4), framework="torch", raise_exception=False
    )
    assert dropout, str(dropout)
    assert "not tried: layout, as the function draws random numbers" in str(dropout)
    linear = torch.nn.Linear(3, 2).double()
    after = torch.random.get_rng_state()
    assert check_op(linear, shapes=[(4, 3)])
    assert torch.equal(torch.random.get_rng_state(), after)
    torch.random.set_rng_state(state)
