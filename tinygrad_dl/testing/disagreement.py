"""Why an analytic and a numeric derivative disagree: a kink, a jump, the domain, coarse values, or a wrong gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinygrad_dl.testing.evidence import Evidence
from tinygrad_dl.testing.report import Finding
from tinygrad_dl.typing import NDArray

RATIOS = {-1.0: "the sign is wrong", 2.0: "twice too large", 0.5: "half of what it should be"}
# A derivative that is known no better than to this part of itself does not tell a correct gradient from a wrong one.
COARSE = 0.05


class Judged(NamedTuple):
    """The verdict on one derivative: a finding or None, whether it is at a kink, and the numeric value."""

    finding: Finding | None
    kink: bool
    numeric: float


def judge(
    evidence: Evidence,
    o: int,
    x: float,
    analytic: NDArray,
    numeric: NDArray,
    i: int,
    atol: float,
    rtol: float,
) -> Judged:
    """Judge the derivative of output `o` in element `i`, whose value is `x`, by what a closer look found."""
    a = float(analytic[o, i])
    low, high, error = evidence.interval(o)
    kink = evidence.is_kink(o)
    n = min(max(a, low), high) if np.isfinite(a) else (low + high) / 2
    values: dict[str, Any] = {"analytic": a, "numeric": n}
    if reason := evidence.reason[o]:
        values["numeric"] = float(numeric[o, i])
        if "not finite" in reason:
            message = f"{reason} {x:.6g}: this is the edge of its domain. Move the input into it."
            return Judged(Finding("domain", message, **values), False, n)
        message = f"{reason} {x:.6g}: it has no derivative there. Move the input away."
        return Judged(Finding("cannot tell", message, **values), False, n)
    size = max(abs(low), abs(high))
    allowed = atol + rtol * size
    if low - error - allowed <= a <= high + error + allowed:
        if error <= max(allowed, COARSE * size, COARSE * abs(a)):
            return Judged(None, kink, n)
        message = (
            f"the values of the function are rounded to about {float(evidence.noise[o]):.2g}, and so the derivative at "
            f"{x:.6g} is known only to within {error:.2g}: no wrong gradient of this size could be told from it"
        )
        return Judged(Finding("cannot tell", message, **values), kink, n)
    if kink:
        message = (
            f"the derivative is {float(evidence.left[o]):.6g} on the left and {float(evidence.right[o]):.6g} on the "
            f"right of {x:.6g}; the analytic value is not between them"
        )
        return Judged(Finding("kink", message, **values), kink, n)
    return Judged(Finding("fault", describe_ratio(a, analytic, numeric), **values), kink, n)


def describe_ratio(a: float, analytic: NDArray, numeric: NDArray) -> str:
    """Describe a wrong gradient by its ratio to the numeric one, where that is constant."""
    if np.isnan(a):
        return (
            "the analytic gradient is nan where the function is smooth: is 0 multiplied by an infinite derivative, as "
            "in a branch of where that is not taken? Keep the argument of that branch inside its domain, too."
        )
    if a == 0:
        return "the analytic gradient is 0: is a term missing, or the graph cut by detach, no_grad or NumPy?"
    product = float(np.sum(numeric * numeric))
    ratio = float(np.sum(analytic * numeric)) / product if product else 0.0
    # The same ratio everywhere: also where the correct derivative is 0.
    if ratio and np.linalg.norm(analytic - ratio * numeric) < 1e-4 * np.linalg.norm(analytic):
        for known, words in RATIOS.items():
            if abs(ratio - known) < 1e-4:
                return f"the analytic gradient is wrong: {words}, everywhere"
        if abs(ratio - 1) > 1e-4:
            return f"the analytic gradient is wrong: {ratio:.6g} times what it should be, everywhere"
    return "the analytic gradient is wrong"
