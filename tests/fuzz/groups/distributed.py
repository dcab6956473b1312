"""tinygrad_dl.distributed, in one process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.fuzz.harness import Call, calls_of, with_arguments
from tinygrad_dl import Tensor, distributed, nn, optim, train
from tinygrad_dl.data import DataLoader


def trained() -> list[Tensor]:
    w = Tensor([1.0, 2.0], requires_grad=True)
    (w * w).sum().backward()
    return [w]


def trainer(settings: Any) -> train.Trainer:
    model = nn.Linear(2, 2)
    return train.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1), distributed=settings)


def with_data_parallel(check_every: Any = 1, bucket: Any = 1000, timeout: Any = None) -> train.Trainer:
    return trainer(train.DataParallel(check_every, bucket, timeout))


TABLE = {
    "all_reduce": lambda: with_arguments(np.ones(3), "mean"),
    "average_gradients": lambda: with_arguments(trained(), 2.0),
    "broadcast": lambda: with_arguments(nn.Linear(2, 2)),
    "gather": lambda: with_arguments(3),
    "world": lambda: with_arguments(5.0),
    "Reducer": lambda: with_arguments({"w": trained()[0]}, distributed.world(), 1000),
}


def calls() -> Iterator[Call]:
    yield from calls_of(distributed, TABLE)
    yield Call("Reducer.average", lambda: (distributed.Reducer({}, distributed.world()).average, (1.0,), {}))
    yield Call("Trainer", lambda: (trainer, ("mpi",), {}))
    yield Call(
        "DataParallel", lambda: (with_data_parallel, (), {"check_every": 1, "bucket": 9, "timeout": 5.0})
    )
    yield Call("DataLoader", lambda: (DataLoader, (np.ones(3),), {"shard": distributed.world()}))
