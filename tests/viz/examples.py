"""The pictures that the tests store and open. `python -m tests.viz.examples` writes the stored texts anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tinygrad_dl import Tensor, autograd, nn, viz
from tinygrad_dl.viz import GraphView

STORED = Path(__file__).parent / "stored"


class Scale(nn.Module):
    """Multiplies by a parameter: the smallest module."""

    def __init__(self, value: float) -> None:
        self.factor = nn.Parameter(np.array(value, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Residual(nn.Module):
    """A block whose operations stand partly in a module inside and partly in itself."""

    def __init__(self, value: float) -> None:
        self.inner = Scale(value)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + x


class Tower(nn.Module):
    """Equal blocks, one after the other."""

    def __init__(self, count: int) -> None:
        self.blocks = [Residual(1.0) for _ in range(count)]
        self.last = Scale(0.5)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.last(x)


def scalar() -> GraphView:
    """Three operations on numbers, with one value used twice."""
    a, b = (Tensor(v, requires_grad=True, name=n) for v, n in ((2.0, "a"), (-3.0, "b")))
    c = a * b
    return viz.draw(c * c + a, show=("shape", "value", "grad", "rule", "gain"), names={"c": c})


def broadcast() -> GraphView:
    x = Tensor([[1.0, 2.0], [3.0, 4.0]], name="x")
    w = Tensor([1.0, 0.5], requires_grad=True, name="w")
    return viz.draw((x * w).sum(), show=("shape", "dtype", "value", "grad", "rule"), direction="LR")


def tower() -> GraphView:
    x = Tensor([1.0, -1.0], name="x")
    model = Tower(4)
    out = model(x)
    return viz.draw(out.sum(), model=model, show=("shape", "grad", "gain"), color="gain")


def failed() -> GraphView:
    def run() -> Tensor:
        a = Tensor(np.ones((2, 3)), requires_grad=True, name="a")
        b = Tensor(np.ones((2, 3)), requires_grad=True, name="b")
        return (a * 2) @ b

    return viz.draw(run, show=("shape", "value"))


def spreading_nan() -> GraphView:
    def run() -> Tensor:
        x = Tensor([1.0, -1.0], requires_grad=True, name="x")
        with np.errstate(invalid="ignore"):
            return (x.log() * 2 + 1).sum()

    return viz.draw(run, color="nan")


def gradient_of_gradient() -> GraphView:
    x = Tensor(2.0, requires_grad=True, name="x")
    y = x * x
    (slope,) = autograd.grad(y * x, x, create_graph=True)
    return viz.draw(slope, forward=y, show=("value",), names={"y": y, "slope": slope})


def difference() -> GraphView:
    x = Tensor(0.25, requires_grad=True, name="x")
    return viz.diff(viz.draw((x * 3).exp()), viz.draw((x * 4).tanh()), show=("shape",))


EXAMPLES: dict[str, Callable[[], GraphView]] = {
    "scalar": scalar,
    "broadcast": broadcast,
    "tower": tower,
    "failed": failed,
    "spreading_nan": spreading_nan,
    "gradient_of_gradient": gradient_of_gradient,
    "difference": difference,
}
FORMATS = ("dot", "json", "txt", "mmd")


def texts(name: str) -> dict[str, str]:
    view = EXAMPLES[name]()
    found = {"dot": view.source, "txt": view.text()}
    if name in ("scalar", "tower"):
        found |= {"json": view.json(), "mmd": view.mermaid()}
    return found


def write() -> None:
    STORED.mkdir(exist_ok=True)
    for name in EXAMPLES:
        for format, text in texts(name).items():
            (STORED / f"{name}.{format}").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
