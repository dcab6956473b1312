"""gradcheck accepts correct gradients, rejects wrong ones, and says where and why."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import Tensor, func, nn
from tinygrad_dl.errors import DTypeError
from tinygrad_dl.testing import GradcheckError, gradcheck, gradgradcheck


def failure(f, inputs, **options):
    report = gradcheck(f, inputs, raise_exception=False, **options)
    assert not report
    return report


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_correct_gradient_passes_at_every_order_and_in_both_modes(fast, order):
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal((3, 2)), rng.standard_normal((2, 4))]
    report = gradcheck(lambda x, w: tg.tanh(x @ w), inputs, order=order, fast=fast)
    assert report and report.order == order and report.findings == []


def test_a_backward_wrong_by_one_percent_fails_and_reads_half_a_percent_in_the_courses_metric():
    report = failure(lambda x: (x**2).sum(), np.array([3.0, 1.0]), backward=lambda g, x: g * 2.02 * x)
    assert report.errors["input 0"] == pytest.approx(4.98e-3, rel=1e-2)
    assert report.findings[0].kind == "fault"
    assert "1.01 times what it should be, everywhere" in str(report)


def test_the_worst_element_comes_first_with_both_numbers():
    report = failure(
        lambda x: (x**2).sum(),
        np.array([[1.0, 2.0]]),
        backward=lambda g, x: g * 2 * x + np.array([[1e-3, 1.0]]),
    )
    first = report.findings[0]
    assert (first.input, first.element) == ("input 0", (0, 1))
    assert first.analytic == pytest.approx(5) and first.numeric == pytest.approx(4)
    assert first.absolute_error == pytest.approx(1) and first.relative_error == pytest.approx(0.2)


@pytest.mark.parametrize("fast", [False, True])
def test_a_gradient_between_those_of_both_sides_of_a_kink_is_correct(fast):
    report = gradcheck(lambda t: tg.relu(t).sum(), np.array([0.0, 1e-7, -1e-7, 1.0]), fast=fast)
    assert report.kinks == 1 and "1 of them at a kink, between the derivatives of both sides" in str(report)
    assert gradcheck(lambda t: tg.max(t), np.array([2.0, 2.0, 1.0]), fast=fast)
    assert gradcheck(np.abs, np.zeros(2), backward=lambda g, x: -g, fast=fast)
    outside = failure(np.abs, np.zeros(2), backward=lambda g, x: 1.5 * g, fast=fast)
    assert {f.kind for f in outside.findings} == {"kink"}
    assert (
        "the derivative is -1 on the left and 1 on the right of 0; the analytic value is not between"
        in str(outside)
    )


def test_a_wrong_derivative_beside_a_kink_is_a_fault():
    report = failure(lambda x: np.abs(x).sum(), np.array([2.0]), backward=lambda g, x: g * 3 * np.sign(x))
    assert report.findings[0].kind == "fault"


def test_float32_is_refused_with_the_reason():
    with pytest.raises(
        TypeError, match="input 0: expected float64, got float32, whose differences are too coarse"
    ):
        gradcheck(tg.exp, np.ones(2, np.float32))


def test_float32_passes_when_asked_for_with_fitting_tolerances():
    assert gradcheck(tg.exp, np.ones(2, np.float32), float32=True, step=1e-2, atol=1e-2, rtol=1e-2)


def test_the_edge_of_a_domain_is_reported_and_a_point_beside_it_is_checked():
    assert gradcheck(lambda x: tg.log(x).sum(), np.array([1e-6, 1e-12, 1.0]))
    assert not gradcheck(np.log, np.array([1e-6]), backward=lambda g, x: 1.001 * g / x, raise_exception=False)
    report = failure(lambda x: tg.sqrt(x).sum(), np.array([0.0, 1.0]))
    assert report.findings[0].kind == "domain"
    assert "not finite below 0" in str(report)


def test_where_there_is_no_derivative_the_check_says_that_it_cannot_tell():
    jump = failure(np.floor, np.zeros(1), backward=lambda g, x: g)
    assert jump.findings[0].kind == "cannot tell" and "the function jumps below 0" in str(jump)
    steep = failure(np.cbrt, np.zeros(1), backward=lambda g, x: g)
    assert steep.findings[0].kind == "cannot tell" and "grow without bound" in str(steep)


@pytest.mark.parametrize("scale", [1e-150, 1e-158, 1e-162])
def test_values_among_the_subnormal_numbers_are_rounded_as_these_are(scale):
    x = scale * np.array([1.3, -0.8, 2.7])  # of squares of 1e-316 a few digits are left
    assert gradcheck(lambda x: x**2, x, backward=lambda g, x: 2 * g * x)


def test_values_that_vanish_tell_nothing():
    x = 1e-170 * np.array([1.3, -0.8])
    report = failure(lambda x: x**2, x, backward=lambda g, x: 2 * g * x)
    assert report.verdict == "cannot tell"


@pytest.mark.parametrize("scale", [1e-3, 1e-9, 1e-14])
def test_small_gradients_are_compared_beside_themselves(scale):
    x = np.array([1.0, 2.0])
    f = lambda x: scale * (x**3).sum()  # noqa: E731
    assert gradcheck(f, x, backward=lambda g, x: g * 3 * scale * x**2)
    assert failure(f, x, backward=lambda g, x: g * 3.1 * scale * x**2).findings[0].kind == "fault"


def test_a_gradient_lost_in_the_noise_of_the_function_is_not_called_correct_or_wrong():
    f = lambda x: 0.5 + 1e-20 * (x**3).sum()  # noqa: E731
    report = failure(f, np.array([1.0]), backward=lambda g, x: g * 1e-4 * x)
    assert report.findings[0].kind == "fault"


@pytest.mark.parametrize(
    ("f", "derivative"),
    [
        (lambda x: np.sin(1000 * x), lambda x: 1000 * np.cos(1000 * x)),
        (lambda x: (1e8 + x) - 1e8 + 0 * x, np.ones_like),
        (lambda x: 1e6 + np.sin(x), np.cos),
        (lambda x: 1 / x, lambda x: -1 / x**2),
    ],
)
def test_functions_that_are_steep_or_rounded_are_judged_by_their_own_rounding(f, derivative):
    x = np.array([0.01, 0.3])
    assert gradcheck(f, x, backward=lambda g, x: g * derivative(x))
    assert not gradcheck(f, x, backward=lambda g, x: g * 1.01 * derivative(x), raise_exception=False)


@pytest.mark.parametrize("f", [lambda x: x**3, lambda x: (x**3).sum(), lambda x: (x[0] ** 3).sum()])
def test_a_backward_that_forgets_g_is_told_so(f):
    report = failure(f, np.array([1.0, 2.0]), backward=lambda g, x: 3 * x**2)
    assert report.findings[0].message.startswith("backward does not use g, the gradient of the result")
    assert "1 times" not in str(report)


def test_a_random_function_is_reported_and_not_compared():
    rng = np.random.default_rng(0)
    report = failure(lambda x: (x * rng.random(2)).sum(), np.array([1.0, 2.0]))
    assert [f.kind for f in report.findings] == ["nondeterministic"]


def test_a_function_that_writes_into_its_input_is_reported_and_the_input_is_not_changed():
    def f(x):
        y = x * 2
        x += 1
        return y.sum()

    x = np.array([1.0, 2.0])
    report = failure(f, x, backward=lambda g, x: 2 * np.ones(2))
    assert report.findings[0].kind == "input modified"
    assert x.tolist() == [1.0, 2.0]


def test_a_gradient_of_the_wrong_shape_or_dtype_is_reported():
    def f(x):
        return (x * x).sum()

    assert failure(f, np.ones((2, 1)), backward=lambda g, x: (2 * x).T).findings[0].kind == "shape"
    assert failure(f, np.ones(2), backward=lambda g, x: (2 * x).astype("float32")).findings[0].kind == "dtype"


def test_a_graph_cut_by_detach_is_a_fault_with_that_guess():
    report = failure(lambda x: (x.detach() * 2).sum() + 0 * x.sum(), np.array([1.0, 2.0]))
    assert "is a term missing, or the graph cut by detach" in str(report)


def test_only_the_tensors_that_require_grad_are_checked():
    x, mask = Tensor([1.0, 2.0], dtype="float64", requires_grad=True), Tensor([0.0, 1.0], dtype="float64")
    report = gradcheck(lambda x, m: x * m, [x, mask])
    assert list(report.errors) == ["input 0"]


def test_integers_alone_have_no_gradient_to_check():
    with pytest.raises(TypeError, match="expected at least one floating-point input"):
        gradcheck(lambda x: x, np.array([1, 2]))


def test_several_outputs_and_empty_inputs_are_compared():
    assert gradcheck(lambda x: (x * 2, (x * x).sum()), np.array([1.0, 2.0])).checked == 6
    assert gradcheck(lambda x: x * 2, np.empty((0, 3))).checked == 0
    assert gradcheck(lambda x: x * 2, np.array(3.0)).checked == 1


def test_the_error_carries_the_report_and_its_text():
    with pytest.raises(
        GradcheckError, match="gradcheck failed: the gradient disagrees in 1 of 1 numbers"
    ) as caught:
        gradcheck(lambda x: x.detach() * x, np.array([3.0]))
    assert caught.value.report.findings[0].analytic == pytest.approx(3)


def test_the_report_is_bounded_and_safe_in_html():
    report = failure(lambda x: x * x, np.arange(1.0, 40.0), backward=lambda g, x: g)
    assert len(str(report)) < 5000 and len(report._repr_html_()) < 10000
    named = Tensor([1.0], dtype="float64", requires_grad=True, name="<script>")
    html = failure(lambda x: x.detach() * x, named)._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;" in html


def test_a_check_that_compared_nothing_does_not_count_numbers():
    rng = np.random.default_rng(0)
    report = failure(lambda x: x * float(rng.random()), np.array([1.0, 2.0]))
    assert str(report).startswith(
        "gradcheck cannot tell: it stopped before it could compare the gradient\n  nondeterministic: "
    )
    html = report._repr_html_()
    assert html.count("<th ") == 2 and "None" not in html and "nan" not in html


def test_what_cannot_be_judged_is_not_called_a_failure():
    steep = gradcheck(lambda x: x**0.5, np.array([0.0]), raise_exception=False)
    assert steep.verdict == "cannot tell" and str(steep).startswith(
        "gradcheck cannot tell: the gradient could not"
    )
    assert "? gradcheck cannot tell" in steep._repr_html_()


def test_the_names_of_pytorchs_arguments_are_answered():
    with pytest.raises(
        DTypeError, match=r"gradcheck: eps: there is no such argument; use step=1e-6; an argument of"
    ):
        gradcheck(tg.exp, [np.ones(2)], eps=1e-6)


def test_the_fast_mode_finds_the_element_when_the_projection_disagrees():
    report = failure(
        lambda x: x * x, np.array([1.0, 2.0]), backward=lambda g, x: g * np.array([2.0, 5.0]), fast=True
    )
    assert report.findings[0].element == (1,)


def test_a_wrong_second_derivative_is_found_where_the_first_is_correct():
    @tg.op(lambda g, x: g * Tensor(3 * x.data**2) if isinstance(x, Tensor) else g * 3 * x**2)
    def cube_without_second_derivative(x):
        return x**3

    try:
        x = np.array([1.0, 2.0])
        assert gradcheck(cube_without_second_derivative, x)
        assert not gradgradcheck(cube_without_second_derivative, x, raise_exception=False)
    finally:
        del tg.OPS["cube_without_second_derivative"]


def model_and_data():
    model = nn.Sequential(nn.Linear(3, 2, rng=np.random.default_rng(0)), nn.Tanh()).double()
    x = Tensor(np.random.default_rng(1).standard_normal((4, 3)))
    return model, x


@pytest.mark.parametrize("fast", [False, True])
def test_a_parameter_that_the_function_captured_is_moved_and_restored(fast):
    model, x = model_and_data()
    parameters = list(model.parameters())
    before = [(p.data, p.data.copy()) for p in parameters]
    assert gradcheck(lambda *p: (model(x) ** 2).sum(), parameters, fast=fast)
    assert gradcheck(lambda *p: (model(x) ** 2).sum(), parameters, fast=fast, order=2)
    report = failure(lambda *p: (model(x).detach() * model(x)).sum(), parameters, fast=fast)
    assert {f.kind for f in report.findings} == {"fault"}
    assert "half of what it should be" in str(report)
    for p, (array, values) in zip(parameters, before):
        assert p.data is array and np.array_equal(array, values) and p.grad is None and p.requires_grad


def test_a_captured_tensor_that_does_not_require_grad_is_checked_and_left_so():
    x = Tensor(np.array([1.0, 2.0]))
    assert gradcheck(lambda t: t * x, x)
    assert not x.requires_grad and x.tolist() == [1.0, 2.0]
    assert failure(lambda t: t * x.detach(), x).findings[0].kind == "fault"


def test_an_input_is_restored_when_the_function_raises_or_replaces_it():
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    array = x.data
    calls = []

    def raises(t):
        calls.append(t)
        if len(calls) > 3:
            raise KeyError
        return t * 2

    def replaces(t):
        t.data = t.data + 1
        return t * 2

    with pytest.raises(KeyError):
        gradcheck(raises, x)
    assert failure(replaces, x).findings[0].kind == "input modified"
    assert x.data is array and array.tolist() == [1.0, 2.0]


def test_a_tensor_given_twice_and_one_that_cannot_be_written_are_checked():
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    assert gradcheck(lambda a, b: a * b, [x, x])
    overlapping = tg.asarray(np.broadcast_to(np.array(2.0), (3,)))
    assert gradcheck(lambda t: t * overlapping, overlapping)
    assert overlapping.data.strides == (0,)


@pytest.mark.parametrize("fast", [False, True])
def test_a_result_that_depends_on_no_input_is_a_finding(fast):
    model, x = model_and_data()
    weight = model[0].weight.detach().numpy().copy()
    message = (
        "no dependence: no result depends on an input, and 0 was compared with 0. Does the function use its "
        "argument, or something it captured, an array or a detached copy, in its place?"
    )
    assert message in str(failure(lambda w: model(x).sum(), weight, fast=fast))
    assert message in str(failure(lambda w: tg.ones(2, dtype="float64"), weight, fast=fast, order=2))
    assert message in str(failure(lambda w: np.ones(2), weight, backward=lambda g, w: 0 * w, fast=fast))
    # These depend on it, with a derivative of 0.
    assert gradcheck(lambda w: 3 * w, weight, order=2, fast=fast)
    assert gradcheck(lambda w: w * 0.0, weight, fast=fast)
    assert gradcheck(tg.sign, weight, fast=fast)
    assert gradcheck(lambda w, v: v * 2, [weight, weight], fast=fast)


def test_nothing_is_compared_with_nan():
    assert failure(tg.exp, np.array([1.0, np.nan])).findings[0].kind == "domain"
    assert failure(tg.log, np.array([1.0, -1.0])).findings[0].kind == "domain"


def rounds(x):
    # This Tensor is float32, and so is the gradient: x is rounded.
    return x * func.grad(lambda y: x * y)(tg.asarray(2.0))


@pytest.mark.parametrize("order", [1, 2])
def test_correct_code_in_which_numbers_became_float32_passes_and_the_report_says_where(order):
    report = gradcheck(rounds, np.array(1.0), order=order)
    assert tg.get_default_dtype() == np.float32
    assert "compared with set_default_dtype('float64'), as otherwise float64 is rounded to float32" in str(
        report
    )
    assert "the gradient of multiply, called at" in report.note and "test_gradcheck.py" in report.note


def test_correct_code_that_casts_to_float32_is_no_fault_and_wrong_code_is():
    report = failure(lambda x: tg.sin(x.astype("float32")), np.array([0.3]))
    assert [f.kind for f in report.findings] == ["precision"]
    assert "float64 is rounded to float32 by astype, called at" in str(report)
    plain = failure(
        lambda x: np.sin(x).astype("float32"), np.array([0.3]), backward=lambda g, x: g * np.cos(x)
    )
    assert [f.kind for f in plain.findings] == ["precision"] and "returns float32" in str(plain)
    wrong = failure(lambda x: x.astype("float32").detach() * x.astype("float32"), np.array([0.3]))
    assert wrong.findings[0].kind != "precision" and "rounded to float32" in wrong.note


def test_a_report_that_passed_does_not_say_probably_wrong():
    report = gradcheck(lambda x: 1e-3 * x, np.ones(2), backward=lambda g, x: 1.0001e-3 * g)
    assert "relative error 5e-05, within the tolerances: correct" in str(report)


def test_lists_and_numbers_are_inputs():
    assert gradcheck(lambda x: x * x, 2.0).checked == 1
    assert gradcheck(lambda x, y: x * y, [[1.0, 2.0], [3.0, 4.0]]).checked == 8
    assert gradcheck(lambda x: [1.0, x * x], np.ones(2)).checked == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"f": None}, "gradcheck: f: expected a function, got NoneType None"),
        (
            {"inputs": [1.0, 2.0]},
            "gradcheck: f: expected a function of 2 arguments, one per input, got one of (x). A list of inputs is "
            "several inputs; one input is an array.",
        ),
        (
            {"backward": lambda x: 2 * x},
            "gradcheck: backward: expected a function of 2 arguments, the gradient of the result and one per input, "
            "got one of (x). A list of inputs is several inputs; one input is an array.",
        ),
        ({"order": 0}, "gradcheck: order: expected an int of at least 1, got int 0"),
        ({"fast": "yes"}, "gradcheck: fast: expected True or False, got str 'yes'"),
        ({"step": 0.0}, "gradcheck: step: expected a number above 0, got float 0.0"),
        ({"atol": -1}, "gradcheck: atol: expected a number of at least 0, got int -1"),
        ({"rtol": "0.1"}, "gradcheck: rtol: expected a number of at least 0, got str '0.1'"),
        ({"seed": -1}, "gradcheck: seed: expected an int of at least 0, got int -1"),
        ({"backward": 3}, "gradcheck: backward: expected a function or None, got int 3"),
        (
            {"f": lambda x: {"a": 3}, "inputs": 1.0},
            "gradcheck: expected the function to return a floating-point result, got dict {'a': 3}: there is "
            "nothing to differentiate",
        ),
        (
            {"inputs": np.ones(2, np.complex64)},
            "gradcheck: input 0: expected complex128, got complex64, whose differences are too coarse to tell a "
            "correct gradient from a wrong one. Pass complex128, or float32=True with suitable tolerances, such as "
            "atol=1e-2, step=1e-2.",
        ),
        (
            {"backward": lambda g, x: {"x": 2 * x}},
            "gradcheck: backward: expected gradients as arrays, one per input, got dict {'x': array([2., 2.])}. "
            "check_backward takes a dictionary.",
        ),
    ],
)
def test_wrong_arguments_are_named(given, message):
    with pytest.raises(tg.errors.TinygradError) as caught:
        gradcheck(**{"f": lambda x: x * x, "inputs": np.ones(2), **given})
    assert str(caught.value) == message


def test_options_of_gradgradcheck_are_named_as_its_own():
    with pytest.raises(TypeError, match="^gradgradcheck: fast: expected True or False, got str 'no'$"):
        gradgradcheck(lambda x: x * x, np.ones(2), fast="no")
