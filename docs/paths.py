"""Draw optimizer-paths.svg, schedules.svg and complex-gradient.svg in docs/images: python docs/paths.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from tinygrad_dl import Tensor, optim
from tinygrad_dl import abs as abs_of
from tinygrad_dl.optim import lr_scheduler as lrs
from tinygrad_dl.viz.formats.themes import plotted

IMAGES = Path(__file__).parent / "images"
START, STEPS = (-7.0, 2.0), 40

# Title -> class and options; the rates are chosen so that each arrives, or shows what keeps it from that.
OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD, lr 0.95": ("SGD", {"lr": 0.95}),
    "momentum, lr 0.1": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "Nesterov, lr 0.1": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "ASGD, lr 0.9": ("ASGD", {"lr": 0.9, "lambd": 1e-2}),
    "Adagrad, lr 1.5": ("Adagrad", {"lr": 1.5}),
    "RMSprop, lr 0.3": ("RMSprop", {"lr": 0.3, "alpha": 0.9}),
    "Adadelta, lr 60": ("Adadelta", {"lr": 60.0}),
    "Rprop, lr 0.2": ("Rprop", {"lr": 0.2}),
    "Adam, lr 0.4": ("Adam", {"lr": 0.4}),
    "AdamW, lr 0.4": ("AdamW", {"lr": 0.4, "weight_decay": 0.1}),
    "Adamax, lr 0.5": ("Adamax", {"lr": 0.5}),
    "NAdam, lr 0.4": ("NAdam", {"lr": 0.4}),
    "RAdam, lr 0.4": ("RAdam", {"lr": 0.4}),
    "Adafactor, lr 0.3": ("Adafactor", {"lr": 0.3}),
    "Muon, lr 0.5": ("Muon", {"lr": 0.5, "weight_decay": 0.0}),
    "LBFGS, lr 1": ("LBFGS", {"lr": 1.0, "max_iter": 1, "line_search_fn": "strong_wolfe"}),
}


def path_of(name: str, options: dict[str, Any]) -> np.ndarray:
    """The points on f(x, y) = x**2 / 20 + y**2 that an optimizer visits, (steps + 1, 2)."""
    p = Tensor([list(START)], dtype="float64", requires_grad=True)
    optimizer = getattr(optim, name)([p], **options)
    points = [p.data[0].copy()]

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (p * p * Tensor([[0.05, 1.0]])).sum()
        loss.backward()
        return loss

    for _ in range(STEPS):
        optimizer.step(closure)
        points.append(p.data[0].copy())
    return np.array(points)


def draw_paths() -> None:
    """One panel per optimizer."""
    figure = Figure(figsize=(7.6, 7.4), layout="constrained")
    for i, (title, (name, options)) in enumerate(OPTIMIZERS.items(), 1):
        ax = figure.add_subplot(4, 4, i)
        for level in (0.05, 0.3, 1.0, 2.2, 4.0, 6.4, 9.4):
            size = 2 * (20 * level) ** 0.5, 2 * level**0.5
            ax.add_patch(Ellipse((0, 0), *size, fill=False, color="#bbbbbb", linewidth=0.6))
        path = path_of(name, options)
        ax.plot(*path.T, "-", color="#0072B2", linewidth=1)
        ax.plot(*path.T, ".", color="#0072B2", markersize=3)
        ax.plot(*START, "o", color="#D55E00", markersize=4)
        ax.plot(0, 0, "+", color="black", markersize=7)
        ax.set(title=title, xlim=(-8, 8), ylim=(-2.6, 2.6), xticks=[-5, 0, 5], yticks=[-2, 0, 2])
        ax.title.set_size(9)
        ax.tick_params(labelsize=8.4)
    write(figure, "optimizer-paths.svg")


SCHEDULES: dict[str, Any] = {
    "StepLR(30, 0.5)": lambda o: lrs.StepLR(o, 30, 0.5),
    "MultiStepLR([50, 80], 0.3)": lambda o: lrs.MultiStepLR(o, [50, 80], 0.3),
    "ExponentialLR(0.97)": lambda o: lrs.ExponentialLR(o, 0.97),
    "PolynomialLR(100, 2)": lambda o: lrs.PolynomialLR(o, 100, 2.0),
    "InverseTimeLR(0.05)": lambda o: lrs.InverseTimeLR(o, 0.05),
    "StaircaseLR(1, 25)": lambda o: lrs.StaircaseLR(o, 1.0, 25),
    "InverseSqrtLR()": lambda o: lrs.InverseSqrtLR(o),
    "CosineAnnealingLR(100)": lambda o: lrs.CosineAnnealingLR(o, 100),
    "CosineAnnealingWarmRestarts(15, 2)": lambda o: lrs.CosineAnnealingWarmRestarts(o, 15, 2),
    "CyclicLR(0.1, 1, 20)": lambda o: lrs.CyclicLR(o, 0.1, 1.0, 20, mode="triangular2"),
    "OneCycleLR(1, 100)": lambda o: lrs.OneCycleLR(o, 1.0, 100),
    "SequentialLR: linear, then cosine": lambda o: lrs.SequentialLR(
        o, [lrs.LinearLR(o, 0.05, total_iters=15), lrs.CosineAnnealingLR(o, 85)], [15]
    ),
}


def draw_schedules() -> None:
    """One panel per schedule."""
    figure = Figure(figsize=(7.6, 6.6), layout="constrained")
    for i, (title, make) in enumerate(SCHEDULES.items(), 1):
        optimizer = optim.SGD([Tensor(1.0, requires_grad=True)], lr=1.0, momentum=0.9)
        schedule = make(optimizer)
        found = []
        for _ in range(100):
            found.append(schedule.get_last_lr()[0])
            schedule.step()
        ax = figure.add_subplot(4, 3, i)
        ax.plot(found, color="#0072B2", linewidth=1.3)
        ax.set(title=title, ylim=(0, 1.08), xticks=[0, 50, 100], yticks=[0, 1])
        ax.title.set_size(8.6)
        ax.tick_params(labelsize=8.4)
        ax.spines[["top", "right"]].set_visible(False)
    write(figure, "schedules.svg")


# Complex gradients

FIELD_STARTS = (1.4 + 0.9j, 0.9 - 1.3j, -0.2 + 1.5j, -1.5 + 0.3j, -0.9 - 1.2j)


def distance_to_roots(z: Tensor) -> Any:
    """The squared distance of z^3 from 1, which is 0 at the three roots of unity."""
    return abs_of(z**3 - 1) ** 2


def gradient_at(at: Any) -> np.ndarray:
    """z.grad at points of the plane."""
    z = Tensor(np.asarray(at, complex), requires_grad=True)
    distance_to_roots(z).sum().backward()
    assert z.grad is not None
    return z.grad.data


def descend(start: complex, conjugated: bool) -> np.ndarray:
    """The points of `z -= lr * z.grad`, or with the conjugate in the place of z.grad."""
    points = [start]
    for _ in range(60):
        g = complex(gradient_at(points[-1]))
        step = 0.02 * (g.conjugate() if conjugated else g)
        points.append(points[-1] - step / max(1.0, abs(step) / 0.1))
    return np.array(points)


def draw_complex_gradients() -> None:
    """The field of descent, and what becomes of it without the conjugate."""
    figure = Figure(figsize=(7.6, 4.4), layout="constrained")
    x = np.linspace(-1.8, 1.8, 45)
    plane = x[None, :] + 1j * x[:, None]
    arrows = plane[2::4, 2::4] + 0.02  # beside 0, where the gradient is 0
    surface, levels = distance_to_roots(Tensor(plane)).data, [0.1, 0.4, 1, 2, 6, 18]
    titles = ("z -= lr * z.grad, as here and in PyTorch", "z -= lr * g with the g of JAX and HIPS autograd")
    for i, title in enumerate(titles):
        ax = figure.add_subplot(1, 2, i + 1)
        ax.contour(x, x, surface, levels=levels, colors="#bbbbbb", linewidths=0.6)
        g = -gradient_at(arrows)
        g = (g.conj() if i else g) / np.abs(g)
        ax.quiver(
            arrows.real, arrows.imag, g.real, g.imag, color="#0072B2", scale=26, width=0.004, pivot="mid"
        )
        for start in FIELD_STARTS:
            path = descend(start, bool(i))
            ax.plot(path.real, path.imag, "-", color="#D55E00", linewidth=1.2)
            ax.plot(start.real, start.imag, "o", color="#D55E00", markersize=4)
        roots = np.exp(2j * np.pi * np.arange(3) / 3)
        ax.plot(roots.real, roots.imag, "+", color="black", markersize=9)
        ax.set(title=title, xlim=(-1.8, 1.8), ylim=(-1.8, 1.8), xlabel="real part", ylabel="imaginary part")
        ax.set_aspect("equal")
        ax.title.set_size(10)
        ax.tick_params(labelsize=8.4)
    write(figure, "complex-gradient.svg")


def write(figure: Figure, name: str) -> None:
    """The same bytes for the same figure."""
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(IMAGES / name, metadata={"Date": None})
    text = plotted((IMAGES / name).read_text())
    text = re.sub(r"\d+\.\d{3,}", lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), text)
    (IMAGES / name).write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n")


if __name__ == "__main__":
    draw_paths()
    draw_schedules()
    draw_complex_gradients()
