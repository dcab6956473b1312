"""tinygrad_dl.train."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.fuzz.harness import Call, calls_of, with_arguments
from tinygrad_dl import nn, optim, train
from tinygrad_dl.data import DataLoader, TensorDataset
from tinygrad_dl.train import search


def trainer(**options: Any) -> train.Trainer:
    model = nn.Linear(2, 2)
    return train.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), **options)


def data() -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(0).random((6, 2), np.float32), np.arange(6) % 2


def loader() -> DataLoader:
    return DataLoader(TensorDataset(*data()), 3)


def history() -> train.History:
    return train.History([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}])


def trainer_arguments() -> tuple[tuple, dict]:
    model = nn.Linear(2, 2)
    return with_arguments(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))


TABLE = {
    "Trainer": trainer_arguments,
    "EarlyStopping": lambda: with_arguments(),
    "Checkpoint": lambda: with_arguments("checkpoint"),
    "Schedule": lambda: with_arguments(lambda epoch: 1.0),
    "ClipGradients norm": lambda: with_arguments(1.0),
    "ClipGradients value": lambda: with_arguments(value=1.0),
    "Penalty": lambda: with_arguments(0.1),
    "AveragedWeights": lambda: with_arguments(),
    "Monitor": lambda: with_arguments(),
    "Progress": lambda: with_arguments(),
    "Log": lambda: with_arguments("log.csv"),
    "TensorBoard": lambda: with_arguments("events"),
    "MLflow": lambda: with_arguments("experiment"),
    "History": lambda: with_arguments(),
    "diagnose": lambda: with_arguments(history()),
    "find_rate": lambda: with_arguments(trainer(), data(), steps=10),
}
RANGES = {
    "Uniform": lambda: with_arguments(0, 1),
    "LogUniform": lambda: with_arguments(0.1, 1),
    "OneMinus": lambda: with_arguments(0.1, 0.5),
    "Whole": lambda: with_arguments(1, 2),
    "Choice": lambda: with_arguments(1, 2),
}


def method(name: str, make: Callable[[], Callable[..., Any]], *args: Any, **kwargs: Any) -> Call:
    return Call(name, lambda: (make(), args, kwargs))


def calls() -> Iterator[Call]:
    yield from calls_of(train, TABLE)
    yield from calls_of(search, RANGES)
    yield Call("Trainer.fit", lambda: (trainer(progress="off").fit, (loader(),), {"epochs": 1}))
    yield Call("Trainer.fit dev", lambda: (trainer(progress="off").fit, (data(), data(), 1), {}))
    yield Call("Trainer.predict", lambda: (trainer().predict, data()[:1], {}))
    yield Call("Trainer.evaluate", lambda: (trainer().evaluate, (data(),), {}))
    yield Call("Trainer.load_state_dict", lambda: (trainer().load_state_dict, (trainer().state_dict(),), {}))
    yield method("History.best", lambda: history().best, "loss")
    yield method("History[]", lambda: history().__getitem__, "loss")
    yield method("History.save", lambda: history().save, "history.csv")
    yield method("History.load", lambda: train.History.load, "history.csv")
    yield method("History.plot", lambda: history().plot, history())
    yield Call(
        "search.run",
        lambda: (search.run, (lambda s: s["x"], {"x": search.Uniform(0, 1)}, 1), {}),
        frozenset(("trials",)),  # a large number of trials is what was asked for
    )
    for estimator in (train.Classifier, train.Regressor):

        def fit(estimator: Any = estimator, **options: Any) -> None:
            estimator(epochs=options.pop("epochs", 1), **options).fit(*data())

        for option in (
            "hidden",
            "batch_size",
            "lr",
            "l2",
            "standardize",
            "early_stopping",
            "dev",
            "random_state",
        ):
            yield Call(
                f"{estimator.__name__}.fit {option}",
                lambda fit=fit, option=option, estimator=estimator: (  # type: ignore[misc]
                    fit, (), {option: estimator().get_params()[option]}
                ),
                frozenset(("estimator", "options")),
            )  # fmt: skip
        yield Call(
            f"{estimator.__name__}.fit", lambda estimator=estimator: (estimator(epochs=1).fit, data(), {})
        )  # type: ignore[misc]
