"""Why an analytic and a numeric derivative disagree: a kink, the step, the domain, or a wrong gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_dl.testing import finite_differences
from tinygrad_dl.testing.finite_differences import Function
from tinygrad_dl.testing.report import Finding
from tinygrad_dl.typing import NDArray

# The one-sided derivatives are computed again with the step times each of these.
STEP_FACTORS = (1.0, 0.1, 0.01)
RATIOS = {-1.0: "the sign is wrong", 2.0: "twice too large", 0.5: "half of what it should be"}


def diagnose(
    f: Function,
    arrays: Sequence[NDArray],
    k: int,
    i: int,
    o: int,
    analytic: NDArray,
    numeric: NDArray,
    step: float,
    atol: float,
    rtol: float,
) -> Finding | None:
    """Explain the disagreement of output `o` and element `i` of array `k`; None if smaller steps agree after all."""
    a, n = float(analytic[o, i]), float(numeric[o, i])
    x = float(arrays[k].reshape(-1)[i])
    h = finite_differences.step_for(x, step)
    values: dict[str, Any] = {"analytic": a, "numeric": n}

    around = [f(finite_differences.moved(arrays, k, i, d))[o] for d in (-h, 0.0, h)]
    if not np.all(np.isfinite(around)):
        sides = [side for side, v in zip(("below", "at", "above"), around) if not np.isfinite(v)]
        return Finding(
            "domain",
            f"the function is not finite {' and '.join(sides)} {x:.6g}: this is the edge of its domain",
            **values,
        )

    derivatives = [
        finite_differences.one_sided(f, arrays, k, i, finite_differences.step_for(x, step * factor))
        for factor in STEP_FACTORS
    ]
    right, left = np.array([d[0][o] for d in derivatives]), np.array([d[1][o] for d in derivatives])
    central = (right + left) / 2
    size = max(abs(a), abs(n), 1e-12)
    # The effect of rounding grows as the step shrinks: differences below this are noise.
    noise = 8 * np.finfo(np.float64).eps * max(abs(float(around[1])), 1e-12) / (h * np.array(STEP_FACTORS))
    close = np.abs(central - a) <= atol + noise + rtol * np.abs(central)
    gaps = np.abs(right - left)
    # Where a function is smooth, the one-sided derivatives converge as the step shrinks; at a kink they do not.
    if gaps[0] > 1e-3 * size and gaps[1] > 0.5 * gaps[0] and gaps[1] > 4 * noise[1]:
        between = min(left[1], right[1]) - atol <= a <= max(left[1], right[1]) + atol
        where = "is between them, as a subgradient is" if between else "is not between them"
        return Finding(
            "kink",
            f"the derivative is {left[1]:.6g} on the left and {right[1]:.6g} on the right of {x:.6g}; the "
            f"analytic value {where}. Move the input away from the kink.",
            **values,
        )
    if close[1:].any():
        if gaps[0] > 1e-3 * size and gaps[1] < 0.5 * gaps[0] - 4 * noise[1] and gaps[1] < 1e-3 * size:
            return Finding(
                "kink",
                f"there is a kink within the step {h:.2g} of {x:.6g}; with a smaller step both agree",
                **values,
            )
        return Finding(
            "step",
            f"with a step smaller than {h:.2g} both agree: the curvature is too large for it",
            **values,
        )
    # A difference of large values loses its digits to cancellation: a wider step loses fewer.
    wide = finite_differences.one_sided(f, arrays, k, i, finite_differences.step_for(x, step * 100))
    wider = float(wide[0][o] + wide[1][o]) / 2
    if abs(wider - a) <= atol + rtol * abs(wider) and abs(wider - n) > abs(wider - a):
        return Finding(
            "step",
            f"with a step larger than {h:.2g} both agree: the difference loses its digits to cancellation",
            **values,
        )
    return Finding("fault", _describe_ratio(a, analytic, numeric), **values)


def _describe_ratio(a: float, analytic: NDArray, numeric: NDArray) -> str:
    """Describe a wrong gradient by its ratio to the numeric one, where that is constant."""
    if np.isnan(a):
        return "the analytic gradient is nan where the function is smooth"
    if a == 0:
        return "the analytic gradient is 0: is a term missing, or the graph cut by detach, no_grad or NumPy?"
    usable = np.abs(numeric) > 1e-8
    ratios = analytic[usable] / numeric[usable]
    if ratios.size and np.all(np.abs(ratios - ratios[0]) < 1e-4 * abs(ratios[0])):
        ratio = float(ratios[0])
        for known, words in RATIOS.items():
            if abs(ratio - known) < 1e-4:
                return f"the analytic gradient is wrong: {words}, everywhere"
        return f"the analytic gradient is wrong: {ratio:.6g} times what it should be, everywhere"
    return "the analytic gradient is wrong"
