"""Modules as boxes around what they computed."""

from __future__ import annotations

from tests.viz.examples import Tower
from tinygrad_dl import Tensor, nn, viz


def test_modules_are_boxes_with_their_attribute_names() -> None:
    model = Tower(2)
    graph = viz.draw(model(Tensor([1.0])).sum(), model=model).full
    assert [(m.path, m.kind, m.parent) for m in graph.modules] == [
        ("", "Tower", ""),
        ("blocks.0", "Residual", "m0"),
        ("blocks.0.inner", "Scale", "m1"),
        ("blocks.1", "Residual", "m0"),
        ("blocks.1.inner", "Scale", "m3"),
        ("last", "Scale", "m0"),
    ]
    factor = next(node for node in graph.nodes if node.name == "blocks.1.inner.factor")
    assert factor.module == "m4" and factor.label == "factor"


def test_parameters_have_their_names_without_the_model_too() -> None:
    model = Tower(1)
    assert "blocks.0.inner.factor" in viz.draw(model(Tensor([1.0])).sum()).json()


def test_a_module_that_is_called_twice_has_two_boxes_and_its_parameter_stands_around_them() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            self.step = Tower(1).last

        def forward(self, x: Tensor) -> Tensor:
            return self.step(self.step(x))

    model = Twice()
    graph = viz.draw(model(Tensor([1.0])).sum(), model=model).full
    assert [m.path for m in graph.modules] == ["", "step", "step"]
    assert next(n for n in graph.nodes if n.name == "step.factor").module == "m0"
