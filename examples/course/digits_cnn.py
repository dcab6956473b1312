"""A convolutional network on the digits of 8 by 8 pixels (course 4), its filters before and after."""

from __future__ import annotations

from pathlib import Path

import tinygrad_dl as tg
from tinygrad_dl import nn, optim
from tinygrad_dl.course.digits import FIGURES, curves, last, parts, saved_figure, trained
from tinygrad_dl.course.record import show

TITLE = "A convolutional network on the digits"


def network() -> nn.Sequential:
    """8 by 8 pixels, two convolutions, pooled to 4 by 4, 10 classes."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(512, 10),
    )


def run(out: Path = FIGURES, epochs: int = 20) -> dict[str, float]:
    """Accuracies; the filters of the first layer are drawn before and after."""
    train, dev = parts(images=True)
    tg.manual_seed(0)
    model = network()
    filters = [model[0].weight.data.copy()]
    history = trained(model, train, dev, optimizer=optim.Adam(model.parameters(), lr=0.002), epochs=epochs)
    filters.append(model[0].weight.data.copy())
    with saved_figure(out, "digits_cnn", 1, 3) as axes:
        for ax, weights, when in zip(axes, filters, ("before", "after")):
            tiles = weights.reshape(4, 4, 3, 3).transpose(0, 2, 1, 3).reshape(12, 12)
            ax.imshow(tiles, cmap="gray")
            ax.set(title=f"filters {when}", xticks=[2.5, 5.5, 8.5], yticks=[2.5, 5.5, 8.5])
            ax.tick_params(length=0, labelbottom=False, labelleft=False)
            ax.grid(color="w", linewidth=2)
        curves(axes[2], {"dev": history}, "dev_accuracy")
    return {
        "parameters": float(sum(p.size for p in model.parameters())),
        "training accuracy, %": last(history, "accuracy"),
        "dev accuracy, %": last(history),
    }


if __name__ == "__main__":
    show(globals())
