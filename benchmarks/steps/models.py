"""The steps in PyTorch's names, for tinygrad_dl and PyTorch: `cases` takes a library's modules."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.steps import data

Step = Callable[[], Any]


def train(model: Any, loss: Any, optimizer: Any, x: Any, y: Any) -> Step:
    """A training step: forward, loss, backward, update."""

    def step() -> None:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()

    return step


def cases(
    nn: Any, optim: Any, array: Callable[[np.ndarray], Any], leaf: Callable[[np.ndarray], Any]
) -> dict[str, Any]:
    """The functions that build the steps; `array` makes a tensor of data, `leaf` one that requires grad."""

    def layers(sizes: tuple[int, ...]) -> list[Any]:
        modules: list[Any] = []
        for a, b in zip(sizes, sizes[1:]):
            modules += [nn.Linear(a, b), nn.ReLU()]
        return modules[:-1]

    def mlp(sizes: tuple[int, ...], batch: int) -> Step:
        model = nn.Sequential(*layers(sizes))
        x, y = array(data.rows(batch, sizes[0])), array(data.classes(batch, sizes[-1]))
        return train(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.01), x, y)

    def cats() -> Step:
        sizes, batch = data.CATS
        model = nn.Sequential(*layers(sizes))
        x, y = (
            array(data.rows(batch, sizes[0])),
            array(data.classes(batch, 2).astype(np.float32).reshape(-1, 1)),
        )
        return train(model, nn.BCEWithLogitsLoss(), optim.SGD(model.parameters(), lr=0.0075), x, y)

    def norm_dropout_adam() -> Step:
        sizes, batch = data.DEEP
        modules: list[Any] = []
        for a, b in zip(sizes, sizes[1:-1]):
            modules += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU(), nn.Dropout(0.2)]
        model = nn.Sequential(*modules, nn.Linear(*sizes[-2:]))
        x, y = array(data.rows(batch, sizes[0])), array(data.classes(batch, sizes[-1]))
        return train(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=1e-3), x, y)

    def convolutional(model: Any, channels: int, side: int, batch: int) -> Step:
        x, y = array(data.images(batch, channels, side)), array(data.classes(batch, 10))
        return train(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.01, momentum=0.9), x, y)

    def lenet() -> Step:
        model = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
        )  # fmt: skip
        return convolutional(model, 1, 28, 64)

    def digits_cnn() -> Step:
        model = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(512, 10),
        )  # fmt: skip
        return convolutional(model, 1, 8, 64)

    def wide_cnn() -> Step:
        model = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(64 * 16 * 16, 10),
        )  # fmt: skip
        return convolutional(model, 3, 32, 32)

    class Sequence(nn.Module):
        """An LSTM over the sequence and a linear layer on its last state."""

        def __init__(self, inputs: int, hidden: int) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(inputs, hidden, batch_first=True), nn.Linear(hidden, 10)

        def forward(self, x: Any) -> Any:
            out, _ = self.lstm(x)
            return self.head(out[:, -1])

    def lstm() -> Step:
        sizes = data.LSTM
        model = Sequence(sizes["inputs"], sizes["hidden"])
        x = data.rows(sizes["batch"], sizes["steps"] * sizes["inputs"])
        x = array(x.reshape(sizes["batch"], sizes["steps"], sizes["inputs"]))
        return train(
            model,
            nn.CrossEntropyLoss(),
            optim.SGD(model.parameters(), lr=0.01),
            x,
            array(data.classes(sizes["batch"], 10)),
        )

    def chain() -> Step:
        start = leaf(np.full(3, 0.5, np.float32))

        def step() -> None:
            start.grad = None
            x = start
            for _ in range(data.CHAIN // 2):
                x = x * 1.0001 + start
            x.sum().backward()

        return step

    return {
        **{name: partial(mlp, *case) for name, case in data.MLPS.items()},
        "cats": cats,
        "norm-dropout-adam": norm_dropout_adam,
        "lenet": lenet,
        "digits-cnn": digits_cnn,
        "wide-cnn": wide_cnn,
        "lstm": lstm,
        "chain": chain,
    }
