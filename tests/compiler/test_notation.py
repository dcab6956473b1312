"""The formulas of the registry on one line are those of the operations: they are computed as they are written."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl.compiler.notation import on_a_line
from tinygrad_dl.op import OPS


def sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x))


NAMES = {name: getattr(math, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "sqrt")} | {
    "arcsin": math.asin, "arccos": math.acos, "arctan": math.atan, "arsinh": math.asinh, "arcosh": math.acosh,
    "artanh": math.atanh, "ln": math.log, "max": max, "min": min, "abs": abs, "sigma": sigma,
    "sign": lambda x: math.copysign(1, x), "Phi": lambda x: (1 + math.erf(x / math.sqrt(2))) / 2,
    "phi": lambda x: math.exp(-x * x / 2) / math.sqrt(2 * math.pi),
}  # fmt: skip
WRITTEN = [
    name
    for name, op in OPS.items()
    if op.elementwise
    and not op.options
    and len(op.math) == 2
    and all(on_a_line(m, {"x": "x", "g": "g", "out": "out"}) for m in op.math)
]


@pytest.mark.parametrize("name", WRITTEN)
def test_a_formula_on_a_line_computes_what_the_operation_does(name: str) -> None:
    forward, rule = (on_a_line(m, {"x": "x", "g": "g", "out": "out"}) for m in OPS[name].math)
    for value in (1.3,) if name == "acosh" else (-0.6, 0.4) if OPS[name].domain is None else (0.4,):
        x = tg.Tensor(np.float64(value), requires_grad=True)
        out = OPS[name].function(x)
        out.backward(np.float64(1.7))
        names = {**NAMES, "x": value, "out": out.item(), "g": 1.7}
        assert eval(forward.split(" = ")[0].replace("^", "**"), names) == pytest.approx(out.item(), rel=1e-9)
        if x.grad is not None:
            assert eval(rule.replace("^", "**"), names) == pytest.approx(x.grad.item(), rel=1e-9)


def test_most_formulas_fit_and_others_are_left_out() -> None:
    assert {"gelu", "silu", "tanh", "sigmoid", "log_sigmoid", "sqrt"} <= set(WRITTEN)
    assert on_a_line(r"\\begin{cases} x & x > 0 \\end{cases}", {"x": "Z"}) == ""
    assert on_a_line(r"\\alpha x", {"x": "Z"}) == on_a_line(r"\\sqrt[3]{x}", {"x": "Z"}) == ""
