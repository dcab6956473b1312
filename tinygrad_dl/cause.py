"""Why an operation or its derivative made a nan or an infinity: the likely cause, and what to do about it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.graph import Node

LOGARITHMS = {"log": 0.0, "log2": 0.0, "log10": 0.0, "log1p": -1.0}


def of_result(name: str, inputs: list[np.ndarray], out: np.ndarray) -> str:
    """The likely cause of a nan or infinity in the result of an operation on these inputs."""
    x = inputs[0]
    last = inputs[-1]
    if name in LOGARITHMS and x.dtype.kind in "biuf":
        return _of_logarithm(name, x)
    if name in ("divide", "reciprocal", "remainder", "floor_divide") and (last == 0).any():
        return "division by 0. Add a small number to the divisor, or choose with where_safe"
    if name == "sqrt" and (x < 0).any():
        return "the square root of a negative number"
    if name == "power" and x.dtype.kind in "biuf":
        if ((x == 0) & (last < 0)).any():
            return "0 to a negative power is a division by 0"
        if ((x < 0) & (last != np.round(last))).any():
            return "a negative number to a fractional power"
    if any(i.dtype.kind in "fc" and np.isinf(i).any() for i in inputs):
        return "infinities among the inputs that cancel, such as inf - inf, 0 * inf or inf / inf"
    if np.isinf(out).any() and out.dtype.kind == "f":
        return _overflow(name, out.dtype)
    return f"the inputs lie outside of where {name} is defined"


def _of_logarithm(name: str, x: np.ndarray) -> str:
    pole = LOGARITHMS[name]
    if (x < pole).any():
        return f"{name} of a number below {pole:g}"
    return (
        f"{name} of {pole:g}. Of a probability, compute it from the logits: log_softmax, or a loss with "
        "logits; "
        "otherwise add a small number"
    )


def _overflow(name: str, dtype: Any) -> str:
    largest = float(np.finfo(dtype).max)
    if name in ("exp", "expm1", "sinh", "cosh"):
        return (
            f"overflow: {name} exceeds what {dtype} holds above {np.log(largest):.4g}. "
            "Subtract the maximum first, or use logsumexp or softmax"
        )
    return (
        f"overflow: {dtype} holds up to {largest:.3g}. "
        "Scale the values, lower the learning rate, or clip gradients"
    )


def of_derivative(node: Node, g: np.ndarray, c: np.ndarray, held: dict[str, np.ndarray]) -> str:
    """The likely cause of a nan or infinity among what a node's derivative gives, where `g` is finite."""
    bad = ~np.isfinite(c)
    at, advice = _infinite_at(node, held)
    if g.shape == c.shape and np.isnan(c).any() and (g[bad] == 0).all():
        return (
            f"{at or 'an infinite derivative'}, times a gradient that is 0 there: 0 * inf is nan. So it is "
            "in the branch of a where that is not taken, or under a mask: use where_safe"
        )
    if at:
        return f"{at}. {advice}"
    return _overflow("", c.dtype) if np.isinf(c).any() else "the inputs lie where there is no derivative"


SMALL = "Add a small number before"


def _infinite_at(node: Node, held: dict[str, np.ndarray]) -> tuple[str, str]:
    """The point at which the derivative is infinite, if this is one, and what to do."""
    name = node.op.name
    x, y, out = (held.get(key) for key in ("x", "y", "out"))
    zero_out = out is not None and bool((out == 0).any())
    if name == "sqrt" and zero_out:
        source = node.parents[0]
        if type(source) is Node and source.op is not None and source.op.name in ("sum", "mean"):
            return (
                "a norm (the square root of a sum) at 0, where its derivative is infinite",
                "linalg.vector_norm and std have a finite one there",
            )
        return "sqrt at 0, where its derivative is infinite", SMALL
    if name in LOGARITHMS and x is not None and (x == LOGARITHMS[name]).any():
        return f"{name} at {LOGARITHMS[name]:g}, where its derivative is infinite", SMALL
    divisor = y if name == "divide" else out if name == "reciprocal" else None
    if divisor is not None and (np.isinf(divisor) if name == "reciprocal" else divisor == 0).any():
        return "division by 0", SMALL
    if name == "power" and x is not None and (x == 0).any():
        return "a power of 0 with an exponent below 1, where its derivative is infinite", SMALL
    if name in ("norm", "cbrt") and zero_out:
        return f"{name} at 0, where its derivative is infinite", SMALL
    return "", ""
