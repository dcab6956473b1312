"""A training that is ended after some epochs, and resumed on another number of ranks; with dropout, too.

resuming.py FOLDER EPOCHS DROPOUT RESULT: rank 0 writes the weights and the history.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import nn, optim, train
from tinygrad_dl.data import DataLoader


def run(folder: str, epochs: int, dropout: float) -> dict[str, Any]:
    """Train for so many epochs in all, and go on from what is in the folder."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 6)), rng.integers(0, 2, 50)
    tg.manual_seed(1)
    model = nn.Sequential(
        nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 2)
    ).double()
    callbacks = [train.Checkpoint(folder), train.AveragedWeights(0.9), train.Log(f"{folder}/log.csv")]
    trainer = train.Trainer(
        model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.01), metrics=["accuracy"],
        callbacks=callbacks, progress="off", distributed="mpi",
    )  # fmt: skip
    trainer.fit(DataLoader((x, y), 12, shuffle=True, rng=2), (x[:9], y[:9]), epochs=epochs)
    draws = tg.rand(3).numpy()  # the same on all ranks after fit
    assert all((other == draws).all() for other in tg.distributed.gather(draws))
    return {"loss": np.array(trainer.history["loss"]), **model.state_dict()}


def main(folder: str, plan: str, dropout: str, result: str) -> None:
    """Each part of `plan`, such as 2,4: fits in one process that go on from each other's checkpoints."""
    for epochs in plan.split(","):
        found = run(folder, int(epochs), float(dropout))
    if not tg.distributed.world().rank:
        np.savez(result, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
