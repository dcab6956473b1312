"""A training that is ended after some epochs, or within one, and resumed on another number of ranks; with dropout, too.

resuming.py FOLDER PLAN DROPOUT RESULT: rank 0 writes the weights and the history. Data are read from files.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import nn, optim, train
from tinygrad_dl.data import DataLoader, MemmapDataset


class Ended(Exception):
    """The training is over."""


class End(train.Callback):
    """Ends a training within an epoch, on all ranks."""

    last = True

    def __init__(self, epoch: int, batch: int) -> None:
        self.at = epoch, batch

    def on_batch_end(self, trainer: train.Trainer) -> None:
        if (trainer.epoch, trainer.batch) == self.at:
            raise Ended


def stored(folder: Path) -> MemmapDataset:
    """Examples in files, which rank 0 writes."""
    rng = np.random.default_rng(0)
    if not tg.distributed.world().rank:
        folder.mkdir(exist_ok=True)
        np.save(folder / "x.npy", rng.normal(size=(50, 6)))
        np.save(folder / "y.npy", rng.integers(0, 2, 50))
    tg.distributed.barrier()
    return MemmapDataset(folder / "x.npy", folder / "y.npy", block_size=4, buffer_size=13)


def run(folder: str, until: str, dropout: float) -> dict[str, Any]:
    """Train for so many epochs in all, or until a batch of the one after them, from what is in the folder on."""
    data = stored(Path(f"{folder}-data"))
    x, y = (array.data for array in data[:9])
    epochs, _, batch = until.partition(".")
    tg.manual_seed(1)
    model = nn.Sequential(
        nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 2)
    ).double()
    callbacks: list[Any] = [
        train.Checkpoint(folder, every_batches=2),
        train.AveragedWeights(0.9),
        train.Log(f"{folder}/log.csv"),
    ]
    callbacks.append(End(int(epochs), int(batch or -1)))
    trainer = train.Trainer(
        model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.01), metrics=["accuracy"],
        callbacks=callbacks, progress="off", distributed="mpi",
    )  # fmt: skip
    try:
        trainer.fit(DataLoader(data, 12, shuffle=True, rng=2), (x, y), epochs=int(epochs) + bool(batch))
    except Ended:
        return {}
    draws = tg.rand(3).numpy()  # the same on all ranks after fit
    assert all((other == draws).all() for other in tg.distributed.gather(draws))
    return {"loss": np.array(trainer.history["loss"]), **model.state_dict()}


def main(folder: str, plan: str, dropout: str, result: str) -> None:
    """Each part of `plan`, such as 2.3,4: fits in one process that go on from each other's checkpoints."""
    for until in plan.split(","):
        found = run(folder, until, float(dropout))
    if not tg.distributed.world().rank:
        np.savez(result, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
