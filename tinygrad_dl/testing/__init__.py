"""Testing of gradients: gradcheck, a doctor for hand-written backpropagation, and Hypothesis strategies."""

from tinygrad_dl.testing.doctor import BackwardError, Diagnosis, check_backward
from tinygrad_dl.testing.gradcheck import gradcheck, gradgradcheck
from tinygrad_dl.testing.report import Finding, GradcheckError, Report

__all__ = [
    "BackwardError",
    "Diagnosis",
    "Finding",
    "GradcheckError",
    "Report",
    "check_backward",
    "gradcheck",
    "gradgradcheck",
]
