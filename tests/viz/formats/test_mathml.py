"""The formulas of the registry: each operation has them, and MathML can be made of them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

import tinygrad_dl
import tinygrad_dl.fft
import tinygrad_dl.linalg
from tinygrad_dl import viz
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.op import OPS, Missing, Op, op
from tinygrad_dl.viz.formats.html import _maths
from tinygrad_dl.viz.formats.mathml import to_mathml

OWN = [o for o in OPS.values() if o.differentiable and o.forward.__module__.startswith("tinygrad_dl.")]


@pytest.mark.parametrize("operation", OWN, ids=lambda o: o.name)
def test_each_operation_and_each_derivative_has_a_formula(operation: Op) -> None:
    assert len(operation.math) == 1 + len(operation.inputs)
    assert operation.math[0]
    for i, text in enumerate(operation.math[1:]):
        rule = operation.rules[0 if operation.joint else i]
        assert bool(text) == (rule is not None and not isinstance(rule, Missing))
    for text in filter(None, operation.math):
        made = ET.fromstring(to_mathml(text))
        # Elements with a fixed number of parts have them: a browser shows nothing of others.
        counts = {
            "mfrac": 2,
            "msub": 2,
            "msup": 2,
            "munder": 2,
            "mover": 2,
            "msubsup": 3,
            "munderover": 3,
            "mroot": 2,
        }
        for element in made.iter():
            assert len(element) == counts.get(element.tag, len(element)), text


def test_the_derivative_of_a_layer_is_as_in_the_textbook() -> None:
    linear, matmul = OPS["linear"], OPS["matmul"]
    assert linear.math == (r"x W^\top + b", "g W", r"g^\top x", r"\sum_n g_n")
    assert matmul.math[1:] == (r"g \, y^\top", r"x^\top g")


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"g^\top x", "g⊤x"),
        (r"\frac{1}{1 + e^{-x}}", "11+e−x"),
        (r"\begin{cases} x & x > 0 \\ 0 & \text{else if so} \end{cases}", "{xx>00else\u00a0if\u00a0so"),
        (r"\sum_{i \, : \, k_i = j} g_i", "∑i:ki=jgi"),
        (r"\sqrt[3]{x} \cdot \overline{g} \operatorname{sign}(a)", "x3⋅g¯sign(a)"),
        ("a < b", "a<b"),
        ("", ""),
    ],
)
def test_a_formula_becomes_mathml(latex: str, text: str) -> None:
    assert "".join(ET.fromstring(to_mathml(latex)).itertext()) == text


@pytest.mark.parametrize(
    "latex",
    [
        r"\href{x}{y}",
        "{x",
        "x}",
        r"\frac{1}",
        "x^",
        r"\begin{matrix} 1 \end{matrix}",
        r"\text{a{b}}",
        "#",
    ],
)
def test_what_is_not_known_is_refused(latex: str) -> None:
    with pytest.raises(ValueRangeError, match="math: expected LaTeX that MathML is known for"):
        to_mathml(latex)


def test_text_in_a_formula_is_text() -> None:
    assert "<script" not in to_mathml("<script>")
    assert "<b>" not in to_mathml(r"\text{<b>} + \operatorname{<i>}")


def test_a_formula_of_the_users_own_that_is_not_known_is_left_out() -> None:
    @op(lambda g, x: g * 3, name="thrice_for_the_player", math=(r"\mathfrak{3} x", "3 g"))
    def thrice(x):  # type: ignore[no-untyped-def]
        return x * 3

    try:
        assert _maths(["thrice_for_the_player", "exp"]) == {
            "exp": {"forward": to_mathml("e^x"), "0": to_mathml(r"g \cdot e^x")}
        }
        assert viz.draw(thrice(tinygrad_dl.Tensor(1.0, requires_grad=True))).html()
    finally:
        del OPS["thrice_for_the_player"]


def test_the_page_shows_mathematics_of_what_is_drawn_only() -> None:
    x = tinygrad_dl.Tensor(3.0, requires_grad=True)
    page = viz.draw((x * x).exp()).html()
    found = re.search(r'"maths":(\{.*?\}\})', page)
    assert found is not None and '"exp"' in found[1] and '"multiply"' in found[1] and '"conv"' not in found[1]
