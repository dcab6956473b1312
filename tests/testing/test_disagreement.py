"""The verdict on one derivative, from what a closer look found."""

from __future__ import annotations

import numpy as np
import pytest

from tests.testing.test_evidence import evidence_of
from tinygrad_dl.testing.disagreement import describe_ratio, judge


def verdict(a, evidence, numeric=9.0, atol=1e-6, rtol=1e-3):
    return judge(evidence, 0, 0.5, np.array([[0.0, a]]), np.array([[0.0, numeric]]), 1, atol, rtol)


def smooth(value, error=0.0, **given):
    value, error = np.array([value]), np.array([error])
    return evidence_of(right=value, left=value, central=value, central_error=error, **given)


@pytest.mark.parametrize("value", [2.0, -2.0])
def test_a_smooth_derivative_is_correct_within_the_error_and_the_tolerances(value):
    allowed = 1e-6 + 1e-3 * 2 + 0.01
    for off in (allowed - 1e-9, -allowed + 1e-9):
        found = verdict(value + off, smooth(value, 0.01))
        assert found == (None, False, pytest.approx(value))
    for off in (allowed + 1e-9, -allowed - 1e-9):
        found = verdict(value + off, smooth(value, 0.01))
        assert found.finding.kind == "fault" and not found.kink and found.numeric == value
        assert found.finding.analytic == value + off and found.finding.numeric == value


def test_at_a_kink_everything_between_both_sides_is_correct():
    kink = evidence_of(right=np.array([5.0]), left=np.array([-1.0]), right_error=np.array([0.01]))
    for a in (-1.0, 0.4, 5.0):
        assert verdict(a, kink) == (None, True, a)
    for a, nearest in ((-1.02, -1.0), (5.02, 5.0)):
        found = verdict(a, kink)
        assert (
            found.finding.kind == "kink" and found.kink and found.numeric == found.finding.numeric == nearest
        )
        assert (
            "the derivative is -1 on the left and 5 on the right of 0.5; the analytic value"
            in found.finding.message
        )
    assert verdict(np.nan, kink).numeric == 2.0  # the middle


def test_what_is_known_too_coarsely_is_no_verdict():
    coarse = smooth(2.0, 0.2, noise=np.array([1e-4]))
    found = verdict(2.1, coarse)
    assert found.finding.kind == "cannot tell" and found.numeric == 2 and not found.kink
    assert "rounded to about 0.0001" in found.finding.message and "within 0.2:" in found.finding.message
    # A twentieth of the derivative or of the analytic value, or the tolerance, is enough.
    for a, value, error, atol in ((2.0, 2.0, 0.099, 1e-6), (0.05, 0.0, 0.05, 0.05), (2.0, 2.0, 0.2, 0.21)):
        assert verdict(a, smooth(value, error), atol=atol).finding is None
    assert verdict(2.0, smooth(2.0, 0.11)).finding is not None
    assert verdict(2.1, smooth(1.0, 1.1)).finding.kind == "cannot tell"
    assert verdict(2.1, smooth(1.0, 1.0)).finding.kind == "fault"
    assert verdict(30.0, smooth(0.1, 1.4, noise=np.ones(1)), rtol=300.0).finding is None


@pytest.mark.parametrize(
    ("reason", "kind", "words"),
    [
        (
            "the function is not finite below",
            "domain",
            "below 0.5: this is the edge of its domain. Move the input into",
        ),
        (
            "the function jumps above",
            "cannot tell",
            "jumps above 0.5: it has no derivative there. Move the input away",
        ),
    ],
)
def test_without_a_derivative_the_reason_is_given(reason, kind, words):
    found = verdict(1.5, evidence_of(reason=[reason]), numeric=9.0)
    assert (found.finding.kind, found.finding.numeric, found.finding.analytic, found.kink) == (
        kind,
        9,
        1.5,
        False,
    )
    assert words in found.finding.message and found.numeric == 0


def test_a_constant_ratio_is_named():
    numeric = np.array([[1.0, 2.0, 0.0]])
    for factor, words in (
        (-1, "the sign is wrong"), (2, "twice too large"), (0.5, "half of what it should be"),
        (3, "3 times what it should be"), (1.0002, "1.0002 times what it should be"), (-2, "-2 times"),
    ):  # fmt: skip
        assert f"{words}" in describe_ratio(float(factor), factor * numeric, numeric)
        assert (
            describe_ratio(1.0, factor * numeric + [[0, 0, 0.01]], numeric)
            == "the analytic gradient is wrong"
        )
    for a in (numeric * 1.00001, numeric * [[1, 1.1, 1]], numeric * 0 + [[0, 0, 1]]):
        assert describe_ratio(1.0, a, numeric) == "the analytic gradient is wrong"
    small = 1e-6 * np.array([[1.0, 2.5, 0.0]])
    assert describe_ratio(1.0, small, 1e-6 * numeric) == "the analytic gradient is wrong"
    assert "1000 times" in describe_ratio(1.0, 1000 * numeric + [[0, 0, 0.1]], numeric)
    assert describe_ratio(1.0, numeric, 0 * numeric) == "the analytic gradient is wrong"
    assert "is a term missing, or the graph cut" in describe_ratio(0.0, numeric, numeric)
    assert "gradient is nan where the function is smooth" in describe_ratio(np.nan, numeric, numeric)
