"""gradcheck accepts correct gradients, rejects wrong ones, and says where and why."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import Tensor
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


@pytest.mark.parametrize("x", [0.0, 1e-7])
def test_relu_at_or_near_0_is_reported_as_a_kink(x):
    assert failure(lambda t: tg.relu(t).sum(), np.array([x, 1.0])).findings[0].kind == "kink"


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


def test_a_step_out_of_the_domain_is_reported():
    report = failure(lambda x: tg.log(x).sum(), np.array([1e-6, 1.0]))
    assert report.findings[0].kind == "domain"
    assert "not finite below 1e-06" in str(report)


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
