"""tinygrad_dl.viz, and the command tinygrad-dl."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.fuzz.harness import Call, calls_of, with_arguments
from tinygrad_dl import Tensor, cli, nn, optim, train, viz
from tinygrad_dl.viz.scripts import draw_script

POINTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
LABELS = np.array([0, 1, 1, 0])


def result() -> Tensor:
    return (Tensor(np.ones(2), requires_grad=True) * 2).sum()


def view() -> viz.GraphView:
    return viz.draw(result())


def monitor() -> train.Monitor:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    measured = train.Monitor()
    data = POINTS.astype(np.float32), LABELS
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    train.Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=[measured], progress="off").fit(
        data, epochs=2
    )
    return measured


def range_test() -> Any:
    numbers = np.linspace(1.0, 2.0, 5)
    return SimpleNamespace(rates=numbers, losses=numbers, smooth=numbers, suggestion=0.1)


def bowl(x: Any, y: Any) -> Any:
    return x**2 + y**2


def above(points: np.ndarray) -> np.ndarray:
    return points.sum(axis=1) > 1


def halved(epoch: float) -> float:
    return 0.5**epoch


TABLE = {
    "draw": lambda: with_arguments(result()),
    "draw function": lambda: with_arguments(lambda x: x * 2, inputs=(Tensor([1.0]),)),
    "draw model": lambda: with_arguments(nn.Linear(2, 2), inputs=(np.ones((1, 2), np.float32),)),
    "diff": lambda: with_arguments(view(), view()),
    "record": lambda: with_arguments(),
    "confusion": lambda: with_arguments([0, 1], [0, 1]),
    "plot_confusion": lambda: with_arguments([0, 1], [0, 1], ["a", "b"]),
    "plot_mistakes": lambda: with_arguments(np.zeros((4, 3, 3)), LABELS, 1 - LABELS, ["a", "b"], np.ones(4)),
    "plot_filters": lambda: with_arguments(np.ones((2, 1, 3, 3))),
    "plot_history": lambda: with_arguments({"loss": [1.0, 0.5], "dev_loss": [1.0, 0.5]}),
    "plot_rates": lambda: with_arguments(range_test()),
    "plot_schedule": lambda: with_arguments(halved, 3),
    "plot_loss_surface": lambda: with_arguments(bowl, {"SGD": POINTS}, resolution=10),
    "plot_decision_boundary": lambda: with_arguments(above, POINTS, LABELS, resolution=10),
    **{
        name: lambda: with_arguments(monitor())
        for name in ("plot_activations", "plot_gradients", "plot_norms", "plot_updates", "plot_dead_units")
    },
}


def script() -> str:
    Path("model.py").write_text("from tinygrad_dl import nn\nnet = nn.Linear(2, 3)\n")
    return "model.py:net"


def run_folder() -> str:
    Path("run").mkdir(exist_ok=True)
    Path("run/metrics.json").write_text('{"test": {"accuracy": 0.5}}')
    return "run"


def command(*words: Any) -> None:
    """A command with its words as text; it has an exit code whatever they are, and raises nothing."""
    assert cli.main([str(word)[:1000] for word in words]) in (0, 1, 2)


def calls() -> Iterator[Call]:
    yield from calls_of(viz, TABLE)
    yield Call("GraphView.save", lambda: (view().save, ("graph.dot",), {}))
    yield Call("draw_script", lambda: (draw_script, (script(), ("1,2",)), {"max_nodes": 400}))
    words = (
        "draw",
        script(),
        "--input",
        "1,2",
        "--out",
        "g.txt",
        "--depth",
        "1",
        "--max-nodes",
        "9",
        "--seed",
        "0",
    )
    yield Call("tinygrad-dl draw", lambda: (command, words, {}))
    yield Call("tinygrad-dl report", lambda: (command, ("report", run_folder()), {}))
    yield Call("tinygrad-dl doctor", lambda: (command, ("doctor",), {}))
