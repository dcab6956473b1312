"""The outline: one line per node, indented below the modules."""

from __future__ import annotations

from tests.leaves import leaf
from tests.viz.examples import Tower
from tinygrad_dl import Tensor, viz


def test_modules_indent_their_nodes() -> None:
    model = Tower(1)
    text = viz.draw(model(Tensor([1.0], name="x")), model, show=()).text()
    assert [line.rstrip() for line in text.splitlines() if "[" in line and line.strip().startswith("[")] == [
        "[Tower]",
        "  [blocks.0: Residual]",
        "    [inner: Scale]",
        "  [last: Scale]",
    ]


def test_rules_are_listed_below_their_operation() -> None:
    x = leaf([1.0, 2.0])
    assert "    gradient to n0: g * y" not in viz.draw(x * 3, show=()).text()
    assert "  gradient to n0: g * y" in viz.draw(x * 3, show=("rule",)).text()
