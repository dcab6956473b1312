"""tinygrad_dl.train."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.fuzz.harness import Call, calls_of, with_arguments
from tinygrad_dl import nn, optim, train
from tinygrad_dl.data import DataLoader, TensorDataset


def trainer() -> train.Trainer:
    model = nn.Linear(2, 2)
    return train.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))


def data() -> tuple[np.ndarray, np.ndarray]:
    return np.ones((6, 2), np.float32), np.arange(6) % 2


def loader() -> DataLoader:
    return DataLoader(TensorDataset(*data()), 3)


def trainer_arguments() -> tuple[tuple, dict]:
    model = nn.Linear(2, 2)
    return with_arguments(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))


def calls() -> Iterator[Call]:
    yield from calls_of(
        train,
        {
            "Trainer": trainer_arguments,
            "EarlyStopping": lambda: with_arguments(),
            "Checkpoint": lambda: with_arguments("checkpoint"),
        },
    )
    yield Call("Trainer.fit", lambda: (trainer().fit, (loader(),), {"epochs": 1}))
    yield Call("Trainer.predict", lambda: (trainer().predict, data()[:1], {}))
