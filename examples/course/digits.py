"""Shared by the further experiments: scikit-learn's digits, networks for them, training, and saved figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tinygrad_dl as tg
from tinygrad_dl import nn, optim
from tinygrad_dl.data import TensorDataset, datasets, split
from tinygrad_dl.train import Callback, History, Trainer
from tinygrad_dl.viz.plots.axes import new_figure

FIGURES = Path("runs/course")


def parts(few: int | None = None, images: bool = False) -> tuple[TensorDataset, TensorDataset]:
    """Return 1,347 digits to train on, or the first `few`, and 450 others: x (N, 64) or (N, 1, 8, 8) in [0, 1]."""
    digits = datasets.load_digits()
    x = digits.x / 16
    train, dev = split(
        digits.replaced(x.reshape(-1, 1, 8, 8) if images else x), (0.75, 0.25), stratify=True, rng=0
    )
    return (train if few is None else train.take(slice(few))), dev


def perceptron(
    *widths: int,
    activation: type[nn.Module] = nn.ReLU,
    init: Callable[[tg.Tensor], Any] | None = None,
    before: Sequence[Callable[[int], nn.Module]] = (),
    after: Sequence[Callable[[], nn.Module]] = (),
    seed: int = 0,
) -> nn.Sequential:
    """Return a network of 64 inputs, hidden layers of these widths, 10 classes; `init` is He initialization by default.

    `before` and `after`: further layers around each activation, such as nn.BatchNorm1d and nn.Dropout.
    """
    tg.manual_seed(seed)
    layers: list[nn.Module] = []
    sizes = (64, *widths, 10)
    for i, (inputs, units) in enumerate(zip(sizes, sizes[1:])):
        linear = nn.Linear(inputs, units)
        weight, bias = linear.parameters()
        (init or nn.init.kaiming_normal_)(weight)
        nn.init.zeros_(bias)
        layers.append(linear)
        if i < len(widths):
            layers += [layer(units) for layer in before] + [activation()] + [layer() for layer in after]
    return nn.Sequential(*layers)


def trained(
    model: nn.Module,
    train: TensorDataset | Any,
    dev: TensorDataset,
    *,
    optimizer: Any = None,
    epochs: int = 20,
    batch_size: int = 64,
    callbacks: Sequence[Callback] = (),
) -> History:
    """Train with cross-entropy, by default by gradient descent with rate 0.1; the history has accuracies."""
    optimizer = optimizer or optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        metrics=["accuracy"],
        callbacks=callbacks,
        progress="off",
        allow_nan=True,
    )
    return trainer.fit(train, dev, epochs, batch_size=batch_size, rng=0)


def last(history: History, name: str = "dev_accuracy") -> float:
    """Return the last value of a run; an accuracy in percent."""
    value = float(history[name][-1])
    return 100 * value if name.endswith("accuracy") else value


@contextmanager
def saved_figure(out: Path, name: str, rows: int = 1, columns: int = 1, size: float = 4.0) -> Iterator[Any]:
    """Yield axes, one or an array, of a figure that is then saved as out/name.png."""
    figure = new_figure(f"the figure of {name}", (size * 1.25 * columns, size * rows))
    yield figure.subplots(rows, columns)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / f"{name}.png", dpi=120)


def curves(ax: Any, runs: dict[str, History], name: str, ylabel: str = "", log: bool = False) -> None:
    """Plot a quantity of several runs over the epochs."""
    for label, history in runs.items():
        ax.plot(range(1, len(history) + 1), history[name], label=label, linewidth=1.2)
    ax.set(xlabel="epoch", ylabel=ylabel or name.replace("_", " "), yscale="log" if log else "linear")
    ax.grid(alpha=0.25)
    ax.legend(fontsize=8, frameon=False)
