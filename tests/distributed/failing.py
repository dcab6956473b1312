"""Trainings in which one rank, or all of them, go wrong in a way that the first argument names."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import distributed, nn, optim, train
from tinygrad_dl.data import ShardedDataset
from tinygrad_dl.errors import CommunicationError
from tinygrad_dl.train import DataParallel

PROGRAM = __file__


class Goes(train.Callback):
    """Goes wrong in the third epoch, on the last rank or on all."""

    def __init__(self, how: str) -> None:
        self.how = how

    def on_batch_end(self, trainer: train.Trainer) -> None:
        last = trainer.world.rank == trainer.world.size - 1
        if trainer.epoch != 2 or trainer.batch != 2 or not (last or self.how == "all"):
            return
        if self.how in ("raises", "all"):
            raise ArithmeticError("the sum is wrong")
        if self.how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "leaves":
            sys.exit(0)
        if self.how == "hangs":
            time.sleep(600)
        if self.how == "diverges":
            trainer.model[2].bias.data[...] += 1e-7


def train_once(how: str, folder: str, world: distributed.World) -> None:
    last = world.rank == world.size - 1
    drawn = np.random.default_rng(how == "data" and last)
    x, y = drawn.normal(size=(40, 4)).astype(np.float32), drawn.integers(0, 2, 40)
    if how == "examples" and last:
        x, y = x[:30], y[:30]
    data: Any = (x, y)
    if how == "files":  # of one name and size, in a folder of each rank
        own = Path(folder, f"rank-{world.rank}")
        own.mkdir(parents=True)
        x[7, 0] += world.rank
        np.savez(own / "part.npz", x=x, y=y)
        data = ShardedDataset(own)
    sys.modules["__main__"].__file__ = distributed.__file__ if how == "code" and last else PROGRAM
    tg.manual_seed(0)
    width = 5 if how == "shapes" and last else 6
    model = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2))
    optimizer = optim.Adam(model.parameters(), lr=0.1 if how == "options" and last else 0.01)
    callbacks: list[Any] = [train.Checkpoint(folder), Goes(how)]
    trainer = train.Trainer(
        model, nn.CrossEntropyLoss(), optimizer, callbacks=callbacks,
        distributed=DataParallel(check_every=3), progress="off", compile=False,
    )  # fmt: skip
    rng = world.rank if how == "seeds" else 0
    trainer.fit(data, epochs=4, batch_size=5 if how == "batches" and last else 10, rng=rng)
    print(f"rank {world.rank} is done", flush=True)


def main(hows: list[str], folder: str) -> None:
    """One way to go wrong, or several that all ranks notice together."""
    former = sys.excepthook
    sys.excepthook = lambda *error: (print("a hook of the program's own", file=sys.stderr), former(*error))[1]
    world = distributed.world(timeout=5 if "hangs" in hows else 60)
    if len(hows) == 1:
        train_once(hows[0], folder, world)
        return
    for how in hows:
        try:
            train_once(how, f"{folder}/{how}", world)
        except CommunicationError as error:
            print(f"{how} on rank {world.rank}: {error}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1].split(","), str(Path(sys.argv[2])))
