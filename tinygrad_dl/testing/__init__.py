"""Testing of gradients: gradcheck, a doctor for hand-written backpropagation, and Hypothesis strategies."""

from tinygrad_dl.testing.check_op import OpCheckError, OpReport, check_op
from tinygrad_dl.testing.differential import (
    Comparison,
    Difference,
    FrameworkDifferenceError,
    compare_frameworks,
)
from tinygrad_dl.testing.doctor import BackwardError, Diagnosis, check_backward
from tinygrad_dl.testing.gradcheck import gradcheck, gradgradcheck
from tinygrad_dl.testing.report import Finding, GradcheckError, Report

__all__ = [
    "BackwardError",
    "Comparison",
    "Diagnosis",
    "Difference",
    "Finding",
    "FrameworkDifferenceError",
    "GradcheckError",
    "OpCheckError",
    "OpReport",
    "Report",
    "check_backward",
    "check_op",
    "compare_frameworks",
    "gradcheck",
    "gradgradcheck",
]
